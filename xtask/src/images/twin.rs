//! The same source in another folder has to give the same bytes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::git;
use crate::console;
use crate::release::{Stage, Target};

/// Builds a copy of the repository, and compares what comes out with `first`.
pub(super) fn compare(
    root: &Path,
    target: &Target,
    first: &Stage,
    epoch: u64,
) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("keyside-twin-").tempdir()?;
    let source = folder.path().join("a/deeper/folder");
    copy(root, &source)?;
    let second = Stage::lay_out(&source, target, &folder.path().join("out"), epoch)?;
    let names = first.files()?;
    anyhow::ensure!(names == second.files()?, "the builds gave different files");
    for name in names {
        let path = |stage: &Stage| stage.folder.join(&name);
        let (one, other) = (std::fs::read(path(first))?, std::fs::read(path(&second))?);
        if one != other {
            // For whoever wants to look.
            let kept = folder.keep().join("out").join(&name);
            let first = path(first);
            anyhow::bail!("{} and {} differ", first.display(), kept.display());
        }
        console::seen(&format!("{name} is the same, {} bytes", one.len()));
    }
    Ok(())
}

/// The files that belong to the repository, as they are.
fn copy(root: &Path, target: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(target)?;
    let files = git(
        root,
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    );
    let files = files.context("git does not tell which files belong to the repository")?;
    // What was removed and not committed yet is still in the list.
    let files = files.lines().filter(|file| root.join(file).exists());
    let list = files.fold(String::new(), |list, file| list + file + "\n");
    let mut pack = Command::new("tar")
        .args(["-cf", "-", "--files-from=-"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("run tar")?;
    let (input, output) = (pack.stdin.take(), pack.stdout.take());
    let mut unpack = Command::new("tar")
        .args(["-xf", "-"])
        .current_dir(target)
        .stdin(output.context("tar's output")?)
        .spawn()
        .context("run tar")?;
    input.context("tar's input")?.write_all(list.as_bytes())?;
    let (packed, unpacked) = (pack.wait()?, unpack.wait()?);
    anyhow::ensure!(
        packed.success() && unpacked.success(),
        "copy the repository: {packed}, {unpacked}"
    );
    Ok(())
}
