//! JSON Patch (RFC 6902), as far as adding needs it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Operation {
    /// Sets a member that was absent, or inserts in front of the element that the index names.
    Add { path: String, value: Value },
    /// Gives what is there another value.
    Replace { path: String, value: Value },
}

/// A member's name as it stands in a path.
pub(crate) fn escaped(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) {
        name.replace('~', "~0").replace('/', "~1").into()
    } else {
        name.into()
    }
}

/// The document after the operations; one of them that leads nowhere does nothing.
pub(crate) fn applied(document: &Value, operations: &[Operation]) -> Value {
    let mut document = document.clone();
    for operation in operations {
        match operation {
            Operation::Add { path, value } => add(&mut document, path, value),
            Operation::Replace { path, value } => {
                if let Some(place) = document.pointer_mut(path) {
                    place.clone_from(value);
                }
            }
        }
    }
    document
}

fn add(document: &mut Value, path: &str, value: &Value) {
    let (owner, name) = path.rsplit_once('/').unwrap_or_default();
    match document.pointer_mut(owner) {
        Some(Value::Object(members)) => {
            let name = name.replace("~1", "/").replace("~0", "~");
            members.insert(name, value.clone());
        }
        Some(Value::Array(elements)) => {
            if let Some(place) = name.parse().ok().filter(|place| *place <= elements.len()) {
                elements.insert(place, value.clone());
            }
        }
        _nothing => {}
    }
}
