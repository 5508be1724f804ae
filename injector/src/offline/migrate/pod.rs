//! One pod's annotations of vault-k8s → Keyside's, and what is to be known about it. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::table::{self, Class, Entry};
use crate::annotation::{key, login, printable};

/// What becomes of a pod's annotations.
#[derive(Debug, Default)]
pub(super) struct Migration {
    /// New annotations by their full names.
    pub new: BTreeMap<String, String>,
    /// New names by old ones, where a value moves as it is or nearly so.
    pub renamed: BTreeMap<String, String>,
    /// Old names that cannot be migrated.
    pub refused: Vec<String>,
    pub notes: Vec<Note>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It behaves otherwise than before.
    Difference,
    /// It takes somebody who runs the cluster.
    Operator,
    NotMigrated,
    /// Not migrated, because Keyside would deny what came out.
    Denied,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub kind: Kind,
    /// The old annotation; absent where it is about none in particular.
    pub key: Option<String>,
    pub text: String,
}

/// A peer's annotation: full name, name without prefix, value.
struct Old {
    full: String,
    name: String,
    value: String,
}

/// Absent where the pod has no annotation of a peer's.
pub(super) fn migrate(pod: &Value) -> Option<Migration> {
    let annotations = pod.pointer("/metadata/annotations")?.as_object()?;
    let mut pass = Pass {
        pod,
        annotations,
        old: Vec::new(),
        out: Migration::default(),
    };
    pass.collect();
    if pass.old.is_empty() && pass.out.refused.is_empty() {
        return None;
    }
    for index in 0..pass.old.len() {
        pass.one(index);
    }
    pass.round_off();
    Some(pass.out)
}

struct Pass<'p> {
    pod: &'p Value,
    annotations: &'p Map<String, Value>,
    old: Vec<Old>,
    out: Migration,
}

/// Booleans as vault-k8s takes them; an empty one is false there.
fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "" | "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Whether anything is otherwise without an annotation that is dropped.
fn is_missed(key: &str, value: &str) -> bool {
    match key {
        "agent-inject-status" => value == "injected",
        "agent-init-first"
        | "agent-pre-populate"
        | "agent-run-as-same-user"
        | "agent-set-security-context" => boolean(value) == Some(false),
        "agent-auto-auth-exit-on-err"
        | "agent-cache-exit-on-err"
        | "agent-enable-quit"
        | "agent-share-process-namespace" => boolean(value) != Some(false),
        _ => true,
    }
}

/// Whether an annotation that Keyside cannot follow asks for anything.
fn asks(key: &str, value: &str) -> bool {
    match key {
        "agent-json-patch" | "agent-init-json-patch" => !matches!(value.trim(), "" | "null" | "[]"),
        "tls-skip-verify" => boolean(value) != Some(false),
        _ => true,
    }
}

impl Pass<'_> {
    /// OpenBao's injector reads Vault's annotations where its own are not there.
    fn collect(&mut self) {
        for prefix in key::PEER_PREFIXES.iter().rev() {
            for (full, value) in self.annotations {
                let Some(name) = full.strip_prefix(prefix) else {
                    continue;
                };
                if self.old.iter().any(|other| other.name == name) {
                    self.note(
                        Kind::Difference,
                        Some(full),
                        "openbao.org/ has the same key, which wins",
                    );
                    continue;
                }
                let Some(value) = value.as_str() else {
                    self.refuse(
                        full,
                        "the value is no text, which an API server refuses: put it in quotes",
                    );
                    continue;
                };
                self.old.push(Old {
                    full: full.clone(),
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
    }

    fn one(&mut self, index: usize) {
        let Some(Old { full, name, value }) = self.old.get(index) else {
            return;
        };
        let (full, name, value) = (&full.clone(), &name.clone(), &value.clone());
        let Some((entry, rest)) = table::find(name) else {
            let why = "vault-k8s 1.7.6 has no such key and ignores it: correct it, or take it away";
            self.refuse(full, why);
            return;
        };
        match entry.key {
            "agent-inject" | "agent-inject-token" => match boolean(value) {
                Some(on) => {
                    if on && entry.key == "agent-inject-token" {
                        let folder = self.value("secret-volume-path").unwrap_or("/vault/secrets");
                        let text = format!("the file was {folder}/token; {}", entry.why);
                        self.note(Kind::Difference, Some(full), text);
                    }
                    self.set(full, entry.to, on.to_string());
                }
                None => self.refuse(full, "read no boolean, which vault-k8s denies as well"),
            },
            "agent-pre-populate-only" => self.init_only(full, value, entry),
            "agent-extra-secret" | "tls-secret" => {
                if !self.is_read(entry.key) {
                    let text = format!("{}; nothing of what is migrated reads it", entry.why);
                    self.note(Kind::Difference, Some(full), text);
                }
            }
            "secret-volume-path" | "preserve-secret-case" if !rest.is_empty() => {
                self.refuse(
                    full,
                    "it is for one secret, and secrets as files are not in this version of Keyside",
                );
            }
            "service" | "namespace" | "tls-server-name" => {
                if !value.is_empty() {
                    self.note(Kind::Operator, Some(full), entry.why);
                    self.set(full, entry.to, value.clone());
                }
            }
            "role" => self.role(full, value),
            "auth-type" => self.method(full, value),
            "auth-config-" => self.parameter(full, rest, value),
            "ca-cert" => self.authority(full, value, entry),
            "client-cert" | "client-key" => self.client(full, value, entry),
            "agent-service-account-token-volume-name" => self.service_account(full, value, entry),
            "log-level" | "log-format" => self.set(full, entry.to, value.to_lowercase()),
            "agent-revoke-on-shutdown" => match boolean(value) {
                // Without a sidecar vault-k8s has nothing that could.
                Some(true) if !self.is_on("agent-pre-populate-only") => {
                    self.note(Kind::Difference, Some(full), entry.why);
                    self.set(full, entry.to, "true".to_owned());
                }
                Some(_) => {}
                None => self.refuse(full, "read no boolean, which vault-k8s denies as well"),
            },
            "agent-cache-enable" => match boolean(value) {
                Some(on) => self.set(full, entry.to, on.to_string()),
                None => self.refuse(full, "read no boolean, which vault-k8s denies as well"),
            },
            "agent-cache-use-auto-auth-token" | "agent-cache-listener-port" => {
                // Without the cache they have no effect, in Keyside a warning.
                if self.is_on("agent-cache-enable") {
                    self.set(full, entry.to, value.clone());
                }
            }
            "agent-run-as-user" | "agent-run-as-group" => {
                if matches!(value.trim(), "" | "0") {
                    self.refuse(full, "it means root, as whom Keyside's agent never runs: name another id, or none");
                } else {
                    self.set(full, entry.to, value.clone());
                }
            }
            "auth-path" => self.set(full, entry.to, value.trim_matches('/').to_owned()),
            _ => self.by_class(full, value, entry),
        }
    }

    /// What needs no look at its value, but whether there is one.
    fn by_class(&mut self, full: &str, value: &str, entry: &Entry) {
        if value.is_empty() {
            return;
        }
        match entry.class {
            Class::Same => self.set(full, entry.to, value.to_owned()),
            Class::Different => {
                self.note(Kind::Difference, Some(full), entry.why);
                self.set(full, entry.to, value.to_owned());
            }
            Class::Dropped if is_missed(entry.key, value) => {
                let kind = match entry.key {
                    "agent-image" | "agent-set-security-context" => Kind::Operator,
                    _ => Kind::Difference,
                };
                self.note(kind, Some(full), entry.why);
            }
            Class::Refused if asks(entry.key, value) => self.refuse(full, entry.why),
            Class::Dropped | Class::Refused => {}
        }
    }

    fn init_only(&mut self, full: &str, value: &str, entry: &Entry) {
        match boolean(value) {
            Some(true) if self.value("agent-pre-populate").and_then(boolean) == Some(false) => {
                self.refuse(full, "with agent-pre-populate false no agent runs at all: take both away, and agent-inject");
            }
            Some(true) if !self.is_on("agent-inject-token") => {
                self.refuse(full, "Keyside's init-only leaves a token file and nothing else, and this pod asks for none");
            }
            Some(true) => {
                self.note(Kind::Difference, Some(full), entry.why);
                self.set(full, entry.to, "init-only".to_owned());
            }
            Some(false) => {}
            None => self.refuse(full, "read no boolean, which vault-k8s denies as well"),
        }
    }

    fn method_name(&self) -> &str {
        match self.value("auth-type") {
            None | Some("") => "kubernetes",
            Some(name) => name,
        }
    }

    fn method(&mut self, full: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if login::has_role(value).is_none() {
            let text = format!(
                "Keyside does not log in with the method {}",
                printable(value)
            );
            self.refuse(full, text);
            return;
        }
        if value != "kubernetes" && self.value("auth-path").is_none() {
            let text = format!(
                "vault-k8s takes the mount from its flag -vault-auth-path, Keyside takes auth/{value}: write \
                 keyside.dev/auth-mount where it is another"
            );
            self.note(Kind::Operator, Some(full), text);
        }
        self.set(full, "auth-method", value.to_owned());
    }

    fn role(&mut self, full: &str, value: &str) {
        let method = self.method_name();
        if login::has_role(method) == Some(false) {
            let text = format!("the method {method} has no role");
            self.note(Kind::Difference, Some(full), text);
        } else {
            self.set(full, "role", value.to_owned());
        }
    }

    /// A parameter of the method.
    fn parameter(&mut self, full: &str, parameter: &str, value: &str) {
        let parameter = parameter.replace('_', "-");
        let name = format!("auth-{parameter}");
        if parameter == "role" {
            if self.value("role").is_some() {
                self.note(
                    Kind::Difference,
                    Some(full),
                    "the annotation role is there as well, which wins",
                );
            } else {
                self.role(full, value);
            }
        } else if let Some(why) = login::secret(&parameter) {
            self.refuse(full, why);
        } else if let Some(why) = login::refusal(&parameter) {
            self.note(Kind::Difference, Some(full), why);
        } else if parameter == "path" && value.contains("serviceaccount") {
            let why =
                "the service-account token is one of Keyside's own: keyside.dev/audience shapes it";
            self.note(Kind::Difference, Some(full), why);
        } else if !key::KNOWN.contains(&name.as_str()) {
            self.refuse(full, "no way to log in has such a parameter");
        } else if !login::is_file(&parameter) {
            self.set(full, &name, value.to_owned());
        } else if let Some(reference) = self.reference(value) {
            let text = format!("{} is mounted as {reference}", printable(value));
            self.note(Kind::Difference, Some(full), text);
            self.set(full, &name, reference);
        } else {
            self.refuse(full, no_reference(value, &name));
        }
    }

    fn authority(&mut self, full: &str, value: &str, entry: &Entry) {
        const OF_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
        if value.is_empty() {
            return;
        }
        // Kubernetes puts the cluster's own authority into each namespace.
        let of_cluster =
            (value == OF_CLUSTER).then(|| "configmap:kube-root-ca.crt/ca.crt".to_owned());
        match of_cluster.or_else(|| self.reference(value)) {
            Some(reference) => {
                self.note(Kind::Operator, Some(full), entry.why);
                self.set(full, entry.to, reference);
            }
            None => self.refuse(full, no_reference(value, entry.to)),
        }
    }

    fn client(&mut self, full: &str, value: &str, entry: &Entry) {
        if value.is_empty() {
            return;
        }
        let name = format!("auth-{}", entry.key);
        let given = format!("auth-config-{}", entry.key);
        if self.method_name() != "cert" {
            self.refuse(full, entry.why);
        } else if self.value(&given).is_some() {
            self.note(
                Kind::Difference,
                Some(full),
                "the parameter of the method is there as well, which wins",
            );
        } else if let Some(reference) = self.reference(value) {
            self.set(full, &name, reference);
        } else {
            self.refuse(full, no_reference(value, &name));
        }
    }

    fn service_account(&mut self, full: &str, value: &str, entry: &Entry) {
        if value.is_empty() {
            return;
        }
        let volumes = self.pod.pointer("/spec/volumes").and_then(Value::as_array);
        let volume = volumes
            .into_iter()
            .flatten()
            .find(|volume| volume.get("name").and_then(Value::as_str) == Some(value));
        let sources = volume.and_then(|volume| volume.pointer("/projected/sources")?.as_array());
        let mut tokens = sources
            .into_iter()
            .flatten()
            .filter_map(|source| source.get("serviceAccountToken"));
        let Some(token) = tokens.next().cloned() else {
            self.refuse(
                full,
                "the pod has no projected volume of this name with a service-account token",
            );
            return;
        };
        self.note(Kind::Difference, Some(full), entry.why);
        if let Some(seconds) = token.get("expirationSeconds").and_then(Value::as_u64) {
            self.set(full, "token-expiration", format!("{seconds}s"));
        }
        if let Some(audience) = token.get("audience").and_then(Value::as_str) {
            self.set(full, entry.to, audience.to_owned());
        }
    }

    /// What vault-k8s leaves out unless it is asked for, and Keyside puts in unless it is not wanted.
    fn round_off(&mut self) {
        if self.value("agent-inject").and_then(boolean) != Some(true) {
            return;
        }
        let (token, proxy) = (
            self.is_on("agent-inject-token"),
            self.is_on("agent-cache-enable"),
        );
        let init_only = self.is_on("agent-pre-populate-only");
        match (token, proxy) {
            (true, true) => {}
            (true, false) if init_only => {}
            (true, false) => self.add("proxy", "vault-k8s runs no proxy unless asked: take it away to have Keyside's, and VAULT_ADDR with it"),
            (false, true) => self.add("token", "vault-k8s writes no token file unless asked: take it away to have /keyside/token"),
            (false, false) => self.note(
                Kind::Difference,
                None,
                "it asks vault-k8s for neither a token file nor a cache, and gets both of Keyside",
            ),
        }
        if self.value("role").is_none()
            && self.value("auth-config-role").is_none()
            && login::has_role(self.method_name()) == Some(true)
        {
            self.note(
                Kind::Operator,
                None,
                "it names no role, and neither does vault-k8s: a profile has to",
            );
        }
    }

    fn add(&mut self, name: &str, why: &str) {
        let full = format!("{}{name}", key::PREFIX);
        let is_given = self.annotations.contains_key(&full) || self.out.new.contains_key(&full);
        if !is_given {
            self.out.new.insert(full.clone(), "false".to_owned());
            self.note(
                Kind::Difference,
                None,
                format!("{full}: \"false\" is added, for {why}"),
            );
        }
    }

    /// The Secret's file that a path in Vault Agent's container means.
    fn reference(&self, path: &str) -> Option<String> {
        let places = [
            ("/vault/custom/", "agent-extra-secret"),
            ("/vault/tls/", "tls-secret"),
        ];
        places.iter().find_map(|(folder, name)| {
            let file = path.strip_prefix(folder)?;
            let secret = self.value(name).filter(|secret| !secret.is_empty())?;
            Some(format!("secret:{secret}/{file}"))
        })
    }

    /// Whether a migrated annotation names a file of the Secret that `name` mounts.
    fn is_read(&self, name: &str) -> bool {
        let folder = if name == "tls-secret" {
            "/vault/tls/"
        } else {
            "/vault/custom/"
        };
        self.old.iter().any(|old| old.value.starts_with(folder))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let old = self.old.iter().find(|old| old.name == name);
        old.map(|old| old.value.as_str())
    }

    fn is_on(&self, name: &str) -> bool {
        self.value(name).and_then(boolean) == Some(true)
    }

    fn set(&mut self, full: &str, name: &str, value: String) {
        let new = format!("{}{name}", key::PREFIX);
        let there = self.annotations.get(&new).and_then(Value::as_str);
        if there.is_some_and(|there| there != value) {
            self.refuse(
                full,
                format!("{new} is there as well, with another value: keep one of them"),
            );
            return;
        }
        if there.is_none() && !self.out.new.contains_key(&new) {
            self.out.renamed.insert(full.to_owned(), new.clone());
        }
        self.out.new.insert(new, value);
    }

    fn refuse(&mut self, full: &str, why: impl Into<String>) {
        self.out.refused.push(full.to_owned());
        self.note(Kind::NotMigrated, Some(full), why);
    }

    fn note(&mut self, kind: Kind, key: Option<&str>, text: impl Into<String>) {
        self.out.notes.push(Note {
            kind,
            key: key.map(str::to_owned),
            text: text.into(),
        });
    }
}

fn no_reference(path: &str, name: &str) -> String {
    format!(
        "{} is a file in Vault Agent's container; write keyside.dev/{name} with secret:NAME/KEY or configmap:NAME/KEY \
         instead",
        printable(path)
    )
}
