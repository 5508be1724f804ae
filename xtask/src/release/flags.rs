//! The flags by which a release differs from what cargo builds by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::target::Target;
use crate::shell;

/// Static; without the folders of this machine in the messages of panics, so that the same source gives the same bytes
/// everywhere; and smaller: with fewer copies of functions in their callers, and where the tools allow it with equal
/// functions folded into one, and with the addresses that the start has to relocate packed into a bitmap.
pub(super) fn all(root: &Path, target: &Target, packed: bool) -> anyhow::Result<Vec<String>> {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        // They shorten the tables for unwinding by more than they lengthen the code, and let profilers walk the stack.
        "-Cforce-frame-pointers=yes".to_owned(),
        // LLVM copies a function marked `#[inline]` into its caller up to a cost of 325, and any other up to 50, also
        // where it optimises for size. These limits make the agent 160 kB smaller; a cached answer takes some 10 % more
        // instructions.
        "-Cllvm-args=-inlinehint-threshold=15".to_owned(),
        "-Cllvm-args=-inline-threshold=15".to_owned(),
    ];
    // The last one that fits counts, and the registry may lie in the repository.
    for folder in std::iter::once(root.to_owned()).chain(sources(root)?) {
        flags.push(format!("--remap-path-prefix={}/=", folder.display()));
    }
    if packed {
        flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned());
    }
    if folds(target) {
        flags.push(FOLD.to_owned());
    }
    flags.extend(lean(&root.join("target/small"), target)?);
    Ok(flags)
}

/// Whether relocations can be packed: a static program relocates itself, and glibc reads the bitmap from 2.36 on.
pub(super) fn packs(target: &Target) -> bool {
    target.glibc() >= Some((2, 36))
}

/// Two functions of one address differ in nothing that Rust promises.
const FOLD: &str = "-Clink-arg=-Wl,--icf=all";

/// Whether the linker folds equal functions: lld does, which rustc brings along, and so does gold.
fn folds(target: &Target) -> bool {
    tempfile::NamedTempFile::new().is_ok_and(|output| {
        let mut link = target.rustc(&[FOLD, "--crate-type=cdylib", "-", "-o"]);
        link.arg(output.path());
        shell::succeeds(&mut link)
    })
}

/// What links a smaller C library: [`SMALL`] before it, which saves 120 kB, and it without its tables for unwinding,
/// which are another 58 kB. A panic unwinds from Rust to Rust and meets no frame of C on its way. Where one of these
/// cannot be, with another C library than glibc or one that has moved what is in there, or where the result cannot be
/// tried, the program does without.
fn lean(folder: &Path, target: &Target) -> anyhow::Result<Vec<String>> {
    if !target.runs_here() {
        return Ok(Vec::new());
    }
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("small.c"), SMALL)?;
    std::fs::write(folder.join("probe.rs"), PROBE)?;
    let mut flags = vec![
        format!("-L{}", folder.display()),
        "-lstatic:-bundle=small".to_owned(),
    ];
    let mut compile = Command::new(target.cc());
    compile.args(["-O2", "-Wno-builtin-declaration-mismatch", "-c", "small.c"]);
    let mut pack = Command::new("ar");
    pack.args(["rcs", "libsmall.a", "small.o"]);
    if !holds(folder, target, [compile, pack], &flags) {
        flags.pop();
    }
    let bare = folder.join("libc.a");
    if let Some(library) = c_library(target) {
        let mut strip = Command::new("objcopy");
        for section in [".eh_frame", ".rela.eh_frame"] {
            strip.arg(format!("--remove-section={section}"));
        }
        strip.arg(library).arg(&bare);
        if holds(folder, target, [strip], &flags) {
            return Ok(flags);
        }
    }
    if bare.exists() {
        std::fs::remove_file(bare)?;
    }
    Ok(flags)
}

/// Whether the commands succeed, and then a program that is linked with these flags does.
fn holds<const N: usize>(
    folder: &Path,
    target: &Target,
    commands: [Command; N],
    flags: &[String],
) -> bool {
    let mut link = target.rustc(&["-Ctarget-feature=+crt-static", "probe.rs"]);
    link.args(flags);
    let probe = Command::new(folder.join("probe"));
    commands
        .into_iter()
        .chain([link, probe])
        .all(|mut command| shell::succeeds(command.current_dir(folder)))
}

/// The C library as an archive, where the compiler has one.
fn c_library(target: &Target) -> Option<PathBuf> {
    let mut ask = Command::new(target.cc());
    let path = shell::output(ask.arg("-print-file-name=libc.a")).ok()?;
    let path = PathBuf::from(path.trim());
    path.is_absolute().then_some(path)
}

const SMALL: &str = include_str!("small.c");
/// Has a main thread, another one that unwinds, and a message of the C library.
const PROBE: &str = r#"
fn main() {
    let panicked = std::thread::spawn(|| panic!("expected")).join();
    assert!(panicked.is_err());
    let error = std::io::Error::from_raw_os_error(2).to_string();
    assert!(error.starts_with("No such file or directory"));
}
"#;

/// Where the sources of dependencies lie, one folder for each registry.
fn sources(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    shell::run(shell::cargo(["fetch", "--locked", "--quiet"])?.current_dir(root))?;
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let Ok(registries) = home.join("registry/src").read_dir() else {
        return Ok(Vec::new());
    };
    let mut folders = registries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    folders.sort_unstable();
    Ok(folders)
}
