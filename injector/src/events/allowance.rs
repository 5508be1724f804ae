//! How many Events may be sent, and whether one was sent lately. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// In a row, after a long silence.
const BURST: u32 = 25;
const PACE: Duration = Duration::from_secs(1);
/// The same is not said again within this time.
const FRESH: Duration = Duration::from_mins(10);
/// Of what was said lately; no more can be said within [`FRESH`] anyway.
const MOST: usize = 1024;

pub(crate) struct Allowance {
    /// When the bucket will be full again: a token less for each [`PACE`] that this lies ahead.
    full: Instant,
    said: HashMap<u64, Instant>,
}

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            full: now,
            said: HashMap::new(),
        }
    }

    /// Whether what has this digest may be said now; if so, it counts as said.
    pub(crate) fn take(&mut self, digest: u64, now: Instant) -> bool {
        self.said
            .retain(|_, at| now.saturating_duration_since(*at) < FRESH);
        if self.said.contains_key(&digest) || self.said.len() >= MOST || !self.spend(now) {
            return false;
        }
        self.said.insert(digest, now);
        true
    }

    /// Whether anything may be said now; if so, it counts.
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        let full = self.full.max(now) + PACE;
        let may = full <= now + PACE * BURST;
        if may {
            self.full = full;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_in_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let passed = (0..100).filter(|digest| allowance.take(*digest, start));
        assert_eq!(passed.count(), 25);
        let mut digests = 100..;
        let mut at = |milliseconds| {
            let now = start + Duration::from_millis(milliseconds);
            allowance.take(digests.next().unwrap(), now)
        };
        assert!(!at(999) && at(1000) && !at(1001) && !at(1999) && at(2000));
        assert_eq!((0..100).filter(|_| at(60_000)).count(), 25);
    }

    #[test]
    fn the_same_is_said_once_in_ten_minutes() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut at = |seconds, digest| allowance.take(digest, start + Duration::from_secs(seconds));
        assert!(at(0, 7) && !at(1, 7) && at(1, 8) && !at(599, 7) && at(600, 7));
        assert!(allowance.said.len() <= 2);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for second in 0..5_000 {
            allowance.take(second, start + Duration::from_secs(second));
        }
        assert!(allowance.said.len() <= 600, "{}", allowance.said.len());
    }
}
