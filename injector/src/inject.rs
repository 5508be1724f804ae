//! What injection adds to a pod: volumes, the agent's container, mounts, environment, annotations.
//!
//! ```text
//! Injection, Pod → containers (which, where) → agent_config → volumes, environment, agent → the edited JSON
//! ```
//!
//! Invariant: pure. The pod is read typed and edited as JSON, so that fields which the types do not know survive.
//! Invariant: injecting an injected pod changes nothing. What someone else changed about our container stays.

pub(crate) mod agent;
pub(crate) mod agent_config;
pub(crate) mod containers;
pub(crate) mod environment;
pub(crate) mod files;
pub(crate) mod fingerprint;
pub(crate) mod identity;
pub(crate) mod mesh;
pub(crate) mod names;
pub(crate) mod patch;
pub(crate) mod quantity;
pub(crate) mod resources;
pub(crate) mod volumes;
pub(crate) mod windows;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use keyside_config::model::auto_auth::Login;
use keyside_config::model::vault::Vault;
use keyside_config::model::{AttachToken, Limits, LogFormat, LogLevel, Mode, StaticSecrets};
use serde_json::{Value, json};

use crate::annotation::{Annotations, key, printable};
use crate::trace::{Subject, Trace, words};
use containers::{Chosen, Kind};
use fingerprint::OwnAgent;
use quantity::Quantity;

/// What a pod asks for, with the installation's defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub sidecar: Sidecar,
    pub vault: Vault,
    pub login: Login,
    pub mount_path: String,
    /// Absent where it is not used to log in.
    pub service_account: Option<ServiceAccountToken>,
    pub files: files::Files,
    /// Where the agent tells its metrics to the whole pod network.
    pub metrics_port: Option<u16>,
    /// The containers that get mount and environment; absent means all.
    pub containers: Option<Vec<String>>,
    pub token: Option<TokenFile>,
    pub proxy: Option<Proxy>,
    /// Whether the token ends with the agent.
    pub revoke_on_exit: bool,
    /// How long the agent may take to be up; absent: as long as it takes.
    pub start_timeout: Option<Duration>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    pub agent: Agent,
}

/// What the agent is in the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sidecar {
    /// An init container that goes on running (Kubernetes 1.29).
    #[default]
    Native,
    /// For older clusters: an init container logs in and hands its token over to an ordinary container.
    Classic,
    /// An init container that leaves the token file behind.
    InitOnly,
}

/// The projected service-account token.
#[derive(Clone, Debug)]
pub(crate) struct ServiceAccountToken {
    /// The API server's own where absent.
    pub audience: Option<String>,
    pub expiration_seconds: u64,
}

/// The file that holds the Vault token.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile {
    pub path: PathBuf,
    /// Chosen by who has to read it where absent.
    pub mode: Option<Mode>,
}

/// The caching proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub port: Port,
    /// Whether there is a Unix socket.
    pub socket: bool,
    pub attach: AttachToken,
    pub require_header: bool,
    /// Absent: secrets of KV engines are not kept.
    pub cache_kv: Option<StaticSecrets>,
    /// Of what the pod's clients send to Vault; absent: there is none.
    pub limits: Option<Limits>,
}

/// The proxy's TCP port on the pod's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Nothing was said: the usual one, where TCP is safe.
    Default,
    /// This one, or the pod is refused.
    Asked(u16),
    /// The Unix socket only.
    None,
}

/// The agent's container, as far as a pod may shape it.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub image: String,
    /// Whether the cluster chooses user and group where nothing is asked for: `OpenShift` has a range of them for each
    /// namespace, fills them in after this webhook, and refuses any other.
    pub user_of_cluster: bool,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub cpu_request: Option<Quantity>,
    pub cpu_limit: Option<Quantity>,
    pub memory_request: Option<Quantity>,
    pub memory_limit: Option<Quantity>,
}

/// Why a pod cannot be injected as it asks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the pod is for Windows nodes, where the agent does not run; remove keyside.dev/inject"
    )]
    Windows,
    #[error("annotation keyside.dev/containers: this pod has no container \"{name}\"; allowed: {}", .known.join(", "))]
    UnknownContainer { name: String, known: Vec<String> },
    #[error(
        "annotation keyside.dev/containers: init container \"{name}\" runs before the agent, because the mesh's proxy \
         has to start first; allowed: {}", .known.join(", ")
    )]
    BeforeAgent { name: String, known: Vec<String> },
    #[error(
        "annotation keyside.dev/proxy-port: read \"{port}\", but the pod is hostNetwork, where every process of the \
         node could use its Vault token; allowed: none (the Unix socket), or leave it away"
    )]
    HostNetworkPort { port: u16 },
    #[error(
        "annotation keyside.dev/proxy-port: read \"{port}\", but keyside.dev/containers leaves out containers, and all \
         containers of a pod share its ports; allowed: none (the Unix socket), or leave it away"
    )]
    SharedPort { port: u16 },
    #[error(
        "annotation keyside.dev/proxy-socket: read \"false\", but {because}, so that the proxy is the Unix socket only; \
         allowed: true, or keyside.dev/proxy false"
    )]
    NoSocket { because: &'static str },
    #[error(
        "a container named \"{name}\" is there already and is not what these annotations gave; remove or rename \
         it (and, where the pod was injected before, what else Keyside added to it)"
    )]
    ContainerTaken { name: &'static str },
    #[error("a volume named \"{name}\" is there already; Keyside needs this name: rename it")]
    VolumeTaken { name: String },
    #[error(
        "container \"{container}\" already mounts volume \"{volume}\" at /keyside, where Keyside's own volume goes"
    )]
    MountTaken { container: String, volume: String },
    #[error(
        "container \"{container}\" mounts volume \"{volume}\" at {}, inside Keyside's own volume at /keyside, where no \
         folder for it can be made: mount it elsewhere", printable(.path)
    )]
    MountInside {
        container: String,
        volume: String,
        path: String,
    },
}

/// The pod with all that it asked for in it.
#[derive(Debug)]
pub(crate) struct Injected {
    pub pod: Value,
    pub warnings: Vec<String>,
    /// See [`fingerprint::hash`].
    pub config_hash: String,
}

/// Injects the agent into `json`, which `pod` was read from.
pub(crate) fn apply(
    pod: &Pod,
    json: &Value,
    annotations: &Annotations,
    injection: &Injection,
    trace: &mut Trace,
) -> Result<Injected, Error> {
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    if windows::is_meant(spec) {
        return Err(Error::Windows);
    }
    let mut edited = json.clone();
    trace.decided(Subject::Application, "mount", "containers");
    trace.decided_by(Subject::Application, "env", &["proxy-port", "proxy"]);
    let (agent, chosen) = match fingerprint::own_agent(spec, annotations)? {
        Some(agent) => {
            let chosen = containers::choose(spec, agent.first_after, injection, trace)?;
            (agent, chosen)
        }
        None => add_agent(pod, spec, &mut edited, injection, trace)?,
    };
    volumes::complete(list(&mut edited, "volumes"), injection, trace);
    let mut warnings = Vec::from_iter(mesh::warning(spec, annotations, &injection.vault.address));
    warnings.extend(agent.never_ends(spec));
    // The one that goes on running comes last.
    let config = agent.configs.last().map_or("", String::as_str);
    let address = environment::address(config);
    warnings.extend(environment::port_warnings(spec, address.as_deref(), config));
    for (kind, name) in &chosen.containers {
        let address = address.as_deref().filter(|_| agent.serves(*kind));
        if address.is_none() && agent.is_classic && *kind == Kind::Init {
            let piece = || words::environment_of(name);
            trace.left_out(piece, "sidecar");
        }
        if let Some(container) = find(list(&mut edited, kind.field()), name) {
            warnings.extend(complete(container, name, address, trace)?);
        }
    }
    let config_hash = fingerprint::hash(&agent.configs, annotations);
    annotate(&mut edited, &config_hash);
    Ok(Injected {
        pod: edited,
        warnings,
        config_hash,
    })
}

/// Adds the agent's containers to a pod that has none. Returns what was added, and whom it is for.
fn add_agent(
    pod: &Pod,
    spec: &PodSpec,
    edited: &mut Value,
    injection: &Injection,
    trace: &mut Trace,
) -> Result<(OwnAgent, Chosen), Error> {
    volumes::refuse_taken(spec)?;
    let index = containers::position(spec);
    let chosen = containers::choose(spec, index, injection, trace)?;
    let config = agent_config::build(spec, &chosen, injection, trace)?;
    let mut agent = OwnAgent {
        configs: Vec::new(),
        first_after: index,
        is_native: injection.sidecar == Sidecar::Native,
        is_classic: injection.sidecar == Sidecar::Classic,
    };
    for part in agent::parts(injection).iter().copied() {
        let config = agent_config::text(&part.of(&config));
        let container = agent::container(pod, &chosen, injection, (part, &config), trace);
        let containers = list(edited, part.kind().field());
        match part.kind() {
            Kind::Init => containers.insert(index.min(containers.len()), container),
            // Behind the application's own, of which the first is what tools mean where they are not told.
            Kind::Application => containers.push(container),
        }
        agent.configs.push(config);
    }
    Ok((agent, chosen))
}

/// Gives an application's container its mount and environment; one that has the mount already is complete.
fn complete(
    container: &mut Value,
    name: &str,
    address: Option<&str>,
    trace: &mut Trace,
) -> Result<Option<String>, Error> {
    if !volumes::mount(container, name)? {
        return Ok(None);
    }
    Ok(address.and_then(|address| environment::add(container, name, address, trace)))
}

fn annotate(pod: &mut Value, config_hash: &str) {
    let annotations = member(member(pod, "metadata"), "annotations");
    *member(annotations, key::STATUS) = "injected".into();
    *member(annotations, key::VERSION) = env!("CARGO_PKG_VERSION").into();
    *member(annotations, key::CONFIG_HASH) = config_hash.into();
}

/// The list at `key` of the pod's `spec`, made where it is absent.
fn list<'a>(pod: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    array(member(pod, "spec"), key)
}

/// The list at `key`, made where it is absent.
fn array<'a>(value: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    let member = member(value, key);
    if !member.is_array() {
        *member = json!([]);
    }
    member.as_array_mut().expect("made one above")
}

/// What is at `key`, null where nothing was.
fn member<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    let members = value.as_object_mut().expect("made one above");
    members.entry(key).or_insert(Value::Null)
}

fn find<'a>(list: &'a mut [Value], name: &str) -> Option<&'a mut Value> {
    list.iter_mut()
        .find(|element| element.get("name").and_then(Value::as_str) == Some(name))
}
