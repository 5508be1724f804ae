//! The variables by which an application's Vault client finds the proxy.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{array, names};
use crate::trace::{Source, Trace, words};

/// Vault's and OpenBao's clients; the `AGENT` ones win over the others in both.
const VARIABLES: [&str; 4] = [
    "VAULT_ADDR",
    "VAULT_AGENT_ADDR",
    "BAO_ADDR",
    "BAO_AGENT_ADDR",
];

/// What is read of a configuration here.
#[derive(Deserialize)]
struct Listeners<'a> {
    #[serde(borrow)]
    listener: Vec<Listener<'a>>,
}

#[derive(Deserialize)]
struct Listener<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    address: Option<Cow<'a, str>>,
}

/// Where the proxy of an agent with this configuration is reached: over TCP where it can be, else the Unix socket.
///
/// The text and not the type is read, because on a second pass the configuration is the one that the pod came with.
pub(crate) fn address(config: &str) -> Option<String> {
    let Listeners { listener: all } = serde_json::from_str(config).ok()?;
    let of_type = |wanted: &str| {
        let listener = all.iter().find(|listener| listener.kind == wanted)?;
        listener.address.as_deref()
    };
    let tcp = of_type("tcp").and_then(|address| address.rsplit_once(':'));
    tcp.map(|(_, port)| format!("http://127.0.0.1:{port}"))
        .or_else(|| of_type("unix").map(|path| format!("unix://{path}")))
}

/// Warns of containers that declare a TCP port of the agent's: two cannot listen on one, and the agent comes first.
pub(crate) fn port_warnings(spec: &PodSpec, address: Option<&str>, config: &str) -> Vec<String> {
    let proxy = address.and_then(|address| address.strip_prefix("http://"));
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let metrics = config.pointer("/admin/address").and_then(Value::as_str);
    let warnings = [
        (
            proxy,
            "the agent's proxy listens on localhost",
            "keyside.dev/proxy-port",
        ),
        (
            metrics,
            "the agent tells its metrics",
            "keyside.dev/metrics-port",
        ),
    ];
    let warnings = warnings.into_iter();
    warnings
        .filter_map(|(address, what, annotation)| port_warning(spec, address?, what, annotation))
        .collect()
}

fn port_warning(spec: &PodSpec, address: &str, what: &str, annotation: &str) -> Option<String> {
    let (_, port) = address.rsplit_once(':')?;
    let port: i32 = port.parse().ok()?;
    let declares = |container: &&Container| {
        let mut ports = container.ports.iter().flatten();
        ports.any(|one| {
            one.container_port == port && one.protocol.as_ref().is_none_or(|name| name == "TCP")
        })
    };
    let others = spec.containers.iter();
    let mut others = others.filter(|one| !names::CONTAINERS.contains(&one.name.as_str()));
    let name = &others.find(declares)?.name;
    Some(format!(
        "container \"{name}\" declares port {port}, where {what}: it may fail to start. Set {annotation} to another \
         port"
    ))
}

/// Adds the variables, unless the container chose an address itself: then all are left alone, and a warning says so.
///
/// Adding the rest would overrule that choice, since clients prefer `VAULT_AGENT_ADDR` to `VAULT_ADDR` and OpenBao's
/// prefer `BAO_ADDR` to both. What comes by `envFrom` cannot be seen here and is overruled, as by any variable that
/// is named.
pub(crate) fn add(
    container: &mut Value,
    name: &str,
    address: &str,
    trace: &mut Trace,
) -> Option<String> {
    let variables = array(container, "env");
    let chosen = variables.iter().find_map(|variable| {
        let set = variable.get("name")?.as_str()?;
        VARIABLES.contains(&set).then(|| set.to_owned())
    });
    if let Some(set) = chosen {
        trace.left_out_because(
            || words::environment_of(name),
            || Source::Pod(words::sets(&set).into()),
        );
        return Some(format!(
            "container \"{name}\" sets {set} itself and keeps it: it reaches the agent's proxy only at {address} by \
             its own choice"
        ));
    }
    for name in VARIABLES {
        variables.push(json!({ "name": name, "value": address }));
    }
    None
}
