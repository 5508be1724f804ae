//! `keyside-injector inject`: the webhook's own decision, applied to manifests.
//!
//! Invariant: nothing is written unless every pod in the input is allowed, so that what is piped into `kubectl apply`
//! is all of it or nothing.
//! Invariant: no network; a template is judged by the same [`admission::admit`] as the pod that it will become.

mod document;
mod yaml;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::admission::{self, Defaults, Verdict};

const HELP: &str = "\
Puts the agent into the annotated pods of a manifest, as the webhook would.

  keyside-injector inject -f FILE [flags]

  -f, --filename FILE   Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs
                        and Lists, as YAML (also several documents) or JSON; - is the standard input
  -h, --help            this text

The flags that set what pods get by default are the webhook's own: see keyside-injector --help.
The result goes to the standard output, warnings go to the standard error. If any pod is refused,
nothing is written, the reasons are listed and the exit status is 1. Other objects pass unchanged.
";

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reading the arguments of inject")]
    Arguments(#[source] lexopt::Error),
    #[error("inject needs a manifest: -f FILE, or -f - for the standard input")]
    NoFile,
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

impl Error {
    /// The status for the process to exit with.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Arguments(_) | Self::NoFile => 64,
            Self::Read { .. } | Self::Document { .. } | Self::Denied(_) | Self::Write(_) => 1,
        }
    }
}

/// Runs the command. `arguments` come after the verb and without the flags that made `defaults`.
pub(crate) fn run(
    arguments: impl IntoIterator<Item = OsString>,
    defaults: &Defaults,
    stdin: impl Read,
    mut stdout: impl Write,
    mut stderr: impl Write,
) -> Result<(), Error> {
    let Some(path) = file(arguments)? else {
        return stdout.write_all(HELP.as_bytes()).map_err(Error::Write);
    };
    let text = read(&path, stdin)?;
    let (syntax, mut documents) =
        document::parse(&text).map_err(|source| Error::Document { path, source })?;
    let warnings = inject(&mut documents, defaults)?;
    for warning in warnings {
        writeln!(stderr, "warning: {warning}").map_err(Error::Write)?;
    }
    let result = document::write(syntax, &documents);
    stdout.write_all(result.as_bytes()).map_err(Error::Write)
}

/// The manifest's path; absent where help is asked for.
fn file(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<PathBuf>, Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut file = None;
    while let Some(argument) = parser.next().map_err(Error::Arguments)? {
        match argument {
            lexopt::Arg::Short('f') | lexopt::Arg::Long("filename") => {
                file = Some(parser.value().map_err(Error::Arguments)?.into());
            }
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
            other => return Err(Error::Arguments(other.unexpected())),
        }
    }
    file.map(Some).ok_or(Error::NoFile)
}

fn read(path: &Path, mut stdin: impl Read) -> Result<String, Error> {
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

/// Injects into every pod and every template, and returns the warnings.
fn inject(documents: &mut [Value], defaults: &Defaults) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let mut denials = Vec::new();
    for object in documents {
        document::for_each_pod(object, &mut |place, namespace, pod| {
            let request = admission::Request {
                pod,
                namespace,
                operation: "CREATE",
            };
            let said = match admission::admit(&request, defaults) {
                Verdict::Untouched { warnings, .. } => warnings,
                Verdict::Patched {
                    pod: patched,
                    warnings,
                    ..
                } => {
                    *pod = patched;
                    warnings
                }
                Verdict::Denied {
                    message, warnings, ..
                } => {
                    denials.push(format!("{place}: {message}"));
                    warnings
                }
            };
            warnings.extend(said.iter().map(|warning| format!("{place}: {warning}")));
        });
    }
    if denials.is_empty() {
        Ok(warnings)
    } else {
        // What a warning says may be the reason of the denial.
        warnings.extend(denials);
        Err(Error::Denied(warnings))
    }
}
