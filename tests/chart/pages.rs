//! What README and `docs/` say of the chart is so. `tests/pages` looks after the rest.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::Value;

use crate::helm::Release;

pub(crate) fn page(name: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(tools::root()?.join(name)).with_context(|| format!("read {name}"))
}

#[test]
fn the_chart_and_the_pages_name_this_version() -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_yaml::from_str(&page("charts/keyside/Chart.yaml")?)?;
    assert_eq!(chart["appVersion"], version);
    for (name, mentions) in [
        ("README.md", 3),
        ("docs/quick-start.md", 4),
        ("Dockerfile", 4),
        ("CHANGELOG.md", 1),
    ] {
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

/// As values of the chart, and as what the injector reads.
#[test]
fn the_sample_profile_is_one() -> anyhow::Result<()> {
    let text = page("docs/profiles.md")?;
    let sample = text
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let values: Value = serde_yaml::from_str(sample.context("no sample")?)?;
    let objects = Release::with(values).objects()?;
    let profile = objects.at("ConfigMap", "/data/default.yaml")?;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("default.yaml");
    std::fs::write(&path, profile.as_str().context("no profile")?)?;
    let output = Command::new(env!("CARGO_BIN_EXE_keyside-injector"))
        .args(["inject", "-f", "examples/pod.yaml", "--profiles"])
        .arg(&path)
        .current_dir(tools::root()?)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let pod = String::from_utf8(output.stdout)?;
    assert!(pod.contains("auth/prod"), "{pod}");

    // Every field of the table is in it, or is the opposite of one that is.
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let fields = cells.filter_map(|cell| cell.split('`').next());
    let fields = fields.filter(|field| !field.starts_with("keyside_") && *field != "overridable");
    let sample: Value = serde_yaml::from_str(profile.as_str().unwrap_or_default())?;
    let mut count = 0;
    for field in fields {
        let pointer = format!("/{}", field.replace('.', "/"));
        assert!(sample.pointer(&pointer).is_some(), "{field}");
        count += 1;
    }
    assert_eq!(count, 7);
    Ok(())
}

/// What stands between backticks.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
