//! Runs what a page tells people to type where they have a cluster.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;

use super::settings::Settings;
use crate::{console, shell};

const PAGE: &str = "docs/quick-start.md";

/// How a block says that it wants a cluster.
const MARK: &str = "```sh cluster";

/// For one block; the first one builds the images.
const LIMIT: &str = "3600";

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let root = tools::root()?;
    let text = match std::fs::read_to_string(root.join(PAGE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return skip(settings, "no such page"),
        text => text.with_context(|| format!("read {PAGE}"))?,
    };
    let blocks = blocks(&text);
    anyhow::ensure!(!blocks.is_empty(), "{PAGE} has no block `sh cluster`");
    for program in [["kind", "version"], ["docker", "info"], ["helm", "version"]] {
        let [name, verb] = program;
        if !shell::succeeds(Command::new(name).arg(verb)) {
            return skip(settings, &format!("`{name} {verb}` does not work here"));
        }
    }
    // Clusters of the page's go into a file of its own, and nobody's current context changes.
    let folder = tempfile::tempdir()?;
    let outcome = blocks.iter().try_for_each(|block| {
        console::step(&format!("{PAGE}, line {}", block.line));
        console::quote(&block.text);
        let mut shell = Command::new("timeout");
        shell.args([LIMIT, "bash", "-euo", "pipefail", "-c", &block.text]);
        shell.env("KUBECONFIG", folder.path().join("kubeconfig"));
        let status = shell.current_dir(&root).status().context("run bash")?;
        anyhow::ensure!(status.success(), "{PAGE}, line {}: {status}", block.line);
        Ok(())
    });
    if !settings.keep {
        for cluster in blocks.iter().flat_map(|block| clusters(&block.text)) {
            let mut kind = Command::new("kind");
            shell::run(kind.args(["delete", "cluster", "--name", &cluster]))?;
        }
    }
    outcome
}

fn skip(settings: &Settings, reason: &str) -> anyhow::Result<()> {
    console::heading(&format!("SKIPPED: {PAGE}: {reason}"));
    anyhow::ensure!(!settings.require, "{PAGE}: {reason}");
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// Where it begins, counted from 1.
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        if let Some(mut block) = open.take() {
            if line.trim() == "```" {
                found.push(block);
            } else {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
        } else if line.trim() == MARK {
            open = Some(Block {
                line: number + 2,
                text: String::new(),
            });
        }
    }
    found
}

/// The clusters that a block makes.
fn clusters(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| {
        let rest = line.split("kind create cluster --name ").nth(1)?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_want_a_cluster_are_found_with_their_lines() {
        let page = "# A\n\n```sh\nno\n```\n\n```sh cluster\nkind create cluster --name a\nb\n```\n```text\nc\n```\n\
                    ```sh cluster\nd\n```\n";
        let found = blocks(page);
        let expected = [
            (8, "kind create cluster --name a\nb\n".to_owned()),
            (15, "d\n".to_owned()),
        ];
        let found: Vec<_> = found
            .into_iter()
            .map(|block| (block.line, block.text))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(clusters(&found[0].1), ["a"]);
    }
}
