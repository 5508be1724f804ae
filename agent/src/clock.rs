//! The wall clock, for what others judge by theirs: the time in a signature, and the end of a cloud's access key.
//! Everything that only has to wait or to compare runs on tokio's clock.
//!
//! Invariant: this is the one place of the agent that reads it; whoever signs or compares takes the time as an
//! argument.

use std::time::{Duration, SystemTime};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A moment, in seconds since 1970 began, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// A clock that stands before 1970 is wrong whatever it is taken for.
    pub(crate) fn now() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads the wall clock"
        )]
        let now = SystemTime::now();
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.unwrap_or_default().as_secs())
    }

    pub(crate) const fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_secs()))
    }

    /// `20260102T030405Z`: the basic format of ISO 8601.
    pub(crate) fn basic(self) -> String {
        let (year, month, day) = date(self.0 / DAY);
        let (hour, minute, second) = self.time();
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// `2026-01-02T03:04:05Z`: the extended format, that of RFC 3339.
    pub(crate) fn extended(self) -> String {
        let (year, month, day) = date(self.0 / DAY);
        let (hour, minute, second) = self.time();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Reads RFC 3339 in UTC, as clouds write it: `2026-01-02T03:04:05Z`, also with a fraction, which is cut off.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let time = time.split('.').next()?;
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let in_range = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            // A leap second counts as the next one.
            && second <= 60;
        let days = in_range.then(|| days(year, month, day))?;
        Some(Self(days * DAY + hour * HOUR + minute * MINUTE + second))
    }

    const fn time(self) -> (u64, u64, u64) {
        let second = self.0 % DAY;
        (second / HOUR, second % HOUR / MINUTE, second % MINUTE)
    }
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// Years are taken to begin in March, so that the day that comes and goes is the last one of a year; 400 of them have
/// 146,097 days, and day 0 of 1970 is day 719,468 since March of year 0.
const BEFORE_1970: u64 = 719_468;
const DAYS_OF_400_YEARS: u64 = 146_097;

fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let before = year / 400 * DAYS_OF_400_YEARS;
    let year = year % 400;
    before + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - BEFORE_1970
}

fn date(days: u64) -> (u64, u64, u64) {
    let days = days + BEFORE_1970;
    let (before, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = before * 400 + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date --utc --date=@SECONDS +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_440_938_160, "2015-08-30T12:36:00Z"),
            (1_456_790_399, "2016-02-29T23:59:59Z"),
            (1_767_323_045, "2026-01-02T03:04:05Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Moment(seconds).extended(), text);
            assert_eq!(Moment::parse(text), Some(Moment(seconds)), "{text}");
        }
        assert_eq!(Moment(1_767_323_045).basic(), "20260102T030405Z");
    }

    #[test]
    fn every_day_is_read_as_it_is_written() {
        for day in 0..40_000 {
            let moment = Moment(day * DAY + day % DAY);
            assert_eq!(Moment::parse(&moment.extended()), Some(moment));
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        assert_eq!(
            Moment::parse("2026-01-02T03:04:05.678Z"),
            Some(Moment(1_767_323_045))
        );
        for text in [
            "",
            "Z",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05+01:00",
            "2026-13-02T03:04:05Z",
            "2026-00-02T03:04:05Z",
            "2026-01-00T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:04Z",
            "2026-01-02T03:04:05:06Z",
            "+2026-01-02T03:04:05Z",
            "1969-01-02T03:04:05Z",
            "99999999999999999999-01-02T03:04:05Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
