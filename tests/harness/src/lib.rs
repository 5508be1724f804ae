//! Real parts for black-box tests and for the demonstration.
//!
//! A test starts what it needs (an OpenBao server, a PostgreSQL server, a recording proxy between the two sides, a
//! Kubernetes API server to talk to), runs the real binary as a child, and asks both over real sockets. Everything here
//! may be called from a plain `#[test]` and from inside a runtime alike: what needs a runtime lives on a thread of its
//! own (`background`).
//!
//! Invariant: every process started here is killed, with its children, when its handle is dropped.
//! Invariant: every socket is on loopback, and every port is picked by the kernel.

mod background;
pub mod jwt;
pub mod kube;
pub mod openbao;
pub mod pki;
pub mod poll;
pub mod postgres;
pub mod process;
pub mod tap;
pub mod tools;
pub mod web;
