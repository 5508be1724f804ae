//! A container without a runtime: a process in a user and a mount namespace of its own, over the root file system of an
//! image, as the container's user and with no capability.

use std::path::Path;
use std::process::Command;

const ENTER: &str = include_str!("namespace.sh");

/// What a runtime would be told of a container.
pub(crate) struct Container<'a> {
    /// The unpacked image.
    pub(crate) root: &'a Path,
    pub(crate) user: &'a str,
    pub(crate) read_only: bool,
    /// Folders of this machine, and where the container sees them.
    pub(crate) mounts: Vec<Mount<'a>>,
}

pub(crate) struct Mount<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) path: &'a str,
    pub(crate) read_only: bool,
}

impl Container<'_> {
    /// A process of the container, with an environment that is empty but for the path.
    pub(crate) fn command(&self, arguments: &[String]) -> Command {
        let mode = |read_only: bool| if read_only { "ro" } else { "rw" };
        let mut command = Command::new("unshare");
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.args(["--user", "--map-root-user", "--mount"]);
        command.args(["sh", "-c", ENTER, "enter"]);
        command
            .arg(self.root)
            .arg(self.user)
            .arg(mode(self.read_only));
        for mount in &self.mounts {
            command
                .arg(mode(mount.read_only))
                .arg(mount.folder)
                .arg(mount.path);
        }
        command.arg("--").args(arguments).current_dir("/");
        command
    }
}
