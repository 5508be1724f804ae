//! The certificate of the webhook: made here and published, or given in files; served by [`resolver`].
//!
//! Invariant: a leaf is served only after every entry of the webhook configuration was seen to trust it.
//! Invariant: a failure keeps what is being served.

pub(crate) mod given;
pub(crate) mod issue;
pub(crate) mod kept;
pub(crate) mod metrics;
pub(crate) mod own;
pub(crate) mod resolver;
pub(crate) mod rotation;
pub(crate) mod serving;
pub(crate) mod store;
pub(crate) mod trust;
