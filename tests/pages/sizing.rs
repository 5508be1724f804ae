//! The numbers of `docs/sizing.md` are those that were measured, rounded, and the bounds are those that the injector
//! gives.

use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::markdown;

/// A number of the page with its words around it, and the row of `docs/performance.md` that it is from, with what
/// stood there. A new measurement may differ a little before the page has to follow.
const NUMBERS: [(&str, &str, f64); 17] = [
    (
        "| the agent at rest | 4.4 MB resident",
        "| resident memory |",
        4.4,
    ),
    (
        "of it 0.7 MB are not shared",
        "| of it, shared with nobody |",
        0.7,
    ),
    (
        "at an agent with the default limit | 17.7 MB",
        "| resident memory in a flood",
        17.7,
    ),
    (
        "kept alive | 0.14 s in an hour",
        "| processor time per hour, token of an hour |",
        0.14,
    ),
    (
        "in its file | 3 ms",
        "| processor time, start to token in the sink |",
        3.0,
    ),
    (
        "an answer from the cache | 8 µs",
        "| processor time for one of them |",
        8.0,
    ),
    (
        "| 31 µs to a server without TLS",
        "| processor time for one of these |",
        31.5,
    ),
    (
        "up to 125,000\nanswers in a second",
        "| answers from the cache, 32 connections |",
        125_000.0,
    ),
    (
        "| memory, ready | 6.6 MB",
        "| injector: resident memory |",
        6.6,
    ),
    (
        "admissions | 16.1 MB",
        "| the same after these admissions |",
        16.1,
    ),
    (
        "| start, until ready | 11 ms",
        "| injector: start to ready",
        11.4,
    ),
    (
        "| logins by a Kubernetes token | 845 |",
        "| login by a Kubernetes token, ES256 |",
        845.0,
    ),
    ("| renewals | 845 |", "| renewal |", 845.0),
    ("| look-ups | 1,517 |", "| look-up |", 1517.0),
    ("| probes while it is away | 3,698 |", "| health |", 3698.0),
    (
        "98 µs to OpenBao with TLS",
        "| processor time for one of them |",
        98.0,
    ),
    (
        "| 0.37 ms of processor time",
        "| processor time for one of these |",
        369.0,
    ),
];

#[test]
fn what_the_page_says_of_costs_was_measured() -> anyhow::Result<()> {
    let page = markdown::page("docs/sizing.md")?.text;
    let measured = markdown::page("docs/performance.md")?.text;
    for (text, row, number) in NUMBERS {
        assert!(page.contains(text), "the page does not say {text:?}");
        // Several rows may begin so.
        let lines = measured.lines().filter(|line| line.starts_with(row));
        let found: Vec<f64> = lines.flat_map(medians).collect();
        let is_near = |found: &f64| (found / number - 1.0).abs() < 0.08;
        assert!(found.iter().any(is_near), "{text:?}, but {found:?}");
    }
    Ok(())
}

/// The first number of each cell that has a spread.
fn medians(row: &str) -> Vec<f64> {
    let cells = row.split(" | ").filter(|cell| cell.contains(" to "));
    cells
        .filter_map(|cell| cell.trim().split(' ').next()?.parse().ok())
        .collect()
}

#[test]
fn the_bounds_of_the_page_are_those_of_the_injector() -> anyhow::Result<()> {
    let rows = markdown::page("docs/sizing.md")?.rows("`memory-limit`");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let [limit, entries, bytes, connections, leases] = row.as_slice() else {
            anyhow::bail!("{row:?}");
        };
        let limit = limit.split('`').nth(1).context("no limit")?;
        let config = config(limit)?;
        let number = |text: &str| text.replace(',', "").parse::<u64>();
        let mebibytes = bytes.strip_suffix(" MiB").context("no MiB")?;
        let found = |pointer: &str| config.pointer(pointer).and_then(Value::as_u64);
        assert_eq!(
            found("/cache/max_entries"),
            Some(number(entries)?),
            "{limit}"
        );
        assert_eq!(
            found("/cache/max_bytes"),
            Some(number(mebibytes)? << 20),
            "{limit}"
        );
        assert_eq!(
            found("/listener/0/max_connections"),
            Some(number(connections)?),
            "{limit}"
        );
        assert_eq!(
            number(leases)?,
            5 * number(entries)?,
            "docs/metrics.md: five for each"
        );
    }
    Ok(())
}

/// What the agent of a pod with this limit is given.
fn config(limit: &str) -> anyhow::Result<Value> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "shop", "annotations": {
            "keyside.dev/inject": "true",
            "keyside.dev/role": "shop",
            "keyside.dev/memory-limit": limit,
        } },
        "spec": { "containers": [{ "name": "shop", "image": "shop" }] },
    });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pod.json");
    std::fs::write(&file, pod.to_string())?;
    let output = Command::new(env!("CARGO_BIN_EXE_keyside-injector"))
        .args(["inject", "--vault-address", "https://vault", "-f"])
        .arg(&file)
        .output()?;
    let pod: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let config = pod.pointer("/spec/initContainers/0/env/0/value");
    Ok(serde_json::from_str(
        config.and_then(Value::as_str).context("no configuration")?,
    )?)
}
