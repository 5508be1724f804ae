//! The binaries as they are released: static, stripped, each built by itself.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;

use crate::{console, shell};

/// A built binary.
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Whether its relocations are packed.
    pub(crate) packed: bool,
}

/// Builds one package's binary of the same name. One package at a time, because cargo unites the features of all
/// packages that it builds in one call: the agent would grow by what only the injector needs.
pub(crate) fn build(package: &str) -> anyhow::Result<Binary> {
    let root = tools::root()?;
    let host = host()?;
    let packed = packs();
    let mut flags = flags(&sources()?, packed, folds());
    flags.extend(lean(&root.join("target/small"))?);
    let config = format!("target.{host}.rustflags={flags:?}");
    let mut command = shell::cargo(["build", "--release", "--locked"])?;
    command.args(["--package", package, "--target", &host, "--config", &config]);
    command.arg("--target-dir").arg(root.join("target"));
    if !std::io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    // These would override the flags above.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    shell::run(&mut command)?;
    let path = root
        .join("target")
        .join(&host)
        .join("release")
        .join(package);
    let bytes = path
        .metadata()
        .with_context(|| format!("find {}", path.display()))?
        .len();
    check(&path)?;
    Ok(Binary {
        path,
        bytes,
        packed,
    })
}

/// Builds both, each in its turn, and says where they are and how large.
pub(crate) fn run() -> anyhow::Result<()> {
    for package in ["keyside-agent", "keyside-injector"] {
        let Binary { path, bytes, .. } = build(package)?;
        console::text(&format!("{}: {bytes} bytes\n", path.display()));
    }
    Ok(())
}

/// Static; without the folders of this machine in the messages of panics, so that the same source gives the same bytes
/// everywhere; and smaller: with fewer copies of functions in their callers, and where the tools allow it with equal
/// functions folded into one, and with the addresses that the start has to relocate packed into a bitmap.
fn flags(sources: &[PathBuf], packed: bool, folds: bool) -> Vec<String> {
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
    for folder in sources {
        flags.push(format!("--remap-path-prefix={}/=", folder.display()));
    }
    if packed {
        flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned());
    }
    if folds {
        flags.push(FOLD.to_owned());
    }
    flags
}

/// Two functions of one address differ in nothing that Rust promises.
const FOLD: &str = "-Clink-arg=-Wl,--icf=all";

/// Whether the linker folds equal functions: lld does, which rustc brings along, and so does gold.
fn folds() -> bool {
    tempfile::NamedTempFile::new().is_ok_and(|output| {
        let mut link = Command::new("rustc");
        link.args([FOLD, "--crate-type=cdylib", "-", "-o"])
            .arg(output.path());
        shell::succeeds(&mut link)
    })
}

/// What links a smaller C library: [`SMALL`] before it, which saves 120 kB, and it without its tables for unwinding,
/// which are another 58 kB. A panic unwinds from Rust to Rust and meets no frame of C on its way. Where one of these
/// cannot be, with another C library than glibc or one that has moved what is in there, the program does without.
fn lean(folder: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("small.c"), SMALL)?;
    std::fs::write(folder.join("probe.rs"), PROBE)?;
    let mut flags = vec![format!("-L{}", folder.display())];
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-Wno-builtin-declaration-mismatch", "-c", "small.c"]);
    let mut pack = Command::new("ar");
    pack.args(["rcs", "libsmall.a", "small.o"]);
    let small = [compile, pack];
    flags.push("-lstatic:-bundle=small".to_owned());
    if !holds(folder, small, &flags) {
        flags.pop();
    }
    let bare = folder.join("libc.a");
    if let Some(library) = c_library() {
        let mut strip = Command::new("objcopy");
        for section in [".eh_frame", ".rela.eh_frame"] {
            strip.arg(format!("--remove-section={section}"));
        }
        strip.arg(library).arg(&bare);
        if holds(folder, [strip], &flags) {
            return Ok(flags);
        }
    }
    if bare.exists() {
        std::fs::remove_file(bare)?;
    }
    Ok(flags)
}

/// Whether the commands succeed, and then a program that is linked with these flags does.
fn holds<const N: usize>(folder: &Path, commands: [Command; N], flags: &[String]) -> bool {
    let mut link = Command::new("rustc");
    link.args(["-Ctarget-feature=+crt-static", "probe.rs"])
        .args(flags);
    let probe = Command::new(folder.join("probe"));
    commands
        .into_iter()
        .chain([link, probe])
        .all(|mut command| shell::succeeds(command.current_dir(folder)))
}

/// The C library as an archive, where the compiler has one.
fn c_library() -> Option<PathBuf> {
    let path = shell::output(Command::new("cc").arg("-print-file-name=libc.a")).ok()?;
    let path = PathBuf::from(path.trim());
    path.is_absolute().then_some(path)
}

const SMALL: &str = include_str!("release/small.c");
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
fn sources() -> anyhow::Result<Vec<PathBuf>> {
    shell::run(&mut shell::cargo(["fetch", "--locked", "--quiet"])?)?;
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

/// Whether relocations can be packed: a static program relocates itself, and glibc reads the bitmap from 2.36 on.
fn packs() -> bool {
    let libc = shell::output(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    libc.is_ok_and(|text| glibc(&text) >= Some((2, 36)))
}

/// The version in what `getconf GNU_LIBC_VERSION` prints: `glibc 2.36`.
fn glibc(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn host() -> anyhow::Result<String> {
    let text = shell::output(Command::new("rustc").arg("--version").arg("--verbose"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// Fails unless the file is what an image `FROM scratch` needs.
fn check(path: &Path) -> anyhow::Result<()> {
    let file = std::fs::read(path)?;
    let elf = Elf(&file);
    let name = path.display();
    anyhow::ensure!(
        elf.is_static().with_context(|| format!("read {name}"))?,
        "{name} needs a dynamic loader"
    );
    anyhow::ensure!(
        elf.is_stripped().with_context(|| format!("read {name}"))?,
        "{name} has a symbol table"
    );
    Ok(())
}

/// As much of a 64-bit little-endian ELF file as it takes to tell its kind (System V ABI, "Object Files").
struct Elf<'a>(&'a [u8]);

impl Elf<'_> {
    const PT_INTERP: u64 = 3;
    const SHT_SYMTAB: u64 = 2;

    fn is_static(&self) -> Option<bool> {
        let (start, size, count) = (
            self.number(32, 8)?,
            self.number(54, 2)?,
            self.number(56, 2)?,
        );
        let mut kinds = (0..count).map(|index| self.number(start + index * size, 4));
        kinds.try_fold(true, |found, kind| Some(found && kind? != Self::PT_INTERP))
    }

    fn is_stripped(&self) -> Option<bool> {
        let (start, size, count) = (
            self.number(40, 8)?,
            self.number(58, 2)?,
            self.number(60, 2)?,
        );
        let mut kinds = (0..count).map(|index| self.number(start + index * size + 4, 4));
        kinds.try_fold(true, |found, kind| Some(found && kind? != Self::SHT_SYMTAB))
    }

    fn number(&self, offset: u64, size: usize) -> Option<u64> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.0.get(start..start.checked_add(size)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_glibc_is_read_as_numbers() {
        assert_eq!(glibc("glibc 2.36\n"), Some((2, 36)));
        assert!(glibc("glibc 2.9") < Some((2, 36)));
        assert_eq!(glibc("undefined"), None);
    }

    #[test]
    fn a_test_binary_is_neither_static_nor_stripped() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Elf(&file).is_static(), Some(false));
        assert_eq!(Elf(&file).is_stripped(), Some(false));
        assert_eq!(Elf(b"\x7fELF").is_static(), None);
    }
}
