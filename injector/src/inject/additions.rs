//! What a pod is to get, and the JSON Patch that gives it.
//!
//! Invariant: the operations stand in the order of the members that they lead to, so that the same additions to the same
//! pod are the same bytes.

use serde_json::{Map, Value};

use super::containers::Kind;
use super::patch::{self, Operation};
use super::pod::{Container, Pod};
use crate::annotation::key;

/// Everything that is added, beside the annotations that say so.
#[derive(Debug, Default)]
pub(crate) struct Additions {
    /// The agent among the init containers, and its place there.
    pub init: Option<(usize, Value)>,
    /// The agent behind the application's own containers, of which the first is what tools mean where they are not told.
    pub application: Option<Value>,
    /// What the application's containers get, in the pod's order.
    pub completed: Vec<Completed>,
    pub volumes: Vec<Value>,
}

/// What one of the application's containers gets.
#[derive(Debug)]
pub(crate) struct Completed {
    pub kind: Kind,
    /// In its list, as the pod came.
    pub place: usize,
    pub mount: Value,
    pub variables: Vec<Value>,
}

impl Additions {
    pub(crate) fn patch(self, pod: &Pod, config_hash: &str) -> Vec<Operation> {
        let mut patch = Patch::default();
        patch.annotate(pod, config_hash);
        if pod.spec.is_none() {
            patch.set(Some(pod.json), "", "spec", self.spec());
            return patch.0;
        }
        let (inits, applications): (Vec<_>, Vec<_>) = self
            .completed
            .into_iter()
            .partition(|completed| completed.kind == Kind::Init);
        for completed in applications {
            patch.complete(pod, completed, 0);
        }
        if let Some(agent) = self.application {
            patch.extend(pod.spec, "/spec", "containers", vec![agent]);
        }
        // All of these start after the agent.
        let shift = usize::from(self.init.is_some());
        if let Some((place, agent)) = self.init {
            patch.insert(pod.spec, "/spec", "initContainers", place, vec![agent]);
        }
        for completed in inits {
            patch.complete(pod, completed, shift);
        }
        patch.extend(pod.spec, "/spec", "volumes", self.volumes);
        patch.0
    }

    /// The whole `spec` of a pod that has none, and so nothing to complete.
    fn spec(self) -> Value {
        let lists = [
            ("containers", Vec::from_iter(self.application)),
            (
                "initContainers",
                self.init.into_iter().map(|(_, agent)| agent).collect(),
            ),
            ("volumes", self.volumes),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        lists
            .map(|(key, list)| (key.to_owned(), list.into()))
            .collect::<Map<_, _>>()
            .into()
    }
}

type Object = Map<String, Value>;

#[derive(Default)]
struct Patch(Vec<Operation>);

impl Patch {
    fn annotate(&mut self, pod: &Pod, config_hash: &str) {
        let annotations = pod
            .json
            .get("metadata")
            .and_then(|metadata| metadata.get("annotations"));
        let annotations = annotations.and_then(Value::as_object);
        for (key, value) in [
            (key::CONFIG_HASH, config_hash),
            (key::STATUS, "injected"),
            (key::VERSION, env!("CARGO_PKG_VERSION")),
        ] {
            if annotations.and_then(|all| all.get(key)) != Some(&Value::from(value)) {
                self.set(annotations, "/metadata/annotations", key, value.into());
            }
        }
    }

    /// Behind `shift` containers of the agent's.
    fn complete(&mut self, pod: &Pod, completed: Completed, shift: usize) {
        let Completed {
            kind,
            place,
            mount,
            variables,
        } = completed;
        let container = pod
            .list(kind)
            .get(place)
            .and_then(|container: &Container| container.json);
        let path = format!("/spec/{}/{}", kind.field(), place + shift);
        self.extend(container, &path, "env", variables);
        self.extend(container, &path, "volumeMounts", vec![mount]);
    }

    /// Adds to the end of a list.
    fn extend(&mut self, owner: Option<&Object>, path: &str, key: &str, values: Vec<Value>) {
        self.insert(owner, path, key, usize::MAX, values);
    }

    /// Adds to a list, which is made where there is none.
    fn insert(
        &mut self,
        owner: Option<&Object>,
        path: &str,
        key: &str,
        place: usize,
        values: Vec<Value>,
    ) {
        let list = owner
            .and_then(|owner| owner.get(key))
            .and_then(Value::as_array);
        match list {
            _ if values.is_empty() => {}
            None => self.set(owner, path, key, values.into()),
            Some(list) => {
                for (place, value) in (place.min(list.len())..).zip(values) {
                    let path = format!("{path}/{key}/{place}");
                    self.0.push(Operation::Add { path, value });
                }
            }
        }
    }

    fn set(&mut self, owner: Option<&Object>, path: &str, key: &str, value: Value) {
        let path = format!("{path}/{}", patch::escaped(key));
        let is_there = owner.is_some_and(|owner| owner.contains_key(key));
        self.0.push(if is_there {
            Operation::Replace { path, value }
        } else {
            Operation::Add { path, value }
        });
    }
}
