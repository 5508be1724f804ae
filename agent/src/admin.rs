//! Probes, metrics and status: for the kubelet, for Prometheus, and for whoever asks `keyside-agent status`.
//!
//! One handler answers on the admin socket and, where configured, over HTTP; the command line's verbs are clients of the
//! socket, so that an image without a shell can be probed.
//!
//! Invariant: nothing here waits for Vault. A probe tells what is known, at once.

pub(crate) mod client;
pub(crate) mod control;
pub(crate) mod handler;
pub(crate) mod process;
pub(crate) mod server;
