//! What goes wrong, with its place in the template and without any value.

use std::borrow::Cow;

/// Why a template cannot be read or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {template}, line {line}, column {column}: {what}")]
pub struct Error {
    /// The template's name, as its owner gave it.
    pub template: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong; no value, only names and types.
    pub what: String,
}

impl Error {
    pub(crate) fn new(template: &str, text: &str, offset: usize, fault: Fault) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            template: template.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            what: fault.0.into_owned(),
        }
    }
}

/// What is wrong, before its place is known.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) Cow<'static, str>);

impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Self(Cow::Borrowed(what))
    }
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self(Cow::Owned(what))
    }
}
