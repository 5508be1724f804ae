//! The pods of `tests/injector/data/pods`, as an API server sends them to a webhook. The unit tests read this file too.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// One entry of the files.
pub(crate) struct Shape {
    pub name: String,
    pub pod: Value,
    /// As the file's own page explains.
    pub expect: Value,
}

/// All of them.
pub(crate) fn all() -> anyhow::Result<Vec<Shape>> {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/injector/data/pods"
    ));
    let mut shapes = Vec::new();
    for file in ["controllers", "data", "jobs", "mesh", "odd"] {
        let path = folder.join(file).with_extension("yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let entries: Vec<Value> =
            serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
        for entry in &entries {
            shapes.push(shape(entry).with_context(|| format!("{entry}"))?);
        }
    }
    anyhow::ensure!(shapes.len() >= 150, "{} shapes", shapes.len());
    Ok(shapes)
}

fn shape(entry: &Value) -> anyhow::Result<Shape> {
    let fields = entry.as_object().context("no mapping")?;
    let known = [
        "name",
        "by",
        "namespace",
        "annotations",
        "others",
        "secure",
        "spec",
        "expect",
    ];
    for field in fields.keys() {
        anyhow::ensure!(known.contains(&field.as_str()), "there is no field {field}");
    }
    let text = |field: &str| entry.get(field).and_then(Value::as_str);
    let name = text("name").context("no name")?;
    let namespace = text("namespace").unwrap_or("shop");
    let mut spec = entry.get("spec").context("no spec")?.clone();
    if entry.get("secure") == Some(&Value::Bool(true)) {
        secure(&mut spec);
    }
    let mut metadata = json!({
        "namespace": namespace,
        "labels": { "app.kubernetes.io/name": name },
        "annotations": annotations(entry),
    });
    match text("by") {
        Some(kind) => {
            set(&mut metadata, "generateName", json!(format!("{name}-")));
            let owner = json!({ "apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true });
            set(&mut metadata, "ownerReferences", json!([owner]));
        }
        None => set(&mut metadata, "name", json!(name)),
    }
    add_service_account(&mut spec);
    Ok(Shape {
        name: name.to_owned(),
        pod: json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }),
        expect: entry.get("expect").cloned().unwrap_or_default(),
    })
}

fn annotations(entry: &Value) -> Value {
    let mut annotations = json!({ "keyside.dev/inject": "true", "keyside.dev/role": "app" });
    for (key, value) in object(entry.get("annotations")) {
        let key = format!("keyside.dev/{key}");
        if value.is_null() {
            annotations.as_object_mut().map(|all| all.remove(&key));
        } else {
            set(&mut annotations, &key, value.clone());
        }
    }
    for (key, value) in object(entry.get("others")) {
        set(&mut annotations, key, value.clone());
    }
    annotations
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

/// What Pod Security `restricted` asks for, where it is not said.
fn secure(spec: &mut Value) {
    let of_pod = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    fill(spec, of_pod);
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let context =
                json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
            fill(container, context);
        }
    }
}

fn fill(of: &mut Value, wanted: Value) {
    let mut context = of
        .get("securityContext")
        .cloned()
        .unwrap_or_else(|| json!({}));
    if let (Some(context), Value::Object(wanted)) = (context.as_object_mut(), wanted) {
        for (key, value) in wanted {
            context.entry(key).or_insert(value);
        }
    }
    set(of, "securityContext", context);
}

/// What the admission of service accounts adds before any webhook is called.
fn add_service_account(spec: &mut Value) {
    if spec.get("automountServiceAccountToken") == Some(&Value::Bool(false)) {
        return;
    }
    let volume = json!({
        "name": "kube-api-access-abcde",
        "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        ] },
    });
    let mount = json!({
        "name": "kube-api-access-abcde",
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "readOnly": true,
    });
    push(spec, "volumes", volume);
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            push(container, "volumeMounts", mount.clone());
        }
    }
}

fn push(of: &mut Value, list: &str, element: Value) {
    match of.get_mut(list).and_then(Value::as_array_mut) {
        Some(elements) => elements.push(element),
        None => set(of, list, json!([element])),
    }
}

fn set(of: &mut Value, key: &str, value: Value) {
    if !of.is_object() {
        *of = Value::Object(Map::new());
    }
    if let Some(fields) = of.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}
