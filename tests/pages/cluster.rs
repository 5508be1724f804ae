//! Blocks that need a cluster: here they are only held against what they name. Bash has to read them, their files have
//! to be there and be what Kubernetes takes, and `helm` may set only what the chart has.

use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::Value;

use crate::blocks::{self, Use};
use crate::markdown::Block;
use crate::named::commands;

/// Programs that a reader needs for them.
const PROGRAMS: [&str; 12] = [
    "cat",
    "cd",
    "curl",
    "docker",
    "git",
    "helm",
    "kind",
    "kubectl",
    "openssl",
    "printf",
    "for",
    "keyside-injector",
];

/// Folders whose files a page may name.
const FOLDERS: [&str; 4] = ["charts/", "examples/", "manifests/", "docs/"];

#[test]
fn what_needs_a_cluster_names_what_there_is() -> anyhow::Result<()> {
    let root = tools::root()?;
    let values: Value = serde_yaml::from_str(&std::fs::read_to_string(
        root.join("charts/keyside/values.yaml"),
    )?)?;
    let (mut count, mut wrong) = (0, Vec::new());
    for block in blocks::with(Use::Cluster)? {
        count += 1;
        if block.language != "sh" {
            continue;
        }
        if let Err(error) = judge(&block, &values) {
            wrong.push(format!("{}: {error:#}", block.place()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 3, "{count}");
    Ok(())
}

fn judge(block: &Block, values: &Value) -> anyhow::Result<()> {
    let root = tools::root()?;
    let output = Command::new("bash")
        .args(["-n", "-c", &block.text])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{said}");
    for words in commands(&block.text) {
        let is_program = words
            .first()
            .is_some_and(|word| PROGRAMS.contains(&word.as_str()));
        anyhow::ensure!(is_program, "{words:?}: which program is this?");
        for word in &words {
            let word = word.trim_matches(['"', '\'']);
            if FOLDERS.iter().any(|folder| word.starts_with(folder)) {
                anyhow::ensure!(root.join(word).exists(), "{word} is not there");
            }
        }
        if words.first().is_some_and(|word| word == "helm") {
            let flags = words.iter().zip(words.iter().skip(1));
            let set = flags.filter(|(flag, _)| flag.starts_with("--set"));
            for (_, setting) in set {
                let key = setting
                    .trim_matches(['"', '\''])
                    .split('=')
                    .next()
                    .unwrap_or_default();
                let pointer = format!("/{}", key.replace('.', "/"));
                anyhow::ensure!(values.pointer(&pointer).is_some(), "the chart has no {key}");
            }
        }
    }
    Ok(())
}

/// The manifests beside the pages, as the API server's schemas have them.
#[test]
fn the_examples_are_what_kubernetes_takes() -> anyhow::Result<()> {
    let root = tools::root()?;
    let mut command = Command::new(tools::python()?);
    command.args(["-m", "kubernetes_validate", "--strict", "-k", "1.33"]);
    let mut count = 0;
    for entry in root.join("examples").read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "yaml") {
            command.arg(&path);
            count += 1;
        }
    }
    let output = command.output().context("run kubernetes-validate")?;
    let report = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "{report}");
    assert!(count >= 2, "{count}");
    Ok(())
}
