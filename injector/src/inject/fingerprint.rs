//! How the injector knows its own work when it sees a pod again.
//!
//! An API server calls a webhook once more when another one has changed the pod (`reinvocationPolicy: IfNeeded`). The
//! agent's container is ours if its configuration, together with the annotations beside it, has the hash that the
//! pod carries. So a status copied from elsewhere skips nothing, an annotation edited in an exported pod is not
//! silently without effect, and another version of the injector still knows the container.

use std::fmt::Write;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use sha2::{Digest, Sha256};

use super::{Error, names};
use crate::annotation::{Annotations, key};

/// The place and the configuration of the agent's container, if the pod has one that is ours.
pub(crate) fn own_agent(
    spec: &PodSpec,
    annotations: &Annotations,
) -> Result<Option<(usize, String)>, Error> {
    let is_agent = |container: &Container| container.name == names::CONTAINER;
    if spec.containers.iter().any(is_agent) {
        return Err(Error::ContainerTaken);
    }
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let Some((index, agent)) = inits.iter().enumerate().find(|(_, one)| is_agent(one)) else {
        return Ok(None);
    };
    let config = config(agent).ok_or(Error::ContainerTaken)?;
    if annotations.get(key::CONFIG_HASH) != Some(&hash(config, annotations)) {
        return Err(Error::ContainerTaken);
    }
    Ok(Some((index, config.to_owned())))
}

fn config(agent: &Container) -> Option<&str> {
    let mut variables = agent.env.iter().flatten();
    variables
        .find(|variable| variable.name == names::CONFIG_VARIABLE)?
        .value
        .as_deref()
}

/// SHA-256 over the configuration and the annotations that gave it, each framed with its length; the first half, in
/// hexadecimal.
pub(crate) fn hash(config: &str, annotations: &Annotations) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add(config);
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
