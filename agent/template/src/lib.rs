//! Go's `text/template` with consul-template's functions, byte for byte as Vault Agent and `bao agent` render it.
//!
//! ```text
//! text → lex → parse → tree ─┐
//! Sources (Vault's answers) ─┴→ eval → Rendered | Missing(dependencies) | Error
//! ```
//!
//! A template asks for secrets while it runs. What the caller's [`Sources`] does not have yet is collected, and the
//! caller fetches it and renders again: [`Outcome::Missing`]. Where the peer's first pass sees a nil secret and may
//! fail over it (`{{ $s := secret "x" }}{{ len $s.Data }}`), here nothing fails over a value that is still to come.
//!
//! Invariant: no I/O, no clock and no environment but through [`Sources`]. Invariant: no text and no answer panics, hangs
//! or takes more than [`Limits`] allow. Invariant: an [`Error`] never holds a value, only what the template's author
//! wrote and the types of values.

#![warn(missing_docs)]
#![expect(
    clippy::float_cmp,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::single_match_else,
    clippy::unnecessary_wraps,
    reason = "Go compares floats so; short texts may be made twice; the functions of one table have one signature, and \
              two of a kind have names alike"
)]

mod call;
mod dependency;
mod error;
mod eval;
mod format;
mod funcs;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod json;
mod lex;
mod number;
mod parse;
mod quote;
mod secret;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use std::rc::Rc;

pub use crate::dependency::{Answer, Dependency, Now, Sources};
pub use crate::error::Error;
use crate::eval::Run;

/// What a rendering may take before it is stopped with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest result, in bytes.
    pub output: usize,
    /// How many actions, iterations and values of lists may be worked on.
    pub steps: usize,
    /// How many bytes all functions together may make, what is dropped again included.
    pub bytes: usize,
    /// How deeply calls of templates, blocks and parentheses may nest while it runs.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output: 4 << 20,
            steps: 5_000_000,
            bytes: 64 << 20,
            depth: 200,
        }
    }
}

/// How a template is read and run: consul-template's options of the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// What opens an action; `{{` when empty.
    pub left_delimiter: &'a str,
    /// What closes an action; `}}` when empty.
    pub right_delimiter: &'a str,
    /// Whether a key that a map does not have is an error rather than `<no value>`.
    pub error_on_missing_key: bool,
}

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    error_on_missing_key: bool,
    tree: tree::Tree,
}

/// What a rendering came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result.
    Rendered(Vec<u8>),
    /// What has to be fetched first, each once, in the order of asking.
    Missing(Vec<Dependency>),
}

impl Template {
    /// Reads a template; `name` is for messages.
    ///
    /// # Errors
    /// The first thing that the language does not allow, or a function that is not there.
    pub fn parse(name: &str, text: &str, options: Options<'_>) -> Result<Self, Error> {
        let tree = parse::parse(text, options.left_delimiter, options.right_delimiter)
            .map_err(|(offset, fault)| Error::new(name, text, offset, fault))?;
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            error_on_missing_key: options.error_on_missing_key,
            tree,
        })
    }

    /// Runs the template.
    ///
    /// # Errors
    /// What the template asks for cannot be done, or a limit is reached.
    pub fn render(&self, sources: &dyn Sources, limits: Limits) -> Result<Outcome, Error> {
        let mut run = Run::new(&self.tree, sources, limits, self.error_on_missing_key);
        let ended = run.main();
        let missing = run.missing();
        match ended {
            _ if !missing.is_empty() => Ok(Outcome::Missing(missing)),
            Ok(output) => Ok(Outcome::Rendered(output)),
            Err((offset, fault)) => Err(Error::new(&self.name, &self.text, offset, fault)),
        }
    }
}

/// A Go string: bytes, mostly UTF-8.
pub(crate) type Text = Rc<[u8]>;
