//! Drives `charts/render.py`, which is what `cargo xtask render` runs too.

use std::process::{Command, Output};

use anyhow::Context as _;
use keyside_harness::tools;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// One call of Helm: what a person would write on its command line.
pub(crate) struct Release {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) kubernetes: &'static str,
    pub(crate) values: Value,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            name: "keyside",
            namespace: "keyside",
            kubernetes: "v1.36.0",
            values: json!({}),
        }
    }
}

impl Release {
    pub(crate) fn with(values: Value) -> Self {
        Self {
            values,
            ..Self::default()
        }
    }

    /// The rendered stream, byte for byte.
    pub(crate) fn render(&self) -> anyhow::Result<String> {
        self.accepted(&["render"])
    }

    pub(crate) fn notes(&self) -> anyhow::Result<String> {
        self.accepted(&["render", "--notes"])
    }

    pub(crate) fn lint(&self) -> anyhow::Result<String> {
        self.accepted(&["lint"])
    }

    /// The rendered objects.
    pub(crate) fn objects(&self) -> anyhow::Result<Objects> {
        Objects::read(&self.render()?)
    }

    /// Helm's message; an error where Helm renders.
    pub(crate) fn refusal(&self) -> anyhow::Result<String> {
        let output = self.call(&["render"])?;
        anyhow::ensure!(!output.status.success(), "Helm accepts {}", self.values);
        Ok(String::from_utf8(output.stderr)?)
    }

    fn accepted(&self, mode: &[&str]) -> anyhow::Result<String> {
        let output = self.call(mode)?;
        anyhow::ensure!(
            output.status.success(),
            "Helm refuses {}: {}",
            self.values,
            String::from_utf8_lossy(&output.stderr),
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    fn call(&self, mode: &[&str]) -> anyhow::Result<Output> {
        let root = tools::root()?;
        Command::new(tools::python()?)
            .arg(root.join("charts/render.py"))
            .args(mode)
            .arg(root.join("charts/keyside"))
            .args(["--release", self.name, "--namespace", self.namespace])
            .args(["--kube-version", self.kubernetes])
            .args(["--values", &self.values.to_string()])
            .output()
            .context("run charts/render.py")
    }
}

/// What a render holds.
pub(crate) struct Objects(Vec<Value>);

impl Objects {
    /// The objects of a rendered stream.
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let objects = serde_yaml::Deserializer::from_str(text)
            .map(Value::deserialize)
            .collect::<Result<_, _>>()
            .context("read the rendered YAML")?;
        Ok(Self(objects))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// Those of one part of the installation.
    pub(crate) fn of_component(&self, component: &str) -> Self {
        let label = "/metadata/labels/app.kubernetes.io~1component";
        let is_meant = |object: &&Value| {
            object
                .pointer(label)
                .is_some_and(|label| label == component)
        };
        Self(self.iter().filter(is_meant).cloned().collect())
    }

    /// The only object of that kind.
    pub(crate) fn the(&self, kind: &str) -> anyhow::Result<&Value> {
        let mut all = self.iter().filter(|object| object["kind"] == kind);
        let first = all.next().with_context(|| format!("no {kind}"))?;
        anyhow::ensure!(all.next().is_none(), "more than one {kind}");
        Ok(first)
    }

    /// What is at a JSON pointer of the only object of that kind; null where there is nothing.
    pub(crate) fn at(&self, kind: &str, pointer: &str) -> anyhow::Result<Value> {
        let object = self.the(kind)?;
        Ok(object.pointer(pointer).cloned().unwrap_or(Value::Null))
    }
}
