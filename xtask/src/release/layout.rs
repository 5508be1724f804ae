//! The folder from which images are packed: binaries, what is known of their parts, and the authorities to trust.
//!
//! Invariant: what is in it depends on the source, the compiler and the system's packages alone; not on where the
//! repository lies, nor on when it was built.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Binary, PROGRAMS, Target, build_in};
use crate::{sbom, shell};

/// Mozilla's roots as Debian has them. Its bundle in `/etc` also has what somebody added to the machine.
const MOZILLA: &str = "/usr/share/ca-certificates/mozilla";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) binaries: Vec<(&'static str, Binary)>,
}

impl Stage {
    /// Builds both binaries and puts them there with the rest.
    pub(crate) fn lay_out(
        root: &Path,
        target: &Target,
        folder: &Path,
        epoch: u64,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("make the folder {}", folder.display()))?;
        let roots = roots()?;
        put(folder, "ca-certificates.crt", 0o644, &roots)?;
        let mut binaries = Vec::new();
        for program in PROGRAMS {
            let binary = build_in(root, program, target)?;
            let list = sbom::of(root, program, target)?;
            list.check(&binary.crates)
                .with_context(|| format!("the parts of {program}"))?;
            let file = std::fs::read(&binary.path)?;
            let text = list.spdx(&file, &roots, epoch)?;
            put(folder, program, 0o755, &file)?;
            put(
                folder,
                &format!("{program}.spdx.json"),
                0o644,
                text.as_bytes(),
            )?;
            binaries.push((program, binary));
        }
        Ok(Self {
            folder: folder.to_owned(),
            binaries,
        })
    }

    /// The names of what is there.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.folder.read_dir()?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<anyhow::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }
}

/// Writes a file with just this mode, whatever the user's mask is.
fn put(folder: &Path, name: &str, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn roots() -> anyhow::Result<Vec<u8>> {
    let Ok(folder) = Path::new(MOZILLA).read_dir() else {
        let missing = || format!("neither {MOZILLA} nor {BUNDLE}: install ca-certificates");
        return std::fs::read(BUNDLE).with_context(missing);
    };
    let mut files = folder
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort_unstable();
    let mut all = Vec::new();
    for file in files {
        all.extend(std::fs::read(&file).with_context(|| format!("read {}", file.display()))?);
        if all.last().is_some_and(|last| *last != b'\n') {
            all.push(b'\n');
        }
    }
    Ok(all)
}

/// When the source was last changed, in seconds: `SOURCE_DATE_EPOCH` (reproducible-builds.org), or the commit's time, or
/// 0 where there is no history.
pub(crate) fn epoch(root: &Path) -> u64 {
    let said = std::env::var("SOURCE_DATE_EPOCH").ok();
    let said = said.and_then(|text| text.parse().ok());
    said.or_else(|| {
        let mut log = Command::new("git");
        log.args(["log", "-1", "--format=%ct"]).current_dir(root);
        shell::output(&mut log).ok()?.trim().parse().ok()
    })
    .unwrap_or_default()
}
