//! Black-box tests: the real agent against a real OpenBao server, over real sockets.

mod access_keys;
mod admin;
mod approle;
mod auto_auth;
mod away;
mod bank;
mod better;
mod cache;
mod clouds;
mod configuration;
mod differences;
mod found_dead;
mod lifecycle;
mod methods;
mod outage;
mod proxy;
mod reload;
mod resume;
mod revocation;
mod sealed;
mod sink;
mod sink_trouble;
mod suspended;
mod valid;
mod watch;
mod world;
