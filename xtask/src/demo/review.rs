//! `AdmissionReview` as an API server writes it, and what it makes of the answer. Pure.

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

const UID: &str = "0e4f555e-30b3-408f-872f-31f3eabb43a5";

/// The service account's own volume, which the API server has already added when it asks webhooks.
const ACCESS: &str = "kube-api-access-demo0";

/// The review of the creation of a pod.
pub(super) fn request(pod: &Value) -> anyhow::Result<Value> {
    let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    Ok(json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": UID,
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": pod.pointer("/metadata/name"),
            "namespace": pod.pointer("/metadata/namespace"),
            "operation": "CREATE",
            "userInfo": { "username": "admin", "groups": ["system:masters", "system:authenticated"] },
            "object": with_service_account(pod)?,
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldValidation": "Strict" },
        },
    }))
}

/// The pod as the service-account admission leaves it, also if it went through that before.
fn with_service_account(pod: &Value) -> anyhow::Result<Value> {
    let mut pod = pod.clone();
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    if volumes.is_some_and(|volumes| {
        volumes
            .iter()
            .any(|volume| volume.get("name") == Some(&json!(ACCESS)))
    }) {
        return Ok(pod);
    }
    let volume = json!({
        "name": ACCESS,
        "projected": {
            "defaultMode": 420,
            "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            ],
        },
    });
    let mount = json!({ "name": ACCESS, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" });
    let spec = pod
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .context("the pod has no spec")?;
    append(spec.entry("volumes").or_insert_with(|| json!([])), volume);
    let containers = spec
        .get_mut("containers")
        .and_then(Value::as_array_mut)
        .context("the pod has no containers")?;
    for container in containers.iter_mut().filter_map(Value::as_object_mut) {
        append(
            container.entry("volumeMounts").or_insert_with(|| json!([])),
            mount.clone(),
        );
    }
    Ok(pod)
}

fn append(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// What the webhook has decided.
pub(super) struct Answer {
    /// Empty where the webhook leaves the pod as it is.
    pub(super) patch: json_patch::Patch,
    pub(super) warnings: Vec<String>,
    /// The pod, patched by the rules of RFC 6902.
    pub(super) pod: Value,
}

/// Reads the answer and applies its patch to the pod of the request, as an API server does.
pub(super) fn answer(request: &Value, answer: &Value) -> anyhow::Result<Answer> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    anyhow::ensure!(
        text("/response/uid") == Some(UID),
        "the answer is to another review: {answer}"
    );
    anyhow::ensure!(
        answer.pointer("/response/allowed") == Some(&json!(true)),
        "the pod was denied: {answer}"
    );
    let patch = match text("/response/patch") {
        Some(patch) => {
            let form = text("/response/patchType");
            anyhow::ensure!(form == Some("JSONPatch"), "a patch of the form {form:?}");
            serde_json::from_slice(&BASE64_STANDARD.decode(patch)?).context("read the patch")?
        }
        None => json_patch::Patch::default(),
    };
    let mut pod = request
        .pointer("/request/object")
        .context("no object in the request")?
        .clone();
    json_patch::patch(&mut pod, &patch).context("apply the patch")?;
    let warnings = answer
        .pointer("/response/warnings")
        .and_then(Value::as_array);
    let warnings = warnings
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Ok(Answer {
        patch,
        warnings,
        pod,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(uid: &str, patch: &Value) -> Value {
        let patch = BASE64_STANDARD.encode(patch.to_string());
        json!({ "response": { "uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch } })
    }

    #[test]
    fn applies_the_patch_of_its_own_review_only() {
        let pod =
            json!({ "metadata": { "name": "web" }, "spec": { "containers": [{ "name": "app" }] } });
        let request = request(&pod).unwrap();
        let patch = json!([{ "op": "add", "path": "/spec/hostname", "value": "h" }]);
        let answer = super::answer(&request, &reply(UID, &patch)).unwrap();
        assert_eq!(answer.pod.pointer("/spec/hostname"), Some(&json!("h")));
        assert_eq!(
            answer.pod.pointer("/spec/containers/0/volumeMounts/0/name"),
            Some(&json!(ACCESS))
        );

        assert!(super::answer(&request, &reply("another", &patch)).is_err());
        let denied = json!({ "response": { "uid": UID, "allowed": false } });
        assert!(super::answer(&request, &denied).is_err());
    }
}
