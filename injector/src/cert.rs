//! The certificate of the webhook: made here and published ([`own`]), or given in files ([`given`]), whose authority
//! may be published too ([`published`]); served by [`resolver`].
//!
//! Invariant: a leaf is served only after every entry of the webhook configuration was seen to trust it.
//! Invariant: a failure keeps what is being served.

pub(crate) mod bundle;
pub(crate) mod given;
pub(crate) mod issue;
pub(crate) mod kept;
pub(crate) mod metrics;
pub(crate) mod own;
pub(crate) mod published;
pub(crate) mod resolver;
pub(crate) mod rotation;
pub(crate) mod rounds;
pub(crate) mod serving;
pub(crate) mod store;
pub(crate) mod trust;
