//! `docs/differences.md` as the tests read it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use keyside_harness::tools;

pub(super) const NAME: &str = "docs/differences.md";

/// The names of the rows of those tables whose first column is `row`, top to bottom.
pub(super) fn rows(text: &str) -> Vec<&str> {
    let mut listed = false;
    let mut rows = Vec::new();
    for line in text.lines() {
        listed = line.starts_with("| row |") || listed && line.starts_with('|');
        let name = line
            .strip_prefix("| `")
            .and_then(|line| line.split('`').next());
        rows.extend(name.filter(|_| listed));
    }
    rows
}

/// What stands in backticks in the last cells of the table with that column.
pub(super) fn named_tests(text: &str) -> BTreeSet<&str> {
    let table = text
        .lines()
        .skip_while(|line| !line.ends_with("| test |"))
        .skip(2);
    table
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.trim_end_matches(" |").rsplit(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

pub(super) fn read() -> anyhow::Result<String> {
    let path = tools::root()?.join(NAME);
    std::fs::read_to_string(&path).with_context(|| format!("read {NAME}"))
}

/// The names of all tests of the agent.
pub(super) fn tests() -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let root = tools::root()?;
    for folder in ["tests/agent", "agent"] {
        collect(&root.join(folder), &mut names)?;
    }
    Ok(names)
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            names.extend(declared(&text).map(str::to_owned));
        }
    }
    Ok(())
}

/// The names of the tests in one file of them.
pub(super) fn tests_in(file: &str) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(tools::root()?.join(file))?;
    Ok(declared(&text).map(str::to_owned).collect())
}

/// Functions right below `#[test]` or `#[tokio::test…]`, with other attributes in between or not.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]")
        .skip(1)
        .chain(text.split("#[tokio::test").skip(1))
        .filter_map(|rest| rest.split_once("fn ")?.1.split('(').next())
}
