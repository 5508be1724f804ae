//! Renders what is made from something else in the tree: `docs/configuration.md` from the agent's own keys, the chart's
//! README from the comments of its values, and `manifests/` from the chart, with the real Helm engine.

use std::process::Command;

use anyhow::Context as _;
use keyside_config::reference;
use keyside_harness::tools as parts;

use crate::{console, shell, tools};

const PAGE: &str = "docs/configuration.md";
const README: &str = "charts/keyside/README.md";
const MANIFEST: &str = "manifests/keyside.yaml";

pub(crate) fn run() -> anyhow::Result<()> {
    write(PAGE, &reference::page())?;
    tools::install()?;
    write(README, &python(&["charts/readme.py", "charts/keyside"])?)?;
    write(
        MANIFEST,
        &python(&["charts/render.py", "render", "charts/keyside"])?,
    )
}

fn python(arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(parts::python()?);
    shell::output(command.args(arguments).current_dir(parts::root()?))
}

fn write(target: &str, text: &str) -> anyhow::Result<()> {
    let path = parts::root()?.join(target);
    let changed = std::fs::read_to_string(&path).ok().as_deref() != Some(text);
    std::fs::write(&path, text).with_context(|| format!("write {target}"))?;
    let state = if changed {
        "rendered anew"
    } else {
        "up to date"
    };
    console::seen(&format!("{target} is {state}"));
    Ok(())
}
