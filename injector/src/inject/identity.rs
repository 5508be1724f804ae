//! As whom the agent runs, and who can read what it writes.
//!
//! The token file and the socket are for the application alone, as far as user and group can say that: the agent
//! takes the application's own uid where there is one, and files get the pod's `fsGroup` from the folder, which the
//! kubelet makes setgid.

use super::Agent;
use super::containers::{Chosen, Kind};
use super::pod::{Container, Pod, SecurityContext};
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
        let found = shared(pod, chosen, read);
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
pub(crate) fn is_readable_by_group(pod: &Pod, chosen: &Chosen, agent: &Agent) -> bool {
    pod.security_context.fs_group.is_some()
        || is_same_user(pod, chosen, agent)
        || is_same_group(pod, chosen, agent)
}

/// Where all of them, and so the agent, have one group that the pod names.
fn is_same_group(pod: &Pod, chosen: &Chosen, agent: &Agent) -> bool {
    let Some(application) = shared(pod, chosen, group_of) else {
        return false;
    };
    if agent.user_of_cluster && agent.group.is_none() {
        return false;
    }
    let same =
        |container: &Container| group_of(container, pod.security_context) == Some(application);
    agent
        .group
        .is_none_or(|group| i64::from(group) == application)
        && chosen.of(pod, Kind::Init).all(same)
}

fn is_same_user(pod: &Pod, chosen: &Chosen, agent: &Agent) -> bool {
    let Some(application) = shared(pod, chosen, user_of) else {
        return false;
    };
    if agent.user_of_cluster && agent.user.is_none() {
        return false;
    }
    let same =
        |container: &Container| user_of(container, pod.security_context) == Some(application);
    agent.user.is_none_or(|user| i64::from(user) == application)
        && chosen.of(pod, Kind::Init).all(same)
}

/// What all chosen application containers have in common; not root, as whom the agent never runs.
fn shared(
    pod: &Pod,
    chosen: &Chosen,
    read: fn(&Container, SecurityContext) -> Option<i64>,
) -> Option<i64> {
    let containers = chosen.of(pod, Kind::Application);
    let mut ids = containers.map(|one| read(one, pod.security_context));
    let first = ids.next()??;
    (first > 0 && ids.all(|id| id == Some(first))).then_some(first)
}

fn user_of(container: &Container, pod: SecurityContext) -> Option<i64> {
    container.security_context.user.or(pod.user)
}

fn group_of(container: &Container, pod: SecurityContext) -> Option<i64> {
    container.security_context.group.or(pod.group)
}
