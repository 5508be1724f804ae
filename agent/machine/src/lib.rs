//! What the agent decides about its own token, and about how often it may ask: pure machines.
//!
//! They are told what happened and what time it is, and say what to do next. The agent's tasks do it; `cargo xtask
//! simulate` runs ten thousand of them on virtual time.
//!
//! Invariant: no clock, no socket, no file, no secret; the seed of all randomness is an argument.

pub mod breaker;
pub mod bucket;
pub mod login;
