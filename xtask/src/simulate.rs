//! A fleet of ten thousand agents against one server, on virtual time: what it asks for in the worst second, and how
//! soon it is well again after what befell it.
//!
//! The agents decide by the code of the binary, `keyside_machine`; the server is a model with a measured capacity.

mod agent;
mod fleet;
mod plot;
mod scenario;
mod server;
mod tally;
#[cfg(test)]
mod tests;

use anyhow::Context as _;
use keyside_harness::{process, tools as parts};
use lexopt::{Arg, ValueExt as _};
use tokio::time::Instant;

use self::fleet::Fleet;
use self::scenario::{Pods, Scenario};
use self::server::Kind;
use self::tally::Tally;
use crate::bench::capacity::{Capacity, PerSecond};
use crate::{console, document, shell, tools};

const HELP: &str = "\
Usage: cargo xtask simulate [--agents N] [--seed N] [--measure] [--write] [SCENARIO...]

  --agents N  how many; the server and the rollout shrink or grow with them (10000)
  --seed N    of all randomness (1)
  --measure   against what OpenBao bears on this machine now, not what `cargo xtask bench --write` found
  --write     put the table into docs/fleet.md, and the picture beside it

Fails if the worst second takes more than 0.7 of the server, or if not all agents are well within five minutes.
";
const PAGE: &str = "docs/fleet.md";
const PICTURE: &str = "docs/fleet.svg";
/// What `cargo xtask bench --write` measured.
const CAPACITY: &str = include_str!("simulate/capacity.json");

struct Options {
    agents: u32,
    seed: u64,
    measure: bool,
    write: bool,
    scenarios: Vec<String>,
}

/// A scenario that has been played.
struct Played {
    scenario: Scenario,
    tally: Tally,
}

pub(crate) fn run(arguments: &mut lexopt::Parser) -> anyhow::Result<()> {
    let Some(options) = options(arguments)? else {
        console::text(HELP);
        return Ok(());
    };
    if cfg!(debug_assertions) {
        return again_but_fast(&options);
    }
    let start = Instant::now();
    let rates = if options.measure {
        measured()?
    } else {
        serde_json::from_str(CAPACITY).context("read capacity.json")?
    };
    let played = play(&options, &rates)?;
    let rows: Vec<_> = played.iter().map(Played::cells).collect();
    console::heading(&format!("{} agents, seed {}", options.agents, options.seed));
    console::text(&crate::bench::report::aligned(HEADS, &rows));
    console::note(&format!("{:.1} s", start.elapsed().as_secs_f64()));
    if options.write {
        document::replace(PAGE, "simulate", &markdown(&options, &rates, &rows))?;
        let path = parts::root()?.join(PICTURE);
        std::fs::write(&path, plot::svg(&played, options.agents))
            .with_context(|| format!("write {PICTURE}"))?;
        console::note(&format!("written to {PAGE} and {PICTURE}"));
    }
    let broken: Vec<_> = played.iter().flat_map(Played::broken).collect();
    anyhow::ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

/// `None`: help is wanted.
fn options(arguments: &mut lexopt::Parser) -> anyhow::Result<Option<Options>> {
    let mut options = Options {
        agents: fleet::FULL,
        seed: 1,
        measure: false,
        write: false,
        scenarios: Vec::new(),
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("agents") => options.agents = arguments.value()?.parse()?,
            Arg::Long("seed") => options.seed = arguments.value()?.parse()?,
            Arg::Long("measure") => options.measure = true,
            Arg::Long("write") => options.write = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Value(name) => options.scenarios.push(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    anyhow::ensure!(options.agents > 0, "a fleet has agents");
    anyhow::ensure!(
        !options.write || options.scenarios.is_empty() && options.agents == fleet::FULL,
        "what is written down are all scenarios of a whole fleet"
    );
    Ok(Some(options))
}

/// Runs this command as a program that was optimised: ten thousand agents through twenty hours are some fifty million
/// events.
fn again_but_fast(options: &Options) -> anyhow::Result<()> {
    let mut command = shell::cargo(["run", "--quiet", "--profile", "measure"])?;
    command.args(["--package", "xtask", "--", "simulate"]);
    command.args(["--agents", &options.agents.to_string()]);
    command.args(["--seed", &options.seed.to_string()]);
    command.args(options.measure.then_some("--measure"));
    command.args(options.write.then_some("--write"));
    command.args(&options.scenarios);
    shell::run(&mut command)
}

fn measured() -> anyhow::Result<PerSecond> {
    tools::install()?;
    process::keep_quiet();
    console::heading("What OpenBao bears here");
    let rates = Capacity::measure(false)?.per_second()?;
    console::note(&format!("{rates:?}"));
    Ok(rates)
}

fn play(options: &Options, rates: &PerSecond) -> anyhow::Result<Vec<Played>> {
    let mut scenarios = scenario::all();
    for name in &options.scenarios {
        let known = scenarios.iter().any(|scenario| scenario.name == name);
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name).collect();
        anyhow::ensure!(known, "no scenario {name}; there are {}", names.join(", "));
    }
    if !options.scenarios.is_empty() {
        scenarios.retain(|scenario| options.scenarios.iter().any(|name| scenario.name == name));
    }
    // A day of a fleet is the same for all that begin with it.
    let steady = scenarios
        .iter()
        .any(|scenario| matches!(scenario.pods, Pods::Steady))
        .then(|| Fleet::steady(options.agents, rates, options.seed));
    let mut played = Vec::new();
    for scenario in scenarios {
        let fleet = match (scenario.pods, &steady) {
            (Pods::Steady, Some(steady)) => steady.clone(),
            _ => Fleet::new(options.agents, rates, options.seed),
        };
        let tally = fleet.play(&scenario);
        played.push(Played { scenario, tally });
    }
    Ok(played)
}

const HEADS: [&str; 10] = [
    "scenario",
    "logins",
    "renewals",
    "look-ups",
    "probes",
    "lost",
    "worst second",
    "of the server",
    "all well after",
    "unwell at the end",
];

impl Played {
    fn cells(&self) -> [String; 10] {
        let Self { scenario, tally } = self;
        let [logins, renewals, look_ups, probes] =
            Kind::OWN.map(|kind| tally.count(kind).to_string());
        let worst = tally.worst();
        let recovery = tally.recovery(scenario);
        [
            scenario.title.to_owned(),
            logins,
            renewals,
            look_ups,
            probes,
            tally.lost.to_string(),
            worst.requests.to_string(),
            format!("{:.0} %", worst.load * 100.0),
            recovery.map_or_else(
                || "never".to_owned(),
                |time| format!("{} s", time.as_secs()),
            ),
            tally.unwell_at_the_end().to_string(),
        ]
    }

    fn broken(&self) -> Vec<String> {
        let broken = self.tally.broken(&self.scenario).into_iter();
        broken
            .map(|text| format!("{}: {text}", self.scenario.name))
            .collect()
    }
}

fn markdown(options: &Options, rates: &PerSecond, rows: &[[String; 10]]) -> String {
    format!(
        "{} agents; a server that bears {} logins, {} renewals, {} look-ups or {} probes a second; seed {}.\n\n{}",
        options.agents,
        rates.login,
        rates.renewal,
        rates.look_up,
        rates.health,
        options.seed,
        crate::bench::report::marked(HEADS, rows)
    )
}
