//! Commands that do not run here are held against what they name.

use anyhow::Context as _;
use keyside_harness::tools;

use crate::blocks::{self, Use};

/// The commands of a block, each as its words, without comments and variables in front.
pub(crate) fn commands(text: &str) -> impl Iterator<Item = Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines: Vec<String> = joined.lines().map(str::to_owned).collect();
    let commands = lines.into_iter().map(|line| {
        let words = line
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'));
        let is_variable = |word: &&str| {
            let name = word.split('=').next().unwrap_or_default();
            word.contains('=')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        words.skip_while(is_variable).map(str::to_owned).collect()
    });
    commands.filter(|words: &Vec<String>| !words.is_empty())
}

/// Commands of cargo that anyone has.
const CARGO: [&str; 5] = ["xtask", "test", "nextest", "fuzz", "install"];

#[test]
fn calls_of_cargo_name_what_there_is() -> anyhow::Result<()> {
    let root = tools::root()?;
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let (verbs, fuzzed) = (read("xtask/src/main.rs")?, read("fuzz/Cargo.toml")?);
    let mut count = 0;
    for block in blocks::with(Use::Cargo)? {
        for words in commands(&block.text) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let place = format!("{}: {words:?}", block.place());
            let verb = words.get(1).copied().unwrap_or_default();
            anyhow::ensure!(CARGO.contains(&verb), "{place}");
            let next = words.get(2).copied().unwrap_or_default();
            let exists = match verb {
                "xtask" => verbs.contains(&format!("\"{next}\"")),
                "fuzz" => words
                    .iter()
                    .any(|word| fuzzed.contains(&format!("name = \"{word}\""))),
                _ => true,
            };
            anyhow::ensure!(exists, "{place}");
            let package = words.iter().skip_while(|word| **word != "-p").nth(1);
            if let Some(package) = package {
                let folder = package.trim_start_matches("keyside-");
                let manifest = root.join(folder).join("Cargo.toml");
                anyhow::ensure!(manifest.is_file(), "{place}");
            }
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
    Ok(())
}

#[test]
fn reads_commands() {
    let text = "A=1 b c \\\n  d # e\n# f\n\ng=h\n";
    let found: Vec<Vec<String>> = commands(text).collect();
    assert_eq!(found, [vec!["b", "c", "d"], vec!["g=h"]]);
}
