//! What README and `docs/` say is so.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use keyside_config::load;
use keyside_config::source::{Source, Syntax};
use keyside_harness::tools;
use serde_json::{Value, json};

/// The pages that people read.
const PAGES: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/agent.md",
    "docs/annotations.md",
];

pub(crate) fn page(name: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(tools::root()?.join(name)).with_context(|| format!("read {name}"))
}

#[test]
fn links_lead_somewhere() -> anyhow::Result<()> {
    let root = tools::root()?;
    let mut followed = 0;
    for name in PAGES {
        let text = page(name)?;
        let folder = root.join(name);
        let folder = folder.parent().context("a folder")?;
        for link in targets(&text).filter(|link| !link.starts_with("https://")) {
            assert!(folder.join(link).is_file(), "{name}: {link}");
            followed += 1;
        }
    }
    assert!(followed > 5, "{followed}");
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
    let chart: Value = serde_yaml::from_str(&page("charts/keyside/Chart.yaml")?)?;
    assert_eq!(chart["appVersion"], version);
    for (name, mentions) in [("README.md", 3), ("Dockerfile", 4), ("CHANGELOG.md", 1)] {
        assert_eq!(page(name)?.matches(version).count(), mentions, "{name}");
    }
    Ok(())
}

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

fn load(syntax: Syntax, text: &str) -> Result<String, String> {
    let source = Source {
        name: "page".to_owned(),
        syntax,
        text: text.to_owned(),
    };
    load::load(&[source], &|_| None, &load::Flags::default())
        .map(|config| config.to_json())
        .map_err(|mistakes| mistakes.to_string())
}

#[test]
fn the_sample_configuration_is_one() -> anyhow::Result<()> {
    let text = page("docs/agent.md")?;
    let sample = text
        .split("```hcl\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let config = load(Syntax::Hcl, sample.context("no sample")?).map_err(anyhow::Error::msg)?;

    // What it comes to, defaults and all, is in the page too.
    let mut keys = BTreeSet::new();
    keys_of(&serde_json::from_str(&config)?, &mut keys);
    for key in keys {
        assert!(
            text.contains(&format!("`{key}`")) || text.contains(&format!(".{key}`")),
            "{key} is not described"
        );
    }
    Ok(())
}

/// Blocks, which have headings instead of rows.
const BLOCKS: [&str; 7] = [
    "vault",
    "auto_auth",
    "cache",
    "api_proxy",
    "listener",
    "limits",
    "admin",
];

fn keys_of(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if !matches!(key.as_str(), "method" | "sink" | "config")
                    && !BLOCKS.contains(&key.as_str())
                {
                    keys.insert(key.clone());
                }
                keys_of(value, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        _ => {}
    }
}

/// A value of the wrong type finds the key if there is one.
#[test]
fn every_key_of_the_page_is_known() -> anyhow::Result<()> {
    let text = page("docs/agent.md")?;
    let keys = text.split("\n## ").find(|part| part.starts_with("Keys\n"));
    let mut section = "";
    let mut checked = 0;
    for line in keys.context("no part on keys")?.lines() {
        if let Some(heading) = line
            .strip_prefix("### ")
            .or_else(|| line.strip_prefix("| key of "))
        {
            section = heading;
            continue;
        }
        let mut cells = line.strip_prefix("| ").unwrap_or_default().split(" | ");
        let (key, method) = (cells.next().unwrap_or_default(), cells.next());
        for key in words(key) {
            let written = wrong(section, key, method.unwrap_or_default());
            let mistakes = load(Syntax::Json, &written.to_string()).err();
            let mistakes = mistakes.with_context(|| format!("{written} is accepted"))?;
            let last = key.rsplit('.').next().unwrap_or(key);
            let what = mistakes
                .lines()
                .find_map(|line| line.split_once(&format!("{last}: ")))
                .with_context(|| format!("{section}: {key}: {mistakes}"))?
                .1;
            let unknown = what == "is not known" || what.contains("did you mean");
            assert!(
                !unknown && !what.contains("not support"),
                "{section}: {key}: {what}"
            );
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
    Ok(())
}

/// What stands between backticks.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A configuration with a list of lists where a single value belongs.
fn wrong(section: &str, key: &str, for_methods: &str) -> Value {
    let value = json!([[]]);
    if let Some((block, key)) = key.split_once('.') {
        return json!({ block: { key: value } });
    }
    let section = section.trim_start_matches("a ").trim_start_matches("its ");
    match words(section).next().unwrap_or_default() {
        "vault" => json!({ "vault": { key: value } }),
        "method" if key == "type" => json!({ "auto_auth": { "method": { key: value } } }),
        "method" => json!({ "auto_auth": { "method": { "type": "jwt", key: value } } }),
        "config" => {
            let method = words(for_methods).next().unwrap_or_default();
            json!({ "auto_auth": { "method": { "type": method, "config": { key: value } } } })
        }
        "sink \"file\"" if section.contains(" itself") => {
            json!({ "auto_auth": { "sink": { "type": "file", key: value } } })
        }
        "sink \"file\"" => {
            json!({ "auto_auth": { "sink": { "type": "file", "config": { key: value } } } })
        }
        "sink \"socket\"" => {
            json!({ "auto_auth": { "sink": { "type": "socket", "config": { key: value } } } })
        }
        "listener \"tcp\"" => {
            let kind = if key.starts_with("socket_") {
                "unix"
            } else {
                "tcp"
            };
            json!({ "listener": { "type": kind, key: value } })
        }
        _ => json!({ key: value }),
    }
}
