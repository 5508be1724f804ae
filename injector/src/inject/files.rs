//! Files for the agent alone, from Secrets and `ConfigMap`s of the pod's namespace: one projected volume for all.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::names;

/// One file of a Secret or a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub kind: Kind,
    pub name: String,
    pub key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Secret,
    ConfigMap,
}

/// What is mounted, by the name under which the agent sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(Vec<(&'static str, Reference)>);

impl Files {
    /// Adds a file and tells where the agent finds it.
    pub(crate) fn mount(&mut self, name: &'static str, reference: Reference) -> PathBuf {
        self.0.push((name, reference));
        Path::new(names::FILES_PATH).join(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The volume, but for its name. A file that is not there holds the pod up, and its events say so: the agent could
    /// not log in without it.
    pub(crate) fn volume(&self) -> Value {
        let sources = self.0.iter().map(|(name, reference)| {
            let kind = match reference.kind {
                Kind::Secret => "secret",
                Kind::ConfigMap => "configMap",
            };
            json!({ kind: { "name": reference.name, "items": [{ "key": reference.key, "path": name }] } })
        });
        json!({ "projected": { "sources": sources.collect::<Vec<_>>() } })
    }
}
