//! Black-box tests: the real agent against a real OpenBao server, over real sockets.

mod admin;
mod auto_auth;
mod configuration;
mod lifecycle;
mod outage;
mod proxy;
mod sink;
mod watch;
#[allow(dead_code, reason = "the tests of each part land with it")]
mod world;
