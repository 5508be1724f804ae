//! What is wrong with a configuration: every mistake of every source, each with its place.
//!
//! Invariant: a mistake names a field and says what would be right; it never repeats a value that could be a secret.

use std::fmt;

/// One thing that is wrong, or, as a note, one thing that does not do what a reader may expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// The dotted path of the field, as in `auto_auth.method.config.role`; empty for mistakes of syntax.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

/// Where a mistake is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a source.
    Text {
        /// The source's place in the order of reading; for sorting.
        index: usize,
        /// [`Source::name`](crate::source::Source::name).
        name: String,
        /// Counted from 1.
        line: u32,
        /// Counted from 1, in characters.
        column: u32,
    },
    /// In an environment variable.
    Environment,
    /// In an argument.
    CommandLine,
    /// In what all of it says together.
    Whole,
}

/// All mistakes of a configuration, in the order of the sources; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                name, line, column, ..
            } => write!(f, "{name}:{line}:{column}"),
            Self::Environment => f.write_str("environment"),
            Self::CommandLine => f.write_str("command line"),
            Self::Whole => f.write_str("configuration"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}: {}", self.place, self.what)
        } else {
            write!(f, "{}: {}: {}", self.place, self.field, self.what)
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}
