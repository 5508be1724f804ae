//! An annotated pod goes in, a live token and a cached credential come out: the project's whole path on real parts,
//! told step by step.
//!
//! OpenBao, PostgreSQL, and both of our release binaries are real. Two parts are played: the Kubernetes API server,
//! and the kubelet that runs the agent's container.

mod application;
mod cluster;
mod container;
mod example;
mod expiry;
mod review;
mod room;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use keyside_harness::process;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use self::cluster::Cluster;
use self::example::Example;
use self::room::Room;
use self::world::World;
use crate::release::{self, Binary};
use crate::{console, tools};

/// What the project promises of the agent.
const AGENT_BYTES: u64 = 4_500_000;
const AGENT_RESIDENT_BYTES: u64 = 5_000_000;

pub(crate) fn run() -> anyhow::Result<()> {
    let outcome = tell();
    if INTERRUPTED.load(Ordering::Relaxed) {
        return outcome.context("interrupted");
    }
    outcome
}

fn tell() -> anyhow::Result<()> {
    let start = Instant::now();
    tools::install()?;
    end_on_signal()?;
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
    let mut room = Room::start(&pod, world, agent)?;
    let outcome = application::show(&mut room, &pod, world, summary);
    report("keyside-agent", &outcome, &room.agent.lines());
    outcome?;

    let pod = expiry::pod(cluster, example)?;
    let mut short = Room::start_quietly(&pod, world, agent)?;
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
    if outcome.is_err() && !INTERRUPTED.load(Ordering::Relaxed) {
        console::heading(&format!("What {child} said"));
        console::quote(&lines.join("\n"));
    }
}

/// Set when a person has seen enough.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Passes signals on to the children: the step that needs them fails, and all is cleared up on the way out.
fn end_on_signal() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let (Ok(mut interrupt), Ok(mut terminate)) = (
                    signal(SignalKind::interrupt()),
                    signal(SignalKind::terminate()),
                ) else {
                    return;
                };
                loop {
                    tokio::select! {
                        // Both cancel-safe: a signal that was not taken stays pending.
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    INTERRUPTED.store(true, Ordering::Relaxed);
                    process::interrupt_all();
                }
            });
        })?;
    Ok(())
}

/// What is printed at the end.
#[derive(Default)]
pub(crate) struct Summary {
    rows: Vec<(String, String)>,
    resident: Option<u64>,
}

impl Summary {
    pub(crate) fn row(&mut self, name: &str, value: String) {
        self.rows.push((name.to_owned(), value));
    }

    fn binary(&mut self, name: &str, binary: &Binary) {
        let text = format!("{}, static, stripped", megabytes(binary.bytes));
        console::seen(&format!("{name}: {text}"));
        self.row(&format!("{name}, binary"), text);
    }

    pub(crate) fn resident(&mut self, bytes: u64) {
        self.resident = Some(bytes);
        self.row(
            "keyside-agent, resident when idle after login",
            megabytes(bytes),
        );
    }

    fn print(&self, agent: &Binary) -> anyhow::Result<()> {
        console::heading("Summary");
        console::table(&self.rows);
        let resident = self
            .resident
            .context("the agent's memory was not measured")?;
        for (what, bytes, limit) in [
            ("binary", agent.bytes, AGENT_BYTES),
            ("resident memory", resident, AGENT_RESIDENT_BYTES),
        ] {
            anyhow::ensure!(
                bytes <= limit,
                "the agent's {what} is {}, and was to be at most {}",
                megabytes(bytes),
                megabytes(limit)
            );
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two decimals of a few megabytes"
)]
fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

/// As much of a token as may be shown.
fn shown(token: &str) -> String {
    format!("{}…", token.chars().take(6).collect::<String>())
}
