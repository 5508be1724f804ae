//! Everything that has to hold before a change is merged. All steps run, also after one has failed.

use std::process::Command;

use tokio::time::Instant;

use crate::console::{self, Style};
use crate::{shell, tools};

/// Tests that do nothing but wait for minutes; they need no processor of their own.
const WAITING: usize = 2;

pub(crate) fn run() -> anyhow::Result<()> {
    let mut results = vec![measure("tools", tools::install)];
    for (name, command) in steps()? {
        results.push(measure(name, || execute(command)));
    }
    summarize(&results)
}

struct Outcome {
    name: &'static str,
    seconds: f64,
    result: anyhow::Result<()>,
}

fn steps() -> anyhow::Result<Vec<(&'static str, Command)>> {
    let mut steps = vec![
        ("formatting", shell::cargo(["fmt", "--all", "--check"])?),
        (
            "clippy",
            shell::cargo([
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "--deny=warnings",
            ])?,
        ),
    ];
    if shell::succeeds(&mut shell::cargo(["nextest", "--version"])?) {
        let profile = if std::env::var_os("CI").is_some() {
            "ci"
        } else {
            "default"
        };
        let mut tests = shell::cargo(["nextest", "run", "--workspace", "--profile", profile])?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        tests.arg(format!("--test-threads={}", processors + WAITING));
        steps.push(("tests", tests));
    } else {
        console::note("cargo-nextest is not here, so `cargo test` runs the tests.");
        steps.push((
            "tests",
            shell::cargo(["test", "--workspace", "--all-targets", "--no-fail-fast"])?,
        ));
    }
    if !shell::succeeds(Command::new("promtool").arg("--version")) {
        console::note("promtool is not here, so the alerts are not played.");
    }
    steps.push(("bench, quick", shell::cargo(["xtask", "bench", "--quick"])?));
    steps.push(("instructions", shell::cargo(["xtask", "instructions"])?));
    if shell::succeeds(&mut shell::cargo(["deny", "--version"])?) {
        let check = [
            "deny",
            "--config",
            ".deny.toml",
            "check",
            "bans",
            "licenses",
            "sources",
        ];
        steps.push(("supply chain", shell::cargo(check)?));
    } else {
        console::note("cargo-deny is not here, so licences and duplicates are not checked.");
    }
    Ok(steps)
}

fn execute(mut command: Command) -> anyhow::Result<()> {
    console::heading(&shell::describe(&command));
    shell::run(&mut command)
}

fn measure(name: &'static str, step: impl FnOnce() -> anyhow::Result<()>) -> Outcome {
    let start = Instant::now();
    let result = step();
    Outcome {
        name,
        seconds: start.elapsed().as_secs_f64(),
        result,
    }
}

fn summarize(results: &[Outcome]) -> anyhow::Result<()> {
    console::heading("Summary");
    let row = |outcome: &Outcome| {
        let verdict = match &outcome.result {
            Ok(()) => console::styled(Style::Good, "passed"),
            Err(error) => console::styled(Style::Bad, &format!("failed: {error:#}")),
        };
        (
            outcome.name.to_owned(),
            format!("{:>6.1} s  {verdict}", outcome.seconds),
        )
    };
    console::table(&results.iter().map(row).collect::<Vec<_>>());
    let failed = results
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .count();
    console::text(&format!(
        "\nsteps: {} passed, {failed} failed\n",
        results.len() - failed
    ));
    anyhow::ensure!(failed == 0, "{failed} of {} steps failed", results.len());
    Ok(())
}
