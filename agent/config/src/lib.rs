//! The agent's configuration: types, reading (HCL 1, JSON, YAML), checking, writing.
//!
//! ```text
//! Source → hcl | json | yaml → node → decode → check → model::Config → write
//! ```
//!
//! Invariant: no I/O. Callers read files and the environment; this crate turns text into [`model::Config`]
//! or into all the mistakes in it, each with its place.

#![warn(missing_docs)]

mod block;
mod check;
mod cursor;
mod decode;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hcl;
pub mod json;
pub mod load;
pub mod mistake;
pub mod model;
pub mod node;
mod peer;
#[cfg(any(test, feature = "reference"))]
pub mod reference;
mod report;
mod scalar;
mod setting;
pub mod source;
pub mod write;
pub mod yaml;
