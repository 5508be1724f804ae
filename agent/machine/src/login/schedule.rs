//! When a token is next touched: pure arithmetic on what Vault granted.
//!
//! Invariant: what is due is due before the token ends, and early enough that a request and a write to the sinks
//! fit in between.

use std::time::Duration;

/// What a request to Vault and the write to every sink may take together. Shorter leases than three times this are
/// touched earlier than long ones, in proportion.
pub(super) const LEAD: Duration = Duration::from_secs(1);

/// How long after the grant to renew, or to log in again where nothing can be renewed: between 2/3 and 3/4 of the
/// lease, spread by `random` in `[0, 1)` so that pods which started together do not return together.
pub(super) fn touch_after(lease: Duration, random: f64) -> Duration {
    let share = 2.0 / 3.0 + random.clamp(0.0, 1.0) / 12.0;
    lease
        .mul_f64(share)
        .min(lease.saturating_sub(LEAD))
        .max(lease / 2)
}

/// How long before the end of a lease renewals are given up for a login: a tenth, at least [`LEAD`], at most half a
/// minute; and no more than a quarter, so that short leases have time to be renewed at all.
pub(super) fn login_before_end(lease: Duration) -> Duration {
    (lease / 10)
        .clamp(LEAD, Duration::from_secs(30))
        .min(lease / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_leases_are_touched_between_two_thirds_and_three_quarters() {
        for seconds in [4, 60, 3600, 2_764_800] {
            let lease = Duration::from_secs(seconds);
            for (random, share) in [(0.0, 2.0 / 3.0), (0.5, 17.0 / 24.0), (1.0, 0.75)] {
                let expected = lease.mul_f64(share);
                let actual = touch_after(lease, random);
                assert!(
                    actual.abs_diff(expected) < Duration::from_millis(1),
                    "{seconds} s, {random}: {actual:?}"
                );
            }
        }
    }

    #[test]
    fn short_leases_leave_time_for_the_replacement() {
        for (lease, expected) in [(0, 0), (1, 500), (2, 1000), (3, 2000)] {
            let actual = touch_after(Duration::from_secs(lease), 0.9);
            assert_eq!(actual, Duration::from_millis(expected), "{lease} s");
        }
    }

    #[test]
    fn renewals_are_given_up_in_time_for_a_login() {
        for (lease, expected) in [(1, 250), (3, 750), (8, 1000), (60, 6000), (3600, 30_000)] {
            let actual = login_before_end(Duration::from_secs(lease));
            assert_eq!(actual, Duration::from_millis(expected), "{lease} s");
        }
    }
}
