//! What becomes of a block: it runs, it is read by who is to read it, or it says that it needs a cluster.
//!
//! A block of the language `sh` runs here, but for two kinds. With the mark `cluster` (```` ```sh cluster ````) it needs
//! one: it is for whoever has a cluster at hand, and here only held against what it names. One that consists of calls of
//! cargo is what continuous integration does anyway, or takes hours.

use crate::markdown::{self, Block};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It runs in the page's room, as an operator with OpenBao's root token.
    Run,
    /// It goes on running until the page's end.
    Serve,
    /// It runs as a container of an injected pod would.
    Application,
    /// It needs a cluster.
    Cluster,
    /// Calls of cargo.
    Cargo,
    /// What the block of `sh` before it prints; `…` stands for anything.
    Output,
    /// A program reads it.
    Read,
}

/// Languages, and the marks that each may have.
const LANGUAGES: [(&str, &[&str]); 8] = [
    ("sh", &["serve", "application", "cluster"]),
    ("text", &[]),
    ("yaml", &["values", "vault-k8s", "cluster"]),
    ("json", &[]),
    ("hcl", &["policy"]),
    ("promql", &[]),
    ("mermaid", &[]),
    ("diff", &[]),
];

/// What becomes of the block; an error where nobody would take it.
pub(crate) fn judge(block: &Block) -> anyhow::Result<Use> {
    let known = LANGUAGES.iter().find(|(name, _)| *name == block.language);
    let Some((_, marks)) = known else {
        anyhow::bail!("{}: language {:?}", block.place(), block.language);
    };
    let stranger = block
        .marks
        .iter()
        .find(|mark| !marks.contains(&mark.as_str()));
    anyhow::ensure!(
        stranger.is_none() && block.marks.len() <= 1,
        "{}: marks {:?}; known are {marks:?}",
        block.place(),
        block.marks
    );
    let mark = block.marks.first().map(String::as_str);
    Ok(match (block.language.as_str(), mark) {
        ("sh", Some("serve")) => Use::Serve,
        ("sh", Some("application")) => Use::Application,
        (_, Some("cluster")) => Use::Cluster,
        ("sh", None) if is_cargo(block) => Use::Cargo,
        ("sh", _) => Use::Run,
        ("text" | "diff", _) => Use::Output,
        _ => Use::Read,
    })
}

fn is_cargo(block: &Block) -> bool {
    let mut commands = crate::named::commands(&block.text);
    commands.all(|words| words.first().is_some_and(|first| first == "cargo"))
}

/// The blocks of all pages that are taken so.
pub(crate) fn with(used: Use) -> anyhow::Result<Vec<Block>> {
    let mut found = Vec::new();
    for page in markdown::read_by_people()? {
        for block in page.blocks()? {
            if judge(&block)? == used {
                found.push(block);
            }
        }
    }
    Ok(found)
}

#[test]
fn every_block_is_taken_by_somebody() -> anyhow::Result<()> {
    let mut count = 0;
    for page in markdown::read_by_people()? {
        let mut before = None;
        for block in page.blocks()? {
            let used = judge(&block)?;
            let follows = matches!(before, Some(Use::Run | Use::Application | Use::Cluster));
            anyhow::ensure!(
                used != Use::Output || follows,
                "{}: no command prints this",
                block.place()
            );
            // Several outputs may follow one command.
            if used != Use::Output {
                before = Some(used);
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
    Ok(())
}

#[test]
fn a_block_without_a_language_is_a_mistake() {
    let block = |language: &str, marks: &[&str], text: &str| Block {
        page: "p.md".to_owned(),
        line: 1,
        language: language.to_owned(),
        marks: marks.iter().map(|mark| (*mark).to_owned()).collect(),
        text: text.to_owned(),
    };
    for (language, marks, text, expected) in [
        ("", &[] as &[&str], "a", None),
        ("python", &[], "a", None),
        ("sh", &["clutser"], "a", None),
        ("sh", &["cluster", "serve"], "a", None),
        ("sh", &["cluster"], "kubectl get pods", Some(Use::Cluster)),
        (
            "sh",
            &[],
            "cargo xtask demo # a\nA=1 cargo test",
            Some(Use::Cargo),
        ),
        ("sh", &[], "cargo xtask demo\nls", Some(Use::Run)),
        ("text", &[], "a", Some(Use::Output)),
        ("yaml", &["values"], "a: b", Some(Use::Read)),
    ] {
        let used = judge(&block(language, marks, text)).ok();
        assert_eq!(used, expected, "{language} {marks:?}");
    }
}
