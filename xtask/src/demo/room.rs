//! A kubelet of one container: volumes become folders, and the agent's container runs over them.
//!
//! Where the machine allows it, the container gets a user and a mount namespace and a root file system of its own, as
//! its image `FROM scratch` has it; elsewhere its paths are replaced by the folders' in its arguments and environment.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::{jwt, poll, process};
use serde_json::Value;

use super::container::{Container, Volume};
use super::world::World;
use crate::{console, namespace, shell};

/// What an API server puts into a token that names no audience.
const API_SERVER: &str = "https://kubernetes.default.svc.cluster.local";

pub(crate) struct Room {
    pub(crate) agent: process::Child,
    plan: Plan,
}

/// The image of the container.
#[derive(Clone, Copy)]
pub(crate) enum Image<'a> {
    /// As good as one: the file that it holds.
    Binary(&'a Path),
    /// The folder to which it was unpacked.
    Unpacked(&'a Path),
}

/// Everything that a process of the container needs.
struct Plan {
    container: Container,
    /// One per mount of the container, in its order.
    folders: Vec<PathBuf>,
    isolation: Isolation,
    /// Where the folders and the root file system are.
    disk: tempfile::TempDir,
    /// A folder on a real tmpfs, where there is one.
    memory: tempfile::TempDir,
}

enum Isolation {
    Namespaces,
    /// With the reason.
    Substituted(String),
}

impl Room {
    /// Runs the agent's container and tells how.
    pub(crate) fn start(pod: &Value, world: &World, image: Image<'_>) -> anyhow::Result<Self> {
        console::step("Run the agent's container as the patched pod has it");
        let room = Self::start_quietly(pod, world, image)?;
        room.plan.describe();
        Ok(room)
    }

    pub(crate) fn start_quietly(
        pod: &Value,
        world: &World,
        image: Image<'_>,
    ) -> anyhow::Result<Self> {
        let mut plan = Plan::new(Container::of(pod)?, image)?;
        plan.fill(world)?;
        if let Err(reason) = plan.try_isolation() {
            plan.isolation = Isolation::Substituted(reason);
        }
        let agent =
            process::Child::spawn("keyside-agent", plan.command(&plan.container.arguments))?;
        Ok(Self { agent, plan })
    }

    /// Fails, with the reason, where the container has no namespaces of its own.
    pub(crate) fn is_isolated(&self) -> anyhow::Result<()> {
        match &self.plan.isolation {
            Isolation::Namespaces => Ok(()),
            Isolation::Substituted(reason) => anyhow::bail!("no namespaces here: {reason}"),
        }
    }

    /// Runs the startup probe until it succeeds; gives what it said, each line once.
    pub(crate) fn wait_until_started(&mut self) -> anyhow::Result<Vec<String>> {
        let mut said: Vec<String> = Vec::new();
        poll::until("the startup probe", poll::LIMIT, || {
            if let Some(status) = self.agent.status()? {
                anyhow::bail!("the agent has ended: {status}");
            }
            let output = self
                .plan
                .command(&self.plan.container.startup_probe)
                .output()?;
            let words = [output.stdout, output.stderr].concat();
            for line in String::from_utf8_lossy(&words).lines() {
                if said.last().is_none_or(|last| last != line) {
                    said.push(line.to_owned());
                }
            }
            anyhow::ensure!(
                output.status.success(),
                "{}",
                said.last().map_or("silent", String::as_str)
            );
            Ok(())
        })?;
        Ok(said)
    }

    /// Where a path of the pod's volumes lies on this machine.
    pub(crate) fn folder_of(&self, path: &str) -> anyhow::Result<PathBuf> {
        self.plan
            .substitute(path)
            .map(PathBuf::from)
            .with_context(|| format!("{path} is in no volume"))
    }

    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.agent.terminate()?;
        anyhow::ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

impl Plan {
    fn new(container: Container, image: Image<'_>) -> anyhow::Result<Self> {
        let disk = tempfile::Builder::new().prefix("keyside-demo-").tempdir()?;
        let memory = tempfile::Builder::new()
            .prefix("keyside-demo-")
            .tempdir_in(memory())?;
        let mut folders = Vec::new();
        for (index, mount) in container.mounts.iter().enumerate() {
            let parent = if mount.volume == Volume::Memory {
                memory.path()
            } else {
                disk.path()
            };
            let folder = parent.join(index.to_string());
            std::fs::create_dir(&folder)?;
            // As the kubelet makes them: whoever the container runs as may write.
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o1777))?;
            folders.push(folder);
        }
        let plan = Self {
            container,
            folders,
            isolation: Isolation::Namespaces,
            disk,
            memory,
        };
        plan.unpack(image)?;
        Ok(plan)
    }

    /// The image, and what a container runtime adds to it.
    fn unpack(&self, image: Image<'_>) -> anyhow::Result<()> {
        let root = self.root();
        std::fs::create_dir_all(root.join("etc"))?;
        match image {
            Image::Binary(path) => {
                std::fs::copy(path, self.binary()).context("unpack the image")?;
            }
            Image::Unpacked(folder) => {
                let mut copy = Command::new("cp");
                copy.args(["-r", "--preserve=mode"]).arg(folder.join("."));
                shell::run(copy.arg(&root))?;
            }
        }
        for file in ["etc/hosts", "etc/resolv.conf"] {
            if let Ok(text) = std::fs::read(Path::new("/").join(file)) {
                std::fs::write(root.join(file), text)?;
            }
        }
        Ok(())
    }

    fn root(&self) -> PathBuf {
        self.disk.path().join("root")
    }

    fn binary(&self) -> PathBuf {
        self.root().join("keyside-agent")
    }

    /// Puts a service-account token where the pod projects one.
    fn fill(&self, world: &World) -> anyhow::Result<()> {
        for (mount, folder) in self.container.mounts.iter().zip(&self.folders) {
            if let Volume::Token {
                path,
                audience,
                lifetime,
            } = &mount.volume
            {
                let token = world.issuer.token(&jwt::Claims {
                    namespace: &world.namespace,
                    service_account: &world.service_account,
                    audience: audience.as_deref().unwrap_or(API_SERVER),
                    lifetime: Duration::from_secs(*lifetime),
                })?;
                std::fs::write(folder.join(path), token)?;
            }
        }
        Ok(())
    }

    /// Runs the harmless verb; an error is what the machine says against namespaces.
    fn try_isolation(&self) -> Result<(), String> {
        let output = self
            .command(&["/keyside-agent".to_owned(), "version".to_owned()])
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("unshare: {error}")),
        }
    }

    /// A process of the container.
    fn command(&self, arguments: &[String]) -> Command {
        let mut command = match self.isolation {
            Isolation::Namespaces => self.isolated(arguments),
            Isolation::Substituted(_) => self.substituted(arguments),
        };
        command.current_dir("/").env_remove("RUST_LOG");
        command
    }

    fn isolated(&self, arguments: &[String]) -> Command {
        let mounts = self.container.mounts.iter().zip(&self.folders);
        let mounts = mounts.map(|(mount, folder)| namespace::Mount {
            folder,
            path: &mount.path,
            read_only: mount.read_only,
        });
        let container = namespace::Container {
            root: &self.root(),
            user: &self.container.user.to_string(),
            read_only: self.container.read_only_root,
            mounts: mounts.collect(),
        };
        let mut command = container.command(arguments);
        command.envs(self.container.environment.iter().cloned());
        command
    }

    fn substituted(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(self.binary());
        command.env_clear();
        command.args(
            arguments
                .iter()
                .skip(1)
                .map(|argument| self.substitute(argument).unwrap_or(argument.clone())),
        );
        for (name, value) in &self.container.environment {
            let value = match serde_json::from_str(value) {
                Ok(mut json @ Value::Object(_)) => {
                    self.substitute_within(&mut json);
                    json.to_string()
                }
                _ => self.substitute(value).unwrap_or(value.clone()),
            };
            command.env(name, value);
        }
        command
    }

    fn substitute_within(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(substituted) = self.substitute(text) {
                    *text = substituted;
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.substitute_within(item)),
            Value::Object(fields) => fields
                .values_mut()
                .for_each(|field| self.substitute_within(field)),
            _ => {}
        }
    }

    /// The path with its mount path replaced by the volume's folder, if it is in a volume.
    fn substitute(&self, path: &str) -> Option<String> {
        let mounts = self.container.mounts.iter().zip(&self.folders);
        let (mount, folder) = mounts
            .filter(|(mount, _)| Path::new(path).starts_with(&mount.path))
            .max_by_key(|(mount, _)| mount.path.len())?;
        let rest = Path::new(path).strip_prefix(&mount.path).ok()?;
        Some(
            folder
                .join(rest)
                .to_string_lossy()
                .trim_end_matches('/')
                .to_owned(),
        )
    }

    fn describe(&self) {
        console::quote(&self.container.arguments.join(" "));
        let names: Vec<&str> = self
            .container
            .environment
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        console::quote(&format!("with {}", names.join(", ")));
        for mount in &self.container.mounts {
            let what = match &mount.volume {
                Volume::Memory => "in memory".to_owned(),
                Volume::Disk => "on disk".to_owned(),
                Volume::Token { audience, .. } => {
                    format!(
                        "service-account token, audience {}",
                        audience.as_deref().unwrap_or(API_SERVER)
                    )
                }
            };
            console::quote(&format!(
                "{} ({what}{})",
                mount.path,
                if mount.read_only { ", read-only" } else { "" }
            ));
        }
        if self
            .container
            .mounts
            .iter()
            .any(|mount| mount.volume == Volume::Memory)
        {
            console::note(&format!(
                "The volumes in memory are folders on the tmpfs at {}.",
                self.memory.path().display()
            ));
        }
        match &self.isolation {
            Isolation::Namespaces => console::seen(&format!(
                "in a user and a mount namespace: uid {}, no capability, the root file system of its image{}",
                self.container.user,
                if self.container.read_only_root {
                    ", read-only"
                } else {
                    ""
                },
            )),
            Isolation::Substituted(reason) => {
                console::note(
                    "No user and mount namespaces here, so the paths of its volumes are replaced by folders:",
                );
                console::quote(reason);
            }
        }
    }
}

/// A folder on tmpfs, where the machine has the usual one.
fn memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::super::container::Mount;
    use super::*;

    #[test]
    fn replaces_mount_paths_by_folders_in_arguments_and_configuration() {
        let mount = |path: &str| Mount {
            path: path.to_owned(),
            read_only: false,
            volume: Volume::Disk,
        };
        let config = r#"{"sink":[{"path":"/keyside/token"}],"admin":"/keyside/run/admin.sock","other":"/keysider"}"#;
        let container = Container {
            arguments: vec!["/keyside-agent".to_owned(), "/keyside".to_owned()],
            environment: vec![("KEYSIDE_CONFIG".to_owned(), config.to_owned())],
            mounts: vec![mount("/keyside"), mount("/keyside/run")],
            startup_probe: Vec::new(),
            user: 65532,
            read_only_root: true,
        };
        let image = Image::Binary(Path::new("/proc/self/exe"));
        let mut plan = Plan::new(container, image).unwrap();
        plan.isolation = Isolation::Substituted(String::new());
        let command = plan.command(&plan.container.arguments);
        let folders: Vec<_> = plan
            .folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        assert_eq!(
            command.get_args().collect::<Vec<_>>(),
            [folders[0].as_str()]
        );
        let value = command
            .get_envs()
            .find_map(|(_, value)| value)
            .unwrap()
            .to_str()
            .unwrap();
        let value: Value = serde_json::from_str(value).unwrap();
        assert_eq!(value["sink"][0]["path"], format!("{}/token", folders[0]));
        assert_eq!(value["admin"], format!("{}/admin.sock", folders[1]));
        assert_eq!(value["other"], "/keysider");
    }
}
