//! The log's account of the credential: each turn of its life one line, and none of them shows the token.
//!
//! Invariant: a failure that goes on is told at `warn` when it begins and every [`REMINDER`] from then on; its other
//! repeats are `debug`, and its end is `info`.

use std::error::Error;

use keyside_lifecycle::error::chain;
use tokio::time::{Duration, Instant};

use crate::token::Live;
use keyside_machine::login::{Failure, Grant};

/// Often enough for whoever looks at the last hour, and seldom enough to be read.
const REMINDER: Duration = Duration::from_mins(15);

#[derive(Default)]
pub(super) struct Story {
    /// The failure that the last attempt ended with, and when it was last told.
    failing: Option<(Kind, Instant)>,
    /// Whether the end of the token in hand has been told.
    ended: bool,
    accessor: String,
    generation: u64,
}

/// The log's line where a look-up found the token dead.
pub(super) fn found_dead(live: &Live) {
    tracing::warn!(
        event = "found_dead",
        accessor = live.accessor,
        generation = live.generation,
        "Vault no longer knows the token; logging in"
    );
}

/// The log's line where the file holds another credential.
pub(super) fn new_credential() {
    tracing::info!(
        event = "new_credential",
        "there is a new credential; logging in with it"
    );
}

/// The log's line where timers stood still.
pub(super) fn slept(slept: Duration) {
    tracing::warn!(
        event = "host_slept",
        seconds = slept.as_secs(),
        "the host slept; the token has aged meanwhile"
    );
}

/// A failure without its details: those of one kind in a row are one story.
type Kind = std::mem::Discriminant<Failure>;

impl Story {
    pub(super) fn logged_in(&mut self, live: &Live, grant: &Grant) {
        self.over();
        let before = std::mem::replace(&mut self.accessor, live.accessor.clone());
        let generation = std::mem::replace(&mut self.generation, live.generation);
        tracing::info!(
            event = "logged_in",
            accessor = live.accessor,
            ttl = grant.lease.as_secs(),
            renewable = grant.renewable,
            policies = live.policies.join(","),
            generation = live.generation,
            "logged in"
        );
        if live.generation > 1 && live.generation > generation {
            tracing::info!(
                event = "replaced",
                accessor = before,
                by = live.accessor,
                generation = live.generation,
                "the token has a successor, and is left to end by itself"
            );
        }
    }

    /// A token of an earlier process is in use from now on; `verified` where Vault has been asked.
    pub(super) fn resumed(&mut self, live: &Live, leases: usize, verified: bool, now: Instant) {
        self.accessor.clone_from(&live.accessor);
        self.generation = live.generation;
        let ttl = left(live.expires, now);
        tracing::info!(
            event = "resumed",
            accessor = live.accessor,
            ttl,
            policies = live.policies.join(","),
            leases,
            verified,
            "going on with the token of an earlier process"
        );
    }

    pub(super) fn verified(&mut self) {
        self.over();
        let accessor = &self.accessor;
        tracing::info!(event = "resume_verified", accessor, "Vault knows the token");
    }

    pub(super) fn resume_refused(&mut self, live: &Live, error: &dyn Error) {
        self.accessor.clone_from(&live.accessor);
        tracing::warn!(
            event = "resume_refused",
            accessor = live.accessor,
            reason = chain(error),
            "Vault does not know the token of an earlier process; logging in"
        );
    }

    pub(super) fn look_up_failed(
        &mut self,
        error: &dyn Error,
        failure: Failure,
        ends: Option<Instant>,
        now: Instant,
    ) {
        let error = chain(error);
        if self.is_news(failure, now) {
            tracing::warn!(
                event = "resume_unverified",
                error,
                token_valid_seconds = left(ends, now),
                "Vault cannot be asked about the token of an earlier process, which is used until it can"
            );
        } else {
            tracing::debug!(event = "resume_unverified", error, "still not verified");
        }
        self.ended(ends, now);
    }

    pub(super) fn renewed(&mut self, grant: &Grant) {
        self.over();
        let ttl = grant.lease.as_secs();
        tracing::info!(
            event = "renewed",
            accessor = self.accessor,
            ttl,
            "renewed the token"
        );
    }

    pub(super) fn login_failed(
        &mut self,
        error: &dyn Error,
        failure: Failure,
        hint: Option<&str>,
        ends: Option<Instant>,
        now: Instant,
    ) {
        let error = chain(error);
        let token_valid_seconds = left(ends, now);
        if self.is_news(failure, now) {
            tracing::warn!(
                event = "login_failed",
                error,
                hint,
                token_valid_seconds,
                "the login failed; it is tried again unless exit_on_err is set"
            );
        } else {
            tracing::debug!(event = "login_failed", error, "the login failed again");
        }
        self.ended(ends, now);
    }

    pub(super) fn renewal_failed(
        &mut self,
        error: &dyn Error,
        failure: Failure,
        ends: Option<Instant>,
        now: Instant,
    ) {
        let error = chain(error);
        let news = self.is_news(failure, now);
        if failure == Failure::Refused {
            let accessor = &self.accessor;
            tracing::warn!(
                event = "renewal_refused",
                accessor,
                error,
                "the token cannot be renewed; logging in"
            );
        } else if news {
            tracing::warn!(
                event = "renewal_failed",
                error,
                token_valid_seconds = left(ends, now),
                "the renewal failed; it will be tried again"
            );
        } else {
            tracing::debug!(event = "renewal_failed", error, "the renewal failed again");
        }
        self.ended(ends, now);
    }

    fn is_news(&mut self, failure: Failure, now: Instant) -> bool {
        let kind = std::mem::discriminant(&failure);
        let told = self
            .failing
            .is_some_and(|(last, told)| last == kind && now < told + REMINDER);
        if !told {
            self.failing = Some((kind, now));
        }
        !told
    }

    /// Tells once that the token has ended.
    pub(super) fn ended(&mut self, ends: Option<Instant>, now: Instant) {
        let ended = ends.is_some_and(|ends| ends <= now);
        if ended && !std::mem::replace(&mut self.ended, true) {
            tracing::warn!(
                event = "token_ended",
                accessor = self.accessor,
                "the token has ended, and there is no other yet"
            );
        }
    }

    fn over(&mut self) {
        self.failing = None;
        self.ended = false;
    }
}

/// For how much longer the token in hand is good.
fn left(ends: Option<Instant>, now: Instant) -> Option<u64> {
    ends.map(|ends| ends.saturating_duration_since(now).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_goes_on_is_news_once_and_again_after_a_while() {
        let mut story = Story::default();
        let began = Instant::now();
        let away = Failure::Away { after: None };
        for (seconds, failure, expected) in [
            (0, Failure::Refused, true),
            (1, Failure::Refused, false),
            (2, away, true),
            (3, away, false),
            (901, away, false),
            (902, away, true),
            (903, away, false),
        ] {
            let now = began + Duration::from_secs(seconds);
            assert_eq!(story.is_news(failure, now), expected, "{seconds}");
        }
        story.over();
        assert!(story.is_news(away, began + Duration::from_secs(904)));
    }
}
