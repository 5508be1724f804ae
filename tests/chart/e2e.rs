//! What `cargo xtask e2e` applies to a cluster: Kubernetes takes it, and the injector makes of it what the checks expect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::Value;

use crate::helm::Objects;

const KUBERNETES: &str = "1.36.0";

/// What a run puts in for each of them is of the same form.
const NAMES: [&str; 8] = [
    "run",
    "injector",
    "vault",
    "apps",
    "restricted",
    "openbao-image",
    "postgres-image",
    "secret",
];

/// The manifests by name, with the names of a run put in.
fn manifests() -> anyhow::Result<BTreeMap<String, String>> {
    let folder = tools::root()?.join("tests/e2e");
    let mut found = BTreeMap::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_stem().context("a name")?.to_string_lossy();
        let text = NAMES
            .iter()
            .fold(std::fs::read_to_string(&path)?, |text, name| {
                text.replace(&format!("%{{{name}}}"), name)
            });
        anyhow::ensure!(!text.contains("%{"), "{}: an unknown name", path.display());
        found.insert(name.into_owned(), text);
    }
    Ok(found)
}

fn validate(kubernetes: &str, files: &[PathBuf], objects: usize) -> anyhow::Result<()> {
    let output = Command::new(tools::python()?)
        .args(["-m", "kubernetes_validate", "--strict", "-k", kubernetes])
        .args(files)
        .output()
        .context("run kubernetes-validate")?;
    // A kind without a schema is only a remark there: so what passed is counted.
    let report = String::from_utf8(output.stdout)?;
    let passed = report
        .lines()
        .filter(|line| line.contains(" passed for resource "))
        .count();
    assert!(output.status.success(), "{report}");
    assert_eq!(passed, objects, "{report}");
    Ok(())
}

fn inject(text: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("manifest.yaml");
    std::fs::write(&file, text)?;
    let output = Command::new(env!("CARGO_BIN_EXE_keyside-injector"))
        .args([
            "inject",
            "--vault-address=http://openbao.vault:8200",
            "--audience=vault",
            "-f",
        ])
        .arg(&file)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{said}");
    anyhow::ensure!(said.is_empty(), "a warning: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn kubernetes_takes_the_manifests_before_and_after_injection() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut files, mut count) = (Vec::new(), 0);
    let mut add = |name: String, text: &str| -> anyhow::Result<()> {
        count += Objects::read(text)?.iter().count();
        let file = folder.path().join(name);
        std::fs::write(&file, text)?;
        files.push(file);
        Ok(())
    };
    let manifests = manifests()?;
    assert_eq!(manifests.len(), 7);
    for (name, text) in &manifests {
        // The validator wants the name that an API server would have made.
        let text = text.replace("generateName: ", "name: ");
        add(format!("{name}.yaml"), &text)?;
        add(format!("{name}-injected.yaml"), &inject(&text)?)?;
    }
    validate(KUBERNETES, &files, count)
}

#[test]
fn what_the_checks_expect_of_the_pods_is_so() -> anyhow::Result<()> {
    let mut seen = 0;
    for (name, text) in manifests()? {
        let injected = Objects::read(&inject(&text)?)?;
        for object in injected.iter() {
            let template = object.pointer("/spec/template").unwrap_or(object);
            let at = |pointer: &str| template.pointer(pointer).cloned().unwrap_or(Value::Null);
            if at("/metadata/annotations/keyside.dev~1inject").is_null() {
                // Of the rest the webhook is not asked.
                assert_eq!(at("/spec/initContainers"), Value::Null, "{name}");
                continue;
            }
            seen += 1;
            assert_eq!(at("/spec/initContainers/0/name"), "keyside-agent", "{name}");
            assert_eq!(at("/metadata/annotations/keyside.dev~1status"), "injected");
            assert_eq!(at("/spec/containers/0/name"), "app");
            let environment = at("/spec/containers/0/env").to_string();
            // The script speaks TCP to that.
            assert!(
                environment.contains("http://127.0.0.1:8200"),
                "{name}: {environment}"
            );
        }
    }
    assert_eq!(seen, 5);
    Ok(())
}

/// Scripts are read by shells of other people's images.
#[test]
fn the_scripts_can_be_parsed() -> anyhow::Result<()> {
    for (shell, script) in [("bash", "use.sh"), ("sh", "setup.sh")] {
        let path = tools::root()?.join("tests/e2e").join(script);
        parse(shell, &path)?;
    }
    Ok(())
}

fn parse(shell: &str, path: &Path) -> anyhow::Result<()> {
    let output = Command::new(shell).arg("-n").arg(path).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}: {said}", path.display());
    Ok(())
}
