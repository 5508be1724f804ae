//! `pid_file`: the process's number, for scripts; there while the agent serves.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::Error;

/// The file; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file, mode 0600, over what a killed agent left.
    pub(crate) fn create(path: PathBuf) -> Result<Self, Error> {
        match write(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(Error::PidFile { path, source }),
        }
    }
}

fn write(path: &PathBuf) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", std::process::id())
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            let path = self.0.display();
            tracing::warn!(event = "pid_file_left", %path, %error, "the pid file stays");
        }
    }
}
