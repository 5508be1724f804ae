//! The pods of `data/pods`, injected by the real binary, against the schemas of Kubernetes.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

use crate::{offline, shapes};

/// Pods with fields that came later: the older schema refuses them as unknown.
const LATER_THAN_1_29: [&str; 6] = [
    "app-armor",
    "image-volume",
    "pod-level-resources",
    "recursive-read-only",
    "resource-claims",
    "strict-groups",
];

#[test]
fn every_pod_is_one_to_kubernetes_after_injection() -> anyhow::Result<()> {
    let shapes = shapes::all()?;
    let mut pods = Vec::new();
    for shape in &shapes {
        if shape.expect["denied"].is_null() && shape.expect["untouched"].is_null() {
            let mut pod = shape.pod.clone();
            // The validator wants the name that an API server makes after admission.
            pod["metadata"]["name"] = json!(shape.name);
            pods.push(pod);
        }
    }
    let folder = tempfile::tempdir()?;
    // Each kind of sidecar shares out among the pods what annotations can add.
    for (kind, more) in [
        ("native", json!({})),
        (
            "classic",
            json!({"metrics-port": "9102", "ca": "secret:vault/ca.crt"}),
        ),
        (
            "init-only",
            json!({"auth-method": "userpass", "auth-username": "a", "auth-password-file-path": "secret:a/b"}),
        ),
    ] {
        let mut pods = pods.clone();
        if kind != "native" {
            pods.retain(|pod| {
                pod.pointer("/metadata/annotations/keyside.dev~1auth-method")
                    .is_none()
            });
            pods = pods.into_iter().step_by(3).collect();
        }
        let mut count = 0;
        for pod in &mut pods {
            let annotations = pod["metadata"]["annotations"]
                .as_object_mut()
                .context("annotations")?;
            if kind != "native" {
                annotations.retain(|key, _| {
                    !key.starts_with("keyside.dev/proxy") && key != "keyside.dev/metrics-port"
                });
                annotations.insert("keyside.dev/sidecar".to_owned(), kind.into());
            }
            if kind == "init-only" {
                annotations.remove("keyside.dev/role");
            }
            for (key, value) in more.as_object().context("annotations")? {
                annotations.insert(format!("keyside.dev/{key}"), value.clone());
            }
            count += 1;
        }
        assert!(count > 45, "{count}");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods });
        let injected = offline::injected(&["-f", "-"], &list.to_string())?;
        let injected: Value = serde_json::from_str(&injected)?;
        let injected = injected["items"].as_array().context("items")?;
        assert_eq!(injected.len(), count);
        for version in ["1.29", "1.36"] {
            let path = folder.path().join(format!("{kind}-{version}.json"));
            validate(version, injected, &path)?;
        }
    }
    Ok(())
}

/// One process for all of them: each file is a stream of documents.
fn validate(version: &str, pods: &[Value], path: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    let mut count = 0;
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().context("a name")?;
        if version == "1.29" && LATER_THAN_1_29.contains(&name) {
            continue;
        }
        writeln!(text, "---\n{pod}")?;
        count += 1;
    }
    std::fs::write(path, text)?;
    let output = Command::new(tools::python()?)
        .args(["-m", "kubernetes_validate", "--strict", "-k", version])
        .arg(path)
        .output()
        .context("run kubernetes-validate")?;
    let report = String::from_utf8_lossy(&output.stdout);
    let wrong: Vec<&str> = report
        .lines()
        .filter(|line| !line.starts_with("INFO"))
        .collect();
    anyhow::ensure!(
        output.status.success() && wrong.is_empty(),
        "{version}: {wrong:#?}"
    );
    assert_eq!(report.matches(" passed for resource ").count(), count);
    Ok(())
}
