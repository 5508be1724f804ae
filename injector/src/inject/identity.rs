//! As whom the agent runs, and who can read what it writes.
//!
//! The token file and the socket are for the application alone, as far as user and group can say that: the agent
//! takes the application's own uid where there is one, and files get the pod's `fsGroup` from the folder, which the
//! kubelet makes setgid.

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec};

use super::containers::{Chosen, Kind};
use super::{Agent, names};
use crate::trace::{Source, Subject, Trace, words};

/// Nobody in particular: the customary uid of images without users.
const DEFAULT: i64 = 65532;

/// The agent's user and group; absent: the cluster's to say.
pub(crate) fn of_agent(
    pod: &Pod,
    chosen: &Chosen,
    agent: &Agent,
    trace: &mut Trace,
) -> (Option<i64>, Option<i64>) {
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let user = agent.user.map(i64::from);
    let group = agent.group.map(i64::from);
    let mut decide = |asked: Option<i64>, name: &str, field: &str, read| {
        let path = ["securityContext.", field].concat();
        if asked.is_some() {
            trace.decided(Subject::Agent, &path, name);
            return asked;
        }
        if agent.user_of_cluster {
            trace.left_out(|| words::field_of_agent(field), "openshift");
            return None;
        }
        let found = shared(spec, chosen, read);
        if found.is_some() {
            trace.because(Subject::Agent, &path, || {
                Source::Pod(words::SAME_USER.into())
            });
        }
        found.or(Some(DEFAULT))
    };
    (
        decide(user, "run-as-user", "runAsUser", user_of),
        decide(group, "run-as-group", "runAsGroup", group_of),
    )
}

/// Whether owner and group are enough for every chosen container to read what the agent writes.
pub(crate) fn is_readable_by_group(spec: &PodSpec, chosen: &Chosen, agent: &Agent) -> bool {
    let context = spec.security_context.as_ref();
    let fs_group = context.is_some_and(|context| context.fs_group.is_some());
    fs_group || is_same_user(spec, chosen, agent) || is_same_group(spec, chosen, agent)
}

/// Where all of them, and so the agent, have one group that the pod names.
fn is_same_group(spec: &PodSpec, chosen: &Chosen, agent: &Agent) -> bool {
    let Some(application) = shared(spec, chosen, group_of) else {
        return false;
    };
    if agent.user_of_cluster && agent.group.is_none() {
        return false;
    }
    let context = spec.security_context.as_ref();
    let same = |container: &Container| group_of(container, context) == Some(application);
    agent
        .group
        .is_none_or(|group| i64::from(group) == application)
        && select(spec, chosen, Kind::Init).all(same)
}

fn is_same_user(spec: &PodSpec, chosen: &Chosen, agent: &Agent) -> bool {
    let Some(application) = shared(spec, chosen, user_of) else {
        return false;
    };
    if agent.user_of_cluster && agent.user.is_none() {
        return false;
    }
    let context = spec.security_context.as_ref();
    let same = |container: &Container| user_of(container, context) == Some(application);
    agent.user.is_none_or(|user| i64::from(user) == application)
        && select(spec, chosen, Kind::Init).all(same)
}

/// What all chosen application containers have in common; not root, as whom the agent never runs.
fn shared(
    spec: &PodSpec,
    chosen: &Chosen,
    read: fn(&Container, Option<&PodSecurityContext>) -> Option<i64>,
) -> Option<i64> {
    let context = spec.security_context.as_ref();
    let mut ids = select(spec, chosen, Kind::Application).map(|one| read(one, context));
    let first = ids.next()??;
    (first > 0 && ids.all(|id| id == Some(first))).then_some(first)
}

fn select<'a>(
    spec: &'a PodSpec,
    chosen: &'a Chosen,
    wanted: Kind,
) -> impl Iterator<Item = &'a Container> {
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let all = match wanted {
        Kind::Init => inits,
        Kind::Application => &spec.containers,
    };
    all.iter().filter(move |container| {
        !names::CONTAINERS.contains(&container.name.as_str())
            && chosen
                .containers
                .iter()
                .any(|(kind, name)| *kind == wanted && *name == container.name)
    })
}

fn user_of(container: &Container, pod: Option<&PodSecurityContext>) -> Option<i64> {
    let own = container.security_context.as_ref();
    own.and_then(|own| own.run_as_user)
        .or_else(|| pod.and_then(|pod| pod.run_as_user))
}

fn group_of(container: &Container, pod: Option<&PodSecurityContext>) -> Option<i64> {
    let own = container.security_context.as_ref();
    own.and_then(|own| own.run_as_group)
        .or_else(|| pod.and_then(|pod| pod.run_as_group))
}
