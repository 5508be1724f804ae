//! What is rendered from the chart and kept in the tree.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

use crate::helm::{Objects, Release};
use crate::pages::page;

#[test]
fn manifests_are_a_fresh_render() -> anyhow::Result<()> {
    let kept = page("manifests/keyside.yaml")?;
    assert_eq!(
        kept,
        Release::default().render()?,
        "run `cargo xtask render`"
    );
    Ok(())
}

#[test]
fn the_readme_is_a_fresh_render() -> anyhow::Result<()> {
    let root = tools::root()?;
    let output = Command::new(tools::python()?)
        .args(["charts/readme.py", "charts/keyside"])
        .current_dir(&root)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{said}");
    assert_eq!(
        page("charts/keyside/README.md")?,
        String::from_utf8(output.stdout)?,
        "run `cargo xtask render`"
    );
    Ok(())
}

fn kustomized(folder: &Path) -> anyhow::Result<Objects> {
    let output = Command::new(tools::kubectl()?)
        .arg("kustomize")
        .arg(folder)
        .output()
        .context("run kubectl kustomize")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{said}");
    Objects::read(&String::from_utf8(output.stdout)?)
}

/// Beside what the chart renders only the namespace, which Helm does not render.
#[test]
fn the_base_of_kustomize_is_the_chart() -> anyhow::Result<()> {
    let built = kustomized(&tools::root()?.join("manifests"))?;
    let chart = Release::default().objects()?;
    let mut kinds = 0;
    for object in chart.iter() {
        let kind = object["kind"].as_str().context("a kind")?;
        assert_eq!(built.the(kind)?, object);
        kinds += 1;
    }
    assert_eq!(built.iter().count(), kinds + 1);
    let namespace = built.the("Namespace")?;
    assert_eq!(namespace["metadata"]["name"], "keyside");
    let enforced = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted");
    Ok(())
}

/// An overlay that moves it, and sets what an installation sets first.
#[test]
fn an_overlay_can_change_it() -> anyhow::Result<()> {
    let root = tools::root()?;
    let folder = tempfile::tempdir_in(root.join("target"))?;
    let patch = json!([{
        "op": "add",
        "path": "/spec/template/spec/containers/0/env/-",
        "value": {"name": "KEYSIDE_INJECTOR_DENIAL_EVENTS", "value": "true"},
    }]);
    let overlay = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "platform",
        "resources": ["../../manifests"],
        "images": [{"name": "keyside-injector", "newName": "mirror/injector"}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": patch.to_string()}],
    });
    std::fs::write(
        folder.path().join("kustomization.yaml"),
        serde_yaml::to_string(&overlay)?,
    )?;
    let built = kustomized(folder.path())?;
    for object in built.iter() {
        let namespace = &object["metadata"]["namespace"];
        assert!(*namespace == "platform" || namespace.is_null(), "{object}");
    }
    // The API server calls the Service where it is now, and the account has its rights there.
    let webhook = built.the("MutatingWebhookConfiguration")?;
    let service = &webhook["webhooks"][0]["clientConfig"]["service"];
    assert_eq!(service["namespace"], "platform");
    for binding in ["RoleBinding", "ClusterRoleBinding"] {
        assert_eq!(built.at(binding, "/subjects/0/namespace")?, "platform");
    }
    let container = built.at("Deployment", "/spec/template/spec/containers/0")?;
    assert_eq!(
        container["image"],
        concat!("mirror/injector:", env!("CARGO_PKG_VERSION"))
    );
    let environment = container["env"].as_array().context("env")?;
    let last: Option<&Value> = environment.last();
    assert_eq!(last.context("a variable")?["value"], "true");
    Ok(())
}
