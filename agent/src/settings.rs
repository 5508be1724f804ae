//! What the process was asked to do: a verb, its flags, and the configuration that they name.
//!
//! Invariant: every [`Error`] here is a mistake in the arguments or in the configuration, and ends in exit status 64.

use std::env;
use std::io;
use std::path::PathBuf;

use keyside_config::load::{self, Flags, Loaded};
use keyside_config::mistake::Mistakes;
use keyside_config::model;

pub(crate) mod arguments;
mod files;
pub(crate) mod help;

/// The environment variable that holds a whole configuration, as JSON.
pub(crate) const KEYSIDE_CONFIG: &str = "KEYSIDE_CONFIG";

/// The environment variables that name files, as in the peers.
const CONFIG_PATHS: [&str; 2] = ["BAO_AGENT_CONFIG_PATH", "VAULT_AGENT_CONFIG_PATH"];

/// One run of the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve until told to stop.
    Run(Place),
    /// Say what is wrong with the configuration, or print what it comes to.
    Check(Place),
    /// Ask the running agent whether it has started, is ready, is alive.
    Probe(Probe, Socket),
    /// Ask the running agent how it is.
    Status(Socket),
    /// Let the running agent forget answers.
    Quit(Socket),
    CacheClear(Clear, Socket),
    /// Print the version.
    Version,
    /// Print a help text.
    Help(&'static str),
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Startup,
    Ready,
    Live,
}

impl Probe {
    pub(crate) const ALL: [Self; 3] = [Self::Startup, Self::Ready, Self::Live];

    pub(crate) const fn endpoint(self) -> &'static str {
        match self {
            Self::Startup => "/startup",
            Self::Ready => "/ready",
            Self::Live => "/live",
        }
    }
}

/// Where the configuration is: files, then `KEYSIDE_CONFIG`, then the environment, then flags; later ones win.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Files and folders, in the order given.
    pub(crate) paths: Vec<PathBuf>,
    /// What the command line says beside them.
    pub(crate) flags: Flags,
}

/// What `cache-clear` asks for, in the words of its request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Clear {
    /// `type`.
    pub(crate) kind: Option<String>,
    /// `value`; a dash stands for standard input, for a token has no place among the arguments.
    pub(crate) value: Option<String>,
    pub(crate) namespace: Option<String>,
}

/// How to find the running agent's admin socket.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Socket {
    /// `-socket`.
    pub(crate) path: Option<PathBuf>,
    /// Where its configuration is.
    pub(crate) place: Place,
}

/// Why the arguments or the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no verb '{verb}'; write one of: {}", help::VERBS)]
    UnknownVerb { verb: String },
    #[error("there is no probe '{name}'; write startup, ready or live")]
    UnknownProbe { name: String },
    #[error("'{verb}' takes no '{argument}'; '{verb} --help' lists what it takes")]
    Unexpected {
        verb: &'static str,
        argument: String,
    },
    #[error("reading the arguments")]
    Arguments {
        #[source]
        source: lexopt::Error,
    },
    #[error("-{flag}={value}: write true or false")]
    Bool { flag: &'static str, value: String },
    #[error(
        "no configuration: give -config=PATH (a file or a folder), or put JSON into the environment variable \
         KEYSIDE_CONFIG"
    )]
    NoConfiguration,
    #[error("the folder {} holds no file that ends in .hcl, .json, .yaml or .yml", path.display())]
    EmptyFolder { path: PathBuf },
    #[error("reading the configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Mistakes(Mistakes),
}

impl Place {
    /// Reads and checks all of it.
    pub(crate) fn load(&self) -> Result<Loaded, Error> {
        let mut sources = files::read(&self.named())?;
        sources.extend(environment(KEYSIDE_CONFIG).map(files::from_environment));
        if sources.is_empty() {
            return Err(Error::NoConfiguration);
        }
        load::load_with_notes(&sources, &environment, &self.flags).map_err(Error::Mistakes)
    }
}

impl Place {
    /// What `-config` names, else what the peers' variable does: paths with commas between them.
    fn named(&self) -> Vec<PathBuf> {
        let mut names = CONFIG_PATHS.iter();
        match names.find_map(|name| environment(name)) {
            Some(text) if self.paths.is_empty() => {
                let paths = text.split(',').filter(|path| !path.is_empty());
                paths.map(PathBuf::from).collect()
            }
            _ => self.paths.clone(),
        }
    }
}

impl Socket {
    /// `-socket`, else what the configuration says, else where it is by default.
    pub(crate) fn find(&self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        let admin = match self.place.load() {
            Ok(loaded) => loaded.config.admin,
            Err(Error::NoConfiguration) => None,
            Err(error) => return Err(error),
        };
        Ok(admin.unwrap_or_else(model::Admin::default).socket)
    }
}

/// What is no text becomes text with marks in the place of what is wrong, so that it is reported and not skipped.
fn environment(name: &str) -> Option<String> {
    Some(env::var_os(name)?.to_string_lossy().into_owned())
}
