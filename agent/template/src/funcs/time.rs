//! The time, in UTC, in Go's layouts.

use super::{Function, at, bytes, chars, done};
use crate::dependency::Now;
use crate::error::Fault;
use crate::value::Value;

pub(super) const TABLE: &[Function] = &[
    Function::own("timestamp", "s*", |run, values| {
        let now = run.sources.now();
        match values {
            [] => done(format(now, "2006-01-02T15:04:05Z")),
            [layout] if layout.bytes() == Some(b"unix") => done(now.seconds.to_string()),
            [_] => done(format(now, &chars(values, 0))),
            _ => Err("takes at most one layout".into()),
        }
    }),
    Function::sprig("now", "", |run, _| Ok(Value::Time(run.sources.now()))),
    Function::sprig("date", "sa", |run, values| {
        done(format(
            moment(at(values, 1), run.sources.now()),
            &chars(values, 0),
        ))
    }),
    Function::sprig("dateInZone", "sas", |run, values| {
        if !matches!(bytes(values, 2), b"UTC" | b"") {
            return Err("Keyside knows UTC alone".into());
        }
        done(format(
            moment(at(values, 1), run.sources.now()),
            &chars(values, 0),
        ))
    }),
    Function::sprig("htmlDate", "a", |run, values| {
        done(format(
            moment(at(values, 0), run.sources.now()),
            "2006-01-02",
        ))
    }),
    Function::sprig("unixEpoch", "t", |run, values| {
        done(moment(at(values, 0), run.sources.now()).seconds.to_string())
    }),
];

/// A time, or seconds since 1970; anything else is now.
fn moment(value: &Value, now: Now) -> Now {
    match value {
        Value::Time(time) => *time,
        Value::Int(seconds) | Value::Int64(seconds) => Now {
            seconds: *seconds,
            nanoseconds: 0,
        },
        _ => now,
    }
}

/// A method of a time.
pub(crate) fn method(now: Now, name: &str, arguments: &[Value]) -> Result<Value, Fault> {
    match (name, arguments) {
        ("Unix", []) => Ok(Value::Int64(now.seconds)),
        ("UTC", []) => Ok(Value::Time(now)),
        ("Year", []) => Ok(Value::Int(civil(now).0)),
        ("Format", [Value::Text(_)]) => done(format(now, &chars(arguments, 0))),
        _ => Err(format!("there is no `{name}` of a time here").into()),
    }
}

/// As Go prints it.
pub(crate) fn display(now: Now) -> String {
    format(now, "2006-01-02 15:04:05 -0700 MST")
}

/// As JSON has it.
pub(crate) fn rfc3339(now: Now) -> String {
    format(now, "2006-01-02T15:04:05Z07:00")
}

/// Year, month and day of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn civil(now: Now) -> (i64, usize, i64) {
    let days = now.seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
/// What stands for something in a layout; of two that begin alike the longer is first.
const PARTS: [&str; 24] = [
    "January", "Jan", "Monday", "Mon", "MST", "2006", "-07:00", "-0700", "Z07:00", "Z0700", "01",
    "02", "03", "04", "05", "06", "15", "PM", "pm", "_2", "1", "2", "3", "4",
];

fn format(now: Now, layout: &str) -> String {
    let (year, month, day) = civil(now);
    let second = now.seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let month_name = MONTHS.get(month.saturating_sub(1)).copied().unwrap_or("");
    let weekday = usize::try_from(now.seconds.div_euclid(86_400).rem_euclid(7)).unwrap_or(0);
    let day_name = DAYS.get(weekday).copied().unwrap_or("");
    let short = |name: &str| name.get(..3).unwrap_or(name).to_owned();
    let mut text = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some(fraction) = fraction(now, rest) {
            text.push_str(&fraction.0);
            rest = rest.get(fraction.1..).unwrap_or_default();
            continue;
        }
        let part = PARTS.iter().find(|part| rest.starts_with(**part));
        let part = part
            .copied()
            .or_else(|| rest.starts_with('5').then_some("5"));
        let Some(part) = part else {
            text.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        };
        rest = rest.get(part.len()..).unwrap_or_default();
        text.push_str(&match part {
            "January" => month_name.to_owned(),
            "Jan" => short(month_name),
            "Monday" => day_name.to_owned(),
            "Mon" => short(day_name),
            "MST" => "UTC".to_owned(),
            "2006" => format!("{year:04}"),
            "-07:00" => "+00:00".to_owned(),
            "-0700" => "+0000".to_owned(),
            "Z07:00" | "Z0700" => "Z".to_owned(),
            "01" => format!("{month:02}"),
            "02" => format!("{day:02}"),
            "03" => format!("{twelve:02}"),
            "04" => format!("{minute:02}"),
            "05" => format!("{second:02}"),
            "06" => format!("{:02}", year.rem_euclid(100)),
            "15" => format!("{hour:02}"),
            "PM" => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            "pm" => if hour < 12 { "am" } else { "pm" }.to_owned(),
            "_2" => format!("{day:2}"),
            "1" => month.to_string(),
            "2" => day.to_string(),
            "3" => twelve.to_string(),
            "4" => minute.to_string(),
            _ => second.to_string(),
        });
    }
    text
}

/// `.000` or `.999`: so many digits of the second, and the length of what asks for them.
fn fraction(now: Now, rest: &str) -> Option<(String, usize)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|c| *c == digit).count();
    let after = digits.get(count..)?.chars().next();
    if count > 9 || after.is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    let all = format!("{:09}", now.nanoseconds);
    let mut kept = all.get(..count)?;
    if digit == '9' {
        kept = kept.trim_end_matches('0');
        if kept.is_empty() {
            return Some((String::new(), count + 1));
        }
    }
    Some((format!("{}{kept}", rest.get(..1)?), count + 1))
}
