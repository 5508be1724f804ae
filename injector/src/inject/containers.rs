//! Where the agent goes, and which containers get its mount and environment.

use super::pod::{Container, Pod};
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
    /// In the pod's order, each by its place in its list.
    pub containers: Vec<(Kind, usize)>,
    /// Whether containers that run beside the agent were left out.
    pub is_subset: bool,
}

/// The agent's index among the init containers: the first, or right after the mesh's native proxy.
pub(crate) fn position(pod: &Pod) -> usize {
    let mut inits = pod.init_containers.iter();
    inits
        .rposition(mesh::is_native_proxy)
        .map_or(0, |proxy| proxy + 1)
}

/// The chosen ones among the containers that run beside the agent: init containers from `first` on, and all others.
pub(crate) fn choose(
    pod: &Pod,
    first: usize,
    injection: &Injection,
    trace: &mut Trace,
) -> Result<Chosen, Error> {
    let inits = pod.init_containers.iter().enumerate().skip(first);
    let applications = pod.containers.iter().enumerate();
    let beside = inits
        .map(|(place, init)| (Kind::Init, place, init.name))
        .chain(
            applications
                .map(|(place, one)| (Kind::Application, place, one.name))
                .filter(|(_, _, name)| !names::CONTAINERS.contains(name)),
        );
    let wanted = injection.containers.as_deref();
    if let Some(wanted) = wanted {
        let known: Vec<&str> = beside.clone().map(|(_, _, name)| name).collect();
        refuse_unknown(wanted, &known, pod)?;
    }
    let mut chosen = Chosen {
        containers: Vec::new(),
        is_subset: false,
    };
    for (kind, place, name) in beside {
        if wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted == name)) {
            chosen.containers.push((kind, place));
        } else {
            chosen.is_subset = true;
            trace.left_out(|| words::all_of(name), "containers");
        }
    }
    for init in pod.init_containers.iter().take(first) {
        if !names::CONTAINERS.contains(&init.name) {
            trace.left_out_because(
                || words::all_of(init.name),
                || Source::Pod(words::BEFORE_AGENT.into()),
            );
        }
    }
    Ok(chosen)
}

impl Chosen {
    /// Those of one list, without the agent's own.
    pub(crate) fn of<'p, 'j>(
        &self,
        pod: &'p Pod<'j>,
        kind: Kind,
    ) -> impl Iterator<Item = &'p Container<'j>> {
        let places = self.containers.iter().filter(move |(of, _)| *of == kind);
        places
            .filter_map(move |(_, place)| pod.list(kind).get(*place))
            .filter(|container| !names::CONTAINERS.contains(&container.name))
    }
}

fn refuse_unknown(wanted: &[String], known: &[&str], pod: &Pod) -> Result<(), Error> {
    let Some(name) = wanted.iter().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let name = name.clone();
    let known = known.iter().map(|&name| name.to_owned()).collect();
    let is_before = !names::CONTAINERS.contains(&name.as_str())
        && pod.init_containers.iter().any(|init| init.name == name);
    Err(if is_before {
        Error::BeforeAgent { name, known }
    } else {
        Error::UnknownContainer { name, known }
    })
}
