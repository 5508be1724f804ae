//! The agent's volumes, and the one mount of an application's container.

use std::path::Path;

use serde_json::{Value, json};

use super::pod::{Container, Pod};
use super::{Error, Injection, ServiceAccountToken, Sidecar, names, set};
use crate::trace::{Subject, Trace};

const OURS: [&str; 4] = [
    names::SHARED_VOLUME,
    names::RUN_VOLUME,
    names::TOKEN_VOLUME,
    names::FILES_VOLUME,
];

/// Refuses a pod that uses one of our names for a volume of its own.
pub(crate) fn refuse_taken(pod: &Pod) -> Result<(), Error> {
    match pod.volumes.iter().find(|name| OURS.contains(name)) {
        Some(&name) => Err(Error::VolumeTaken {
            name: name.to_owned(),
        }),
        None => Ok(()),
    }
}

/// The volumes that are not there yet.
pub(crate) fn missing(pod: &Pod, injection: &Injection, trace: &mut Trace) -> Vec<Value> {
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
    ours.retain(|(name, _)| !pod.volumes.contains(name));
    let named = |(name, mut volume): (&str, Value)| {
        set(&mut volume, "name", name);
        volume
    };
    ours.into_iter().map(named).collect()
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
        set(&mut source, "audience", audience.as_str());
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

/// The mount of the shared volume, read-only, where the container does not have it.
pub(crate) fn missing_mount(container: &Container) -> Result<Option<Value>, Error> {
    let mut is_there = false;
    for mount in &container.mounts {
        // Component-wise: `/keyside/.` and `//keyside` are the same folder.
        let Ok(below) = Path::new(mount.path).strip_prefix(names::SHARED_PATH) else {
            continue;
        };
        let (container, volume) = (container.name.to_owned(), mount.volume.to_owned());
        if below != Path::new("") {
            return Err(Error::MountInside {
                container,
                volume,
                path: mount.path.to_owned(),
            });
        }
        if volume != names::SHARED_VOLUME {
            return Err(Error::MountTaken { container, volume });
        }
        is_there = true;
    }
    Ok((!is_there).then(|| {
        json!({
            "name": names::SHARED_VOLUME,
            "mountPath": names::SHARED_PATH,
            "readOnly": true,
        })
    }))
}
