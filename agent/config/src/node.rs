//! The tree that every syntax becomes: values with their places.
//!
//! Invariant: fields keep their order and repeat as often as they were written; what a repetition means is the
//! decoder's business. Invariant: a tree is at most [`MAX_DEPTH`] deep, so recursion over it is safe.

use crate::source::{Source, Syntax};
use crate::{hcl, json, yaml};

/// How deeply blocks and lists may nest; the schema needs 6.
pub const MAX_DEPTH: usize = 64;

/// The longest text that is read, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// A place in a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Which source, in the order of reading.
    pub source: usize,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
}

/// A value and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub at: Position,
    /// What it is.
    pub value: Value,
}

/// What was written, before anything is known about what it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's and YAML's null; YAML's `key:` without a value too.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; HCL's octal and hexadecimal ones are converted.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string, its escapes resolved.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A block or an object.
    Object(Vec<Field>),
}

/// `key = value`, or a block with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The key, and where it starts.
    pub key: Name,
    /// HCL's `"tcp"` in `listener "tcp" { … }`.
    pub labels: Vec<Name>,
    /// The value.
    pub node: Node,
}

/// A key or a label, and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Where it starts.
    pub at: Position,
    /// Without quotes.
    pub text: String,
}

/// What ends the reading of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Position,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl Fault {
    pub(crate) fn new(at: Position, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { at, what }
    }
}

/// Reads a source, the `index`th, to the fields at its top.
///
/// # Errors
/// The first thing in the text that its syntax does not allow, or that exceeds a bound.
pub fn read(source: &Source, index: usize) -> Result<Vec<Field>, Fault> {
    let start = Position {
        source: index,
        line: 1,
        column: 1,
    };
    if source.text.len() > MAX_TEXT {
        let what = format!("is longer than {MAX_TEXT} bytes");
        return Err(Fault::new(start, what));
    }
    let looks_like_json = source.text.trim_start().starts_with('{');
    match source.syntax {
        Syntax::Hcl if looks_like_json => json::read(&source.text, start),
        Syntax::Hcl => hcl::read(&source.text, start),
        Syntax::Json => json::read(&source.text, start),
        Syntax::Yaml => yaml::read(&source.text, start),
    }
}
