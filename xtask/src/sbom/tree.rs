//! Reads what `cargo tree --prefix=depth` prints: a line per crate, with how deep it stands. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use super::{Crate, List};

pub(super) fn read(text: &str, checksums: &BTreeMap<String, String>) -> anyhow::Result<List> {
    let mut crates = BTreeMap::new();
    let mut edges = BTreeSet::new();
    // From the root to the line that was read last.
    let mut path: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (depth, found) = row(line).with_context(|| format!("cargo tree says {line}"))?;
        anyhow::ensure!(depth <= path.len(), "cargo tree skips a level at {line}");
        path.truncate(depth);
        let name = format!("{}@{}", found.name, found.version);
        if let Some(user) = path.last() {
            edges.insert((user.clone(), name.clone()));
        }
        let checksum = checksums.get(&name).cloned();
        crates.insert(name.clone(), Crate { checksum, ..found });
        path.push(name);
    }
    let root = path.first().context("cargo tree says nothing")?.clone();
    Ok(List {
        root,
        crates,
        edges,
        tools: Vec::new(),
    })
}

/// `2|name v1.2.3 (where)|licence|`, with a mark behind it where the crate's own are not repeated.
fn row(line: &str) -> Option<(usize, Crate)> {
    let mut cells = line.split('|');
    let depth = cells.next()?.parse().ok()?;
    let mut words = cells.next()?.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    Some((
        depth,
        Crate {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: expression(cells.next()?)?,
            checksum: None,
        },
    ))
}

/// Old crates have a slash where SPDX has `OR`.
fn expression(licence: &str) -> Option<String> {
    let licence = licence.replace('/', " OR ");
    (!licence.is_empty()).then_some(licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0|app v0.1.0 (/somewhere/app)|Apache-2.0|\n1|a v1.0.0|MIT/Apache-2.0|\n2|b v2.0.0|MIT|\n\
                        1|b v2.0.0|MIT| (*)\n";

    #[test]
    fn depth_tells_who_uses_whom() {
        let checksums = BTreeMap::from([("a@1.0.0".to_owned(), "00ff".to_owned())]);
        let list = read(TREE, &checksums).unwrap();
        assert_eq!(list.root, "app@0.1.0");
        let names: Vec<_> = list.crates.keys().map(String::as_str).collect();
        assert_eq!(names, ["a@1.0.0", "app@0.1.0", "b@2.0.0"]);
        let a = &list.crates["a@1.0.0"];
        assert_eq!(a.licence, "MIT OR Apache-2.0");
        assert_eq!(a.checksum.as_deref(), Some("00ff"));
        let edges: Vec<_> = list
            .edges
            .iter()
            .map(|(user, used)| format!("{user} {used}"))
            .collect();
        assert_eq!(
            edges,
            ["a@1.0.0 b@2.0.0", "app@0.1.0 a@1.0.0", "app@0.1.0 b@2.0.0"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in [
            "",
            "1|a v1.0.0|MIT|",
            "0|a v1.0.0||",
            "0|a 1.0.0|MIT|",
            "a v1.0.0",
        ] {
            assert!(read(text, &BTreeMap::new()).is_err(), "{text}");
        }
    }
}
