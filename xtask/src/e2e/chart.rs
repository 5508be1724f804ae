//! The chart in the cluster: by Helm where it is there, else as a person without Helm has it, rendered and applied.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

use super::kubectl::Kubectl;
use super::manifest::Names;
use super::settings::{Settings, image};
use crate::{console, shell};

pub(super) enum Chart {
    Helm(PathBuf),
    /// For this version of Kubernetes.
    Rendered(String),
}

/// What the chart has made of a release's name.
pub(super) fn injector(release: &str) -> String {
    format!("{release}-injector")
}

impl Chart {
    pub(super) fn find(settings: &Settings, kubernetes: &str) -> Self {
        if shell::succeeds(Command::new(&settings.helm).arg("version")) {
            console::seen("Helm installs the chart");
            return Self::Helm(settings.helm.clone());
        }
        console::note("There is no `helm`: the chart is rendered by its engine and applied.");
        Self::Rendered(kubernetes.to_owned())
    }

    /// Installs it, or brings it to these values.
    pub(super) fn install(
        &self,
        kubectl: &Kubectl,
        settings: &Settings,
        names: &Names,
    ) -> anyhow::Result<()> {
        let values = values(settings, names);
        match self {
            Self::Helm(program) => {
                let mut helm = helm(program, settings, names);
                helm.args(["upgrade", "--install", &names.injector])
                    .arg(folder()?);
                let file = tempfile::NamedTempFile::new()?;
                std::fs::write(file.path(), values.to_string())?;
                helm.arg("--values")
                    .arg(file.path())
                    .args(["--wait", "--timeout"]);
                helm.arg(format!("{}s", settings.timeout.as_secs()));
                shell::output(&mut helm).map(drop)
            }
            Self::Rendered(kubernetes) => kubectl.apply(&render(&values, names, kubernetes)?),
        }
    }

    pub(super) fn uninstall(
        &self,
        kubectl: &Kubectl,
        settings: &Settings,
        names: &Names,
    ) -> anyhow::Result<()> {
        match self {
            Self::Helm(program) => {
                let mut helm = helm(program, settings, names);
                helm.args(["uninstall", &names.injector, "--ignore-not-found"]);
                helm.args(["--wait", "--timeout"]);
                helm.arg(format!("{}s", settings.timeout.as_secs()));
                shell::output(&mut helm).map(drop)
            }
            Self::Rendered(kubernetes) => {
                let text = render(&values(settings, names), names, kubernetes)?;
                let limit = format!("--timeout={}s", settings.timeout.as_secs());
                let delete = ["delete", "--ignore-not-found", &limit, "-f", "-"];
                kubectl.feed(&delete, &text).map(drop)
            }
        }
    }
}

/// A leaf lives four minutes, so that all checks see certificates change; less, and a replica would not be ready before
/// it is renewed. `watch` is on for its Lease, which has to go with the rest.
fn values(settings: &Settings, names: &Names) -> Value {
    let picture = |reference: &str| {
        let (repository, tag, digest) = image(reference);
        json!({ "repository": repository, "tag": tag, "digest": digest })
    };
    json!({
        "image": picture(&settings.injector_image),
        "agent": { "image": picture(&settings.agent_image) },
        "vault": {
            "address": format!("http://openbao.{}:8200", names.vault),
            "audience": "vault",
        },
        "webhook": { "namespaceLabels": { "keyside.dev/e2e": names.run } },
        "certificate": { "self": { "leafLifetime": "4m", "settle": "10s" } },
        "watch": { "enabled": true, "period": "10s" },
    })
}

fn helm(program: &Path, settings: &Settings, names: &Names) -> Command {
    let mut command = Command::new(program);
    command.args(["--namespace", &names.injector]);
    if let Some(context) = &settings.context {
        command.args(["--kube-context", context]);
    }
    command
}

fn folder() -> anyhow::Result<PathBuf> {
    Ok(tools::root()?.join("charts/keyside"))
}

fn render(values: &Value, names: &Names, kubernetes: &str) -> anyhow::Result<String> {
    let mut command = Command::new(tools::python()?);
    command.arg(tools::root()?.join("charts/render.py"));
    command.arg("render").arg(folder()?);
    command.args(["--release", &names.injector, "--namespace", &names.injector]);
    command.args([
        "--kube-version",
        kubernetes,
        "--values",
        &values.to_string(),
    ]);
    let text = shell::output(&mut command).context("render the chart")?;
    // A hook is no part of the installation: only `helm test` makes it.
    let documents = text.split("\n---\n");
    let kept = documents.filter(|document| !document.contains("helm.sh/hook"));
    Ok(kept.collect::<Vec<_>>().join("\n---\n"))
}
