//! From the start of the process to the token in the sink.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::{process, web};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use tokio::time::Instant;

use super::contender::{Contender, Ground, Place};
use super::proc;
use super::report::{Row, Target, Unit};

const ROLE: &str = "start";
const RUNS: usize = 21;
const QUICK_RUNS: usize = 3;
/// No agent takes this long unless something is wrong.
const LIMIT: Duration = Duration::from_secs(30);

/// What one agent needed, in milliseconds.
#[derive(Default)]
struct Series {
    whole: Vec<f64>,
    beyond: Vec<f64>,
    processor: Vec<f64>,
}

pub(super) fn rows(
    ground: &Ground,
    contenders: &[Contender; 2],
    quick: bool,
) -> anyhow::Result<Vec<Row>> {
    ground.role(ROLE, 3600)?;
    let runs = if quick { QUICK_RUNS } else { RUNS };
    let mut logins = Vec::new();
    let mut series = [Series::default(), Series::default()];
    for _ in 0..runs {
        let login = milliseconds(login(ground)?);
        logins.push(login);
        for (contender, series) in contenders.iter().zip(&mut series) {
            let (wall, processor) = started(ground, contender)?;
            series.whole.push(milliseconds(wall));
            series.beyond.push(milliseconds(wall) - login);
            series.processor.push(milliseconds(processor));
        }
    }
    let [ours, peers] = series;
    let row =
        |what, ours, peers, target| Row::beside(what, Unit::Milliseconds, ours, peers, target);
    Ok(vec![
        row("start to token in the sink", ours.whole, peers.whole, None)?,
        Row::alone(
            "the bare login: connection, TLS and answer",
            Unit::Milliseconds,
            logins,
        )?,
        row(
            "start to token in the sink, beyond the bare login",
            ours.beyond,
            peers.beyond,
            Some(Target::AtMost(30.0)),
        )?,
        row(
            "processor time, start to token in the sink",
            ours.processor,
            peers.processor,
            None,
        )?,
    ])
}

/// A login on a connection of its own, by a client that has never spoken to the server.
fn login(ground: &Ground) -> anyhow::Result<Duration> {
    let server = ground.server();
    let client = web::Client::new(&server.address(), Some(&server.ca()))?;
    let start = Instant::now();
    let answer = client.post("/v1/auth/kubernetes/login", &ground.login(ROLE))?;
    let took = start.elapsed();
    web::success(&answer)?;
    Ok(took)
}

/// Until the token is in the sink, as a reader of the file would notice; and the processor time that it took.
fn started(ground: &Ground, contender: &Contender) -> anyhow::Result<(Duration, Duration)> {
    let place = ground.place(contender, ROLE)?;
    let sink = Sink::watch(place.folder())?;
    let start = Instant::now();
    let child = place.spawn(contender)?;
    sink.wait(&place, &child)?;
    Ok((start.elapsed(), proc::processor_time(child.id())?))
}

/// The kernel's own word on what changes in a folder, so that waiting costs no time that the agent could use.
struct Sink(rustix::fd::OwnedFd);

impl Sink {
    fn watch(folder: &Path) -> anyhow::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watch = inotify::init(flags)?;
        let events = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CLOSE_WRITE;
        inotify::add_watch(&watch, folder, events)
            .with_context(|| format!("watch {}", folder.display()))?;
        Ok(Self(watch))
    }

    fn wait(&self, place: &Place, child: &process::Child) -> anyhow::Result<()> {
        let start = Instant::now();
        while place.token().is_none() {
            let left = LIMIT.saturating_sub(start.elapsed());
            anyhow::ensure!(
                !left.is_zero(),
                "no token within {LIMIT:?}; the agent said:\n{}",
                child.lines().join("\n")
            );
            let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
            poll(&mut watched, Some(&Timespec::try_from(left)?))?;
            // What changed does not matter: the file is looked at.
            rustix::io::read(&self.0, &mut [0_u8; 4096]).ok();
        }
        Ok(())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
