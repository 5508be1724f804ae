//! Pods for Windows nodes, on which the agent does not run.

use super::pod::{Pod, Requirement};

/// Both are set on every node; the second one is the older.
const LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// Whether the pod can run on Windows nodes only, as far as it says so.
pub(crate) fn is_meant(pod: &Pod) -> bool {
    pod.os == Some("windows") || selects(pod) || requires(pod) || has_options(pod)
}

fn selects(pod: &Pod) -> bool {
    let labels = pod.node_selector.into_iter().flatten();
    let mut labels = labels.filter(|(label, _)| LABELS.contains(&label.as_str()));
    labels.any(|(_, os)| os == "windows")
}

/// One term has to hold, so that all have to ask for Windows.
fn requires(pod: &Pod) -> bool {
    !pod.node_terms.is_empty() && pod.node_terms.iter().all(|term| asks_for_windows(term))
}

fn asks_for_windows(term: &[Requirement]) -> bool {
    term.iter().any(|requirement| {
        LABELS.contains(&requirement.label)
            && requirement.operator == "In"
            && requirement
                .values
                .as_ref()
                .is_some_and(|values| values.iter().all(|os| *os == "windows"))
    })
}

/// A kubelet on Linux refuses pods with these.
fn has_options(pod: &Pod) -> bool {
    let mut containers = pod.all_containers();
    pod.security_context.has_windows_options
        || containers.any(|container| container.security_context.has_windows_options)
}
