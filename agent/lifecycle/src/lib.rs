//! What every Keyside process needs and none should write twice: logging, error chains, shutdown, the set of
//! tasks, readiness, backoff.
//!
//! Invariant: nothing in here knows Vault, Kubernetes, or a configuration; both binaries link it.
#![warn(missing_docs)]

pub mod backoff;
pub mod error;
pub mod logging;
pub mod readiness;
pub mod shutdown;
pub mod tasks;
