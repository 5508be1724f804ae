//! The images at work: from their own root file systems, read-only, as the users that they name, without a capability.
//! The injector decides about the example pod, and the agent logs in as that pod has it.

use std::path::Path;

use anyhow::Context as _;
use keyside_harness::poll;
use serde::Deserialize as _;
use serde_json::Value;

use super::Packed;
use crate::demo::example::Example;
use crate::demo::room::{self, Room};
use crate::demo::world::{AUDIENCE, World};
use crate::namespace::{Container, Mount};
use crate::{console, shell, tools};

const TOKEN: &str = "/keyside/token";

pub(super) fn run(packed: &[Packed]) -> anyhow::Result<()> {
    console::step("Run both as their configuration says");
    for packed in packed {
        let said = execute(packed, None, &["version"])?;
        let version = env!("CARGO_PKG_VERSION");
        anyhow::ensure!(said.contains(version), "{} says {said}", packed.program);
        console::seen(&format!("{} version: {}", packed.program, said.trim()));
    }
    let [agent, injector] = packed else {
        anyhow::bail!("there are two images");
    };
    tools::install()?;
    let example = Example::read()?;
    let world = World::start(&example)?;
    let pod = inject(injector, &example.pod()?, &world)?;
    console::seen("the injector has put the agent into the example pod");
    let mut room = Room::start(&pod, &world, room::Image::Unpacked(&agent.root))?;
    let outcome = log_in(&mut room, &world);
    if outcome.is_err() {
        console::heading("What keyside-agent said");
        console::quote(&room.agent.lines().join("\n"));
    }
    outcome?;
    room.stop()
}

/// What the image's program says.
fn execute(packed: &Packed, files: Option<&Path>, arguments: &[&str]) -> anyhow::Result<String> {
    let (program, user) = packed.image.entry()?;
    let mounts = files.map(|folder| Mount {
        folder,
        path: "/files",
        read_only: true,
    });
    let container = Container {
        root: &packed.root,
        user: &user,
        read_only: true,
        mounts: mounts.into_iter().collect(),
    };
    let words = std::iter::once(program).chain(arguments.iter().map(|&word| word.to_owned()));
    let mut command = container.command(&words.collect::<Vec<_>>());
    shell::output(&mut command).context("run an image in namespaces of its own")
}

/// The pod as the injector of the image makes it.
fn inject(injector: &Packed, pod: &Value, world: &World) -> anyhow::Result<Value> {
    let files = tempfile::tempdir()?;
    std::fs::write(files.path().join("pod.json"), pod.to_string())?;
    std::fs::copy(world.vault.ca_path(), files.path().join("ca.pem"))?;
    let said = execute(
        injector,
        Some(files.path()),
        &[
            "inject",
            "-f",
            "/files/pod.json",
            "--vault-address",
            &world.tap.address(),
            "--vault-ca-file",
            "/files/ca.pem",
            "--audience",
            AUDIENCE,
            "--agent-image",
            "keyside-agent:packed",
        ],
    )?;
    let document = serde_yaml::Deserializer::from_str(&said).next();
    Ok(Value::deserialize(document.context("no pod")?)?)
}

fn log_in(room: &mut Room, world: &World) -> anyhow::Result<()> {
    room.is_isolated()?;
    room.wait_until_started()?;
    let status = format!("/proc/{}/status", room.agent.id());
    let status = std::fs::read_to_string(status)?;
    anyhow::ensure!(
        status.contains("CapEff:\t0000000000000000"),
        "the agent has capabilities: {status}"
    );
    let path = room.folder_of(TOKEN)?;
    let token = poll::until("the token file", poll::LIMIT, || {
        std::fs::read_to_string(&path)
    })?;
    let known = world.vault.client(&token)?.look_up_self()?;
    known.context("OpenBao refuses the token")?;
    console::seen("the agent has logged in: OpenBao knows the token in its file");
    Ok(())
}
