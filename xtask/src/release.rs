//! The binaries as they are released: static, stripped, each built by itself.

mod elf;
mod flags;
mod layout;
mod target;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keyside_harness::tools;
use lexopt::{Arg, ValueExt as _};
use serde_json::Value;

use self::elf::Elf;
pub(crate) use self::layout::{Stage, epoch};
pub(crate) use self::target::Target;
use crate::{console, shell};

/// What is released, each package with a binary of its name.
pub(crate) const PROGRAMS: [&str; 2] = ["keyside-agent", "keyside-injector"];

/// A built binary.
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Whether its relocations are packed.
    pub(crate) packed: bool,
    /// The crates that were compiled into it, as `name@version`.
    pub(crate) crates: BTreeSet<String>,
}

/// Builds one package's binary of the same name, for this machine.
pub(crate) fn build(package: &str) -> anyhow::Result<Binary> {
    build_in(&tools::root()?, package, &Target::host()?)
}

/// Builds one package's binary of the repository that lies in that folder. One package at a time, because cargo unites
/// the features of all packages that it builds in one call: the agent would grow by what only the injector needs.
pub(crate) fn build_in(root: &Path, package: &str, target: &Target) -> anyhow::Result<Binary> {
    let packed = flags::packs(target);
    let triple = &target.triple;
    let flags = flags::all(root, target, packed)?;
    let mut command = shell::cargo(["build", "--release", "--locked"])?;
    command.args(["--package", package, "--target", triple]);
    command
        .arg("--config")
        .arg(format!("target.{triple}.rustflags={flags:?}"));
    if let Some(linker) = target.linker() {
        command
            .arg("--config")
            .arg(format!("target.{triple}.linker={linker:?}"));
    }
    command.arg("--target-dir").arg(root.join("target"));
    command.arg("--message-format=json-render-diagnostics");
    if !std::io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    // These would override the flags above.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let messages = shell::stdout(command.current_dir(root))?;
    let folder = root.join("target").join(triple).join("release");
    let path = folder.join(package);
    let file = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Elf(&file)
        .check(target.machine())
        .with_context(|| path.display().to_string())?;
    Ok(Binary {
        bytes: file.len().try_into()?,
        crates: linked(&messages, &folder),
        path,
        packed,
    })
}

/// Builds both, each in its turn, and says where they are and how large.
pub(crate) fn run(arguments: &mut lexopt::Parser) -> anyhow::Result<()> {
    let (mut out, mut target) = (None, Target::host()?);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("arch") => target = Target::named(&arguments.value()?.string()?)?,
            Arg::Long("out") => out = Some(PathBuf::from(arguments.value()?)),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let root = tools::root()?;
    if let Some(out) = out {
        let stage = Stage::lay_out(&root, &target, &out, epoch(&root))?;
        for (program, binary) in &stage.binaries {
            let path = stage.folder.join(program);
            console::text(&format!("{}: {} bytes\n", path.display(), binary.bytes));
        }
        return Ok(());
    }
    for program in PROGRAMS {
        let Binary { path, bytes, .. } = build_in(&root, program, &target)?;
        console::text(&format!("{}: {bytes} bytes\n", path.display()));
    }
    Ok(())
}

/// The crates that cargo says it has compiled into this folder, which is the target's: build scripts, procedural macros
/// and what only they need are the host's, and lie elsewhere.
fn linked(messages: &str, folder: &Path) -> BTreeSet<String> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artifacts = messages
        .filter(|message| {
            message
                .get("reason")
                .is_some_and(|is| is == "compiler-artifact")
        })
        .filter(|artifact| {
            let files = artifact.get("filenames").and_then(Value::as_array);
            let mut files = files.into_iter().flatten().filter_map(Value::as_str);
            files.any(|file| Path::new(file).starts_with(folder))
        });
    artifacts
        .filter_map(|artifact| package(artifact.get("package_id")?.as_str()?))
        .collect()
}

/// `name@version` in cargo's identifier of a package, which leaves the name out where it is that of the folder.
fn package(identifier: &str) -> Option<String> {
    let (source, name) = identifier.rsplit_once('#')?;
    if name.contains('@') {
        return Some(name.to_owned());
    }
    let folder = source.rsplit('/').next()?;
    Some(format!("{folder}@{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compiled_for_the_host_is_not_linked() {
        let messages = r#"
{"reason":"compiler-artifact","package_id":"registry+x#bytes@1.12.2","filenames":["/r/target/t/release/deps/libbytes-1.rlib"]}
{"reason":"compiler-artifact","package_id":"registry+x#syn@3.0.0","filenames":["/r/target/release/deps/libsyn-1.rlib"]}
{"reason":"compiler-artifact","package_id":"path+file:///r/keyside-x#0.1.0","filenames":["/r/target/t/release/keyside-x"]}
{"reason":"build-script-executed","package_id":"registry+x#libc@0.2.0"}
{"reason":"build-finished","success":true}"#;
        let crates = linked(messages, Path::new("/r/target/t/release"));
        assert_eq!(Vec::from_iter(crates), ["bytes@1.12.2", "keyside-x@0.1.0"]);
    }
}
