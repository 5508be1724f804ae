//! The page and the running injector name the same metrics, decisions and reasons.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use keyside_harness::{poll, tools};

use crate::cluster::Cluster;
use crate::watch::{self, Watcher};

const PAGE: &str = "docs/injector.md";

/// A metric's type, and the names of its labels.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

#[test]
fn the_page_names_what_a_running_injector_has_and_nothing_else() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&["--denial-events=true"])?;
    injector.wait_until_ready()?;
    watch::pod(&cluster.api, "shop", "web", &watch::asks());
    let watcher = Watcher::start(&cluster.api, "watcher", &[])?;
    let page = page("| `keyside_injector_")?;
    poll::until("the metrics of the page", poll::LIMIT, || {
        let mut there = gathered(&injector.get("/metrics")?.1)?;
        there.extend(gathered(&watcher.get("/metrics")?.1)?);
        anyhow::ensure!(there == page, "on the page: {page:#?}\nthere: {there:#?}");
        Ok(())
    })
}

#[test]
fn the_page_names_every_reason_of_every_decision() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&[])?;
    let (_, text) = injector.get("/metrics")?;
    let counted = text
        .lines()
        .filter(|line| line.starts_with("keyside_injector_admissions_total{"));
    let mut there = BTreeSet::new();
    for line in counted {
        let values: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        let [decision, reason] = values[..] else {
            anyhow::bail!("{line}");
        };
        there.insert(format!("{decision} {reason}"));
    }
    let mut named = BTreeSet::new();
    for line in read()?.lines() {
        let words: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let decisions = ["patched", "unchanged", "untouched", "denied", "refused"];
        if let Some((decision, reasons)) = words.split_first()
            && line.starts_with("| `")
            && decisions.contains(decision)
        {
            named.extend(reasons.iter().map(|reason| format!("{decision} {reason}")));
        }
    }
    assert_eq!(there, named);
    Ok(())
}

fn read() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(tools::root()?.join(PAGE))?)
}

/// The rows of the page's tables that begin so.
fn page(prefix: &str) -> anyhow::Result<Metrics> {
    let text = read()?;
    let rows = text.lines().filter(|line| line.starts_with(prefix));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let mut cell = || cells.next().context(PAGE);
        let name = cell()?.trim_matches('`').to_owned();
        let kind = cell()?.to_owned();
        let labels = cell()?.split(", ").map(|label| label.trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty());
        Ok((name, (kind, labels.map(str::to_owned).collect())))
    })
    .collect()
}

/// What the injector says. A histogram's `le` is no label of its own.
fn gathered(text: &str) -> anyhow::Result<Metrics> {
    let mut metrics = Metrics::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').context("a type")?;
            metrics.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, labels)) = line.split_once('{') {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            let Some((_, known)) = metrics.get_mut(name) else {
                continue;
            };
            let (labels, _) = labels.rsplit_once('}').context("labels")?;
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            let names = names.map(|(name, _)| name.to_owned());
            known.extend(names.filter(|name| name != "le"));
        }
    }
    Ok(metrics)
}
