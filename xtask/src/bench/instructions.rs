//! How many instructions an answer from the cache takes, kernel left out: a number that the same program repeats on
//! every machine of a kind, however busy, and that therefore tells when a change makes it slower.
//!
//! Counted are two runs of the agent under valgrind that differ by so many hits on one connection; what starting and
//! ending takes is in both.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::{process, tools};
use lexopt::Arg;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bare::Bare;
use super::contender::{Contender, Place};
use super::load::{self, Until};
use super::place::On;
use crate::{console, release, shell};

const HELP: &str = "\
Usage: cargo xtask instructions [--write]

  --write  take what is counted for the number that later changes are held against
";

const FILE: &str = "xtask/src/bench/instructions.json";
/// Of the number on record, in either direction: a smaller one is to be written down, too.
const TOLERANCE: f64 = 0.05;
const FEW: u64 = 200;
const MANY: u64 = 1200;
/// valgrind runs a program some fifty times slower.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is on record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// Of one answer from the cache.
    hit: u64,
    /// Another compiler counts otherwise.
    rustc: String,
}

/// A lease as Vault answers it, over the wire.
const LEASE: &str = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-type: application/json\r\n\
    strict-transport-security: max-age=31536000; includeSubDomains\r\n\r\n\
    {\"request_id\":\"8a9f5c1e-7f7e-4a52-9d9b-5b3f1f0f4c53\",\"lease_id\":\"database/creds/app/abcdefghijklmnopqrstuvwx\",\
    \"renewable\":true,\"lease_duration\":28800,\"data\":{\"password\":\"12345678901234567890\",\
    \"username\":\"v-kubernetes-app-abcdefghijklmnop-1234567890\"},\"wrap_info\":null,\"warnings\":null,\"auth\":null}\n";

pub(crate) fn run(arguments: &mut lexopt::Parser) -> anyhow::Result<()> {
    let mut write = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("write") => write = true,
            Arg::Long("help") | Arg::Short('h') => {
                console::text(HELP);
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if !shell::succeeds(Command::new("valgrind").arg("--version")) {
        anyhow::ensure!(
            std::env::var_os("KEYSIDE_REQUIRE_VALGRIND").is_none() && !write,
            "valgrind is not here"
        );
        console::note("valgrind is not here, so NO INSTRUCTIONS ARE COUNTED.");
        return Ok(());
    }
    process::keep_quiet();
    let counted = Recorded {
        hit: count()?,
        rustc: shell::output(Command::new("rustc").arg("--version"))?
            .trim()
            .to_owned(),
    };
    console::text(&format!(
        "an answer from the cache: {} instructions\n",
        counted.hit
    ));
    let path = tools::root()?.join(FILE);
    if write {
        let text = serde_json::to_string_pretty(&counted)? + "\n";
        std::fs::write(&path, text).with_context(|| format!("write {FILE}"))?;
        console::note(&format!("written to {FILE}"));
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {FILE}"))?;
    judge(&counted, &serde_json::from_str(&text).context(FILE)?)
}

fn judge(counted: &Recorded, recorded: &Recorded) -> anyhow::Result<()> {
    if counted.rustc != recorded.rustc {
        console::note(&format!(
            "on record are {} instructions, as {} compiles it: not held against {}.",
            recorded.hit, recorded.rustc, counted.rustc
        ));
        return Ok(());
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands of instructions")]
    let ratio = counted.hit as f64 / recorded.hit as f64;
    anyhow::ensure!(
        (ratio - 1.0).abs() <= TOLERANCE,
        "an answer from the cache takes {} instructions, {:+.1} % beside the {} on record; if that is meant, \
         `cargo xtask instructions --write`",
        counted.hit,
        (ratio - 1.0) * 100.0,
        recorded.hit
    );
    Ok(())
}

fn count() -> anyhow::Result<u64> {
    let program = release::build("keyside-agent")?.path;
    let bare = Bare::build()?;
    let few = total(&program, &bare, FEW)?;
    let many = total(&program, &bare, MANY)?;
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// Of the agent's whole life, with so many hits.
fn total(program: &std::path::Path, bare: &Bare, hits: u64) -> anyhow::Result<u64> {
    let vault = bare.start(On::Second, LEASE.as_bytes())?;
    let valgrind = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
    ];
    let contender = Contender::keyside(program.to_owned())
        .under(valgrind.into_iter().map(Into::into).collect());
    let place = Place::without_login(&contender, &format!("http://{}", vault.address), json!({}))?;
    let mut agent = place.start(&contender)?;
    // The port is not always as long as the last time, and the request shall be.
    let request = b"GET /v1/database/creds/app HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\
        Accept-Encoding: gzip\r\nX-Vault-Request: true\r\nX-Vault-Token: s.abcdefghijklmnopqrstuvwx\r\n\r\n";
    load::once(&agent.address, request)?;
    let write = |_: u64, out: &mut Vec<u8>| out.extend_from_slice(request);
    load::run(&agent.address, 1, &write, Until::answers(hits))?;
    agent.child.signal(rustix::process::Signal::TERM)?;
    agent.child.wait(PATIENCE)?;
    let lines = agent.child.lines();
    let collected = lines
        .iter()
        .find_map(|line| line.split_once("Collected : "));
    let (_, number) = collected.with_context(|| lines.join("\n"))?;
    number.trim().parse().context("a number of instructions")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(hit: u64, rustc: &str) -> Recorded {
        Recorded {
            hit,
            rustc: rustc.to_owned(),
        }
    }

    #[test]
    fn five_in_a_hundred_are_let_pass_and_another_compiler_is_no_matter() {
        let on_record = recorded(10_000, "rustc 1");
        for (hit, passes) in [
            (10_400, true),
            (9_600, true),
            (10_600, false),
            (9_400, false),
        ] {
            assert_eq!(
                judge(&recorded(hit, "rustc 1"), &on_record).is_ok(),
                passes,
                "{hit}"
            );
        }
        judge(&recorded(99_999, "rustc 2"), &on_record).unwrap();
    }
}
