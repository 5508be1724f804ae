//! What README and `docs/annotations.md` say about annotations, asked of the real injector.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

use crate::pages::{page, words};

/// Runs the offline command, which decides as the webhook does.
fn inject(manifest: &str) -> anyhow::Result<Output> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pod.yaml");
    std::fs::write(&file, manifest)?;
    Command::new(env!("CARGO_BIN_EXE_keyside-injector"))
        .args([
            "inject",
            "--vault-address",
            "https://vault.example.com",
            "-f",
        ])
        .arg(&file)
        .output()
        .context("run the injector")
}

/// What the injector says about a pod with these annotations.
fn said(annotations: &Value) -> anyhow::Result<String> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shop", "annotations": annotations},
        "spec": {"containers": [{"name": "shop", "image": "shop"}]},
    });
    Ok(String::from_utf8(inject(&pod.to_string())?.stderr)?)
}

/// The keys in the first column of the tables under these headings, all of them before the given one.
fn documented(text: &str, end: &str) -> BTreeSet<String> {
    let before = text.split(end).next().unwrap_or_default();
    let rows = before.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    cells.flat_map(words).map(str::to_owned).collect()
}

#[test]
fn the_pod_of_the_readme_is_injected() -> anyhow::Result<()> {
    let text = page("README.md")?;
    let sample = text
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let output = inject(sample.context("no pod")?)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");

    let pod: Value = serde_yaml::from_slice(&output.stdout)?;
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/keyside");
    for name in ["VAULT_ADDR", "BAO_ADDR"] {
        let variable = json!({"name": name, "value": "http://127.0.0.1:8200"});
        let all = container["env"].as_array().context("variables")?;
        assert!(all.contains(&variable), "{all:?}");
    }
    let agent = pod["spec"]["initContainers"][0]["env"][0]["value"]
        .as_str()
        .context("a configuration")?;
    assert!(
        agent.contains("/keyside/token") && agent.contains("/keyside/agent.sock"),
        "{agent}"
    );
    Ok(())
}

/// `?` is no value of any of them, so that the injector names each key that it reads.
#[test]
fn every_key_of_the_page_is_read() -> anyhow::Result<()> {
    let keys = documented(&page("docs/annotations.md")?, "## What the injector writes");
    for key in keys.iter().filter(|key| *key != "inject") {
        // Names of roles, audiences and containers may be anything.
        let value = if matches!(key.as_str(), "role" | "audience") {
            ""
        } else {
            "?"
        };
        let said = said(&json!({
            "keyside.dev/inject": "true",
            "keyside.dev/role": "shop",
            format!("keyside.dev/{key}"): value,
        }))?;
        let named =
            said.contains(&format!("keyside.dev/{key}:")) || said.contains("no container \"?\"");
        assert!(named && !said.contains("not supported"), "{key}: {said}");
    }
    Ok(())
}

#[test]
fn keys_of_later_versions_are_refused() -> anyhow::Result<()> {
    let text = page("docs/annotations.md")?;
    let later = text
        .split("## Not in this version")
        .nth(1)
        .context("no such heading")?;
    let mut count = 0;
    for key in words(later) {
        let key = key
            .replace("<name>", "x")
            .replace("<NAME>", "X")
            .replace("<param>", "x");
        let said = said(&json!({
            "keyside.dev/inject": "true",
            "keyside.dev/role": "shop",
            format!("keyside.dev/{key}"): "true",
        }))?;
        assert!(
            said.contains("not supported by this version"),
            "{key}: {said}"
        );
        count += 1;
    }
    assert!(count >= 7, "{count}");
    Ok(())
}

/// The injector cannot be asked for what the page leaves out; its own list can.
#[test]
fn the_page_leaves_no_key_out() -> anyhow::Result<()> {
    assert_eq!(
        documented(&page("docs/annotations.md")?, "## What the injector writes"),
        known()?
    );
    Ok(())
}

/// The keys that the injector reads.
pub(crate) fn known() -> anyhow::Result<BTreeSet<String>> {
    let file = tools::root()?.join("injector/src/annotation/key.rs");
    let source =
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let list = source
        .split("const KNOWN:")
        .nth(1)
        .and_then(|rest| rest.split("];").next());
    let list = list.context("no list of keys")?;
    Ok(list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}
