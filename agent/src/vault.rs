//! The one HTTP client of Vault or OpenBao, and the gate through which the agent's own requests pass.
//!
//! Two ways lead to the server. [`client::Client::forward`] is for what a client of the proxy asked: it is passed
//! on once, as it is, and streams. [`client::Client::call`] is for what the agent asks by itself: it waits its
//! turn at [`gate::Gate`], and its answer is read, bounded and classified.
//!
//! Invariant: nothing here retries. Whoever called decides, with the help of [`error::Error::retry`].

pub(crate) mod client;
mod connect;
pub(crate) mod error;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod gate;
pub(crate) mod tls;
pub(crate) mod wire;
