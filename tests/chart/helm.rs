//! Drives `charts/render.py`, which is what `cargo xtask render` runs too.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

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

    /// What Helm makes only for `helm test`.
    pub(crate) fn hooks(&self) -> anyhow::Result<Objects> {
        Objects::read(&self.accepted(&["render", "--hooks"])?)
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

/// What Helm says to one of many calls: what it renders, or why it does not.
pub(crate) type Answer = Result<String, String>;

/// Many calls of Helm in one process. A call is an object with the arguments of `charts/render.py`.
pub(crate) fn batch(calls: &[Value]) -> anyhow::Result<Vec<Answer>> {
    let answers = python("charts/render.py", &["batch"], &json!(calls))?;
    let answers = answers.as_array().context("answers")?.iter();
    let answers = answers.map(|answer| match (&answer["text"], &answer["refusal"]) {
        (Value::String(text), _) => Ok(Ok(text.clone())),
        (_, Value::String(refusal)) => Ok(Err(refusal.clone())),
        _ => anyhow::bail!("{answer}"),
    });
    answers.collect()
}

/// Renders the chart with each of the values, and what `helm test` makes beside it.
pub(crate) fn render_all(values: &[Value]) -> anyhow::Result<Vec<Objects>> {
    let calls = values
        .iter()
        .map(|values| json!({ "values": values, "hooks": null }));
    let answers = batch(&calls.collect::<Vec<_>>())?.into_iter().zip(values);
    let objects = answers.map(|(answer, values)| match answer {
        Ok(text) => Objects::read(&text),
        Err(refusal) => anyhow::bail!("Helm refuses {values}: {refusal}"),
    });
    objects.collect()
}

/// Runs a program of the repository with the chart, and `input` as JSON; answers what it prints, as JSON.
pub(crate) fn python(program: &str, mode: &[&str], input: &Value) -> anyhow::Result<Value> {
    let root = tools::root()?;
    let mut child = Command::new(tools::python()?)
        .arg(root.join(program))
        .args(mode)
        .arg(root.join("charts/keyside"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {program}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let input = input.to_string();
    // It reads all of it before it writes anything.
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program}: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
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

    /// The only object of that kind, or of that kind in one part of the installation: `Kind@component`.
    pub(crate) fn the(&self, kind: &str) -> anyhow::Result<&Value> {
        let mut all = self.all(kind);
        let first = all.next().with_context(|| format!("no {kind}"))?;
        anyhow::ensure!(all.next().is_none(), "more than one {kind}");
        Ok(first)
    }

    /// The objects of that kind; see [`Objects::the`].
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let (kind, component) = kind.split_once('@').unwrap_or((kind, ""));
        self.iter().filter(move |object| {
            let part = &object["metadata"]["labels"]["app.kubernetes.io/component"];
            object["kind"] == kind && (component.is_empty() || part == component)
        })
    }

    /// What is at a JSON pointer of the only object of that kind; null where there is nothing.
    pub(crate) fn at(&self, kind: &str, pointer: &str) -> anyhow::Result<Value> {
        let object = self.the(kind)?;
        Ok(object.pointer(pointer).cloned().unwrap_or(Value::Null))
    }
}
