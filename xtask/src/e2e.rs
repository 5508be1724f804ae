//! What no test without a cluster can see: the chart installed, pods admitted, run and rolled, on the cluster that the
//! kubeconfig points to. Everything lies in namespaces of this run alone, and goes again.

mod chart;
mod checks;
mod docs;
mod kubectl;
mod manifest;
mod report;
mod settings;
mod site;
mod stream;

use tokio::time::Instant;

use self::kubectl::Kubectl;
use self::settings::Settings;
use self::site::Site;
use crate::console::{self, Style};
use crate::demo::interrupt;
use crate::tools;

/// One thing that has to hold, in its order: a later one may build on what an earlier one left.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    run: fn(&Site) -> anyhow::Result<()>,
}

struct Outcome {
    name: &'static str,
    seconds: f64,
    result: anyhow::Result<()>,
}

pub(crate) fn run(arguments: &mut lexopt::Parser) -> anyhow::Result<()> {
    let Some(settings) = Settings::read(arguments)? else {
        console::text(&settings::help());
        return Ok(());
    };
    if settings.docs {
        return docs::run(&settings);
    }
    tools::install()?;
    let kubectl = Kubectl::new(&settings)?;
    if !kubectl.has_cluster() {
        console::heading(
            "SKIPPED: no cluster. `kubectl config current-context` names none; set KUBECONFIG, or give --context.",
        );
        anyhow::ensure!(!settings.require, "there is no cluster");
        return Ok(());
    }
    interrupt::watch()?;
    let site = Site::new(settings, kubectl)?;
    let mut outcomes = vec![measure("prepare", || site.prepare())];
    for check in checks::all() {
        let is_needed = ["install", "uninstall"].contains(&check.name);
        if !is_needed && !site.settings.wants(check.name) {
            continue;
        }
        if is_fatal(&outcomes) {
            break;
        }
        console::step(check.says);
        outcomes.push(measure(check.name, || (check.run)(&site)));
        if let Some(Err(error)) = outcomes.last().map(|outcome| &outcome.result) {
            console::error(&format!("{}: {error:#}", check.name));
            report::tell(&site);
        }
    }
    outcomes.push(measure("clean up", || site.clean()));
    summarize(&outcomes)
}

/// Whether nothing that follows could succeed.
fn is_fatal(outcomes: &[Outcome]) -> bool {
    let mut failed = outcomes.iter().filter(|outcome| outcome.result.is_err());
    interrupt::happened() || failed.any(|outcome| ["prepare", "install"].contains(&outcome.name))
}

fn measure(name: &'static str, step: impl FnOnce() -> anyhow::Result<()>) -> Outcome {
    let start = Instant::now();
    let result = step();
    let seconds = start.elapsed().as_secs_f64();
    Outcome {
        name,
        seconds,
        result,
    }
}

fn summarize(outcomes: &[Outcome]) -> anyhow::Result<()> {
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
    console::table(&outcomes.iter().map(row).collect::<Vec<_>>());
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .count();
    console::text(&format!(
        "\nchecks: {} passed, {failed} failed\n",
        outcomes.len() - failed
    ));
    anyhow::ensure!(!interrupt::happened(), "interrupted");
    anyhow::ensure!(failed == 0, "{failed} of {} failed", outcomes.len());
    Ok(())
}
