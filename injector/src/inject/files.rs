//! Files for the agent alone, from Secrets and `ConfigMap`s of the pod's namespace: one projected volume for all.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::names;
use crate::trace::{Subject, Trace};

/// What is trusted at Vault's address; the others are named as the parameters that take them.
pub(crate) const VAULT_CA: &str = "vault-ca";

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

    /// The annotations that name them, without the prefix.
    pub(crate) fn settings(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, _)| match *name {
            VAULT_CA => "ca".to_owned(),
            parameter => format!("auth-{parameter}"),
        })
    }

    /// The volume, but for its name. A file that is not there holds the pod up, and its events say so: the agent could
    /// not log in without it.
    pub(crate) fn volume(&self, trace: &mut Trace) -> Value {
        if trace.is_on() {
            for (index, setting) in self.settings().enumerate() {
                let path = format!("{}.projected.sources[{index}]", names::FILES_VOLUME);
                trace.decided(Subject::Volumes, &path, &setting);
            }
        }
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
