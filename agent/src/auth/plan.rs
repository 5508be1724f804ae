//! What auto-auth does next, for people to read.

use keyside_machine::login::{Next, Step};
use tokio::time::Instant;

/// What auto-auth does next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) action: &'static str,
    /// `None`: now, or never again where there is nothing to do.
    pub(crate) at: Option<Instant>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            action: "login",
            at: None,
        }
    }
}

impl Plan {
    pub(super) fn of(step: Step, next: Next) -> Self {
        let (action, at) = match (step, next) {
            (Step::Login { .. }, _) => ("login", None),
            (Step::Renew { .. }, _) => ("renewal", None),
            (Step::LookUp { .. }, _) => ("look-up", None),
            (Step::Wait { until }, Next::Login) => ("login", Some(until)),
            (Step::Wait { until }, Next::Renew) => ("renewal", Some(until)),
            (Step::Wait { until }, Next::LookUp) => ("look-up", Some(until)),
            (Step::Rest | Step::GiveUp, _) => ("none", None),
        };
        Self { action, at }
    }
}
