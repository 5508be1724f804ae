//! Where the agent goes, and which containers get its mount and environment.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{Error, Injection, mesh, names};
use crate::trace::{Source, Trace, words};

/// Which of a pod's two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Init,
    Application,
}

impl Kind {
    /// The field of `spec`.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Application => "containers",
        }
    }
}

/// The containers that get mount and environment.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// In the pod's order, by name.
    pub containers: Vec<(Kind, String)>,
    /// Whether containers that run beside the agent were left out.
    pub is_subset: bool,
}

/// The agent's index among the init containers: the first, or right after the mesh's native proxy.
pub(crate) fn position(spec: &PodSpec) -> usize {
    inits(spec)
        .iter()
        .rposition(mesh::is_native_proxy)
        .map_or(0, |proxy| proxy + 1)
}

/// The chosen ones among the containers that run beside the agent: init containers from `first` on, and all others.
pub(crate) fn choose(
    spec: &PodSpec,
    first: usize,
    injection: &Injection,
    trace: &mut Trace,
) -> Result<Chosen, Error> {
    let beside: Vec<(Kind, &str)> = inits(spec)
        .iter()
        .skip(first)
        .map(|container| (Kind::Init, container.name.as_str()))
        .chain(
            spec.containers
                .iter()
                .filter(|container| !names::CONTAINERS.contains(&container.name.as_str()))
                .map(|container| (Kind::Application, container.name.as_str())),
        )
        .collect();
    if let Some(wanted) = &injection.containers {
        refuse_unknown(wanted, &beside, inits(spec))?;
    }
    let is_wanted = |name: &str| {
        injection
            .containers
            .as_ref()
            .is_none_or(|wanted| wanted.iter().any(|wanted| wanted == name))
    };
    for name in beside.iter().map(|(_, name)| *name) {
        if !is_wanted(name) {
            let piece = || words::all_of(name);
            trace.left_out(piece, "containers");
        }
    }
    for init in inits(spec).iter().take(first) {
        if !names::CONTAINERS.contains(&init.name.as_str()) {
            trace.left_out_because(
                || words::all_of(&init.name),
                || Source::Pod(words::BEFORE_AGENT.into()),
            );
        }
    }
    let containers: Vec<_> = beside
        .iter()
        .filter(|(_, name)| is_wanted(name))
        .map(|(kind, name)| (*kind, (*name).to_owned()))
        .collect();
    Ok(Chosen {
        is_subset: containers.len() < beside.len(),
        containers,
    })
}

fn refuse_unknown(
    wanted: &[String],
    beside: &[(Kind, &str)],
    inits: &[Container],
) -> Result<(), Error> {
    let is_beside = |name: &str| beside.iter().any(|(_, beside)| *beside == name);
    let Some(name) = wanted.iter().find(|name| !is_beside(name)).cloned() else {
        return Ok(());
    };
    let known = beside.iter().map(|(_, name)| (*name).to_owned()).collect();
    let is_before =
        !names::CONTAINERS.contains(&name.as_str()) && inits.iter().any(|init| init.name == name);
    Err(if is_before {
        Error::BeforeAgent { name, known }
    } else {
        Error::UnknownContainer { name, known }
    })
}

fn inits(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}
