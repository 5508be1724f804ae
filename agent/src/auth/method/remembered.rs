//! A file that holds a credential, and may be gone after the first reading.
//!
//! Invariant: a file is removed only when Vault has accepted what it holds. An agent that starts again after a login
//! that failed, or while Vault is away, still finds its credential.

use std::path::{Path, PathBuf};
use std::{fs, io};

use zeroize::Zeroizing;

use super::{Error, read_trimmed};

/// The last value that the file held still counts when it is gone.
pub(super) struct Remembered {
    pub(super) path: PathBuf,
    removal: Removal,
    pub(super) trim: fn(&str) -> &str,
    removal_failed: bool,
    pub(super) last: Option<Zeroizing<String>>,
}

/// What goes when the credential in a file has been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Nothing.
    Never,
    /// The file; where it is a symbolic link, that link.
    Link,
    /// The file; where it is a symbolic link, what that leads to.
    Target,
}

impl Removal {
    pub(super) const fn of(remove: bool, follows_links: bool) -> Self {
        match (remove, follows_links) {
            (false, _) => Self::Never,
            (true, false) => Self::Link,
            (true, true) => Self::Target,
        }
    }
}

impl Remembered {
    pub(super) fn new(path: &Path, removal: Removal) -> Self {
        Self {
            path: path.to_owned(),
            removal,
            trim: str::trim,
            removal_failed: false,
            last: None,
        }
    }

    pub(super) fn read(&mut self) -> Result<&str, Error> {
        match (read_trimmed(&self.path, self.trim), &self.last) {
            (Ok(text), _) => self.last = Some(text),
            (Err(error), None) => return Err(error),
            // Gone, or emptied: it has been read before.
            (Err(_), Some(_)) => {}
        }
        Ok(self.last.as_ref().map_or("", |text| text.as_str()))
    }

    /// Takes what the file holds for known.
    pub(super) fn note(&mut self) {
        self.last = read_trimmed(&self.path, self.trim).ok();
    }

    /// Whether the file is there and holds something else than what was read last.
    pub(super) fn has_news(&self) -> bool {
        read_trimmed(&self.path, self.trim).is_ok_and(|text| self.last.as_ref() != Some(&text))
    }

    /// Vault has accepted what was read last. A credential that somebody wrote since then stays for the next login.
    pub(super) fn accepted(&mut self) {
        if self.removal == Removal::Never {
            return;
        }
        let held = read_trimmed(&self.path, self.trim).ok();
        if held.is_none() || held != self.last {
            return;
        }
        // Where the folder is read-only the file stays: worth one line, not one for each login.
        if let Err(error) = self.remove()
            && !std::mem::replace(&mut self.removal_failed, true)
        {
            tracing::warn!(
                event = "credential_not_removed",
                path = %self.path.display(),
                %error,
                "the credential stays where it was read"
            );
        }
    }

    fn remove(&self) -> io::Result<()> {
        match self.removal {
            Removal::Never => Ok(()),
            Removal::Link => fs::remove_file(&self.path),
            Removal::Target => fs::remove_file(fs::canonicalize(&self.path)?),
        }
    }
}
