//! The agent's container as the patched pod describes it. Pure.

use anyhow::Context as _;
use serde_json::Value;

pub(super) const NAME: &str = "keyside-agent";

/// The image's entry point, which a container without a command runs.
const ENTRYPOINT: &str = "/keyside-agent";

#[derive(Debug)]
pub(super) struct Container {
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) mounts: Vec<Mount>,
    pub(super) startup_probe: Vec<String>,
    pub(super) user: u64,
    pub(super) read_only_root: bool,
}

#[derive(Debug)]
pub(super) struct Mount {
    pub(super) path: String,
    pub(super) read_only: bool,
    pub(super) volume: Volume,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Volume {
    /// An `emptyDir` with `medium: Memory`.
    Memory,
    /// An `emptyDir` on the node's disk.
    Disk,
    /// A projected service-account token.
    Token {
        path: String,
        audience: Option<String>,
        lifetime: u64,
    },
}

impl Container {
    /// Reads the container that the injector has added.
    pub(super) fn of(pod: &Value) -> anyhow::Result<Self> {
        let container = named(pod.pointer("/spec/initContainers"), NAME)
            .context("no native sidecar in the pod")?;
        anyhow::ensure!(
            container.get("restartPolicy").and_then(Value::as_str) == Some("Always"),
            "the agent is no native sidecar"
        );
        let mut arguments = strings(container.get("command"));
        if arguments.is_empty() {
            arguments.push(ENTRYPOINT.to_owned());
        }
        arguments.extend(strings(container.get("args")));
        let mounts = list(container.get("volumeMounts")).map(|mount| Mount::read(pod, mount));
        let environment = list(container.get("env")).map(|variable| read_variable(pod, variable));
        let startup_probe = strings(container.pointer("/startupProbe/exec/command"));
        anyhow::ensure!(!startup_probe.is_empty(), "the agent has no startup probe");
        let security = container.get("securityContext");
        Ok(Self {
            arguments,
            environment: environment.collect::<anyhow::Result<_>>()?,
            mounts: mounts.collect::<anyhow::Result<_>>()?,
            startup_probe,
            user: security
                .and_then(|context| context.get("runAsUser")?.as_u64())
                .unwrap_or(65532),
            read_only_root: security
                .and_then(|context| context.get("readOnlyRootFilesystem")?.as_bool())
                == Some(true),
        })
    }
}

impl Mount {
    fn read(pod: &Value, mount: &Value) -> anyhow::Result<Self> {
        let text = |key: &str| {
            mount
                .get(key)
                .and_then(Value::as_str)
                .with_context(|| format!("no {key} in {mount}"))
        };
        anyhow::ensure!(
            mount.get("subPath").is_none(),
            "this kubelet knows no subPath: {mount}"
        );
        let volume = named(pod.pointer("/spec/volumes"), text("name")?)
            .with_context(|| format!("no volume for {mount}"))?;
        Ok(Self {
            path: text("mountPath")?.to_owned(),
            read_only: mount.get("readOnly").and_then(Value::as_bool) == Some(true),
            volume: Volume::read(volume)?,
        })
    }
}

impl Volume {
    fn read(volume: &Value) -> anyhow::Result<Self> {
        if let Some(empty) = volume.get("emptyDir") {
            let memory = empty.get("medium").and_then(Value::as_str) == Some("Memory");
            return Ok(if memory { Self::Memory } else { Self::Disk });
        }
        let token = list(volume.pointer("/projected/sources"))
            .find_map(|source| source.get("serviceAccountToken"));
        let token =
            token.with_context(|| format!("this kubelet does not know the volume {volume}"))?;
        Ok(Self::Token {
            path: token
                .get("path")
                .and_then(Value::as_str)
                .context("a token without a path")?
                .to_owned(),
            audience: token
                .get("audience")
                .and_then(Value::as_str)
                .map(str::to_owned),
            lifetime: token
                .get("expirationSeconds")
                .and_then(Value::as_u64)
                .unwrap_or(3600),
        })
    }
}

/// A variable that application containers find.
pub(super) fn application_variable(pod: &Value, name: &str) -> anyhow::Result<String> {
    let container = pod
        .pointer("/spec/containers/0")
        .context("no application container in the pod")?;
    let variable = named(container.get("env"), name)
        .with_context(|| format!("the application has no {name}"))?;
    Ok(variable
        .get("value")
        .and_then(Value::as_str)
        .with_context(|| format!("{name} has no value"))?
        .to_owned())
}

fn read_variable(pod: &Value, variable: &Value) -> anyhow::Result<(String, String)> {
    let name = variable
        .get("name")
        .and_then(Value::as_str)
        .context("a variable without a name")?;
    if let Some(path) = variable
        .pointer("/valueFrom/fieldRef/fieldPath")
        .and_then(Value::as_str)
    {
        let value = pod
            .pointer(&format!("/{}", path.replace('.', "/")))
            .and_then(Value::as_str)
            .unwrap_or_default();
        return Ok((name.to_owned(), value.to_owned()));
    }
    anyhow::ensure!(
        variable.get("valueFrom").is_none(),
        "this kubelet cannot fill {variable}"
    );
    let value = variable
        .get("value")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Ok((name.to_owned(), value.to_owned()))
}

fn named<'a>(items: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    list(items).find(|item| item.get("name").and_then(Value::as_str) == Some(name))
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn strings(value: Option<&Value>) -> Vec<String> {
    list(value)
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": { "name": "web" },
            "spec": {
                "volumes": [
                    { "name": "keyside", "emptyDir": { "medium": "Memory" } },
                    { "name": "keyside-token", "projected": { "sources": [
                        { "serviceAccountToken": { "path": "token", "audience": "vault", "expirationSeconds": 600 } },
                    ] } },
                    { "name": "data", "hostPath": { "path": "/data" } },
                ],
                "initContainers": [{
                    "name": "keyside-agent",
                    "restartPolicy": "Always",
                    "args": ["run"],
                    "env": [
                        { "name": "KEYSIDE_CONFIG", "value": "{}" },
                        { "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                    ],
                    "startupProbe": { "exec": { "command": ["/keyside-agent", "probe", "startup"] } },
                    "securityContext": { "runAsUser": 1000, "readOnlyRootFilesystem": true },
                    "volumeMounts": [
                        { "name": "keyside", "mountPath": "/keyside" },
                        { "name": "keyside-token", "mountPath": "/var/run/secrets/x", "readOnly": true },
                    ],
                }],
                "containers": [{ "name": "app", "env": [{ "name": "VAULT_ADDR", "value": "http://127.0.0.1:8200" }] }],
            },
        })
    }

    #[test]
    fn reads_what_a_kubelet_would_run() {
        let container = Container::of(&pod()).unwrap();
        assert_eq!(container.arguments, ["/keyside-agent", "run"]);
        assert_eq!(
            container.environment[1],
            ("POD".to_owned(), "web".to_owned())
        );
        assert_eq!(
            container.startup_probe,
            ["/keyside-agent", "probe", "startup"]
        );
        assert_eq!((container.user, container.read_only_root), (1000, true));
        assert_eq!(container.mounts[0].volume, Volume::Memory);
        let token = Volume::Token {
            path: "token".to_owned(),
            audience: Some("vault".to_owned()),
            lifetime: 600,
        };
        assert_eq!(container.mounts[1].volume, token);
        assert!(container.mounts[1].read_only);
        assert_eq!(
            application_variable(&pod(), "VAULT_ADDR").unwrap(),
            "http://127.0.0.1:8200"
        );
    }

    #[test]
    fn refuses_what_it_cannot_run_truly() {
        for (pointer, value, says) in [
            ("/volumeMounts/0/name", "data", "hostPath"),
            ("/restartPolicy", "Never", "no native sidecar"),
        ] {
            let mut pod = pod();
            let place = format!("/spec/initContainers/0{pointer}");
            *pod.pointer_mut(&place).unwrap() = json!(value);
            let error = Container::of(&pod).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
