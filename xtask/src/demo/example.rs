//! The pod of `examples/pod.yaml`, as a person writes it.

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

pub(crate) struct Example {
    pod: Value,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) role: String,
}

impl Example {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = tools::root()?.join("examples/pod.yaml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let pod: Value =
            serde_yaml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        let text = |pointer: &str| {
            pod.pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let namespace = text("/metadata/namespace").unwrap_or_else(|| "default".to_owned());
        Ok(Self {
            service_account: text("/spec/serviceAccountName")
                .unwrap_or_else(|| "default".to_owned()),
            role: text("/metadata/annotations/keyside.dev~1role")
                .context("the example names no role")?,
            pod: with_namespace(pod, &namespace)?,
            namespace,
        })
    }

    /// The pod, with its proxy on a port that is free on this machine: a pod has a loopback of its own, we have not.
    pub(crate) fn pod(&self) -> anyhow::Result<Value> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        self.annotated("keyside.dev/proxy-port", &port.to_string())
    }

    /// The pod under another role, with a proxy as in [`Example::pod`].
    pub(crate) fn pod_with_role(&self, role: &str) -> anyhow::Result<Value> {
        let mut pod = self.pod()?;
        annotate(&mut pod, "keyside.dev/role", role)?;
        Ok(pod)
    }

    fn annotated(&self, key: &str, value: &str) -> anyhow::Result<Value> {
        let mut pod = self.pod.clone();
        annotate(&mut pod, key, value)?;
        Ok(pod)
    }
}

/// The pod as whoever sends it to the API server completes it.
fn with_namespace(mut pod: Value, namespace: &str) -> anyhow::Result<Value> {
    let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.context("the example has no metadata")?;
    metadata.insert("namespace".to_owned(), json!(namespace));
    Ok(pod)
}

fn annotate(pod: &mut Value, key: &str, value: &str) -> anyhow::Result<()> {
    let annotations = pod
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut);
    annotations
        .context("the example has no annotations")?
        .insert(key.to_owned(), json!(value));
    Ok(())
}
