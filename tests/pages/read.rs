//! Blocks that a program reads: each goes to the one that would read it.

use std::io::Write as _;
use std::process::{Command, Output};

use anyhow::Context as _;
use keyside_harness::tools;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::blocks::{self, Use};
use crate::markdown::{self, Block};
use crate::room;

#[test]
fn what_the_pages_show_is_taken_by_whoever_reads_it() -> anyhow::Result<()> {
    let (mut count, mut wrong) = (0, Vec::new());
    for block in blocks::with(Use::Read)? {
        let outcome = match block.language.as_str() {
            "yaml" => yaml(&block),
            "json" => serde_json::from_str::<Value>(&block.text)
                .map(drop)
                .map_err(Into::into),
            "hcl" if block.is_marked("policy") => policy(&block),
            "hcl" => configuration(&block),
            "promql" => promql(&block),
            "mermaid" => mermaid(&block.text),
            other => Err(anyhow::anyhow!("nobody reads {other}")),
        };
        if let Err(error) = outcome {
            wrong.push(format!("{}: {error:#}", block.place()));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count >= 8, "{count}");
    Ok(())
}

fn yaml(block: &Block) -> anyhow::Result<()> {
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&block.text)
        .map(Value::deserialize)
        .collect::<Result<_, _>>()?;
    if block.is_marked("values") {
        return values(documents.first().context("no values")?);
    }
    if block.is_marked("vault-k8s") {
        return told(injector(&["migrate"], &block.text)?).map(drop);
    }
    for document in documents {
        let Some(kind) = document.get("kind").and_then(Value::as_str) else {
            if let Some(annotations) = annotations(&document) {
                let pod = pod(annotations.clone());
                told(injector(
                    &["inject", "--vault-address", "https://vault"],
                    &pod.to_string(),
                )?)?;
            }
            continue;
        };
        // What is not Kubernetes' own, its schemas do not know.
        let version = document
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if version.contains('.') && !version.contains(".k8s.io/") {
            continue;
        }
        validate(&document)?;
        if annotations(&document).is_some() {
            let text = document.to_string();
            told(injector(
                &["inject", "--vault-address", "https://vault"],
                &text,
            )?)
            .with_context(|| kind.to_owned())?;
            told(injector(&["lint", "--strict"], &text)?)?;
        }
    }
    Ok(())
}

/// The annotations of Keyside's, wherever they are.
fn annotations(document: &Value) -> Option<&Value> {
    let found = document.get("annotations").filter(|found| {
        let keys = found.as_object().into_iter().flatten();
        keys.clone().any(|(key, _)| key.starts_with("keyside.dev/"))
    });
    let members = document.as_object().into_iter().flatten();
    found.or_else(|| members.map(|(_, value)| value).find_map(annotations))
}

fn pod(mut annotations: Value) -> Value {
    for (key, value) in [("keyside.dev/inject", "true"), ("keyside.dev/role", "shop")] {
        if let Some(all) = annotations.as_object_mut() {
            all.entry(key).or_insert_with(|| value.into());
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "shop", "annotations": annotations },
        "spec": { "containers": [{ "name": "shop", "image": "shop" }] },
    })
}

fn injector(arguments: &[&str], manifest: &str) -> anyhow::Result<Output> {
    let file = written(manifest, ".yaml")?;
    Command::new(env!("CARGO_BIN_EXE_keyside-injector"))
        .args(arguments)
        .arg("-f")
        .arg(file.path())
        .output()
        .context("run the injector")
}

fn written(text: &str, end: &str) -> anyhow::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().suffix(end).tempfile()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// What the program said; an error where it failed.
fn told(output: Output) -> anyhow::Result<String> {
    let said = String::from_utf8(output.stdout)?;
    let cause = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}: {said}{cause}", output.status);
    Ok(said)
}

fn validate(document: &Value) -> anyhow::Result<()> {
    let file = written(&document.to_string(), ".yaml")?;
    let output = Command::new(tools::python()?)
        .args(["-m", "kubernetes_validate", "--strict", "-k", "1.33"])
        .arg(file.path())
        .output()?;
    told(output).map(drop)
}

/// The chart takes them.
fn values(values: &Value) -> anyhow::Result<()> {
    let root = tools::root()?;
    let output = Command::new(tools::python()?)
        .arg(root.join("charts/render.py"))
        .arg("render")
        .arg(root.join("charts/keyside"))
        .args(["--release", "keyside", "--namespace", "keyside"])
        .args(["--kube-version", "v1.33.0", "--values", &values.to_string()])
        .output()?;
    told(output).map(drop)
}

fn configuration(block: &Block) -> anyhow::Result<()> {
    let file = written(&block.text, ".hcl")?;
    let output = Command::new(room::agent()?)
        .args(["check", "-config"])
        .arg(file.path())
        .env_clear()
        .output()?;
    told(output).map(drop)
}

fn policy(block: &Block) -> anyhow::Result<()> {
    let file = written(&block.text, ".hcl")?;
    let output = Command::new(tools::bao()?)
        .args(["policy", "fmt"])
        .arg(file.path())
        .output()?;
    told(output).map(drop)
}

/// The metrics in it are on one of the pages about them.
fn promql(block: &Block) -> anyhow::Result<()> {
    let mut known = String::new();
    for page in ["docs/metrics.md", "docs/injector.md", "docs/profiles.md"] {
        known.push_str(&markdown::page(page)?.text);
    }
    let is_part = |c: char| !(c.is_ascii_lowercase() || c == '_');
    let names = block
        .text
        .split(is_part)
        .filter(|word| word.starts_with("keyside_"));
    for name in names {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let is_known = [Some(name), base]
            .into_iter()
            .flatten()
            .any(|name| known.contains(&format!("`{name}`")));
        anyhow::ensure!(is_known, "no metric {name}");
    }
    Ok(())
}

/// The little of Mermaid that the pages use: `flowchart`, nodes with quoted texts, arrows with or without one.
fn mermaid(text: &str) -> anyhow::Result<()> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    anyhow::ensure!(
        ["flowchart LR", "flowchart TD"].contains(&first),
        "it begins with {first:?}"
    );
    let (mut depth, mut arrows) = (0, 0);
    for line in lines {
        if line == "end" {
            depth -= 1;
        } else if let Some(title) = line.strip_prefix("subgraph ") {
            node(title)?;
            depth += 1;
        } else {
            let mut rest = line;
            while let Some((from, to)) = rest.split_once(" -->").or(rest.split_once(" -.->")) {
                node(from)?;
                arrows += 1;
                rest = match to.strip_prefix("|\"").map(|to| to.split_once("\"| ")) {
                    Some(labelled) => labelled.context("a text that does not end")?.1,
                    None => to.strip_prefix(' ').context("a space behind the arrow")?,
                };
            }
            node(rest)?;
        }
        anyhow::ensure!(depth >= 0, "an end too many: {line}");
    }
    anyhow::ensure!(depth == 0 && arrows > 0, "{depth} open, {arrows} arrows");
    Ok(())
}

/// `name`, `name["text"]`, `name[("text")]` or `name(["text"])`.
fn node(text: &str) -> anyhow::Result<()> {
    let text = text.trim();
    let end = text.find(['[', '(']).unwrap_or(text.len());
    let (name, shape) = text.split_at(end);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let shapes = [("[\"", "\"]"), ("[(\"", "\")]"), ("([\"", "\"])")];
    let is_shape = shape.is_empty()
        || shapes.iter().any(|(open, close)| {
            let inner = shape
                .strip_prefix(open)
                .and_then(|rest| rest.strip_suffix(close));
            inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(['"', '[', ']']))
        });
    anyhow::ensure!(is_name && is_shape && name != "end", "no node: {text}");
    Ok(())
}

#[test]
fn a_diagram_has_a_shape() {
    let good = "flowchart LR\n  a[\"A\"] -->|\"x, y\"| b\n  subgraph c[\"C\"]\n    b --> d([\"D\"])\n  end\n";
    mermaid(good).unwrap();
    for bad in [
        "graph LR\n a --> b",
        "flowchart LR\n  a",
        "flowchart LR\n  a --> b(text)",
        "flowchart LR\n  subgraph c[\"C\"]\n  a --> b",
        "flowchart LR\n  a --> b[\"x]",
        "flowchart LR\n  a -> b",
    ] {
        assert!(mermaid(bad).is_err(), "{bad}");
    }
}
