//! Manifests: text → documents, the pods in them, and back.
//!
//! Invariant: what is not a pod or a template of one leaves as it came. Of YAML the text itself is edited (see
//! [`edit`]); JSON is written anew, with sorted keys.

use serde_json::Value;

use super::edit::{self, Keys};
use super::yaml;
use crate::yaml_read;

/// A manifest's text, and what it says.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub text: String,
    pub syntax: Syntax,
    /// As they stand in the text; empty ones are null.
    pub documents: Vec<Value>,
}

/// How a manifest is written; it leaves in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Json,
    Yaml,
}

impl Manifest {
    /// The text with other documents in it.
    pub(crate) fn with(&self, documents: &[Value], keys: &Keys) -> String {
        if self.syntax == Syntax::Yaml {
            if self.documents == documents {
                return self.text.clone();
            }
            if let Some(text) = edit::edit(&self.text, &self.documents, documents, keys) {
                return text;
            }
        }
        write(self.syntax, documents)
    }

    /// What [`Self::with`] is to be compared with: JSON is compared as it is written here.
    pub(crate) fn before(&self) -> String {
        match self.syntax {
            Syntax::Json => write(Syntax::Json, &self.documents),
            Syntax::Yaml => self.text.clone(),
        }
    }
}

/// What is wrong with a manifest's text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("as JSON")]
    Json(#[source] serde_json::Error),
    #[error("document {number} as YAML")]
    Yaml {
        number: usize,
        #[source]
        source: yaml_read::Error,
    },
    #[error("document {number} is no object")]
    NoObject { number: usize },
    #[error("there is no document in it")]
    Empty,
}

impl Error {
    /// The document and the line that it is about, each counted from one.
    pub(crate) fn place(&self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Json(source) => (None, Some(source.line())),
            Self::Yaml { number, source } => (Some(*number), Some(source.line)),
            Self::NoObject { number } => (Some(*number), None),
            Self::Empty => (None, None),
        }
    }
}

/// Reads all documents.
pub(crate) fn parse(text: &str) -> Result<Manifest, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (syntax, documents) = if text.trim_start().starts_with('{') {
        let documents = serde_json::Deserializer::from_str(text).into_iter();
        let documents: Result<Vec<Value>, _> = documents.collect();
        match documents {
            Ok(documents) => (Syntax::Json, documents),
            // YAML may begin with a brace too.
            Err(error) => {
                let documents = yaml_read::read(text);
                (
                    Syntax::Yaml,
                    documents.map_err(|_no_yaml_either| Error::Json(error))?,
                )
            }
        }
    } else {
        let documents = yaml_read::read(text).map_err(|source| Error::Yaml {
            number: source.number,
            source,
        });
        (Syntax::Yaml, documents?)
    };
    if let Some(index) = documents
        .iter()
        .position(|document| !document.is_object() && !document.is_null())
    {
        return Err(Error::NoObject { number: index + 1 });
    }
    if !documents.iter().any(Value::is_object) {
        return Err(Error::Empty);
    }
    Ok(Manifest {
        text: text.to_owned(),
        syntax,
        documents,
    })
}

/// Writes documents anew, but for empty ones.
fn write(syntax: Syntax, documents: &[Value]) -> String {
    let texts: Vec<String> = documents
        .iter()
        .filter(|document| document.is_object())
        .map(|document| match syntax {
            Syntax::Json => format!("{document:#}\n"),
            Syntax::Yaml => yaml::write(document),
        })
        .collect();
    match syntax {
        Syntax::Json => texts.concat(),
        Syntax::Yaml => texts.join("---\n"),
    }
}

/// A pod, or a template of one, in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The object that holds it: kind, namespace and name.
    pub name: String,
    pub namespace: String,
    /// JSON pointers in the document.
    pub object: String,
    pub pod: String,
}

/// Every pod and every template of one in a document, those in lists too.
pub(crate) fn pods(document: &Value) -> Vec<Place> {
    let objects = objects(document).into_iter();
    objects
        .filter_map(|(pointer, object)| {
            let kind = object.get("kind").and_then(Value::as_str)?;
            let pod = format!("{pointer}{}", template(kind)?);
            document.pointer(&pod)?;
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            Some(Place {
                name: name(object),
                namespace: text("/metadata/namespace").unwrap_or("default").to_owned(),
                object: pointer,
                pod,
            })
        })
        .collect()
}

/// Every object with its JSON pointer: of a list, those in it.
pub(crate) fn objects(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(document, String::new(), &mut found);
    found
}

fn collect<'a>(object: &'a Value, pointer: String, found: &mut Vec<(String, &'a Value)>) {
    let kind = object.get("kind").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind.ends_with("List")) {
        let items = object.get("items").and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().enumerate() {
            collect(item, format!("{pointer}/items/{index}"), found);
        }
    } else if object.is_object() {
        found.push((pointer, object));
    }
}

/// Kind, namespace and name.
pub(crate) fn name(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    let namespace = text("/metadata/namespace").unwrap_or("default");
    let name = text("/metadata/name").or_else(|| text("/metadata/generateName"));
    format!("{kind} {namespace}/{}", name.unwrap_or("without a name"))
}

/// Where an object of this kind holds its pod.
pub(crate) fn template(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "PodTemplate" => Some("/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        "DaemonSet"
        | "Deployment"
        | "Job"
        | "ReplicaSet"
        | "ReplicationController"
        | "StatefulSet" => Some("/spec/template"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, syntax: Syntax, documents: &[Value]) {
        let parsed = parse(text).unwrap();
        let read: Vec<_> = parsed
            .documents
            .iter()
            .filter(|one| one.is_object())
            .cloned()
            .collect();
        assert_eq!((parsed.syntax, read.as_slice()), (syntax, documents));
        let written = write(syntax, &read);
        assert_eq!(parse(&written).unwrap().documents, documents, "{written}");
        assert_eq!(
            parsed.with(&parsed.documents, &Keys::default()),
            match syntax {
                Syntax::Json => written,
                Syntax::Yaml => text.to_owned(),
            }
        );
    }

    #[test]
    fn reads_what_it_wrote() {
        check("{\"a\": 1}", Syntax::Json, &[json!({"a": 1})]);
        check("{} {}", Syntax::Json, &[json!({}), json!({})]);
        check("a: 1", Syntax::Yaml, &[json!({"a": 1})]);
        check(
            "{a: 1}\r\n---\r\n{\"b\": [2,\r\n]}\r\n",
            Syntax::Yaml,
            &[json!({"a": 1}), json!({"b": [2]})],
        );
        check(
            "---\na: 1\n---\n# nothing\n---\nb: 2\n",
            Syntax::Yaml,
            &[json!({"a": 1}), json!({"b": 2})],
        );
        check(
            "a: \"0640\"\nb: \"yes\"\nc: \"null\"\nd: \"1e3\"\ne: \"2026-11-23\"\nf: \"\"",
            Syntax::Yaml,
            &[
                json!({"a": "0640", "b": "yes", "c": "null", "d": "1e3", "e": "2026-11-23", "f": ""}),
            ],
        );
        check(
            "base: &b {x: 1}\nmerged: {<<: *b, z: 2}",
            Syntax::Yaml,
            &[json!({"base": {"x": 1}, "merged": {"x": 1, "z": 2}})],
        );
    }

    #[test]
    fn refuses_what_holds_no_objects() {
        for text in ["", "# nothing", "- a", "just text", "{\"a\": ", "a: ["] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn finds_every_pod() {
        let template = json!({"metadata": {}, "spec": {}});
        for (object, expected) in [
            (
                json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "n"}}),
                "Pod n/a",
            ),
            (
                json!({"kind": "Job", "metadata": {"name": "a"}, "spec": {"template": template}}),
                "Job default/a",
            ),
            (
                json!({"kind": "CronJob", "metadata": {"generateName": "a-"},
                    "spec": {"jobTemplate": {"spec": {"template": template}}}}),
                "CronJob default/a-",
            ),
            (
                json!({"kind": "List", "items": [{"kind": "Secret"}, {"kind": "Pod"}]}),
                "Pod default/without a name",
            ),
            (
                json!({"kind": "Secret", "spec": {"template": template}}),
                "",
            ),
        ] {
            let found: Vec<_> = pods(&object).into_iter().map(|place| place.name).collect();
            assert_eq!(found.concat(), expected);
        }
    }
}
