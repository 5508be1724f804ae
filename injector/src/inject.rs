//! What injection adds to a pod: volumes, the agent's container, mounts, environment, annotations.
//!
//! ```text
//! Injection, Pod → containers (which, where) → agent_config → volumes, environment, agent → additions → patch
//! ```
//!
//! Invariant: pure. Only what is missing is added, and the rest of the pod is not so much as mentioned.
//! Invariant: injecting an injected pod changes nothing. What someone else changed about our container stays.

pub(crate) mod additions;
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
pub(crate) mod pod;
pub(crate) mod quantity;
pub(crate) mod resources;
pub(crate) mod volumes;
pub(crate) mod windows;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use keyside_config::model::auto_auth::Login;
use keyside_config::model::vault::Vault;
use keyside_config::model::{AttachToken, Limits, LogFormat, LogLevel, Mode, StaticSecrets};
use serde_json::Value;

use crate::annotation::{Annotations, printable};
use crate::trace::{Subject, Trace, words};
use additions::{Additions, Completed};
use containers::{Chosen, Kind};
use environment::{Environment, Reached};
use fingerprint::OwnAgent;
use patch::Operation;
use pod::Pod;
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

/// All that a pod asked for.
#[derive(Debug)]
pub(crate) struct Injected {
    /// Empty where the pod has all of it.
    pub patch: Vec<Operation>,
    pub warnings: Vec<String>,
    /// See [`fingerprint::hash`].
    pub config_hash: String,
}

/// Injects the agent into a pod.
pub(crate) fn apply(
    pod: &Pod,
    annotations: &Annotations,
    injection: &Injection,
    trace: &mut Trace,
) -> Result<Injected, Error> {
    if windows::is_meant(pod) {
        return Err(Error::Windows);
    }
    trace.decided(Subject::Application, "mount", "containers");
    trace.decided_by(Subject::Application, "env", &["proxy-port", "proxy"]);
    let mut additions = Additions::default();
    let (agent, chosen) = match fingerprint::own_agent(pod, annotations)? {
        Some(agent) => {
            let chosen = containers::choose(pod, agent.first_after, injection, trace)?;
            (agent, chosen)
        }
        None => add_agent(pod, &mut additions, injection, trace)?,
    };
    additions.volumes = volumes::missing(pod, injection, trace);
    let mut warnings = Vec::from_iter(mesh::warning(pod, annotations, &injection.vault.address));
    warnings.extend(agent.never_ends(pod));
    // The one that goes on running comes last.
    let reached = Reached::read(agent.configs.last().map_or("", String::as_str));
    warnings.extend(reached.port_warnings(pod));
    for &(kind, place) in &chosen.containers {
        let Some(container) = pod.list(kind).get(place) else {
            continue;
        };
        let address = reached.proxy.as_deref().filter(|_| agent.serves(kind));
        if address.is_none() && agent.is_classic && kind == Kind::Init {
            let piece = || words::environment_of(container.name);
            trace.left_out(piece, "sidecar");
        }
        // One that has the mount is complete.
        let Some(mount) = volumes::missing_mount(container)? else {
            continue;
        };
        let variables = match address.map(|address| environment::of(container, address, trace)) {
            None => Vec::new(),
            Some(Environment::Variables(variables)) => variables,
            Some(Environment::Own(warning)) => {
                warnings.push(warning);
                Vec::new()
            }
        };
        additions.completed.push(Completed {
            kind,
            place,
            mount,
            variables,
        });
    }
    let config_hash = fingerprint::hash(&agent.configs, annotations);
    Ok(Injected {
        patch: additions.patch(pod, &config_hash),
        warnings,
        config_hash,
    })
}

/// Adds the agent's containers to a pod that has none. Returns what was added, and whom it is for.
fn add_agent(
    pod: &Pod,
    additions: &mut Additions,
    injection: &Injection,
    trace: &mut Trace,
) -> Result<(OwnAgent, Chosen), Error> {
    volumes::refuse_taken(pod)?;
    let first = containers::position(pod);
    let chosen = containers::choose(pod, first, injection, trace)?;
    let config = agent_config::build(pod, &chosen, injection, trace)?;
    let mut agent = OwnAgent {
        configs: Vec::new(),
        first_after: first,
        is_native: injection.sidecar == Sidecar::Native,
        is_classic: injection.sidecar == Sidecar::Classic,
    };
    for part in agent::parts(injection).iter().copied() {
        let config = agent_config::text(&part.of(&config));
        let container = agent::container(pod, &chosen, injection, (part, &config), trace);
        match part.kind() {
            Kind::Init => additions.init = Some((first, container)),
            Kind::Application => additions.application = Some(container),
        }
        agent.configs.push(config);
    }
    Ok((agent, chosen))
}

/// Sets a member of an object.
fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value.into());
    }
}
