//! `keyside-injector watch`: looks for pods that ask for the agent and were created without it, and tells of them.
//!
//! That is what a webhook cannot see: pods for which it was not called, because it was away while `failurePolicy` said
//! `Ignore`, or because a selector passes them over. It runs beside the webhook, with an account of its own that may
//! list pods, and reads nothing of them but their metadata.
//!
//! Invariant: one replica looks, the one that holds the Lease; the others wait to follow it.

mod app;
mod election;
mod lease;
mod look;
mod metrics;

pub(crate) use self::app::run;
