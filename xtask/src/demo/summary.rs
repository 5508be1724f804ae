//! What is printed at the end, and the promises that it is held against.

use anyhow::Context as _;

use crate::console;
use crate::release::Binary;

/// What the project promises of the agent.
const AGENT_BYTES: u64 = 4_500_000;
/// What it may be where an older glibc cannot pack relocations. The images are built where it can.
const AGENT_BYTES_UNPACKED: u64 = 4_700_000;
const AGENT_RESIDENT_BYTES: u64 = 5_000_000;

/// Rows in the order in which they were found out.
#[derive(Default)]
pub(super) struct Summary {
    rows: Vec<(String, String)>,
    resident: Option<u64>,
}

impl Summary {
    pub(super) fn row(&mut self, name: &str, value: String) {
        self.rows.push((name.to_owned(), value));
    }

    pub(super) fn binary(&mut self, name: &str, binary: &Binary) {
        let text = format!("{}, static, stripped", megabytes(binary.bytes));
        console::seen(&format!("{name}: {text}"));
        self.row(&format!("{name}, binary"), text);
    }

    pub(super) fn resident(&mut self, bytes: u64) {
        self.resident = Some(bytes);
        self.row(
            "keyside-agent, resident when idle after login",
            megabytes(bytes),
        );
    }

    pub(super) fn print(&self, agent: &Binary) -> anyhow::Result<()> {
        console::heading("Summary");
        console::table(&self.rows);
        let resident = self
            .resident
            .context("the agent's memory was not measured")?;
        let size = if agent.packed {
            AGENT_BYTES
        } else {
            AGENT_BYTES_UNPACKED
        };
        for (what, bytes, limit) in [
            ("binary", agent.bytes, size),
            ("resident memory", resident, AGENT_RESIDENT_BYTES),
        ] {
            anyhow::ensure!(
                bytes <= limit,
                "the agent's {what} is {}, and was to be at most {}",
                megabytes(bytes),
                megabytes(limit)
            );
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two decimals of a few megabytes"
)]
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
