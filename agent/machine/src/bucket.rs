//! The ceiling on what the agent sends by itself: one token bucket, with lanes.
//!
//! Invariant: however many callers there are, at most `burst + rate × t` requests pass in any time `t`.
//! Invariant: a lower lane never passes while a caller of a higher lane waits, so the agent's own token is kept
//! alive at the full rate even while a thousand leases want renewal.

use keyside_config::model::Limits;
use tokio::time::{Duration, Instant};

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The agent's own token: without it nothing else works.
    Token,
    /// Leases that somebody uses.
    Lease,
}

/// How many lanes there are.
pub const LANES: usize = 2;

/// How many may pass, and who is before whom.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    /// Requests that may pass at once, as of `at`.
    level: f64,
    at: Instant,
    waiting: [usize; LANES],
}

impl Bucket {
    #[must_use]
    pub fn new(limits: &Limits, now: Instant) -> Self {
        let burst = f64::from(limits.burst.max(1));
        Self {
            per_second: f64::from(limits.requests_per_second.max(1)),
            burst,
            level: burst,
            at: now,
            waiting: [0; LANES],
        }
    }

    pub fn count(&mut self, lane: Lane) -> &mut usize {
        let [token, lease] = &mut self.waiting;
        match lane {
            Lane::Token => token,
            Lane::Lease => lease,
        }
    }

    /// Takes one request out; or says after what time to ask again.
    pub fn take(&mut self, lane: Lane, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.level = (self.level + passed.as_secs_f64() * self.per_second).min(self.burst);
        // Those ahead come first, one request each, and what is left over is this lane's.
        let ahead = match lane {
            Lane::Token => 0,
            Lane::Lease => *self.count(Lane::Token),
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "callers are counted in thousands"
        )]
        let needed = 1.0 + ahead as f64;
        if self.level >= needed {
            self.level -= 1.0;
            return None;
        }
        // A crowd ahead larger than the burst would never be covered at once: look again when one more has passed.
        let missing = (needed - self.level).min(self.burst);
        // A floor, so that rounding never makes a waiter spin.
        Some(Duration::from_secs_f64(missing / self.per_second).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// The invariant, for callers that ask whenever they like and ignore the answer.
        #[test]
        fn never_passes_more_than_burst_and_rate_allow(
            rate in 1_u32..50,
            burst in 1_u32..30,
            steps in proptest::collection::vec((0_u64..500, proptest::bool::ANY), 1..300),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(&Limits { requests_per_second: rate, burst }, start);
            let (mut now, mut passed) = (start, 0_u32);
            for (pause, lane) in steps {
                now += Duration::from_millis(pause);
                let lane = if lane { Lane::Token } else { Lane::Lease };
                passed += u32::from(bucket.take(lane, now).is_none());
                let allowed = f64::from(burst) + now.duration_since(start).as_secs_f64() * f64::from(rate);
                proptest::prop_assert!(f64::from(passed) <= allowed + 1e-6, "{passed} of {allowed}");
            }
        }
    }
}
