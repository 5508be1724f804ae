//! The agent's configuration: types, reading (HCL 1, JSON, YAML), checking, writing.
//!
//! Invariant: no I/O. Callers read files and the environment; this crate turns text into [`model::Config`]
//! or into all the mistakes in it, each with its place.

pub mod model;
