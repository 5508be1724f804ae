//! `keyside-injector inject`: the result, or what is different in it.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::document::{self, Manifest};
use super::edit::Keys;
use super::explain::{self, Explanation};
use super::{Error, Failure, Streams, diff, load, write};
use crate::admission::{self, Defaults, Verdict};
use crate::inject::patch;
use crate::trace::Trace;

const HELP: &str = "\
Puts the agent into the annotated pods of a manifest, as the webhook would.

  keyside-injector inject -f FILE [flags]

  -f, --filename FILE   Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs
                        and Lists, as YAML (also several documents) or JSON; - is the standard input
  --diff                write what changes, as diff -u does, instead of the result; exit with 0
                        where nothing does, 1 where something does, 2 where there is no result
  --explain[=json]      write what each pod gets and where it comes from: the annotation, the profile,
                        the flag, something in the pod itself, or Keyside where nobody said anything
  -h, --help            this text

The flags that set what pods get by default are the webhook's own: see keyside-injector --help.
The result goes to the standard output, warnings go to the standard error. If any pod is refused,
nothing is written, the reasons are listed and the exit status is 1. Other objects pass unchanged,
and so do comments, unless what they stand in has to be written anew. JSON is written with sorted
keys, and its diff compares with that.
";

/// What is to be done.
#[derive(Debug, Default)]
struct Arguments {
    file: PathBuf,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    Result,
    Diff,
    Explanation,
    ExplanationAsJson,
}

/// The status of a diff that cannot be told, as `diff` has it.
const NO_DIFF: u8 = 2;

pub(super) fn run(
    arguments: Vec<OsString>,
    defaults: &Defaults,
    streams: &mut Streams,
) -> Result<u8, Failure> {
    let arguments = arguments_of(arguments).map_err(|error| error.with_status(1))?;
    let Some(arguments) = arguments else {
        let written = write(streams.stdout, HELP);
        return written.map(|()| 0).map_err(|error| error.with_status(1));
    };
    let trouble = match arguments.answer {
        Answer::Diff => NO_DIFF,
        _ => 1,
    };
    answer(&arguments, defaults, streams).map_err(|error| error.with_status(trouble))
}

/// Absent where help is asked for.
fn arguments_of(words: Vec<OsString>) -> Result<Option<Arguments>, Error> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut arguments = Arguments::default();
    let (mut has_file, mut answers) = (false, Vec::new());
    while let Some(argument) = parser.next().map_err(Error::Arguments)? {
        match argument {
            lexopt::Arg::Short('f') | lexopt::Arg::Long("filename") => {
                if std::mem::replace(&mut has_file, true) {
                    return Err(Error::Usage("inject takes one manifest: -f is there twice"));
                }
                arguments.file = parser.value().map_err(Error::Arguments)?.into();
            }
            lexopt::Arg::Long("diff") => answers.push(Answer::Diff),
            lexopt::Arg::Long("explain") => {
                answers.push(match parser.optional_value() {
                    None => Answer::Explanation,
                    Some(value) if value == "json" => Answer::ExplanationAsJson,
                    Some(_) => return Err(Error::Usage("--explain takes =json or nothing")),
                });
            }
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
            other => return Err(Error::Arguments(other.unexpected())),
        }
    }
    arguments.answer = match answers.as_slice() {
        [] => Answer::Result,
        [answer] => *answer,
        _ => return Err(Error::Usage("write --diff or --explain, once")),
    };
    let usage = Error::Usage("inject needs a manifest: -f FILE, or -f - for the standard input");
    has_file.then_some(Some(arguments)).ok_or(usage)
}

fn answer(arguments: &Arguments, defaults: &Defaults, streams: &mut Streams) -> Result<u8, Error> {
    let manifest = load(&arguments.file, streams.stdin)?;
    let explains = matches!(
        arguments.answer,
        Answer::Explanation | Answer::ExplanationAsJson
    );
    let injected = inject(&manifest, defaults, explains)?;
    for warning in injected.warnings {
        write(streams.stderr, &format!("warning: {warning}\n"))?;
    }
    let result = || manifest.with(&injected.documents, &Keys::default());
    let mut status = 0;
    let text = match arguments.answer {
        Answer::Result => result(),
        Answer::Diff => {
            let (path, before) = (&arguments.file, manifest.before());
            let diff = diff::unified(path, &before, &result(), streams.is_coloured);
            status = u8::from(!diff.is_empty());
            diff
        }
        Answer::Explanation => explain::text(&injected.explanations),
        Answer::ExplanationAsJson => explain::json(&injected.explanations),
    };
    write(streams.stdout, &text)?;
    Ok(status)
}

/// What became of a manifest.
struct Injected {
    documents: Vec<Value>,
    warnings: Vec<String>,
    /// Where they were asked for.
    explanations: Vec<Explanation>,
}

/// Injects into every pod and every template.
fn inject(manifest: &Manifest, defaults: &Defaults, explains: bool) -> Result<Injected, Error> {
    let mut documents = manifest.documents.clone();
    let mut warnings = Vec::new();
    let mut denials = Vec::new();
    let mut explanations = Vec::new();
    for object in &mut documents {
        for place in document::pods(object) {
            let Some(pod) = object.pointer_mut(&place.pod) else {
                continue;
            };
            let (place, namespace) = (&place.name, &place.namespace);
            let request = admission::Request {
                pod,
                namespace,
                operation: "CREATE",
            };
            let mut trace = if explains {
                Trace::on()
            } else {
                Trace::default()
            };
            let said = match admission::admit_noting(&request, defaults, &mut trace) {
                Verdict::Untouched { why, warnings, .. } => {
                    if explains {
                        explanations.push(Explanation::untouched(place, why));
                    }
                    warnings
                }
                Verdict::Patched {
                    patch, warnings, ..
                } => {
                    let patched = patch::applied(pod, &patch);
                    if explains {
                        explanations.push(Explanation::new(place, pod, &patched, &trace));
                    }
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
        }
    }
    if denials.is_empty() {
        Ok(Injected {
            documents,
            warnings,
            explanations,
        })
    } else {
        // What a warning says may be the reason of the denial.
        warnings.extend(denials);
        Err(Error::Denied(warnings))
    }
}
