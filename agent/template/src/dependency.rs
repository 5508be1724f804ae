//! What a template asks for from outside, and who answers.

use std::borrow::Cow;

/// Something to be fetched before a template can be rendered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dependency {
    /// `secret "path"`: a read.
    Read {
        /// Without slashes at its ends.
        path: String,
    },
    /// `secret "path" "key=value" …`: a write, whose answer is used.
    Write {
        /// Without slashes at its ends.
        path: String,
        /// In the order of keys; a later value of a key wins.
        data: Vec<(String, String)>,
    },
    /// `secrets "path"`: a list.
    List {
        /// Without slashes at its ends.
        path: String,
    },
    /// `pkiCert "path" "key=value" …`: a certificate that is issued anew only when the last one nears its end.
    Certificate {
        /// Without slashes at its ends.
        path: String,
        /// In the order of keys; a later value of a key wins.
        data: Vec<(String, String)>,
    },
    /// `file "path"`.
    File {
        /// As written.
        path: String,
    },
}

/// What was fetched.
pub type Answer<'a> = Cow<'a, [u8]>;

/// The wall clock's time, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Since 1970.
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanoseconds: u32,
}

/// What the world outside is to a template.
pub trait Sources {
    /// The bytes of a dependency, if they are there: the body of Vault's answer, as it was sent, or a file's content.
    /// For a certificate it is the answer of `pki/issue/…`.
    fn fetch(&self, dependency: &Dependency) -> Option<Answer<'_>>;

    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The time.
    fn now(&self) -> Now;
}
