//! The variables by which an application's Vault client finds the proxy.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use super::names;
use super::pod::{Container, Pod};
use crate::trace::{Source, Trace, words};

/// Vault's and OpenBao's clients; the `AGENT` ones win over the others in both.
const VARIABLES: [&str; 4] = [
    "VAULT_ADDR",
    "VAULT_AGENT_ADDR",
    "BAO_ADDR",
    "BAO_AGENT_ADDR",
];

/// Where an agent is reached, as far as its configuration says so.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// Its proxy: over TCP where that is, else the Unix socket.
    pub proxy: Option<String>,
    /// `HOST:PORT` of its metrics.
    metrics: Option<String>,
}

/// What is read of a configuration here.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    listener: Vec<Listener<'a>>,
    #[serde(default)]
    admin: Admin,
}

#[derive(Deserialize)]
struct Listener<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    address: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Admin {
    address: Option<String>,
}

impl Reached {
    /// The text and not the type is read, because on a second pass the configuration is the one that the pod came with.
    pub(crate) fn read(config: &str) -> Self {
        let Ok(Read { listener, admin }) = serde_json::from_str(config) else {
            return Self::default();
        };
        let of_type = |wanted: &str| {
            let listener = listener.iter().find(|listener| listener.kind == wanted)?;
            listener.address.as_deref()
        };
        let tcp = of_type("tcp").and_then(|address| address.rsplit_once(':'));
        let tcp = tcp.map(|(_, port)| format!("http://127.0.0.1:{port}"));
        Self {
            proxy: tcp.or_else(|| of_type("unix").map(|path| format!("unix://{path}"))),
            metrics: admin.address,
        }
    }

    /// Warns of containers that declare a TCP port of the agent's: two cannot listen on one, and the agent comes first.
    pub(crate) fn port_warnings(&self, pod: &Pod) -> Vec<String> {
        let proxy = self.proxy.as_deref();
        let warnings = [
            (
                proxy.and_then(|address| address.strip_prefix("http://")),
                "the agent's proxy listens on localhost",
                "keyside.dev/proxy-port",
            ),
            (
                self.metrics.as_deref(),
                "the agent tells its metrics",
                "keyside.dev/metrics-port",
            ),
        ];
        let warnings = warnings.into_iter();
        warnings
            .filter_map(|(address, what, annotation)| port_warning(pod, address?, what, annotation))
            .collect()
    }
}

fn port_warning(pod: &Pod, address: &str, what: &str, annotation: &str) -> Option<String> {
    let (_, port) = address.rsplit_once(':')?;
    let port: i32 = port.parse().ok()?;
    let declares = |container: &&Container| {
        let mut ports = container.ports.iter();
        ports.any(|one| one.number == port && one.protocol.is_none_or(|name| name == "TCP"))
    };
    let others = pod.containers.iter();
    let mut others = others.filter(|one| !names::CONTAINERS.contains(&one.name));
    let name = others.find(declares)?.name;
    Some(format!(
        "container \"{name}\" declares port {port}, where {what}: it may fail to start. Set {annotation} to another \
         port"
    ))
}

/// What a container's environment gets.
pub(crate) enum Environment {
    Variables(Vec<Value>),
    /// Nothing, with what to tell the pod's author.
    Own(String),
}

/// The variables, unless the container chose an address itself: then all are left alone, and a warning says so.
///
/// Adding the rest would overrule that choice, since clients prefer `VAULT_AGENT_ADDR` to `VAULT_ADDR` and OpenBao's
/// prefer `BAO_ADDR` to both. What comes by `envFrom` cannot be seen here and is overruled, as by any variable that
/// is named.
pub(crate) fn of(container: &Container, address: &str, trace: &mut Trace) -> Environment {
    let mut set = container.env.iter().map(|variable| variable.name);
    let Some(set) = set.find(|name| VARIABLES.contains(name)) else {
        let variables = VARIABLES.map(|name| json!({ "name": name, "value": address }));
        return Environment::Variables(variables.into());
    };
    let name = container.name;
    trace.left_out_because(
        || words::environment_of(name),
        || Source::Pod(words::sets(set).into()),
    );
    Environment::Own(format!(
        "container \"{name}\" sets {set} itself and keeps it: it reaches the agent's proxy only at {address} by its own \
         choice"
    ))
}
