//! The agent's containers: one, or two where it is no native sidecar.

use keyside_config::model::{AttachToken, Config};
use serde_json::{Value, json};

use super::containers::{Chosen, Kind};
use super::pod::Pod;
use super::{Injection, Sidecar, identity, names, resources, set, volumes};
use crate::trace::{Subject, Trace};

/// One container of the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Native,
    /// Logs in, fills the sinks, leaves what it knows to the sidecar, and ends.
    InitThenSidecar,
    /// Goes on with what the init container left.
    Sidecar,
    /// Logs in, fills the sinks, and ends.
    Init,
}

/// The containers that a pod gets, in the order in which they start.
///
/// Beside a classic sidecar without a token file, an init container would hold the pod up for nothing: what it obtains
/// nobody could use before the sidecar runs.
pub(crate) fn parts(injection: &Injection) -> &'static [Part] {
    match injection.sidecar {
        Sidecar::Native => &[Part::Native],
        Sidecar::Classic if injection.token.is_none() => &[Part::Sidecar],
        Sidecar::Classic => &[Part::InitThenSidecar, Part::Sidecar],
        Sidecar::InitOnly => &[Part::Init],
    }
}

impl Part {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Sidecar => Kind::Application,
            Self::Native | Self::InitThenSidecar | Self::Init => Kind::Init,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Native | Self::Sidecar => names::CONTAINER,
            Self::InitThenSidecar | Self::Init => names::INIT_CONTAINER,
        }
    }

    /// Whether it goes on running.
    fn stays(self) -> bool {
        matches!(self, Self::Native | Self::Sidecar)
    }

    /// Its share of the agent's configuration. Who logs in, and where, is the same in all: what one leaves, another
    /// goes on with.
    pub(crate) fn of(self, config: &Config) -> Config {
        let mut config = config.clone();
        if !self.stays() {
            config.exit_after_auth = true;
            (config.cache, config.admin) = (None, None);
            config.listeners.clear();
            config.client_limits = None;
            config.attach_token = AttachToken::Never;
        }
        if self != Self::Sidecar {
            config.shutdown_delay = None;
        }
        if self == Self::Init {
            config.resume = None;
        }
        config
    }
}

/// A container of the agent's. The startup probe holds everything behind a native sidecar until the token is there.
///
/// Its threshold is the largest there is: a Vault that is away must not restart the agent, which would lose its
/// backoff. There is no other probe and no hook: what serves or fails later is the agent's to mend.
pub(crate) fn container(
    pod: &Pod,
    chosen: &Chosen,
    injection: &Injection,
    (part, config): (Part, &str),
    trace: &mut Trace,
) -> Value {
    trace.decided(Subject::Agent, "image", "image");
    trace.decided(Subject::Agent, "restartPolicy", "sidecar");
    trace.decided(Subject::Agent, "startupProbe", "sidecar");
    trace.decided(Subject::Agent, "ports", "metrics-port");
    trace.decided(Subject::Config, "exit_after_auth", "sidecar");
    let mut container = json!({
        "name": part.name(),
        "image": injection.agent.image,
        "env": [{ "name": names::CONFIG_VARIABLE, "value": config }],
        "resources": resources::requirements(pod, &injection.agent, trace),
        "securityContext": security_context(pod, chosen, injection, trace),
        // The last lines of a container that failed show up in `kubectl describe`.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": volumes::of_agent(injection, trace),
    });
    if part == Part::Native {
        set(&mut container, "restartPolicy", "Always");
    }
    if part.stays() {
        let probe = json!({
            "exec": { "command": [names::BINARY, "probe", "startup"] },
            "failureThreshold": i32::MAX,
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        });
        set(&mut container, "startupProbe", probe);
        if let Some(port) = injection.metrics_port {
            let named = json!({ "name": names::METRICS_PORT_NAME, "containerPort": port });
            set(&mut container, "ports", json!([named]));
        }
    }
    container
}

/// What Pod Security `restricted` asks for, and a little more.
fn security_context(pod: &Pod, chosen: &Chosen, injection: &Injection, trace: &mut Trace) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let (user, group) = identity::of_agent(pod, chosen, &injection.agent, trace);
    for (name, id) in [("runAsUser", user), ("runAsGroup", group)] {
        if let Some(id) = id {
            set(&mut context, name, id);
        }
    }
    context
}
