//! How long to wait before trying again.
//!
//! Invariant: pure. The caller brings the randomness and does the waiting, so a simulation runs the same code as
//! the binary.

use std::time::Duration;

/// Exponential backoff with jitter over the whole range, so that clients which failed together do not return together.
///
/// The n-th wait is somewhere between `min` and `min × 2ⁿ`, and never beyond `max`.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Waits between `min` and `max`; a `max` below `min` counts as `min`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            ceiling: min,
        }
    }

    /// The next wait. `random` is uniform in `[0, 1)`; what lies outside counts as the nearer end.
    pub fn next(&mut self, random: f64) -> Duration {
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        let random = if random.is_nan() {
            0.0
        } else {
            random.clamp(0.0, 1.0)
        };
        let spread = self.ceiling.saturating_sub(self.min);
        self.min + spread.mul_f64(random)
    }

    /// Starts over: something succeeded.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_range_doubles_from_twice_the_minimum_up_to_the_maximum() {
        let mut backoff = Backoff::new(SECOND, 5 * SECOND);
        let ceilings: Vec<u64> = (0..4).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 5, 5]);
    }

    #[test]
    fn jitter_covers_the_whole_range_and_never_goes_below_the_minimum() {
        let mut backoff = Backoff::new(SECOND, 300 * SECOND);
        assert_eq!(backoff.next(0.0), SECOND);
        assert_eq!(backoff.next(0.5), SECOND + SECOND.mul_f64(1.5));
        assert_eq!(backoff.next(0.0), SECOND);
    }

    #[test]
    fn success_starts_over() {
        let mut backoff = Backoff::new(SECOND, 300 * SECOND);
        for _ in 0..5 {
            backoff.next(0.9);
        }
        backoff.reset();
        assert_eq!(backoff.next(1.0), 2 * SECOND);
    }

    #[test]
    fn no_number_makes_it_panic_or_leave_its_range() {
        for random in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 7.0] {
            let mut backoff = Backoff::new(SECOND, Duration::MAX);
            for _ in 0..100 {
                assert!(backoff.next(random.min(0.0)) >= SECOND);
            }
            let mut backoff = Backoff::new(SECOND, 3 * SECOND);
            assert!((SECOND..=3 * SECOND).contains(&backoff.next(random)));
        }
    }

    #[test]
    fn a_maximum_below_the_minimum_counts_as_the_minimum() {
        let mut backoff = Backoff::new(2 * SECOND, SECOND);
        assert_eq!(backoff.next(0.7), 2 * SECOND);
    }
}
