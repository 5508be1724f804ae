//! Pods for Windows nodes, on which the agent does not run.

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PodSpec};

/// Both are set on every node; the second one is the older.
const LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// Whether the pod can run on Windows nodes only, as far as it says so.
pub(crate) fn is_meant(spec: &PodSpec) -> bool {
    let named = spec.os.as_ref().is_some_and(|os| os.name == "windows");
    named || selects(spec) || requires(spec) || has_options(spec)
}

fn selects(spec: &PodSpec) -> bool {
    let labels = spec.node_selector.iter().flatten();
    let mut labels = labels.filter(|(label, _)| LABELS.contains(&label.as_str()));
    labels.any(|(_, os)| os == "windows")
}

/// One term has to hold, so that all have to ask for Windows.
fn requires(spec: &PodSpec) -> bool {
    let affinity = spec.affinity.as_ref();
    let affinity = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| {
        let required = &affinity.required_during_scheduling_ignored_during_execution;
        required.as_ref()
    });
    required.is_some_and(|required| {
        let terms = &required.node_selector_terms;
        !terms.is_empty() && terms.iter().all(asks_for_windows)
    })
}

fn asks_for_windows(term: &NodeSelectorTerm) -> bool {
    let mut expressions = term.match_expressions.iter().flatten();
    expressions.any(|expression| {
        LABELS.contains(&expression.key.as_str())
            && expression.operator == "In"
            && expression
                .values
                .as_ref()
                .is_some_and(|values| values.iter().all(|os| os == "windows"))
    })
}

/// A kubelet on Linux refuses pods with these.
fn has_options(spec: &PodSpec) -> bool {
    let of_pod = spec.security_context.as_ref();
    let of_pod = of_pod.is_some_and(|context| context.windows_options.is_some());
    let containers = spec.init_containers.iter().flatten();
    let mut containers = containers.chain(&spec.containers);
    of_pod
        || containers.any(|container| {
            let context = container.security_context.as_ref();
            context.is_some_and(|context| context.windows_options.is_some())
        })
}
