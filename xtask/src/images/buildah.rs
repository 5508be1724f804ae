//! buildah, with a storage of its own: no daemon, no privilege, and nothing stays behind.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::git;
use crate::shell;

pub(super) struct Buildah {
    storage: tempfile::TempDir,
}

/// What the image says of itself.
pub(super) struct Labels {
    pub(super) version: String,
    revision: String,
    source: String,
}

impl Labels {
    pub(super) fn of(root: &Path) -> Self {
        let revision = git(root, &["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
        let changed = git(root, &["status", "--porcelain"]).is_some();
        let remote = git(root, &["remote", "get-url", "origin"]);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: if changed {
                format!("{revision}-changed")
            } else {
                revision
            },
            source: remote.and_then(|url| public(&url)).unwrap_or_default(),
        }
    }
}

/// The address of a repository as everybody may know it: without a name or a password.
fn public(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let host = host.rsplit('@').next()?;
    Some(format!("https://{host}/{}", path.trim_end_matches(".git")))
}

impl Buildah {
    /// Fails where it cannot work.
    pub(super) fn new() -> anyhow::Result<Self> {
        let storage = tempfile::Builder::new()
            .prefix("keyside-images-")
            .tempdir()?;
        let buildah = Self { storage };
        buildah.run(&["from", "scratch"]).context(
            "buildah cannot work here: install it (on Debian and Ubuntu: `apt install buildah`), or build the images \
             with Docker, as docs/images.md tells",
        )?;
        Ok(buildah)
    }

    /// Builds the program's image by the Dockerfile, with a folder in place of its build stage, and puts it into an OCI
    /// layout.
    pub(super) fn pack(
        &self,
        program: &str,
        architecture: &str,
        stage: &Path,
        labels: &Labels,
        epoch: u64,
        layout: &Path,
    ) -> anyhow::Result<()> {
        let target = program.trim_start_matches("keyside-");
        // The Dockerfile copies nothing from it in these stages.
        let context = self.storage.path().join("context");
        std::fs::create_dir_all(&context)?;
        let file = keyside_harness::tools::root()?.join("Dockerfile");
        let image = format!("localhost/{program}:packed");
        self.run(&[
            "build",
            "--quiet",
            // Else the version of buildah would be in the image.
            "--identity-label=false",
            &format!("--timestamp={epoch}"),
            &format!("--platform=linux/{architecture}"),
            &format!("--target={target}"),
            &format!("--build-context=build={}", stage.display()),
            &format!("--build-arg=VERSION={}", labels.version),
            &format!("--build-arg=REVISION={}", labels.revision),
            &format!("--build-arg=SOURCE={}", labels.source),
            &format!("--tag={image}"),
            &format!("--file={}", file.display()),
            &context.display().to_string(),
        ])?;
        let layout = format!("oci:{}:{}", layout.display(), labels.version);
        self.run(&["push", "--quiet", "--format=oci", &image, &layout])
    }

    /// Reads an archive back, both as containerd and as Docker would.
    pub(super) fn load(&self, archive: &Path) -> anyhow::Result<()> {
        for form in ["oci-archive", "docker-archive"] {
            let source = format!("{form}:{}", archive.display());
            self.run(&["pull", "--quiet", &source])?;
        }
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new("buildah");
        command
            .env("BUILDAH_ISOLATION", "chroot")
            .env("STORAGE_DRIVER", "vfs");
        for (option, folder) in [("--root", "storage"), ("--runroot", "run")] {
            command.arg(option).arg(self.storage.path().join(folder));
        }
        shell::output(command.args(arguments))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_nobodys_password() {
        let check = |url, expected| assert_eq!(public(url).as_deref(), expected, "{url}");
        check(
            "https://name:token@example.com/a/b.git",
            Some("https://example.com/a/b"),
        );
        check("https://example.com/a/b", Some("https://example.com/a/b"));
        check("git@example.com:a/b.git", None);
        check("/somewhere/on/this/machine", None);
    }
}
