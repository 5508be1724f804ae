//! The fake API server's objects, by path. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks a member reads as null; what is written to are objects"
)]

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::access::{Access, parameter};

#[derive(Clone, Default)]
pub(super) struct Store {
    objects: BTreeMap<String, Value>,
    version: u64,
}

/// What becomes a `Status` object.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What a patch is written in.
pub(super) enum Form {
    Json,
    Merge,
    /// Server-side apply, by this manager.
    Apply(String),
}

impl Failure {
    fn new(status: StatusCode, reason: &'static str, path: &str) -> Self {
        Self {
            status,
            reason,
            message: format!("{path}: {reason}"),
        }
    }

    fn invalid(message: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: message.to_string(),
        }
    }

    pub(super) fn object(&self) -> Value {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "reason": self.reason,
            "message": self.message,
            "code": self.status.as_u16(),
        })
    }
}

impl Form {
    /// By its content type and the parameter `fieldManager`.
    pub(super) fn read(kind: &str, manager: Option<String>) -> Result<Self, Failure> {
        match (kind, manager) {
            ("application/json-patch+json", _) => Ok(Self::Json),
            ("application/merge-patch+json", _) => Ok(Self::Merge),
            ("application/apply-patch+yaml", Some(manager)) => Ok(Self::Apply(manager)),
            ("application/apply-patch+yaml", None) => Err(Failure {
                status: StatusCode::BAD_REQUEST,
                reason: "BadRequest",
                message: "PatchOptions.fieldManager: is required for apply patch".to_owned(),
            }),
            _ => Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                kind,
            )),
        }
    }
}

impl Store {
    pub(super) fn read(&self, path: &str) -> Result<Value, Failure> {
        self.objects
            .get(path)
            .cloned()
            .ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "NotFound", path))
    }

    pub(super) fn below(&self, folder: &str) -> Vec<Value> {
        let prefix = format!("{folder}/");
        let below = self.objects.range(prefix.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&prefix));
        below.map(|(_, object)| object.clone()).collect()
    }

    /// All objects that a list or a watch is about.
    pub(super) fn list(&self, access: &Access) -> Value {
        self.page(access, "", false)
    }

    /// As many as `limit` says, from where `continue` says, but not those in a phase that the selector excludes.
    pub(super) fn page(&self, access: &Access, query: &str, is_metadata: bool) -> Value {
        let number = |name| parameter(query, name).and_then(|text| text.parse::<usize>().ok());
        let (from, most) = (
            number("continue").unwrap_or(0),
            number("limit").unwrap_or(usize::MAX),
        );
        let selector = parameter(query, "fieldSelector").unwrap_or_default();
        let excluded: Vec<&str> = selector
            .split(',')
            .filter_map(|term| term.strip_prefix("status.phase!="))
            .collect();
        let is_meant = |path: &String, object: &Value| {
            let found = super::access::read(&http::Method::GET, path);
            found.is_some_and(|found| {
                (&found.group, &found.resource) == (&access.group, &access.resource)
                    && (access.namespace.is_none() || found.namespace == access.namespace)
                    && (access.name.is_none() || found.name == access.name)
            }) && object["status"]["phase"]
                .as_str()
                .is_none_or(|phase| !excluded.contains(&phase))
        };
        let all: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(path, object)| is_meant(path, object))
            .map(|(_, object)| object)
            .collect();
        let items = all.iter().skip(from).take(most).map(|object| {
            if is_metadata {
                json!({
                    "apiVersion": "meta.k8s.io/v1",
                    "kind": "PartialObjectMetadata",
                    "metadata": object["metadata"],
                })
            } else {
                (*object).clone()
            }
        });
        let items: Vec<Value> = items.collect();
        let next = from + items.len();
        let more = (next < all.len()).then(|| next.to_string());
        json!({
            "apiVersion": if is_metadata { "meta.k8s.io/v1" } else { "v1" },
            "kind": if is_metadata { "PartialObjectMetadataList" } else { "List" },
            "metadata": { "resourceVersion": self.version.to_string(), "continue": more.unwrap_or_default() },
            "items": items,
        })
    }

    pub(super) fn delete(&mut self, path: &str) {
        self.objects.remove(path);
    }

    pub(super) fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert(
                "resourceVersion".to_owned(),
                json!(self.version.to_string()),
            );
            metadata
                .entry("uid")
                .or_insert_with(|| json!(format!("uid-{}", self.version)));
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    pub(super) fn create(&mut self, folder: &str, object: Value) -> Result<Value, Failure> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.ok_or_else(|| Failure::invalid(format!("{folder}: a name is needed")))?;
        let path = format!("{folder}/{name}");
        if self.objects.contains_key(&path) {
            return Err(Failure::new(StatusCode::CONFLICT, "AlreadyExists", &path));
        }
        Ok(self.put(&path, object))
    }

    pub(super) fn replace(&mut self, path: &str, object: Value) -> Result<Value, Failure> {
        self.is_newest(path, &object)?;
        Ok(self.put(path, object))
    }

    pub(super) fn patch(
        &mut self,
        path: &str,
        form: Form,
        change: Value,
    ) -> Result<Value, Failure> {
        let mut object = self.read(path)?;
        match form {
            Form::Json => {
                let operations: json_patch::Patch =
                    serde_json::from_value(change).map_err(Failure::invalid)?;
                json_patch::patch(&mut object, &operations).map_err(Failure::invalid)?;
            }
            Form::Merge => json_patch::merge(&mut object, &change),
            Form::Apply(manager) => {
                self.is_newest(path, &change)?;
                return self.apply(path, object, &manager, change);
            }
        }
        Ok(self.put(path, object))
    }

    /// Server-side apply with force, as far as lists are keyed by `name`. What changes nothing makes no new version.
    fn apply(
        &mut self,
        path: &str,
        mut object: Value,
        manager: &str,
        mut change: Value,
    ) -> Result<Value, Failure> {
        let before = object.clone();
        if let Some(metadata) = change.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        merge(&mut object, &change);
        for entry in object["webhooks"].as_array().into_iter().flatten() {
            if entry.get("sideEffects").is_none() {
                return Err(Failure::invalid("webhooks[].sideEffects: Required value"));
            }
        }
        let mut managers = before["metadata"]["managedFields"].clone();
        let others = managers.as_array_mut().map(std::mem::take);
        let mut managers = others.unwrap_or_default();
        managers.retain(|found| found["manager"] != manager);
        managers.push(json!({ "manager": manager, "operation": "Apply", "fields": change }));
        object["metadata"]["managedFields"] = Value::Array(managers);
        if object == before {
            return Ok(before);
        }
        Ok(self.put(path, object))
    }

    /// Whether a resource version in a change is that of the object.
    fn is_newest(&self, path: &str, change: &Value) -> Result<(), Failure> {
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        let stored = version(&self.read(path)?);
        if version(change).is_some_and(|given| Some(given) != stored) {
            return Err(Failure::new(StatusCode::CONFLICT, "Conflict", path));
        }
        Ok(())
    }
}

fn merge(object: &mut Value, change: &Value) {
    match (object, change) {
        (Value::Object(object), Value::Object(change)) => {
            for (key, value) in change {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(items), Value::Array(changes))
            if changes.iter().all(|change| change["name"].is_string()) =>
        {
            for change in changes {
                match items.iter_mut().find(|item| item["name"] == change["name"]) {
                    Some(item) => merge(item, change),
                    None => items.push(change.clone()),
                }
            }
        }
        (object, change) => *object = change.clone(),
    }
}
