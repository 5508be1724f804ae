//! What the programs say when something is wrong: `docs/troubleshooting.md` has a row for each of it, and no others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::Value;

use crate::markdown::{self, Page};
use crate::words::{matches, spans};

fn troubleshooting() -> anyhow::Result<Page> {
    markdown::page("docs/troubleshooting.md")
}

/// The code in the first cells of a table, and whether the last cell says anything.
fn patterns(heading: &str) -> anyhow::Result<Vec<String>> {
    let rows = troubleshooting()?.rows(heading);
    let mut patterns = Vec::new();
    for row in &rows {
        let remedy = row.last().context("no cells")?;
        anyhow::ensure!(row.len() > 1 && remedy.len() > 3, "no remedy: {row:?}");
        patterns.extend(spans(row.first().context("no cells")?));
    }
    anyhow::ensure!(!patterns.is_empty(), "no table {heading:?}");
    Ok(patterns)
}

/// Each text has a row, and each row a text.
fn compare(heading: &str, texts: &BTreeSet<String>) -> anyhow::Result<()> {
    let patterns = patterns(heading)?;
    let lost: Vec<&String> = texts
        .iter()
        .filter(|text| !patterns.iter().any(|pattern| matches(pattern, text)))
        .collect();
    let idle: Vec<&String> = patterns
        .iter()
        .filter(|pattern| !texts.iter().any(|text| matches(pattern, text)))
        .collect();
    anyhow::ensure!(
        lost.is_empty() && idle.is_empty(),
        "the table {heading:?} lacks {lost:#?}; nobody says {idle:#?}"
    );
    Ok(())
}

/// What authors of pods are told: `tests/injector/data/messages.yaml` has all of it, word for word, and the injector's own
/// tests hold that.
#[test]
fn every_message_of_the_injector_has_its_remedy() -> anyhow::Result<()> {
    let file = tools::root()?.join("tests/injector/data/messages.yaml");
    let entries: Vec<Value> = serde_yaml::from_str(&std::fs::read_to_string(file)?)?;
    let said = entries.iter().filter_map(|entry| entry["says"].as_array());
    let mut texts = BTreeSet::new();
    for text in said.flatten().filter_map(Value::as_str) {
        // The verdict without a denial says nothing.
        if ["injected", "untouched"].contains(&text) {
            continue;
        }
        let text = text.strip_prefix("denied: ").unwrap_or(text);
        texts.extend(mistakes(text));
    }
    assert!(texts.len() > 90, "{}", texts.len());
    compare("the message", &texts)
}

/// A denial names all mistakes; each begins with its annotation.
fn mistakes(denial: &str) -> Vec<String> {
    let separated = denial
        .replace(". annotation ", "\nannotation ")
        .replace("? annotation ", "?\nannotation ");
    separated.lines().map(str::to_owned).collect()
}

/// The texts of the errors that the proxy's clients are told.
const TOLD_TO_CLIENTS: [&str; 8] = [
    "agent/src/admin/control.rs",
    "agent/src/cache.rs",
    "agent/src/cache/clear.rs",
    "agent/src/cache/path.rs",
    "agent/src/cache/revocation.rs",
    "agent/src/proxy/guard.rs",
    "agent/src/proxy/respond.rs",
    "agent/src/vault/error.rs",
];

#[test]
fn every_error_of_the_proxy_has_its_remedy() -> anyhow::Result<()> {
    compare("the proxy says", &errors(&TOLD_TO_CLIENTS)?)
}

/// Why a login, a renewal or a sink fails.
const TOLD_IN_THE_LOG: [&str; 3] = [
    "agent/src/auth/error.rs",
    "agent/src/auth/method.rs",
    "agent/src/sink/file.rs",
];

#[test]
fn every_cause_in_the_agents_log_has_its_remedy() -> anyhow::Result<()> {
    compare("the cause", &errors(&TOLD_IN_THE_LOG)?)
}

/// The texts of `#[error("…")]`, with `…` for what is filled in.
fn errors(files: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for file in files {
        let source = std::fs::read_to_string(tools::root()?.join(file))?;
        for rest in source.split("#[error(").skip(1) {
            // `transparent` says what its source says.
            if let Some(literal) = rest.trim_start().strip_prefix('"') {
                texts.insert(filled(literal));
            }
        }
    }
    anyhow::ensure!(texts.len() > 10, "{texts:?}");
    Ok(texts)
}

/// A literal from behind its opening quote on.
fn filled(literal: &str) -> String {
    let mut text = String::new();
    let mut rest = literal.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => match rest.next() {
                Some('\n') => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                Some(escaped) => text.push(escaped),
                None => break,
            },
            '{' | '}' if rest.peek() == Some(&c) => text.extend(rest.next()),
            '{' => {
                rest.by_ref().find(|c| *c == '}');
                text.push('…');
            }
            c => text.push(c),
        }
    }
    // Placeholders side by side are one.
    while text.contains("……") {
        text = text.replace("……", "…");
    }
    text
}

#[test]
fn every_alarm_in_a_log_has_its_remedy() -> anyhow::Result<()> {
    compare("agent's event", &events(&["agent"])?)?;
    compare("injector's event", &events(&["injector/src"])?)
}

/// The events of the levels `warn` and `error`.
fn events(folders: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in folders {
        for file in sources(&tools::root()?.join(folder))? {
            let source = std::fs::read_to_string(&file)?;
            let calls = ["tracing::warn!(", "tracing::error!("];
            for rest in calls.iter().flat_map(|call| source.split(call).skip(1)) {
                let event = rest
                    .trim_start()
                    .strip_prefix("event = \"")
                    .and_then(|rest| rest.split('"').next());
                let event = event.with_context(|| {
                    format!(
                        "{}: an alarm that does not begin with its event",
                        file.display()
                    )
                })?;
                found.insert(event.to_owned());
            }
        }
    }
    anyhow::ensure!(found.len() > 5, "{found:?}");
    Ok(found)
}

fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            found.push(path);
        }
    }
    Ok(found)
}

#[test]
fn reads_what_is_filled_in() {
    for (literal, expected) in [
        (r#"a {b} c", x"#, "a … c"),
        (r#"a {}{c}", said)"#, "a …"),
        (r#"like {{\"a\": 1}}")"#, "like {\"a\": 1}"),
        ("a \\\n     b\")", "a b"),
    ] {
        assert_eq!(filled(literal), expected);
    }
    let denial = "annotation a: read \"x\"; did you mean b? annotation c: d. annotation e";
    assert_eq!(mistakes(denial).len(), 3);
}
