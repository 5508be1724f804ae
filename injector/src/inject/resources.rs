//! What the agent's container asks of the node.

use serde_json::{Map, Value, json};

use super::Agent;
use super::pod::{Pod, Resources};
use super::quantity::Quantity;
use crate::trace::{Source, Subject, Trace, words};

/// The least memory limit, in bytes: the tmpfs at `/keyside` may hold 16 MiB, and the agent lives beside it.
pub(crate) const LEAST_MEMORY: u64 = 32 << 20;

const CPU_REQUEST: &str = "5m";
const MEMORY_REQUEST: &str = "16Mi";
const MEMORY_LIMIT: &str = "64Mi";

/// A hard ceiling, unlike a request, is felt: with 5m the proxy would answer within its first half millisecond of
/// every 100 and then stand still.
const GUARANTEED_CPU: &str = "50m";

/// The memory limit, which bounds the cache too.
pub(crate) fn memory_limit(agent: &Agent) -> Quantity {
    agent
        .memory_limit
        .clone()
        .unwrap_or_else(|| amount(MEMORY_LIMIT))
}

/// `resources` of the agent's container.
///
/// What the pod as a whole has been given (`spec.resources`) is divided by its author: the API server refuses containers
/// that ask for more together, or one whose limit is above the pod's. There the agent asks for nothing by itself.
pub(crate) fn requirements(pod: &Pod, agent: &Agent, trace: &mut Trace) -> Value {
    let (mut limits, mut requests) = usual(pod, agent, trace);
    for (name, request, limit) in [
        ("cpu", &agent.cpu_request, &agent.cpu_limit),
        ("memory", &agent.memory_request, &agent.memory_limit),
    ] {
        if !pod.resources.mention(name) {
            continue;
        }
        if limit.is_none() || request.is_none() {
            trace.left_out_because(
                || words::share_of(name),
                || Source::Pod(words::POD_LEVEL.into()),
            );
        }
        if limit.is_none() {
            limits.remove(name);
        }
        // Beside a limit, an absent request would become as large as it.
        if limit.is_none() && request.is_none() {
            requests.remove(name);
        }
    }
    json!({ "limits": limits, "requests": requests })
}

/// Limits and requests.
///
/// There is no CPU limit unless asked for: it would slow a login down and save nothing. A pod whose other
/// containers make it `Guaranteed` stays so: there requests equal limits.
fn usual(pod: &Pod, agent: &Agent, trace: &mut Trace) -> (Map<String, Value>, Map<String, Value>) {
    trace.decided(Subject::Agent, "resources.limits.memory", "memory-limit");
    let text = |quantity: &Option<Quantity>, default: &str| {
        quantity.as_ref().map_or(default, Quantity::text).to_owned()
    };
    let memory = text(&agent.memory_limit, MEMORY_LIMIT);
    if is_guaranteed(pod) {
        let cpu = agent
            .cpu_limit
            .clone()
            .or_else(|| agent.cpu_request.clone());
        for (path, asked) in [
            ("resources.limits.cpu", cpu.is_some()),
            ("resources.requests.cpu", cpu.is_some()),
            ("resources.requests.memory", false),
        ] {
            if asked {
                trace.decided_by(Subject::Agent, path, &["cpu-limit", "cpu-request"]);
            } else {
                trace.because(Subject::Agent, path, || {
                    Source::Pod(words::GUARANTEED.into())
                });
            }
        }
        let amounts = amounts([("cpu", text(&cpu, GUARANTEED_CPU)), ("memory", memory)]);
        return (amounts.clone(), amounts);
    }
    trace.decided(Subject::Agent, "resources.limits.cpu", "cpu-limit");
    trace.decided(
        Subject::Agent,
        "resources.requests.memory",
        "memory-request",
    );
    trace.decided(Subject::Agent, "resources.requests.cpu", "cpu-request");
    let mut limits = amounts([("memory", memory)]);
    if let Some(cpu) = &agent.cpu_limit {
        limits.insert("cpu".to_owned(), cpu.text().into());
    }
    // A request above its limit would be refused.
    let default_cpu = agent.cpu_limit.clone().map_or_else(
        || CPU_REQUEST.to_owned(),
        |limit| limit.min(amount(CPU_REQUEST)).text().to_owned(),
    );
    if agent.cpu_request.is_none() && default_cpu != CPU_REQUEST {
        trace.decided(Subject::Agent, "resources.requests.cpu", "cpu-limit");
    }
    let requests = amounts([
        ("cpu", text(&agent.cpu_request, &default_cpu)),
        ("memory", text(&agent.memory_request, MEMORY_REQUEST)),
    ]);
    (limits, requests)
}

fn amounts<const N: usize>(amounts: [(&str, String); N]) -> Map<String, Value> {
    let entries = amounts.into_iter();
    entries
        .map(|(name, amount)| (name.to_owned(), amount.into()))
        .collect()
}

fn amount(text: &str) -> Quantity {
    Quantity::parse(text).expect("a constant of this file, which the tests read")
}

/// Whether the pod, as its author wrote it, is of the `Guaranteed` class.
fn is_guaranteed(pod: &Pod) -> bool {
    pod.spec.is_some()
        && pod
            .all_containers()
            .all(|container| requests_equal_limits(container.resources))
}

fn requests_equal_limits(resources: Resources) -> bool {
    ["cpu", "memory"].iter().all(|name| {
        // The API server takes a request that is absent from the limit.
        resources.limit(name).is_some_and(|limit| {
            let request = resources.request(name);
            equal(&limit, request.as_ref().unwrap_or(&limit))
        })
    })
}

/// A zero is as good as no limit.
fn equal(limit: &str, request: &str) -> bool {
    match (Quantity::parse(limit), Quantity::parse(request)) {
        (Some(limit), Some(request)) => limit == request && !limit.is_zero(),
        _ => limit == request,
    }
}
