//! Who leads: decided on what a Lease says and since when it has been saying so. Pure.
//!
//! Invariant: nobody's clock is compared with another's. A Lease is over when it was seen unchanged for as long as it
//! lasts.

use std::time::Duration;

use tokio::time::Instant;

/// How long a Lease lasts from the last time that it was renewed.
pub(crate) const LASTS: Duration = Duration::from_secs(15);
/// How often it is renewed, or looked at by those who wait.
pub(crate) const PACE: Duration = Duration::from_secs(5);
/// When a holder that cannot renew stops acting: before anybody else may take over.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(10);

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Nobody where it was given back.
    pub holder: Option<String>,
    /// As written, to be compared and not to be understood.
    pub renewed: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is ours: say so again.
    Renew,
    /// It is nobody's, or over.
    Take,
    Wait,
}

#[derive(Debug, Default)]
pub(crate) struct Election {
    seen: Option<(Said, Instant)>,
}

impl Election {
    /// What to do, where the Lease says this, or is not there.
    pub(crate) fn next(&mut self, said: Option<Said>, me: &str, now: Instant) -> Step {
        let Some(said) = said else {
            self.seen = None;
            return Step::Take;
        };
        let since = match &self.seen {
            Some((before, since)) if *before == said => *since,
            _ => now,
        };
        let step = match said.holder.as_deref() {
            Some(holder) if holder == me => Step::Renew,
            Some(_) if now < since + LASTS => Step::Wait,
            Some(_) | None => Step::Take,
        };
        self.seen = Some((said, since));
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(holder: &str, renewed: u32) -> Said {
        Said {
            holder: (!holder.is_empty()).then(|| holder.to_owned()),
            renewed: renewed.to_string(),
        }
    }

    #[test]
    fn what_is_nobodys_is_taken_and_what_is_ours_renewed() {
        let now = Instant::now();
        for (lease, step) in [
            (None, Step::Take),
            (Some(said("", 1)), Step::Take),
            (Some(said("me", 1)), Step::Renew),
            (Some(said("other", 1)), Step::Wait),
        ] {
            assert_eq!(
                Election::default().next(lease.clone(), "me", now),
                step,
                "{lease:?}"
            );
        }
    }

    #[test]
    fn what_is_renewed_is_left_alone_and_what_is_not_is_over() {
        let (mut election, start) = (Election::default(), Instant::now());
        let mut at =
            |seconds, lease| election.next(Some(lease), "me", start + Duration::from_secs(seconds));
        assert_eq!(at(0, said("other", 1)), Step::Wait);
        assert_eq!(at(14, said("other", 2)), Step::Wait);
        assert_eq!(at(28, said("other", 2)), Step::Wait);
        assert_eq!(at(29, said("other", 2)), Step::Take);
        // Somebody else was faster.
        assert_eq!(at(30, said("third", 3)), Step::Wait);
        assert_eq!(at(44, said("third", 3)), Step::Wait);
        assert_eq!(at(45, said("third", 3)), Step::Take);
    }

    #[test]
    fn a_holder_stops_before_another_may_begin() {
        assert!(GIVE_UP + PACE <= LASTS);
    }
}
