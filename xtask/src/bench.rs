//! What the agent costs, beside the real `bao agent` in the same run; and how much a real OpenBao bears here.
//!
//! Invariant: both agents get the same server, login, sink and listener, and take turns, so that whatever else the
//! machine does meets both.

mod bare;
pub(crate) mod capacity;
mod contender;
mod hits;
mod idle;
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
use lexopt::Arg;

use self::bare::Bare;
use self::capacity::Capacity;
use self::contender::{Contender, Ground};
use self::report::Report;
use crate::{console, document, release, shell, tools};

const HELP: &str = "\
Usage: cargo xtask bench [--quick] [--write]

  --quick  a look at every row, in seconds; the numbers mean little
  --write  put the tables into docs/performance.md, and what OpenBao bears into xtask/src/simulate/capacity.json
";

/// Where the tables are shown.
const PAGE: &str = "docs/performance.md";

#[derive(Clone, Copy, Default)]
struct Options {
    quick: bool,
    write: bool,
}

pub(crate) fn run(arguments: &mut lexopt::Parser) -> anyhow::Result<()> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("quick") => options.quick = true,
            Arg::Long("write") => options.write = true,
            Arg::Long("help") | Arg::Short('h') => {
                console::text(HELP);
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    anyhow::ensure!(
        !(options.quick && options.write),
        "what a quick run finds is not worth writing down"
    );
    if cfg!(debug_assertions) && !options.quick {
        return again_but_fast(options);
    }
    measure(options)
}

/// Runs this command as a program that was optimised: the clients that load OpenBao share the machine with it, and
/// the login that is measured by itself shall take no longer than an agent's.
fn again_but_fast(options: Options) -> anyhow::Result<()> {
    let mut command = shell::cargo(["run", "--quiet", "--profile", "measure"])?;
    command.args(["--package", "xtask", "--", "bench"]);
    if options.write {
        command.arg("--write");
    }
    shell::run(&mut command)
}

fn measure(options: Options) -> anyhow::Result<()> {
    tools::install()?;
    process::keep_quiet();
    console::step("Build the release binary of the agent (a few minutes, the first time)");
    let agent = release::build("keyside-agent")?;
    let bare = Bare::build()?;
    let mut report = Report::new()?;
    let contenders = [
        Contender::keyside(agent.path),
        Contender::bao(parts::bao()?),
    ];

    let ground = Ground::new()?;
    report.server = version(ground.server())?;
    console::step("Answers from the cache");
    let hits = hits::rows(&ground, &contenders, &bare, options.quick)?;
    report.rows.extend(hits.beside_peer);
    report.bare = hits.beside_bare;
    console::step("Requests that are passed on");
    report
        .rows
        .extend(through::rows(&ground, &contenders, &bare, options.quick)?);
    console::step("Memory of an agent that is used");
    report
        .rows
        .extend(memory::rows(&ground, &contenders, options.quick)?);
    console::step("Far more leases than a pod has");
    let [ours, _] = &contenders;
    report.rows.extend(leases::rows(ours, options.quick)?);
    console::step("From the start of the process to the token in the sink");
    report
        .rows
        .extend(start::rows(&ground, &contenders, options.quick)?);
    console::step("With the token in hand, and nobody asking for anything");
    report
        .rows
        .extend(idle::rows(&ground, &contenders, options.quick)?);
    drop(ground);

    console::step("What OpenBao bears, storing on disk");
    let capacity = Capacity::measure(options.quick)?;
    report.capacity = capacity.rows()?;
    report.finish()?;

    console::heading("Beside the peer");
    console::text(&report.table());
    console::heading("Beside a bare hyper server of the same build");
    console::text(&report.bare_table());
    console::heading("OpenBao's own limits here");
    console::text(&report.capacity_table());
    let path = parts::root()?.join("target/bench.json");
    std::fs::write(&path, report.json()?).with_context(|| format!("write {}", path.display()))?;
    console::note(&format!("all of it, in numbers: {}", path.display()));
    if options.write {
        document::replace(PAGE, "bench", &report.markdown())?;
        capacity.write()?;
        console::note(&format!("written to {PAGE}"));
    }
    Ok(())
}

fn version(server: &openbao::Server) -> anyhow::Result<String> {
    let health = server.root().read("sys/health")?;
    let version = health.get("version").and_then(serde_json::Value::as_str);
    Ok(version
        .context("OpenBao does not tell its version")?
        .to_owned())
}
