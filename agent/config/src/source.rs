//! What is read: a text, its name for messages, and its syntax.

use std::path::Path;

/// One text of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What messages call it: a path, or `KEYSIDE_CONFIG`.
    pub name: String,
    /// How to read it.
    pub syntax: Syntax,
    /// The text itself.
    pub text: String,
}

/// The syntaxes in which a configuration can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// HCL 1, the language of Vault Agent's files. A text whose first character is `{` is JSON all the same,
    /// as in Vault and OpenBao.
    Hcl,
    /// JSON.
    Json,
    /// YAML 1.2, one document.
    Yaml,
}

impl Syntax {
    /// The syntax that a file's extension names, or `None` where it names none of ours.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "hcl" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}
