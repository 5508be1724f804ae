//! The agent's container.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::containers::Chosen;
use super::{Injection, identity, names, resources, volumes};

/// The native sidecar, with the startup probe that holds everything behind it until the token is there.
///
/// The probe's threshold is the largest there is: a Vault that is away must not restart the agent, which would lose
/// its backoff. There is no other probe and no hook: what serves or fails later is the agent's to mend.
pub(crate) fn container(pod: &Pod, chosen: &Chosen, injection: &Injection, config: &str) -> Value {
    let mut container = json!({
        "name": names::CONTAINER,
        "image": injection.agent.image,
        "env": [{ "name": names::CONFIG_VARIABLE, "value": config }],
        "resources": resources::requirements(pod, &injection.agent),
        "restartPolicy": "Always",
        "securityContext": security_context(pod, chosen, injection),
        "startupProbe": {
            "exec": { "command": [names::BINARY, "probe", "startup"] },
            "failureThreshold": i32::MAX,
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
        // The last lines of a container that failed show up in `kubectl describe`.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": volumes::of_agent(injection),
    });
    if let Some(port) = injection.metrics_port {
        *super::member(&mut container, "ports") =
            json!([{ "name": names::METRICS_PORT_NAME, "containerPort": port }]);
    }
    container
}

/// What Pod Security `restricted` asks for, and a little more.
fn security_context(pod: &Pod, chosen: &Chosen, injection: &Injection) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let (user, group) = identity::of_agent(pod, chosen, &injection.agent);
    for (name, id) in [("runAsUser", user), ("runAsGroup", group)] {
        if let Some(id) = id {
            *super::member(&mut context, name) = id.into();
        }
    }
    context
}
