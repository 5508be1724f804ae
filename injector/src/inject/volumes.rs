//! The agent's volumes, and the one mount of an application's container.

use std::path::Path;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use super::{Error, Injection, ServiceAccountToken, Sidecar, array, find, names};
use crate::trace::{Subject, Trace};

const OURS: [&str; 4] = [
    names::SHARED_VOLUME,
    names::RUN_VOLUME,
    names::TOKEN_VOLUME,
    names::FILES_VOLUME,
];

/// Refuses a pod that uses one of our names for a volume of its own.
pub(crate) fn refuse_taken(spec: &PodSpec) -> Result<(), Error> {
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    match volumes
        .iter()
        .find(|volume| OURS.contains(&volume.name.as_str()))
    {
        Some(volume) => Err(Error::VolumeTaken {
            name: volume.name.clone(),
        }),
        None => Ok(()),
    }
}

/// Adds the volumes that are not there yet.
pub(crate) fn complete(volumes: &mut Vec<Value>, injection: &Injection, trace: &mut Trace) {
    let mut ours = vec![(names::SHARED_VOLUME, memory("16Mi"))];
    if has_run_volume(injection) {
        ours.push((names::RUN_VOLUME, memory("1Mi")));
        trace.decided(Subject::Volumes, names::RUN_VOLUME, "sidecar");
    }
    if let Some(token) = &injection.service_account {
        ours.push((names::TOKEN_VOLUME, service_account(token, trace)));
    }
    if !injection.files.is_empty() {
        ours.push((names::FILES_VOLUME, injection.files.volume(trace)));
    }
    for (name, mut volume) in ours {
        if find(volumes, name).is_none() {
            *super::member(&mut volume, "name") = name.into();
            volumes.push(volume);
        }
    }
}

/// An agent that does not stay answers no probes and leaves nothing to anyone.
fn has_run_volume(injection: &Injection) -> bool {
    injection.sidecar != Sidecar::InitOnly
}

fn memory(size: &str) -> Value {
    json!({ "emptyDir": { "medium": "Memory", "sizeLimit": size } })
}

/// No `defaultMode`: with 0440 a container without `fsGroup` could not read it, and the kubelet's own default can be
/// read.
fn service_account(token: &ServiceAccountToken, trace: &mut Trace) -> Value {
    const SOURCE: &str = "keyside-token.projected.sources[0].serviceAccountToken";
    trace.decided(Subject::Volumes, names::TOKEN_VOLUME, "auth-method");
    for (field, name) in [
        ("audience", "audience"),
        ("expirationSeconds", "token-expiration"),
    ] {
        if trace.is_on() {
            trace.decided(Subject::Volumes, &format!("{SOURCE}.{field}"), name);
        }
    }
    let mut source = json!({ "expirationSeconds": token.expiration_seconds, "path": "token" });
    if let Some(audience) = &token.audience {
        *super::member(&mut source, "audience") = audience.as_str().into();
    }
    json!({ "projected": { "sources": [{ "serviceAccountToken": source }] } })
}

/// What the agent's own container mounts.
pub(crate) fn of_agent(injection: &Injection, trace: &mut Trace) -> Vec<Value> {
    if let Some(first) = injection.files.settings().next().filter(|_| trace.is_on()) {
        trace.decided(Subject::Agent, "volumeMounts[keyside-files]", &first);
    }
    trace.decided(Subject::Agent, "volumeMounts[keyside-run]", "sidecar");
    trace.decided(Subject::Agent, "volumeMounts[keyside-token]", "auth-method");
    let mut mounts = vec![json!({ "name": names::SHARED_VOLUME, "mountPath": names::SHARED_PATH })];
    if has_run_volume(injection) {
        mounts.push(json!({ "name": names::RUN_VOLUME, "mountPath": names::RUN_PATH }));
    }
    let mut read_only = |name: &str, path: &str| {
        mounts.push(json!({ "name": name, "mountPath": path, "readOnly": true }));
    };
    if injection.service_account.is_some() {
        read_only(names::TOKEN_VOLUME, names::TOKEN_VOLUME_PATH);
    }
    if !injection.files.is_empty() {
        read_only(names::FILES_VOLUME, names::FILES_PATH);
    }
    mounts
}

/// Mounts the shared volume, read-only. Tells whether it was missing.
pub(crate) fn mount(container: &mut Value, name: &str) -> Result<bool, Error> {
    let mounts = array(container, "volumeMounts");
    let text = |mount: &Value, key: &str| mount.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut is_there = false;
    for mount in mounts.iter() {
        let path = text(mount, "mountPath").unwrap_or_default();
        // Component-wise: `/keyside/.` and `//keyside` are the same folder.
        let Ok(below) = Path::new(&path).strip_prefix(names::SHARED_PATH) else {
            continue;
        };
        let volume = text(mount, "name").unwrap_or_default();
        if below != Path::new("") {
            return Err(Error::MountInside {
                container: name.to_owned(),
                volume,
                path,
            });
        }
        if volume != names::SHARED_VOLUME {
            return Err(Error::MountTaken {
                container: name.to_owned(),
                volume,
            });
        }
        is_there = true;
    }
    if is_there {
        return Ok(false);
    }
    mounts.push(json!({
        "name": names::SHARED_VOLUME,
        "mountPath": names::SHARED_PATH,
        "readOnly": true,
    }));
    Ok(true)
}
