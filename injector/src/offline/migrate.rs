//! `keyside-injector migrate`: a manifest's annotations of vault-k8s → Keyside's, with every difference told.
//!
//! Invariant: a pod is migrated as a whole or not at all, and only to what [`admission::admit`] takes. With `--force`
//! what cannot be migrated is left behind as a comment.

mod pod;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::document::{self, Manifest, Place};
use super::edit::Keys;
use super::{Error, Failure, Streams, diff, load, supposed, write};
use crate::admission::{self, Defaults, Verdict};
use crate::trace::Trace;
use pod::{Kind, Migration, Note};

const HELP: &str = "\
Rewrites the annotations of vault-k8s (vault.hashicorp.com/, openbao.org/) as Keyside's.

  keyside-injector migrate -f FILE [flags]

  -f, --filename FILE   as for inject; - is the standard input
  --diff                write what changes, as diff -u does, instead of the result
  --force               migrate pods also where something of them cannot be: it is left behind as
                        a comment (of JSON and flow style: it goes), and the pod starts without it
  -h, --help            this text

Only annotations change; comments and the rest of the text stay. The standard error has every
difference: what behaves otherwise, what takes somebody who runs the cluster, what is not migrated
and why. A pod of which something cannot be migrated (secrets as files above all, which this version
does not have) is left as it was: a pod without its secrets would be worse than one that still asks
the other injector. Each result is tried with the webhook's own code, and with its flags where they
are given: see keyside-injector --help.
Exit status: 0 all was migrated, 1 something was left as it was or could not be read, 64 a mistake
in the flags. It never changes a file itself.
";

/// What is the same for every pod.
const ALWAYS: [&str; 6] = [
    "the container is keyside-agent, an init container that goes on running, in place of vault-agent-init and vault-agent",
    "it asks for 5m of CPU and 16Mi of memory, with a limit of 64Mi, where vault-k8s asks for 250m and 64Mi, twice",
    "it runs as the application's user, or as 65532, where vault-k8s takes 100 and 1000",
    "the volume is at /keyside, read-only, and also in init containers that start after the agent",
    "its service-account token is a projected one of its own, for an hour: a role of Vault's that asks for an audience \
     takes keyside.dev/audience",
    "with the proxy, containers get VAULT_ADDR and BAO_ADDR, unless they set them",
];

#[derive(Debug, Default)]
struct Arguments {
    file: PathBuf,
    diff: bool,
    force: bool,
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
    let manifest = load(&arguments.file, streams.stdin)?;
    let before = manifest.before();
    let mut work = Work {
        manifest,
        defaults: supposed(defaults),
        force: arguments.force,
        said: Vec::new(),
        migrated: 0,
        left: 0,
    };
    work.all();
    write(streams.stderr, &work.report())?;
    let result = work.manifest.before();
    let text = if arguments.diff {
        diff::unified(&arguments.file, &before, &result, streams.is_coloured)
    } else {
        result
    };
    write(streams.stdout, &text)?;
    Ok(u8::from(work.left > 0))
}

/// Absent where help is asked for.
fn arguments_of(words: Vec<OsString>) -> Result<Option<Arguments>, Error> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut arguments = Arguments::default();
    let mut has_file = false;
    while let Some(argument) = parser.next().map_err(Error::Arguments)? {
        match argument {
            lexopt::Arg::Short('f') | lexopt::Arg::Long("filename") => {
                if std::mem::replace(&mut has_file, true) {
                    return Err(Error::Usage(
                        "migrate takes one manifest: -f is there twice",
                    ));
                }
                arguments.file = parser.value().map_err(Error::Arguments)?.into();
            }
            lexopt::Arg::Long("diff") => arguments.diff = true,
            lexopt::Arg::Long("force") => arguments.force = true,
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
            other => return Err(Error::Arguments(other.unexpected())),
        }
    }
    let usage = Error::Usage("migrate needs a manifest: -f FILE, or -f - for the standard input");
    has_file.then_some(Some(arguments)).ok_or(usage)
}

/// A manifest on its way.
struct Work {
    manifest: Manifest,
    defaults: Defaults,
    force: bool,
    said: Vec<String>,
    migrated: usize,
    left: usize,
}

impl Work {
    fn all(&mut self) {
        for index in 0..self.manifest.documents.len() {
            let places = self.manifest.documents.get(index).map(document::pods);
            for place in places.unwrap_or_default() {
                self.pod(index, &place);
            }
        }
    }

    fn pod(&mut self, index: usize, place: &Place) {
        let Some(pod) = self
            .manifest
            .documents
            .get(index)
            .and_then(|one| one.pointer(&place.pod))
        else {
            return;
        };
        let Some(mut migration) = pod::migrate(pod) else {
            return;
        };
        let after = migrated(pod, &migration);
        // What is refused anyway need not be tried.
        if migration.refused.is_empty() || self.force {
            self.judge(&after, place, &mut migration);
        }
        for note in &migration.notes {
            self.say(place, note);
        }
        if is_left(&migration, self.force) {
            self.left += 1;
            self.said.push(format!("{}: left as it was", place.name));
            return;
        }
        self.migrated += 1;
        self.rewrite(index, place, after, &migration);
    }

    /// What the webhook would say of the result.
    fn judge(&self, after: &Value, place: &Place, migration: &mut Migration) {
        let request = admission::Request {
            pod: after,
            namespace: &place.namespace,
            operation: "CREATE",
        };
        let mut trace = Trace::on();
        let mut note = |kind, text: &str| {
            migration.notes.push(Note {
                kind,
                key: None,
                text: text.to_owned(),
            });
        };
        let warnings = match admission::admit_noting(&request, &self.defaults, &mut trace) {
            Verdict::Denied { warnings, .. } => {
                for mistake in trace.mistakes() {
                    note(
                        Kind::Denied,
                        &format!("Keyside would deny the pod: {mistake}"),
                    );
                }
                warnings
            }
            Verdict::Untouched { warnings, .. } | Verdict::Patched { warnings, .. } => warnings,
        };
        for warning in warnings {
            note(Kind::Difference, &warning);
        }
    }

    /// First what has a new name or goes, then, as comments, what cannot be migrated.
    fn rewrite(&mut self, index: usize, place: &Place, after: Value, migration: &Migration) {
        let mut between = after.clone();
        for name in &migration.refused {
            let pod = self
                .manifest
                .documents
                .get(index)
                .and_then(|one| one.pointer(&place.pod));
            let value = pod.and_then(|pod| annotations(pod)?.get(name)).cloned();
            if let (Some(value), Some(map)) = (value, annotations_mut(&mut between)) {
                map.insert(name.clone(), value);
            }
        }
        for (pod, keys) in [
            (
                between,
                Keys {
                    renamed: migration.renamed.clone(),
                    leaves_comments: false,
                },
            ),
            (
                after,
                Keys {
                    leaves_comments: true,
                    ..Keys::default()
                },
            ),
        ] {
            let mut documents = self.manifest.documents.clone();
            if let Some(there) = documents
                .get_mut(index)
                .and_then(|one| one.pointer_mut(&place.pod))
            {
                *there = pod;
            }
            self.manifest.text = self.manifest.with(&documents, &keys);
            self.manifest.documents = documents;
        }
    }

    fn say(&mut self, place: &Place, note: &Note) {
        let kind = match note.kind {
            Kind::Difference => "difference",
            Kind::Operator => "operator",
            Kind::NotMigrated | Kind::Denied => "not migrated",
        };
        let key = note
            .key
            .as_ref()
            .map_or_else(String::new, |key| format!("{key}: "));
        let (place, text) = (&place.name, &note.text);
        self.said.push(format!("{place}: {kind}: {key}{text}"));
    }

    fn report(&self) -> String {
        let mut lines = self.said.clone();
        if self.migrated > 0 {
            lines.push("In every pod that was migrated:".to_owned());
            lines.extend(ALWAYS.map(|always| format!("  {always}")));
        }
        let (migrated, left) = (self.migrated, self.left);
        lines.push(format!("{migrated} migrated, {left} left as they were\n"));
        lines.join("\n")
    }
}

/// Whether a pod stays as it was.
fn is_left(migration: &Migration, force: bool) -> bool {
    let is_denied = migration.notes.iter().any(|note| note.kind == Kind::Denied);
    is_denied || (!migration.refused.is_empty() && !force)
}

/// The pod with new annotations and without a peer's.
fn migrated(pod: &Value, migration: &Migration) -> Value {
    let mut pod = pod.clone();
    if let Some(map) = annotations_mut(&mut pod) {
        map.retain(|name, _| {
            let mut peers = crate::annotation::key::PEER_PREFIXES.iter();
            !peers.any(|peer| name.starts_with(peer))
        });
        for (name, value) in &migration.new {
            map.insert(name.clone(), value.clone().into());
        }
    }
    pod
}

fn annotations(pod: &Value) -> Option<&Map<String, Value>> {
    pod.pointer("/metadata/annotations")?.as_object()
}

fn annotations_mut(pod: &mut Value) -> Option<&mut Map<String, Value>> {
    pod.pointer_mut("/metadata/annotations")?.as_object_mut()
}

#[cfg(test)]
mod tests;
