//! The webhook: reviews in and out, over HTTPS, and what an operator asks of it, over plain HTTP.

pub(crate) mod callers;
pub(crate) mod connections;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod review;
pub(crate) mod server;
