//! Black-box tests of `keyside-injector`: the real binary over real TLS, with a Kubernetes API that is a fake.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null; a slice out of range fails the test"
)]

mod caller;
mod callers;
mod certificate;
mod cluster;
mod events;
mod fleet;
mod given;
mod lint;
mod metrics;
mod migrate;
mod offline;
mod pods;
mod profiles;
mod recorded;
mod rotations;
mod shapes;
mod watch;
mod webhook;
