//! The bare server: the least that hyper can cost, built as the agent is.

use std::path::PathBuf;
use std::process::Command;

use keyside_harness::process;

use super::place::{On, pinned};
use crate::release;

const NAME: &str = "keyside-bare";

/// Its program, as it would be released.
pub(super) struct Bare(PathBuf);

/// A running one.
pub(super) struct Server {
    pub(super) child: process::Child,
    /// Host and port.
    pub(super) address: String,
    _answer: tempfile::NamedTempFile,
}

impl Bare {
    pub(super) fn build() -> anyhow::Result<Self> {
        Ok(Self(release::build(NAME)?.path))
    }

    /// One that answers everything with this response.
    pub(super) fn start(&self, on: On, response: &[u8]) -> anyhow::Result<Server> {
        let answer = tempfile::NamedTempFile::new()?;
        std::fs::write(answer.path(), response)?;
        let mut command = Command::new(&self.0);
        command.env_clear().arg(answer.path());
        let mut child = pinned(on, || process::Child::spawn(NAME, command))??;
        let line = child.wait_for_line("its address", |line| line.starts_with("http://"))?;
        let address = line.trim_start_matches("http://").to_owned();
        Ok(Server {
            child,
            address,
            _answer: answer,
        })
    }
}
