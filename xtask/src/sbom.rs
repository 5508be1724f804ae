//! What a released binary consists of: the crates that are linked, and what the compilers add. As SPDX 2.3, which
//! scanners read from an image whose one file tells them nothing.
//!
//! Invariant: equal sources and tools give equal bytes.

mod lock;
mod spdx;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::release::Target;
use crate::shell;

/// One binary's parts.
pub(crate) struct List {
    /// The binary's own crate, as the others `name@version`.
    root: String,
    crates: BTreeMap<String, Crate>,
    /// Who uses whom.
    edges: BTreeSet<(String, String)>,
    tools: Vec<Tool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Crate {
    name: String,
    version: String,
    /// An expression of SPDX's.
    licence: String,
    /// SHA-256 of the published archive; nothing for what lies in this repository.
    checksum: Option<String>,
}

/// What is linked and no crate.
struct Tool {
    name: &'static str,
    version: String,
    licence: &'static str,
}

/// The parts of the released binary of this name, by the lock file and the features that a release has.
pub(crate) fn of(root: &Path, program: &str, target: &Target) -> anyhow::Result<List> {
    let mut command = shell::cargo(["tree", "--locked", "--prefix=depth", "--format=|{p}|{l}|"])?;
    // Build scripts, procedural macros and what only they use are not linked.
    command.args(["--edges=normal,no-proc-macro", "--package", program]);
    command.args(["--target", &target.triple]).current_dir(root);
    let text = shell::output(&mut command)?;
    let path = root.join("Cargo.lock");
    let lock =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut list = tree::read(&text, &lock::checksums(&lock))?;
    list.tools = tools(target)?;
    Ok(list)
}

impl List {
    /// Fails unless these crates are the ones that were compiled.
    pub(crate) fn check(&self, compiled: &BTreeSet<String>) -> anyhow::Result<()> {
        let listed: BTreeSet<String> = self.crates.keys().cloned().collect();
        let missing: Vec<_> = compiled.difference(&listed).collect();
        let extra: Vec<_> = listed.difference(compiled).collect();
        anyhow::ensure!(
            missing.is_empty() && extra.is_empty(),
            "compiled and not listed: {missing:?}; listed and not compiled: {extra:?}"
        );
        Ok(())
    }

    /// As a document about this binary in an image with these authorities, made at that time.
    pub(crate) fn spdx(&self, binary: &[u8], roots: &[u8], epoch: u64) -> anyhow::Result<String> {
        spdx::document(self, &hash(binary), &hash(roots), epoch)
    }
}

fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").ok();
            text
        })
}

/// A static binary holds what a dynamic one finds on the system.
fn tools(target: &Target) -> anyhow::Result<Vec<Tool>> {
    let rust = shell::output(Command::new("rustc").arg("--version"))?;
    let rust = rust.split_whitespace().nth(1).context("rustc's version")?;
    let mut tools = vec![Tool {
        name: "rust-std",
        version: rust.to_owned(),
        licence: "MIT OR Apache-2.0",
    }];
    if let Some((major, minor)) = target.glibc() {
        tools.push(Tool {
            name: "glibc",
            version: format!("{major}.{minor}"),
            licence: "LGPL-2.1-or-later",
        });
    }
    if let Some(version) = target.gcc() {
        tools.push(Tool {
            name: "libgcc",
            version,
            licence: "GPL-3.0-or-later WITH GCC-exception-3.1",
        });
    }
    Ok(tools)
}

#[cfg(test)]
mod tests;
