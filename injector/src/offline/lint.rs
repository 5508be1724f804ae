//! `keyside-injector lint`: what is wrong with the annotations of manifests, with file and line, for CI.
//!
//! Invariant: mistakes and warnings are those of [`admission::admit`]. Added is only what a webhook never sees: files
//! that cannot be read, values that an API server refuses, and annotations in the wrong place.

mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::document::{self, Place};
use super::{Error, Failure, Streams, read, supposed, write};
use crate::admission::reason::Reason;
use crate::admission::{self, Defaults, Verdict};
use crate::annotation::{self, Annotations, key, printable};
use crate::trace::Trace;
use crate::yaml_read::places::{self, Node};
use report::{Finding, Report, Severity, shown};

const HELP: &str = "\
Reports what is wrong with the annotations of manifests, for CI: what would deny a pod, warnings,
unknown and misspelt keys, and annotations in the wrong place.

  keyside-injector lint -f FILE [-f FILE…] [flags]

  -f, --filename FILE   YAML or JSON; - is the standard input; more files may follow it
  --strict              warnings are as bad as errors
  --format FORMAT       text, one line each: FILE:LINE: error: document, object: what; or json
  -h, --help            this text

Exit status: 0 nothing is wrong, 1 there are errors (with --strict: or warnings), 64 a mistake in the
flags. The flags of the installation and its profiles are the webhook's own: see keyside-injector
--help. Without --vault-address and --profiles an installation is supposed that has a Vault and lets
pods choose another.
";

#[derive(Debug, Default)]
struct Arguments {
    files: Vec<PathBuf>,
    strict: bool,
    as_json: bool,
}

pub(super) fn run(
    arguments: Vec<OsString>,
    defaults: &Defaults,
    streams: &mut Streams,
) -> Result<u8, Failure> {
    answer(arguments, defaults, streams).map_err(|error| error.with_status(1))
}

fn answer(
    arguments: Vec<OsString>,
    defaults: &Defaults,
    streams: &mut Streams,
) -> Result<u8, Error> {
    let Some(arguments) = arguments_of(arguments)? else {
        return write(streams.stdout, HELP).map(|()| 0);
    };
    let defaults = supposed(defaults);
    let mut report = Report::default();
    for path in &arguments.files {
        let text = read(path, streams.stdin)?;
        report.file(path, &text, &defaults);
    }
    let text = if arguments.as_json {
        report.json()
    } else {
        report.text()
    };
    write(streams.stdout, &text)?;
    write(streams.stderr, &report.summary())?;
    let fails = |finding: &Finding| arguments.strict || finding.severity == Severity::Error;
    Ok(u8::from(report.findings.iter().any(fails)))
}

/// Absent where help is asked for.
fn arguments_of(words: Vec<OsString>) -> Result<Option<Arguments>, Error> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next().map_err(Error::Arguments)? {
        match argument {
            lexopt::Arg::Short('f') | lexopt::Arg::Long("filename") => {
                let file = parser.value().map_err(Error::Arguments)?;
                arguments.files.push(file.into());
            }
            // What a shell makes of *.yaml.
            lexopt::Arg::Value(file) if !arguments.files.is_empty() => {
                arguments.files.push(file.into());
            }
            lexopt::Arg::Long("strict") => arguments.strict = true,
            lexopt::Arg::Long("format") => {
                let format = parser.value().map_err(Error::Arguments)?;
                arguments.as_json = match format.to_str() {
                    Some("json") => true,
                    Some("text") => false,
                    _ => return Err(Error::Usage("--format takes text or json")),
                };
            }
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
            other => return Err(Error::Arguments(other.unexpected())),
        }
    }
    let usage = Error::Usage("lint needs manifests: -f FILE, or -f - for the standard input");
    (!arguments.files.is_empty())
        .then_some(Some(arguments))
        .ok_or(usage)
}

/// A document of a file.
struct Document<'d> {
    file: &'d Path,
    number: usize,
    value: &'d Value,
    node: Option<&'d Node>,
}

impl Report {
    fn file(&mut self, path: &Path, text: &str, defaults: &Defaults) {
        let manifest = match document::parse(text) {
            Ok(manifest) => manifest,
            // Nothing is written there, and so nothing is wrong.
            Err(document::Error::Empty) => return,
            Err(error) => {
                let (document, line) = error.place();
                self.findings.push(Finding {
                    file: shown(path),
                    line,
                    document,
                    object: None,
                    severity: Severity::Error,
                    annotation: None,
                    message: match &error {
                        document::Error::Yaml { source, .. } => format!("as YAML: {source}"),
                        other => keyside_lifecycle::error::chain(other),
                    },
                });
                return;
            }
        };
        let places = places::read(&manifest.text);
        let fits = places.len() == manifest.documents.len();
        for (index, value) in manifest.documents.iter().enumerate() {
            let node = places.get(index).and_then(Option::as_ref);
            self.document(
                &Document {
                    file: path,
                    number: index + 1,
                    value,
                    node: node.filter(|_| fits),
                },
                defaults,
            );
        }
    }

    fn document(&mut self, document: &Document, defaults: &Defaults) {
        for (pointer, object) in document::objects(document.value) {
            let kind = object.get("kind").and_then(Value::as_str);
            let kind = kind.unwrap_or_default();
            if kind != "Pod" {
                self.misplaced(document, &pointer, object, kind);
            }
        }
        for place in document::pods(document.value) {
            self.pods += 1;
            self.pod(document, &place, defaults);
        }
    }

    /// Annotations on an object that makes pods, where they do not reach the pods; or on any other.
    fn misplaced(&mut self, document: &Document, pointer: &str, object: &Value, kind: &str) {
        let template = document::template(kind);
        for above in ["", "/spec/jobTemplate"] {
            let at = format!("{pointer}{above}/metadata/annotations");
            for name in keys_of(document.value, &at) {
                // A tool that copies annotations up copies the status too.
                let is_written = name
                    .strip_prefix(key::PREFIX)
                    .is_some_and(|name| !key::is_asked(name));
                if is_written {
                    continue;
                }
                let (severity, rest) = match template {
                    Some(template) => {
                        let field = template.replace('/', ".");
                        let field = field.trim_start_matches('.');
                        let rest = format!(
                            "on the {kind} itself, which does not reach its pods: write it below {field}.metadata.annotations"
                        );
                        (Severity::Error, rest)
                    }
                    None => (
                        Severity::Warning,
                        format!("a {} makes no pods: it has no effect", printable(kind)),
                    ),
                };
                let message = format!("annotation {}: {rest}", printable(name));
                self.say(document, (&document::name(object), &at), severity, &message);
            }
        }
    }

    fn pod(&mut self, document: &Document, place: &Place, defaults: &Defaults) {
        let Some(pod) = document.value.pointer(&place.pod) else {
            return;
        };
        let at = format!("{}/metadata/annotations", place.pod);
        let at = (place.name.as_str(), at.as_str());
        self.refused_by_the_api(document, at);
        let request = admission::Request {
            pod,
            namespace: &place.namespace,
            operation: "CREATE",
        };
        let mut trace = Trace::on();
        let verdict = admission::admit_noting(&request, defaults, &mut trace);
        let asks =
            !matches!(&verdict, Verdict::Untouched { reason, .. } if *reason == Reason::NotAsked);
        self.asking += usize::from(asks);
        let warnings = match verdict {
            Verdict::Denied {
                message, warnings, ..
            } => {
                if trace.mistakes().is_empty() {
                    trace.mistake(|| message);
                }
                warnings
            }
            Verdict::Untouched { warnings, .. } | Verdict::Patched { warnings, .. } => warnings,
        };
        for mistake in trace.mistakes() {
            self.say(document, at, Severity::Error, mistake);
        }
        for warning in warnings {
            self.say(document, at, Severity::Warning, &warning);
        }
        if !asks {
            self.not_asked(document, at, defaults);
        }
    }

    /// Values that are no text. An API server refuses the whole object; the webhook never sees it.
    fn refused_by_the_api(&mut self, document: &Document, at: (&str, &str)) {
        for name in keys_of(document.value, at.1) {
            let value = value_at(document.value, at.1, name);
            if value.is_string() {
                continue;
            }
            let what = match value {
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::Null => "nothing",
                _ => "no text",
            };
            let read = printable(&value.to_string());
            let message = format!(
                "annotation {}: read {read}, {what}; allowed: text, such as \"{read}\" in quotes",
                printable(name)
            );
            self.say(document, at, Severity::Error, &message);
        }
    }

    /// Keys of ours on a pod that does not ask for the agent.
    fn not_asked(&mut self, document: &Document, at: (&str, &str), defaults: &Defaults) {
        let all: Annotations = keys_of(document.value, at.1)
            .filter_map(|name| {
                let value = value_at(document.value, at.1, name).as_str()?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        let asked = |name: &&String| name.strip_prefix(key::PREFIX).is_some_and(key::is_asked);
        let inject = format!("{}inject", key::PREFIX);
        let is_there = keys_of(document.value, at.1).any(|name| name == inject);
        if is_there || !all.keys().any(|name| asked(&name)) {
            return;
        }
        let (mistakes, warnings) = annotation::judge_keys(&all, defaults);
        for said in mistakes.iter().chain(&warnings) {
            self.say(document, at, Severity::Warning, said);
        }
        let message = format!(
            "annotation {inject} is missing, so that nothing is injected; write {inject}: \"true\""
        );
        self.say(document, at, Severity::Warning, &message);
    }

    /// Adds a finding about an annotation in a mapping: the first one that the message names and the mapping has.
    fn say(
        &mut self,
        document: &Document,
        (object, at): (&str, &str),
        severity: Severity,
        message: &str,
    ) {
        let map = document.node.and_then(|node| node.at(at));
        let entry = map.and_then(|map| named(message).find_map(|name| map.entry(name)));
        let above = || {
            let mut above = at;
            while let Some((shorter, _)) = above.rsplit_once('/') {
                above = shorter;
                if let Some(node) = document.node.and_then(|node| node.at(above)) {
                    return Some(node.line);
                }
            }
            None
        };
        self.findings.push(Finding {
            file: shown(document.file),
            line: entry
                .map(|entry| entry.line)
                .or_else(|| map.map(|map| map.line))
                .or_else(above),
            document: Some(document.number),
            object: Some(object.to_owned()),
            severity,
            annotation: named(message).next().map(str::to_owned),
            message: message.to_owned(),
        });
    }
}

/// The keys below our prefix in the mapping at a pointer.
fn keys_of<'a>(document: &'a Value, at: &str) -> impl Iterator<Item = &'a str> {
    let map = document.pointer(at).and_then(Value::as_object);
    let keys = map.into_iter().flat_map(|map| map.keys());
    keys.map(String::as_str)
        .filter(|name| name.starts_with(key::PREFIX))
}

fn value_at<'a>(document: &'a Value, at: &str, name: &str) -> &'a Value {
    let value = document.pointer(at).and_then(|map| map.get(name));
    value.unwrap_or(&Value::Null)
}

/// The annotations that a message names.
fn named(message: &str) -> impl Iterator<Item = &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let words = message.split(move |c| !inside(c));
    let prefixes = [key::PREFIX, key::PEER_PREFIXES[0], key::PEER_PREFIXES[1]];
    words
        .map(|word| word.trim_end_matches(['.', '/']))
        .filter(move |word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
}
