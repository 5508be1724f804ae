//! What README and `docs/` say is so.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use keyside_harness::tools;

/// The pages that people read.
const PAGES: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/agent.md",
    "docs/annotations.md",
];

fn page(name: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(tools::root()?.join(name)).with_context(|| format!("read {name}"))
}

#[test]
fn links_lead_somewhere() -> anyhow::Result<()> {
    let root = tools::root()?;
    for name in PAGES {
        let text = page(name)?;
        let folder = root.join(name);
        let folder = folder.parent().context("a folder")?;
        for link in targets(&text).filter(|link| !link.starts_with("https://")) {
            assert!(folder.join(link).is_file(), "{name}: {link}");
        }
    }
    Ok(())
}

/// What stands between `](` and `)`.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

#[test]
fn the_chart_and_the_pages_name_this_version() -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart: serde_json::Value = serde_yaml::from_str(&page("charts/keyside/Chart.yaml")?)?;
    assert_eq!(chart["appVersion"], version);
    for (name, mentions) in [("README.md", 3), ("Dockerfile", 4), ("CHANGELOG.md", 1)] {
        assert_eq!(page(name)?.matches(version).count(), mentions, "{name}");
    }
    Ok(())
}

/// Everything in the repository's root that a page names in its first lines has to exist; so have the folders.
#[test]
fn the_folders_that_contributors_are_told_of_exist() -> anyhow::Result<()> {
    let root = tools::root()?;
    let text = page("CONTRIBUTING.md")?;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let folders: BTreeSet<&str> = rows
        .filter_map(|row| row.split(" |").next())
        .flat_map(|cell| cell.split('`'))
        .filter(|word| word.ends_with('/'))
        .collect();
    assert!(folders.len() >= 6, "{folders:?}");
    for folder in folders {
        assert!(root.join(Path::new(folder)).is_dir(), "{folder}");
    }
    Ok(())
}
