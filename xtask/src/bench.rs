//! What the agent costs, beside the real `bao agent` in the same run; and how much a real OpenBao bears here.
//!
//! Invariant: both agents get the same server, login, sink and listener, and take turns, so that whatever else the
//! machine does meets both.

mod admission;
mod bare;
pub(crate) mod capacity;
mod contender;
mod hits;
mod idle;
pub(crate) mod instructions;
mod leases;
mod load;
mod memory;
mod place;
mod proc;
pub(crate) mod report;
mod rounds;
mod samples;
mod start;
mod through;

use anyhow::Context as _;
use keyside_harness::{openbao, process, tools as parts};
use lexopt::{Arg, ValueExt as _};

use self::bare::Bare;
use self::capacity::Capacity;
use self::contender::{Contender, Ground};
use self::report::Report;
use crate::{console, document, release, shell, tools};

const HELP: &str = "\
Usage: cargo xtask bench [--quick] [--write] [--only PART]...

  --quick  a look at every row, in seconds; the numbers mean little
  --write  put the tables into docs/performance.md, and what OpenBao bears into xtask/src/simulate/capacity.json
  --only   start, idle, hits, through, memory, leases, capacity or admission
";

/// Where the tables are shown.
const PAGE: &str = "docs/performance.md";

#[derive(Clone, Default)]
struct Options {
    quick: bool,
    write: bool,
    /// Parts by name; none: all.
    only: Vec<String>,
}

impl Options {
    /// Whether this part is wanted; says so, if it is.
    fn wants(&self, part: &str, title: &str) -> bool {
        let wanted = self.only.is_empty() || self.only.iter().any(|only| only == part);
        if wanted {
            console::step(title);
        }
        wanted
    }

    /// Whether anything is wanted that is about the agent.
    fn wants_agent(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only != "admission")
    }
}

pub(crate) fn run(arguments: &mut lexopt::Parser) -> anyhow::Result<()> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("quick") => options.quick = true,
            Arg::Long("write") => options.write = true,
            Arg::Long("only") => options.only.push(arguments.value()?.string()?),
            Arg::Long("help") | Arg::Short('h') => {
                console::text(HELP);
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    anyhow::ensure!(
        !(options.write && (options.quick || !options.only.is_empty())),
        "what a quick run or a part of one finds is not worth writing down"
    );
    if cfg!(debug_assertions) && !options.quick {
        return again_but_fast(&options);
    }
    measure(&options)
}

/// Runs this command as a program that was optimised: the clients that load OpenBao share the machine with it, and
/// the login that is measured by itself shall take no longer than an agent's.
fn again_but_fast(options: &Options) -> anyhow::Result<()> {
    let mut command = shell::cargo(["run", "--quiet", "--profile", "measure"])?;
    command.args(["--package", "xtask", "--", "bench"]);
    if options.write {
        command.arg("--write");
    }
    for only in &options.only {
        command.args(["--only", only]);
    }
    shell::run(&mut command)
}

fn measure(options: &Options) -> anyhow::Result<()> {
    tools::install()?;
    process::keep_quiet();
    let mut report = Report::new()?;
    let mut capacity = None;
    if options.wants_agent() {
        capacity = beside_peer(options, &mut report)?;
    }
    if options.wants("admission", "Admissions") {
        console::step("Build the release binary of the injector (a few minutes, the first time)");
        let programs = admission::Programs::build()?;
        report.admission = admission::rows(&programs, options.quick)?;
    }
    report.finish()?;

    if options.wants_agent() {
        console::heading("Beside the peer");
        console::text(&report.table());
        console::heading("Beside a bare hyper server of the same build");
        console::text(&report.bare_table());
        console::heading("OpenBao's own limits here");
        console::text(&report.capacity_table());
    }
    console::heading("The injector");
    console::text(&report.admission_table());
    let path = parts::root()?.join("target/bench.json");
    std::fs::write(&path, report.json()?).with_context(|| format!("write {}", path.display()))?;
    console::note(&format!("all of it, in numbers: {}", path.display()));
    if options.write {
        document::replace(PAGE, "bench", &report.markdown())?;
        if let Some(capacity) = capacity {
            capacity.write()?;
        }
        console::note(&format!("written to {PAGE}"));
    }
    Ok(())
}

/// The agent and its peer, and what both ask of.
fn beside_peer(options: &Options, report: &mut Report) -> anyhow::Result<Option<Capacity>> {
    console::step("Build the release binary of the agent (a few minutes, the first time)");
    let agent = release::build("keyside-agent")?;
    let bare = Bare::build()?;
    let contenders = [
        Contender::keyside(agent.path),
        Contender::bao(parts::bao()?),
    ];

    let ground = Ground::new()?;
    report.server = version(ground.server())?;
    let quick = options.quick;
    if options.wants(
        "start",
        "From the start of the process to the token in the sink",
    ) {
        report.add(start::rows(&ground, &contenders, quick)?);
    }
    if options.wants(
        "idle",
        "With the token in hand, and nobody asking for anything",
    ) {
        report.add(idle::rows(&ground, &contenders, quick)?);
    }
    if options.wants("hits", "Answers from the cache") {
        let hits = hits::rows(&ground, &contenders, &bare, quick)?;
        report.add(hits.beside_peer);
        report.bare = hits.beside_bare;
    }
    if options.wants("through", "Requests that are passed on") {
        report.add(through::rows(&ground, &contenders, &bare, quick)?);
    }
    if options.wants("memory", "Memory of an agent that is used") {
        report.add(memory::rows(&ground, &contenders, quick)?);
    }
    drop(ground);
    if options.wants("leases", "Far more leases than a pod has") {
        let [ours, _] = &contenders;
        report.add(leases::rows(ours, quick)?);
    }
    if !options.wants("capacity", "What OpenBao bears, storing on disk") {
        return Ok(None);
    }
    let measured = Capacity::measure(quick)?;
    report.capacity = measured.rows()?;
    Ok(Some(measured))
}

fn version(server: &openbao::Server) -> anyhow::Result<String> {
    let health = server.root().read("sys/health")?;
    let version = health.get("version").and_then(serde_json::Value::as_str);
    Ok(version
        .context("OpenBao does not tell its version")?
        .to_owned())
}
