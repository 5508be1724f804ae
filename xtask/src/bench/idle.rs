//! What an agent holds and uses while it has its token and nobody asks for anything.

use std::time::Duration;

use keyside_harness::{poll, process};

use super::contender::{Contender, Ground, Place};
use super::proc;
use super::report::{Row, Target, Unit};

/// How many of each are looked at, all at the same time.
const AGENTS: usize = 3;
/// What belongs to the start is over by then.
const SETTLE: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_mins(1);
const QUICK_WINDOW: Duration = Duration::from_secs(2);
/// Seconds that a token lives. This one is not renewed within the window.
const LONG: u64 = 3600;
/// This one is, four times.
const SHORT: u64 = 20;

/// Agents of one kind, with tokens of one life, left alone.
struct Group {
    agents: Vec<(process::Child, Place)>,
}

/// What each of them used.
#[derive(Default)]
struct Used {
    /// Megabytes.
    resident: Vec<f64>,
    anonymous: Vec<f64>,
    /// Seconds on a processor, per hour.
    processor: Vec<f64>,
}

pub(super) fn rows(
    ground: &Ground,
    [ours, peers]: &[Contender; 2],
    quick: bool,
) -> anyhow::Result<Vec<Row>> {
    let groups = [
        Group::start(ground, ours, LONG)?,
        Group::start(ground, peers, LONG)?,
        Group::start(ground, ours, SHORT)?,
        Group::start(ground, peers, SHORT)?,
    ];
    let (settle, window) = if quick {
        (Duration::ZERO, QUICK_WINDOW)
    } else {
        (SETTLE, WINDOW)
    };
    pause(settle)?;
    let before = times(&groups)?;
    pause(window)?;
    let after = times(&groups)?;
    let mut used = groups.iter().map(Group::memory);
    let mut used = || used.next().transpose().map(Option::unwrap_or_default);
    let mut used = [used()?, used()?, used()?, used()?];
    for (used, (before, after)) in used.iter_mut().zip(before.iter().zip(&after)) {
        let spent = before.iter().zip(after).map(|(before, after)| {
            let spent = after.saturating_sub(*before);
            spent.as_secs_f64() / window.as_secs_f64() * 3600.0
        });
        used.processor = spent.collect();
    }
    table(used)
}

fn table([ours, peers, ours_short, peers_short]: [Used; 4]) -> anyhow::Result<Vec<Row>> {
    Ok(vec![
        Row::beside(
            "resident memory",
            Unit::Megabytes,
            ours.resident,
            peers.resident,
            Some(Target::AtMostAndBy(5.0, 12.0)),
        )?,
        Row::beside(
            "of it, shared with nobody",
            Unit::Megabytes,
            ours.anonymous,
            peers.anonymous,
            None,
        )?,
        Row::beside(
            "processor time per hour, token of an hour",
            Unit::SecondsPerHour,
            ours.processor,
            peers.processor,
            None,
        )?,
        Row::beside(
            "processor time per hour, token of 20 s",
            Unit::SecondsPerHour,
            ours_short.processor,
            peers_short.processor,
            None,
        )?,
    ])
}

impl Group {
    /// Starts them and waits until each has its token.
    fn start(ground: &Ground, contender: &Contender, life: u64) -> anyhow::Result<Self> {
        let role = format!("idle-{life}");
        ground.role(&role, life)?;
        let mut agents = Vec::new();
        for _ in 0..AGENTS {
            let place = ground.place(contender, &role)?;
            agents.push((place.spawn(contender)?, place));
        }
        for (child, place) in &agents {
            let what = format!("a token of {}", contender.name);
            poll::until(&what, poll::LIMIT, || {
                let token = place.token().map(drop);
                token.ok_or_else(|| child.lines().join("\n"))
            })?;
        }
        Ok(Self { agents })
    }

    fn memory(&self) -> anyhow::Result<Used> {
        let mut used = Used::default();
        for (child, _) in &self.agents {
            let memory = proc::memory(child.id())?;
            used.resident.push(megabytes(memory.resident));
            used.anonymous.push(megabytes(memory.anonymous));
        }
        Ok(used)
    }
}

fn times(groups: &[Group; 4]) -> anyhow::Result<Vec<Vec<Duration>>> {
    let of = |group: &Group| {
        let agents = group.agents.iter();
        agents
            .map(|(child, _)| proc::processor_time(child.id()))
            .collect()
    };
    groups.iter().map(of).collect()
}

/// Lets time pass that is to be passed: the agents do what they do while nobody looks.
fn pause(time: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async { tokio::time::sleep(time).await });
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two decimals of a few megabytes"
)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
