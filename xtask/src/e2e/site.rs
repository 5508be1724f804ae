//! The cluster, and what this run has there.

use std::cell::Cell;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::{poll, tools};
use serde_json::Value;

use super::chart::{self, Chart};
use super::kubectl::Kubectl;
use super::manifest::{self, Names};
use super::settings::Settings;
use crate::demo::interrupt;
use crate::release::{PROGRAMS, Target};
use crate::{console, shell};

/// `kubectl` takes some 100 ms, and asks an API server that has other things to do.
const PERIOD: Duration = Duration::from_millis(500);

/// The name by which a webhook of Keyside's is known in every installation.
const WEBHOOK: &str = "inject.keyside.dev";

pub(crate) struct Site {
    pub(super) settings: Settings,
    pub(super) kubectl: Kubectl,
    pub(super) names: Names,
    chart: Chart,
    /// Whether there is anything to remove.
    began: Cell<bool>,
}

impl Site {
    /// Fails where the cluster does not answer, and where Keyside is there already: two would inject the same pods.
    pub(super) fn new(settings: Settings, kubectl: Kubectl) -> anyhow::Result<Self> {
        console::heading("The cluster");
        let version: Value = serde_json::from_str(
            &kubectl
                .run(&["version", "--output=json"])
                .context("the cluster of the kubeconfig does not answer, or refuses")?,
        )?;
        let version = version
            .pointer("/serverVersion/gitVersion")
            .and_then(Value::as_str)
            .context("the cluster tells no version")?;
        console::seen(&format!("Kubernetes {version} answers"));
        let others = kubectl.get(&["mutatingwebhookconfigurations"])?;
        let others = others.get("items").and_then(Value::as_array);
        for other in others.into_iter().flatten() {
            let name = other.pointer("/metadata/name").and_then(Value::as_str);
            anyhow::ensure!(
                !other.to_string().contains(WEBHOOK),
                "Keyside is in this cluster already: {}. Take another cluster, or uninstall it first",
                name.unwrap_or_default()
            );
        }
        Ok(Self {
            chart: Chart::find(&settings, version),
            names: names(&settings),
            settings,
            kubectl,
            began: Cell::new(false),
        })
    }

    /// Namespaces, OpenBao, PostgreSQL, and what an operator sets up in them.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        console::step("Start OpenBao and PostgreSQL in namespaces of this run");
        if let Some(cluster) = &self.settings.kind {
            load(cluster)?;
        }
        self.began.set(true);
        self.apply(manifest::NAMESPACES)?;
        self.kubectl.apply(&self.names.scripts())?;
        self.apply(manifest::VAULT)?;
        let vault = &self.names.vault;
        self.rolled_out(vault, "deployment/openbao")?;
        self.rolled_out(vault, "deployment/postgres")?;
        self.wait_for(vault, "job/setup", "condition=Complete")?;
        console::seen(&format!(
            "namespaces {}",
            self.names.namespaces().join(", ")
        ));
        Ok(())
    }

    /// Removes everything of this run, as far as it is there.
    pub(super) fn clean(&self) -> anyhow::Result<()> {
        let namespaces = self.names.namespaces();
        if !self.began.get() {
            return Ok(());
        }
        if self.settings.keep {
            console::heading("Kept, as you asked. To remove everything:");
            let label = format!("keyside.dev/e2e={}", self.names.run);
            console::note(&format!(
                "helm uninstall --namespace {0} {0}",
                self.names.injector
            ));
            console::note(&format!(
                "kubectl delete clusterrolebinding,namespace -l {label}"
            ));
            return Ok(());
        }
        console::heading("Cleaning up");
        let uninstalled = self.uninstall();
        let label = format!("--selector=keyside.dev/e2e={}", self.names.run);
        let options = ["--ignore-not-found", "--wait=true", &self.limit()];
        let bindings = [
            &["delete", "clusterrolebindings", &label],
            options.as_slice(),
        ]
        .concat();
        let bindings = self.kubectl.run(&bindings);
        let all = [
            &["delete", "namespaces"],
            namespaces.as_slice(),
            options.as_slice(),
        ]
        .concat();
        self.kubectl.run(&all)?;
        bindings?;
        uninstalled
    }

    pub(super) fn install(&self) -> anyhow::Result<()> {
        self.chart
            .install(&self.kubectl, &self.settings, &self.names)
    }

    pub(super) fn uninstall(&self) -> anyhow::Result<()> {
        self.chart
            .uninstall(&self.kubectl, &self.settings, &self.names)
    }

    /// The name of the injector's objects.
    pub(super) fn injector(&self) -> String {
        chart::injector(&self.names.injector)
    }

    /// Applies a manifest of this run.
    pub(super) fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        self.kubectl.apply(&self.names.fill(manifest))
    }

    pub(super) fn rolled_out(&self, namespace: &str, object: &str) -> anyhow::Result<()> {
        let limit = self.limit();
        let arguments = [
            "rollout",
            "status",
            object,
            "--namespace",
            namespace,
            &limit,
        ];
        self.kubectl.run(&arguments).map(drop)
    }

    pub(super) fn wait_for(
        &self,
        namespace: &str,
        object: &str,
        condition: &str,
    ) -> anyhow::Result<()> {
        let condition = format!("--for={condition}");
        let limit = self.limit();
        let arguments = ["wait", object, "--namespace", namespace, &condition, &limit];
        self.kubectl.run(&arguments).map(drop)
    }

    /// Asks now and then until the answer is `Ok`.
    pub(super) fn until<T>(
        &self,
        what: &str,
        mut ask: impl FnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        poll::every(PERIOD, what, self.settings.timeout, || {
            if interrupt::happened() {
                return Ok(Err(anyhow::anyhow!("interrupted")));
            }
            ask().map(Ok)
        })?
    }

    fn limit(&self) -> String {
        format!("--timeout={}s", self.settings.timeout.as_secs())
    }
}

fn names(settings: &Settings) -> Names {
    let run = format!("{:06x}", fastrand::u32(..1 << 24));
    let name = |part: &str| format!("keyside-e2e-{run}{part}");
    Names {
        injector: name(""),
        vault: name("-vault"),
        apps: name("-apps"),
        restricted: name("-restricted"),
        openbao_image: settings.openbao_image.clone(),
        postgres_image: settings.postgres_image.clone(),
        secret: std::iter::repeat_with(fastrand::alphanumeric)
            .take(24)
            .collect(),
        run,
    }
}

/// Loads what `cargo xtask images` has made into a cluster of kind's.
fn load(cluster: &str) -> anyhow::Result<()> {
    let folder = tools::root()?.join("target/images");
    let target = Target::host()?;
    let (version, architecture) = (env!("CARGO_PKG_VERSION"), target.architecture()?);
    for program in PROGRAMS {
        let archive = folder.join(format!("{program}-{version}-{architecture}.tar"));
        anyhow::ensure!(
            archive.is_file(),
            "no {}: run `cargo xtask images`",
            archive.display()
        );
        let mut kind = Command::new("kind");
        kind.args(["load", "image-archive", "--name", cluster]);
        shell::run(kind.arg(archive))?;
    }
    Ok(())
}
