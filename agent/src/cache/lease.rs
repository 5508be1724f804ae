//! When leases are renewed, and what Vault's answer to it means.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::{Duration, Instant};

use super::store::Id;
use crate::token::Token;

/// Two years: as far as a timer reaches. Tokens of ten years exist; they are looked at again then.
pub(crate) const LONGEST: Duration = keyside_config::model::MAX_DURATION;

/// Between two attempts while Vault is away.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A renewal to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    pub(crate) id: Id,
    /// Of issue.
    pub(crate) namespace: String,
    /// The lease; absent: the token itself.
    pub(crate) lease: Option<String>,
    pub(crate) token: Arc<Token>,
    /// What it was given at first.
    pub(crate) increment: Duration,
}

/// What a renewal brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// How long it lasts from now on. Whole seconds: 0 in its last one.
    Renewed(Duration),
    /// Vault does not know the lease any more.
    Gone,
    /// Vault does not know the token that asked any more.
    TokenDead,
    /// Vault will not renew it: it is served until shortly before its end.
    Refused,
    /// Vault could not be asked: it is kept, and asked for again.
    Away,
}

impl Outcome {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Renewed(_) => "renewed",
            Self::Gone => "gone",
            Self::TokenDead => "token_dead",
            Self::Refused => "refused",
            Self::Away => "away",
        }
    }

    /// Of an answer with an error status that asking again would not change.
    pub(crate) fn refused(status: StatusCode, errors: &[String]) -> Self {
        let says = |text: &str| {
            errors
                .iter()
                .any(|error| error.to_ascii_lowercase().contains(text))
        };
        if status == StatusCode::NOT_FOUND || says("lease not found") || says("lease expired") {
            Self::Gone
        } else if status == StatusCode::FORBIDDEN && (says("invalid token") || says("bad token")) {
            Self::TokenDead
        } else {
            Self::Refused
        }
    }
}

/// When the next attempt is due: after two thirds to three quarters of what remains, so that leases made together
/// are not renewed together, and a failure leaves time for more attempts.
pub(crate) fn next(ends: Instant, now: Instant, random: f64) -> Instant {
    let left = ends.saturating_duration_since(now);
    now + left.mul_f64(2.0 / 3.0 + random.clamp(0.0, 1.0) / 12.0)
}

/// When to ask again while Vault is away: as `next`, but no later than a minute, nor sooner than a second, from now.
pub(crate) fn again(ends: Instant, now: Instant, random: f64) -> Instant {
    let pause = next(ends, now, random) - now;
    (now + pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).min(ends)
}

/// How long before its end an answer is no longer given out: whoever gets it should have time to use it.
pub(crate) fn margin(lasts: Duration) -> Duration {
    (lasts / 10).clamp(Duration::from_secs(1), Duration::from_mins(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn renewals_are_spread_over_the_second_third() {
        let now = Instant::now();
        let ends = now + Duration::from_mins(20);
        for (random, seconds) in [(0.0, 800), (0.5, 850), (1.0, 900), (7.0, 900)] {
            let due = next(ends, now, random) - now;
            assert_eq!(due.as_secs(), seconds, "{random}");
        }
        assert_eq!(again(ends, now, 0.0) - now, LONGEST_PAUSE);
        let soon = now + Duration::from_millis(600);
        assert_eq!(again(soon, now, 0.0), soon, "never beyond the end");
    }

    #[test]
    fn what_vault_says_decides() {
        for (status, error, expected) in [
            (400, "lease not found", Outcome::Gone),
            (400, "lease expired", Outcome::Gone),
            (404, "", Outcome::Gone),
            (400, "lease is not renewable", Outcome::Refused),
            (403, "permission denied", Outcome::Refused),
            (
                403,
                "2 errors occurred: * permission denied * invalid token",
                Outcome::TokenDead,
            ),
            (403, "bad token", Outcome::TokenDead),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                Outcome::refused(status, &[error.to_owned()]),
                expected,
                "{status} {error}"
            );
        }
    }
}
