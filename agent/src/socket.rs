//! The files of Unix sockets: one replaces what a killed agent left, and nothing else.
//!
//! Invariant: nobody but the agent's own user gets in before owner and mode are what they should be.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, lchown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use keyside_config::model::Mode;
use tokio::net::UnixListener;

use crate::sink::owner;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("bind the socket {}", path.display())]
    Bind {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("find the owner of the socket {}", path.display())]
    Owner {
        path: PathBuf,
        #[source]
        source: owner::Error,
    },
}

/// A bound Unix socket whose file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds `path` with mode 0600. The process's umask lets nobody else in meanwhile.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        let socket = Self {
            listener,
            path: path.to_owned(),
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    }

    /// As [`Socket::bind`], and then for whom the configuration names.
    pub(crate) fn bind_for(
        path: &Path,
        mode: Mode,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<Self, Error> {
        let no_owner = |source| Error::Owner {
            path: path.to_owned(),
            source,
        };
        let user = user.map(owner::user).transpose().map_err(no_owner)?;
        let group = group.map(owner::group).transpose().map_err(no_owner)?;
        let failed = |source| Error::Bind {
            path: path.to_owned(),
            source,
        };
        let socket = Self::bind(path).map_err(failed)?;
        if user.is_some() || group.is_some() {
            lchown(path, user, group).map_err(failed)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode.0)).map_err(failed)?;
        Ok(socket)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::debug!(event = "socket_left", %path, %error, "the socket's file stays");
        }
    }
}

/// Removes a socket that nobody listens on; one that answers, or a file that is no socket, is left to fail the bind.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_the_file_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file");
        let socket = Socket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let _alive = Socket::bind(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        fs::write(&path, "mine").unwrap();
        assert!(Socket::bind(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
