//! The one decision of the injector: what becomes of a pod that someone wants to create.
//!
//! The webhook and `keyside-injector inject` both call [`admit`].
//!
//! Invariant: no I/O, no clock, no chance: the same request and defaults give the same verdict, byte for byte.
//! Invariant: admitting the patched pod again gives an empty patch.

pub(crate) mod reason;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use keyside_config::model::{LogFormat, LogLevel};
use serde::Deserialize as _;
use serde_json::Value;

use crate::annotation::{self, Annotations, printable};
use crate::inject::pod::{Pod, Unlike};
use crate::inject::{self, Injection, Sidecar, patch, quantity};
use crate::profile::Profiles;
use crate::trace::{Source, Trace};
use patch::Operation;
use reason::Reason;

/// Where the cluster's own pods run, which nothing may keep from starting.
pub(crate) const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "kube-public"];

/// By which the kubelet marks its copy of a static pod.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// What the operator of this installation chose; a pod's annotations come on top.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    /// The agent's image.
    pub agent_image: String,
    /// Vault's address: `http://`, `https://` or `unix://`.
    pub vault_address: Option<String>,
    /// Vault's namespace.
    pub vault_namespace: Option<String>,
    /// What to trust at Vault's address: certificates as PEM text. The system's roots where absent.
    pub vault_ca: Option<String>,
    /// The name that Vault's certificate must bear, where it is not the address's host.
    pub vault_tls_server_name: Option<String>,
    /// Where the `kubernetes` auth method is mounted: `auth/kubernetes`.
    pub auth_mount: String,
    /// Audience of the service-account token; the API server's own where absent.
    pub audience: Option<String>,
    /// What the agent is in pods.
    pub sidecar: Sidecar,
    /// The agent's log level.
    pub log_level: LogLevel,
    /// The agent's log format.
    pub log_format: LogFormat,
    /// The injector's namespace, whose pods are left alone.
    pub own_namespace: Option<String>,
    /// Whether a pod may say with `keyside.dev/address` and `keyside.dev/namespace` which Vault it talks to.
    ///
    /// Off unless the operator allows it: whoever may create pods could otherwise send service-account tokens
    /// anywhere in the operator's name.
    pub allow_address_override: bool,
    /// Whether a pod may choose the agent's image with `keyside.dev/image`. Off unless the operator allows it.
    pub allow_image_override: bool,
    /// What pods can name with `keyside.dev/profile`; it comes on top of all the above.
    pub profiles: Profiles,
    /// The flags, without their dashes, that the operator set, each as it was given.
    pub given: BTreeMap<&'static str, String>,
}

impl Defaults {
    /// The defaults of an installation that says nothing but which image to run.
    pub(crate) fn new(agent_image: impl Into<String>) -> Self {
        Self {
            agent_image: agent_image.into(),
            vault_address: None,
            vault_namespace: None,
            vault_ca: None,
            vault_tls_server_name: None,
            auth_mount: "auth/kubernetes".to_owned(),
            audience: None,
            sidecar: Sidecar::default(),
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            own_namespace: None,
            allow_address_override: false,
            allow_image_override: false,
            profiles: Profiles::default(),
            given: BTreeMap::new(),
        }
    }

    /// Who set what a flag sets.
    pub(crate) fn source(&self, flag: &str) -> Source {
        let given = self.given.get(flag).cloned();
        given.map_or(Source::Keyside, Source::Flag)
    }
}

/// What an API server asks, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The pod, as sent.
    pub pod: &'a Value,
    /// `request.namespace`: the pod itself need not name it.
    pub namespace: &'a str,
    /// `request.operation`.
    pub operation: &'a str,
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The pod is allowed as it is.
    Untouched {
        reason: Reason,
        /// For our own log.
        why: String,
        warnings: Vec<String>,
        audit: Vec<(String, String)>,
    },
    /// The pod is allowed with the agent in it.
    Patched {
        /// Empty where the pod already holds all of it.
        patch: Vec<Operation>,
        /// For whoever creates the pod.
        warnings: Vec<String>,
        /// For the API server's audit log: keys without a prefix.
        audit: Vec<(String, String)>,
    },
    /// The pod is refused.
    Denied {
        reason: Reason,
        /// Which annotation, what was read, what is allowed: every mistake at once.
        message: String,
        warnings: Vec<String>,
        audit: Vec<(String, String)>,
    },
}

/// Decides about one request.
pub(crate) fn admit(request: &Request, defaults: &Defaults) -> Verdict {
    decide(request, defaults, needed, &mut Trace::default())
}

/// The same for a manifest, which no API server has read yet: every field of the pod has to be of its type. With notes
/// on what led to the verdict.
pub(crate) fn admit_noting(request: &Request, defaults: &Defaults, trace: &mut Trace) -> Verdict {
    decide(request, defaults, whole, trace)
}

type Reader = for<'a> fn(&'a Value) -> Result<Pod<'a>, Unreadable>;

fn decide(request: &Request, defaults: &Defaults, read: Reader, trace: &mut Trace) -> Verdict {
    if request.operation != "CREATE" {
        let why = format!("operation is {}", printable(request.operation));
        return untouched(Reason::Operation, why);
    }
    let annotations = annotations(request.pod);
    match annotation::wanted(&annotations) {
        Ok(false) => {
            let why = "not annotated with keyside.dev/inject: \"true\"";
            return untouched(Reason::NotAsked, why.to_owned());
        }
        Err(error) => return misread(&error, trace),
        Ok(true) => {}
    }
    if let Some((reason, why)) = exempt(request, &annotations, defaults) {
        return exempted(reason, why);
    }
    match annotation::read_noting(&annotations, defaults, trace) {
        Ok((injection, warnings)) => match read(request.pod) {
            Ok(pod) => inject(&pod, &annotations, &injection, warnings, trace),
            Err(error) => {
                trace.mistake(|| error.to_string());
                denied(Reason::Pod, &error, warnings)
            }
        },
        Err(error) => misread(&error, trace),
    }
}

fn misread(error: &annotation::Error, trace: &mut Trace) -> Verdict {
    for mistake in error.each() {
        trace.mistake(|| mistake.to_string());
    }
    denied(Reason::Annotation, error, error.warnings.clone())
}

/// The annotations of a pod that need not be readable otherwise.
fn annotations(pod: &Value) -> Annotations {
    let found = pod
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    found
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Why a pod is left alone although it asks.
fn exempt(
    request: &Request,
    annotations: &Annotations,
    defaults: &Defaults,
) -> Option<(Reason, String)> {
    let namespace = request.namespace;
    if SYSTEM_NAMESPACES.contains(&namespace) {
        let why = format!("Keyside does not inject into namespace {namespace}");
        return Some((Reason::SystemNamespace, why));
    }
    if defaults.own_namespace.as_deref() == Some(namespace) {
        let why = format!("Keyside does not inject into its own namespace, {namespace}");
        return Some((Reason::OwnNamespace, why));
    }
    // The kubelet's copy of a pod that already runs, which must stay what it is.
    annotations.contains_key(MIRROR).then(|| {
        (
            Reason::StaticPod,
            "Keyside cannot inject into a static pod".to_owned(),
        )
    })
}

fn inject(
    pod: &Pod,
    annotations: &Annotations,
    injection: &Injection,
    mut warnings: Vec<String>,
    trace: &mut Trace,
) -> Verdict {
    let injected = match inject::apply(pod, annotations, injection, trace) {
        Ok(injected) => injected,
        Err(error) => {
            trace.mistake(|| error.to_string());
            return denied(Reason::Placement, &error, warnings);
        }
    };
    warnings.extend(injected.warnings);
    let mut audit = audit("injected");
    audit.push(("config-hash".to_owned(), injected.config_hash));
    Verdict::Patched {
        patch: injected.patch,
        warnings,
        audit,
    }
}

/// The pod, as far as it is looked at.
fn needed(json: &Value) -> Result<Pod<'_>, Unreadable> {
    Pod::read(json).map_err(|Unlike| {
        let error = typed(json).err();
        error.unwrap_or_else(|| Unreadable("a value is not of its field's type".to_owned()))
    })
}

/// The pod, where all of it is one.
fn whole(json: &Value) -> Result<Pod<'_>, Unreadable> {
    typed(json)?;
    needed(json)
}

/// Reads the pod as its type. An API server writes quantities as text; manifests may have them as numbers, which the
/// type does not read.
fn typed(json: &Value) -> Result<v1::Pod, Unreadable> {
    v1::Pod::deserialize(json)
        .or_else(|_numbers| {
            let mut json = json.clone();
            quantity::write_as_text(&mut json);
            v1::Pod::deserialize(&json)
        })
        .map_err(|error| Unreadable(printable(&error.to_string())))
}

#[derive(Debug, thiserror::Error)]
#[error("this is not a pod that Kubernetes would take: {0}")]
struct Unreadable(String);

fn untouched(reason: Reason, why: String) -> Verdict {
    Verdict::Untouched {
        reason,
        why,
        warnings: Vec::new(),
        audit: audit("untouched"),
    }
}

fn exempted(reason: Reason, why: String) -> Verdict {
    Verdict::Untouched {
        reason,
        warnings: vec![format!("{why}; the pod is created without the agent")],
        why,
        audit: audit("untouched"),
    }
}

fn denied(reason: Reason, error: &dyn std::error::Error, warnings: Vec<String>) -> Verdict {
    Verdict::Denied {
        reason,
        message: error.to_string(),
        warnings,
        audit: audit("denied"),
    }
}

fn audit(decision: &str) -> Vec<(String, String)> {
    vec![
        ("decision".to_owned(), decision.to_owned()),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

#[cfg(test)]
mod tests;
