//! The fake API server's objects, by path. Pure.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

#[derive(Default)]
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

impl Failure {
    fn new(status: StatusCode, reason: &'static str, path: &str) -> Self {
        Self {
            status,
            reason,
            message: format!("{path}: {reason}"),
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

impl Store {
    pub(super) fn read(&self, path: &str) -> Result<Value, Failure> {
        self.objects
            .get(path)
            .cloned()
            .ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "NotFound", path))
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
        let name =
            name.ok_or_else(|| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", folder))?;
        let path = format!("{folder}/{name}");
        if self.objects.contains_key(&path) {
            return Err(Failure::new(StatusCode::CONFLICT, "AlreadyExists", &path));
        }
        Ok(self.put(&path, object))
    }

    pub(super) fn replace(&mut self, path: &str, object: Value) -> Result<Value, Failure> {
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        let stored = version(&self.read(path)?);
        if version(&object).is_some_and(|given| Some(given) != stored) {
            return Err(Failure::new(StatusCode::CONFLICT, "Conflict", path));
        }
        Ok(self.put(path, object))
    }

    /// A JSON patch or a merge patch, by its content type.
    pub(super) fn patch(
        &mut self,
        path: &str,
        form: &str,
        change: Value,
    ) -> Result<Value, Failure> {
        let mut object = self.read(path)?;
        let invalid = |message: String| Failure {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message,
        };
        match form {
            "application/json-patch+json" => {
                let operations: json_patch::Patch =
                    serde_json::from_value(change).map_err(|error| invalid(error.to_string()))?;
                json_patch::patch(&mut object, &operations)
                    .map_err(|error| invalid(error.to_string()))?;
            }
            "application/merge-patch+json" => json_patch::merge(&mut object, &change),
            _ => {
                return Err(Failure::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "UnsupportedMediaType",
                    path,
                ));
            }
        }
        Ok(self.put(path, object))
    }
}
