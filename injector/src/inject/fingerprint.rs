//! How the injector knows its own work when it sees a pod again.
//!
//! An API server calls a webhook once more when another one has changed the pod (`reinvocationPolicy: IfNeeded`). The
//! agent's containers are ours if their configurations, together with the annotations beside them, have the hash that
//! the pod carries. So a status copied from elsewhere skips nothing, an annotation edited in an exported pod is not
//! silently without effect, and another version of the injector still knows the container.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::containers::{self, Kind};
use super::pod::{Container, Pod};
use super::{Error, names};
use crate::annotation::{Annotations, key};

/// What a pod has of the agent, if that is ours.
#[derive(Debug)]
pub(crate) struct OwnAgent {
    /// Of each of its containers, in the order in which they start.
    pub configs: Vec<String>,
    /// The first init container that starts after it.
    pub first_after: usize,
    pub is_native: bool,
    pub is_classic: bool,
}

impl OwnAgent {
    /// Whether the proxy runs while containers of this kind do.
    pub(crate) fn serves(&self, kind: Kind) -> bool {
        self.is_native || kind == Kind::Application
    }

    /// Warns where the pod waits for an end that an ordinary container never has.
    pub(crate) fn never_ends(&self, pod: &Pod) -> Option<String> {
        let policy = pod.restart_policy.unwrap_or("Always");
        (self.is_classic && policy != "Always").then(|| {
            format!(
                "the pod is to end (restartPolicy: {policy}), and a classic sidecar does not: set keyside.dev/sidecar \
                 to init-only, or to native where the cluster has native sidecars"
            )
        })
    }
}

/// What the pod has of the agent, if any of it is there.
pub(crate) fn own_agent(pod: &Pod, annotations: &Annotations) -> Result<Option<OwnAgent>, Error> {
    let mut agent = OwnAgent {
        configs: Vec::new(),
        first_after: containers::position(pod),
        is_native: false,
        is_classic: false,
    };
    let mut taken = None;
    for (index, container) in pod.init_containers.iter().enumerate() {
        let Some(name) = ours(container) else {
            continue;
        };
        taken = Some(name);
        agent.first_after = index + 1;
        agent.is_native |= name == names::CONTAINER;
        agent.configs.extend(config(container).map(str::to_owned));
    }
    for container in &pod.containers {
        let Some(name) = ours(container) else {
            continue;
        };
        taken = Some(name);
        agent.is_classic |= name == names::CONTAINER;
        agent.configs.extend(config(container).map(str::to_owned));
    }
    match taken {
        None => Ok(None),
        Some(_)
            if annotations.get(key::CONFIG_HASH) == Some(&hash(&agent.configs, annotations)) =>
        {
            Ok(Some(agent))
        }
        Some(name) => Err(Error::ContainerTaken { name }),
    }
}

fn ours(container: &Container) -> Option<&'static str> {
    let mut names = names::CONTAINERS.into_iter();
    names.find(|name| container.name == *name)
}

fn config<'a>(agent: &Container<'a>) -> Option<&'a str> {
    let mut variables = agent.env.iter();
    variables
        .find(|variable| variable.name == names::CONFIG_VARIABLE)?
        .value
}

/// SHA-256 over the configurations and the annotations that gave them, each framed with its length; the first half, in
/// hexadecimal.
pub(crate) fn hash(configs: &[String], annotations: &Annotations) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    for config in configs {
        add(config);
    }
    for (name, value) in annotations {
        if name.strip_prefix(key::PREFIX).is_some_and(key::is_asked) {
            add(name);
            add(value);
        }
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
}
