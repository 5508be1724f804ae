//! Renders `manifests/` from the chart, with the real Helm engine.

use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools as parts;

use crate::{console, shell, tools};

const TARGET: &str = "manifests/keyside.yaml";

pub(crate) fn run() -> anyhow::Result<()> {
    tools::install()?;
    let root = parts::root()?;
    let mut command = Command::new(parts::python()?);
    command
        .args(["charts/render.py", "render", "charts/keyside"])
        .current_dir(&root);
    let text = shell::output(&mut command)?;
    let path = root.join(TARGET);
    let changed = std::fs::read_to_string(&path).ok().as_ref() != Some(&text);
    std::fs::write(&path, text).with_context(|| format!("write {TARGET}"))?;
    console::seen(if changed {
        "manifests/keyside.yaml rendered anew"
    } else {
        "manifests/keyside.yaml is up to date"
    });
    Ok(())
}
