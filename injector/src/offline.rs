//! The commands that need no cluster: the webhook's own decision, applied to manifests.
//!
//! ```text
//! text → document (values) → admission::admit for each pod → edit (the text again) → the result, or its diff
//! ```
//!
//! Invariant: nothing is written unless every pod in the input is allowed, so that what is piped into `kubectl apply`
//! is all of it or nothing.
//! Invariant: no network; a template is judged by the same [`admission::admit`] as the pod that it will become.

mod diff;
mod document;
mod edit;
mod explain;
mod inject;
mod lint;
mod migrate;
mod yaml;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::admission::Defaults;
use document::Manifest;

/// One of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Inject,
    Lint,
    Migrate,
}

/// What a command reads and writes.
pub(crate) struct Streams<'s> {
    pub stdin: &'s mut dyn Read,
    pub stdout: &'s mut dyn Write,
    pub stderr: &'s mut dyn Write,
    /// Whether a person looks at the standard output, who likes colours.
    pub is_coloured: bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reading the arguments")]
    Arguments(#[source] lexopt::Error),
    #[error("{0}")]
    Usage(&'static str),
    #[error("reading {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("understanding {}", .path.display())]
    Document {
        path: PathBuf,
        #[source]
        source: document::Error,
    },
    #[error("{}", .0.join("\n"))]
    Denied(Vec<String>),
    #[error("writing the result")]
    Write(#[source] std::io::Error),
}

/// A failure, and the status for the process to exit with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub error: Error,
    pub status: u8,
}

/// Runs a command and tells the status to exit with. `arguments` come after the verb and without the flags that made
/// `defaults`.
pub(crate) fn run(
    command: Command,
    arguments: Vec<OsString>,
    defaults: &Defaults,
    streams: &mut Streams,
) -> Result<u8, Failure> {
    match command {
        Command::Inject => inject::run(arguments, defaults, streams),
        Command::Lint => lint::run(arguments, defaults, streams),
        Command::Migrate => migrate::run(arguments, defaults, streams),
    }
}

impl Error {
    /// With the status that stands for it where `trouble` stands for what is not the user's command line.
    fn with_status(self, trouble: u8) -> Failure {
        let status = match self {
            Self::Arguments(_) | Self::Usage(_) => 64,
            Self::Read { .. } | Self::Document { .. } | Self::Denied(_) | Self::Write(_) => trouble,
        };
        Failure {
            error: self,
            status,
        }
    }
}

fn load(path: &Path, stdin: &mut dyn Read) -> Result<Manifest, Error> {
    let text = read(path, stdin)?;
    document::parse(&text).map_err(|source| Error::Document {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path, stdin: &mut dyn Read) -> Result<String, Error> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        stdin.read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// What pods get where nobody said on the command line what the installation is: one that has a Vault, and lets pods
/// choose another.
fn supposed(defaults: &Defaults) -> Defaults {
    let mut defaults = defaults.clone();
    let says = |flag: &str| defaults.given.contains_key(flag);
    if !says("vault-address") && !says("profiles") {
        defaults.vault_address = Some("https://vault.invalid:8200".to_owned());
        defaults.allow_address_override = true;
    }
    defaults
}

fn write(stream: &mut dyn Write, text: &str) -> Result<(), Error> {
    stream.write_all(text.as_bytes()).map_err(Error::Write)
}
