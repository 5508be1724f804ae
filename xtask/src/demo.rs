//! An annotated pod goes in, a live token and a cached credential come out: the project's whole path on real parts,
//! told step by step.
//!
//! OpenBao, PostgreSQL, and both of our release binaries are real. Two parts are played: the Kubernetes API server,
//! and the kubelet that runs the agent's container.

mod application;
mod cluster;
mod container;
pub(crate) mod example;
mod expiry;
pub(crate) mod interrupt;
mod review;
pub(crate) mod room;
mod summary;
pub(crate) mod world;

use anyhow::Context as _;
use keyside_harness::process;
use tokio::time::Instant;

use self::cluster::Cluster;
use self::example::Example;
use self::room::{Image, Room};
use self::summary::Summary;
use self::world::World;
use crate::release::{self, Binary};
use crate::{console, tools};

pub(crate) fn run() -> anyhow::Result<()> {
    let outcome = tell();
    if interrupt::happened() {
        return outcome.context("interrupted");
    }
    outcome
}

fn tell() -> anyhow::Result<()> {
    let start = Instant::now();
    tools::install()?;
    interrupt::watch()?;
    process::keep_quiet();
    let mut summary = Summary::default();

    console::step("Build the release binaries (a few minutes, the first time)");
    let agent = release::build("keyside-agent")?;
    let injector = release::build("keyside-injector")?;
    summary.binary("keyside-agent", &agent);
    summary.binary("keyside-injector", &injector);

    let example = Example::read()?;
    let world = World::start(&example)?;
    let outcome = in_the_world(&world, &example, &agent, &injector, &mut summary);
    report("openbao", &outcome, &world.vault.lines());
    report("postgres", &outcome, &world.postgres.lines());
    outcome?;

    drop(world);
    console::seen("OpenBao and PostgreSQL have ended; nothing is left running");
    summary.row("time", format!("{:.0} s", start.elapsed().as_secs_f64()));
    summary.print(&agent)
}

fn in_the_world(
    world: &World,
    example: &Example,
    agent: &Binary,
    injector: &Binary,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(world, injector)?;
    let outcome = in_the_cluster(world, &cluster, example, agent, summary);
    report("keyside-injector", &outcome, &cluster.injector.lines());
    outcome?;
    cluster.stop()
}

fn in_the_cluster(
    world: &World,
    cluster: &Cluster,
    example: &Example,
    agent: &Binary,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let pod = cluster.create(&example.pod()?)?;
    let mut room = Room::start(&pod, world, Image::Binary(&agent.path))?;
    let outcome = application::show(&mut room, &pod, world, summary);
    report("keyside-agent", &outcome, &room.agent.lines());
    outcome?;

    let pod = expiry::pod(cluster, example)?;
    let mut short = Room::start_quietly(&pod, world, Image::Binary(&agent.path))?;
    let outcome = expiry::watch(&mut short, world, summary);
    report("keyside-agent", &outcome, &short.agent.lines());
    outcome?;

    console::step("Stop everything");
    short.stop()?;
    room.stop()?;
    console::seen("both agents have drained and ended with status 0");
    Ok(())
}

/// Shows what a child has said, if the demonstration failed while it ran.
fn report<T>(child: &str, outcome: &anyhow::Result<T>, lines: &[String]) {
    if outcome.is_err() && !interrupt::happened() {
        console::heading(&format!("What {child} said"));
        console::quote(&lines.join("\n"));
    }
}

/// As much of a token as may be shown.
fn shown(token: &str) -> String {
    format!("{}…", token.chars().take(6).collect::<String>())
}
