//! The page of metrics and the running agent name the same ones.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use keyside_harness::{poll, tools, web};

use crate::world::World;

const PAGE: &str = "docs/metrics.md";

/// A metric's type, and the names of its labels.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

#[test]
fn the_page_names_what_a_running_agent_has_and_nothing_else() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = world.started()?;
    let proxy = agent.proxy()?;
    web::success(&proxy.get("/v1/auth/token/lookup-self")?)?;
    let page = page()?;
    poll::until("the metrics of the page", poll::LIMIT, || {
        let response = proxy.get("/agent/v1/metrics")?;
        let there = gathered(std::str::from_utf8(response.body())?)?;
        anyhow::ensure!(there == page, "on the page: {page:#?}\nthere: {there:#?}");
        Ok(())
    })
}

/// The rows of the page's first table.
fn page() -> anyhow::Result<Metrics> {
    let text = std::fs::read_to_string(tools::root()?.join(PAGE))?;
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `keyside_agent_"));
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

/// What the agent says. A histogram's `le` is no label of its own.
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
            known.extend(
                names
                    .map(|(name, _)| name.to_owned())
                    .filter(|name| name != "le"),
            );
        }
    }
    Ok(metrics)
}
