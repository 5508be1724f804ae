//! `kubectl`, the real one: what it is asked here a person could type.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::Value;

use super::settings::Settings;
use crate::shell;

#[derive(Clone)]
pub(super) struct Kubectl {
    program: PathBuf,
    context: Option<String>,
}

impl Kubectl {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            program: match &settings.kubectl {
                Some(program) => program.clone(),
                None => tools::kubectl()?,
            },
            context: settings.context.clone(),
        })
    }

    /// Whether the kubeconfig names a cluster; it may not answer all the same.
    pub(super) fn has_cluster(&self) -> bool {
        self.context.is_some() || self.run(&["config", "current-context"]).is_ok()
    }

    /// Runs it to its end; gives what it says.
    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        shell::output(&mut self.command(arguments))
    }

    /// Runs it with a manifest as its standard input.
    pub(super) fn feed(&self, arguments: &[&str], manifest: &str) -> anyhow::Result<String> {
        let mut command = self.command(arguments);
        let name = shell::describe(&command);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {name}"))?;
        let written = process
            .stdin
            .take()
            .context("no standard input")?
            .write_all(manifest.as_bytes());
        let output = process.wait_with_output()?;
        anyhow::ensure!(
            output.status.success(),
            "{name}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        written.with_context(|| format!("feed {name}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(super) fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        self.feed(&["apply", "-f", "-"], manifest).map(drop)
    }

    /// What it answers to `get` as JSON.
    pub(super) fn get(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = [&["get"], arguments, &["--output=json"]].concat();
        Ok(serde_json::from_str(&self.run(&arguments)?)?)
    }

    /// The names of the objects that `get` finds; none where there are none, and no error either.
    pub(super) fn names(&self, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let options: &[&str] = &["--ignore-not-found", "--output=name"];
        let text = self.run(&[&["get"], arguments, options].concat())?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        if let Some(context) = &self.context {
            command.arg(format!("--context={context}"));
        }
        // Waiting verbs have a limit of their own.
        if !arguments.iter().any(|word| word.starts_with("--timeout=")) {
            command.arg("--request-timeout=30s");
        }
        command
    }
}
