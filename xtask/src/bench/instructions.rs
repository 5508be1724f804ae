//! How many instructions an answer from the cache takes, kernel left out: a number that the same program repeats on
//! every machine of a kind, however busy, and that therefore tells when a change makes it slower.
//!
//! Counted are two runs of the agent under valgrind that differ by so many hits on one connection; what starting and
//! ending takes is in both. Hits are of two kinds: of a request that repeats the last one, and of one that was asked
//! longer ago than the proxy remembers requests.

use std::path::Path;
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
/// Several times what the proxy remembers.
const PATHS: u64 = 64;
const FEW: u64 = 200;
const MANY: u64 = 1200;
/// valgrind runs a program some fifty times slower.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is on record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// Of one answer from the cache to a request that repeats the last one.
    repeated: u64,
    /// To one of many that come in turn.
    in_turn: u64,
    /// Another compiler counts otherwise.
    rustc: String,
}

/// A lease as Vault answers it, over the wire.
const LEASE: &str = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-type: application/json\r\n\
    strict-transport-security: max-age=31536000; includeSubDomains\r\n\r\n\
    {\"request_id\":\"8a9f5c1e-7f7e-4a52-9d9b-5b3f1f0f4c53\",\"lease_id\":\"database/creds/app/abcdefghijklmnopqrstuvwx\",\
    \"renewable\":true,\"lease_duration\":28800,\"data\":{\"password\":\"12345678901234567890\",\
    \"username\":\"v-kubernetes-app-abcdefghijklmnop-1234567890\"},\"wrap_info\":null,\"warnings\":null,\"auth\":null}\n";

/// A request behind its path.
const REST: &[u8] =
    b" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept-Encoding: gzip\r\n\
    X-Vault-Request: true\r\nX-Vault-Token: s.abcdefghijklmnopqrstuvwx\r\n\r\n";

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
    let program = release::build("keyside-agent")?.path;
    let bare = Bare::build()?;
    let counted = Recorded {
        repeated: count(&program, &bare, 1)?,
        in_turn: count(&program, &bare, PATHS)?,
        rustc: shell::output(Command::new("rustc").arg("--version"))?
            .trim()
            .to_owned(),
    };
    console::text(&format!(
        "an answer from the cache: {} instructions for a request that repeats the last one, {} for one of {PATHS}\n",
        counted.repeated, counted.in_turn
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
            "on record is what {} compiles: not held against {}.",
            recorded.rustc, counted.rustc
        ));
        return Ok(());
    }
    compare(counted.repeated, recorded.repeated)?;
    compare(counted.in_turn, recorded.in_turn)
}

#[expect(clippy::cast_precision_loss, reason = "thousands of instructions")]
fn compare(counted: u64, recorded: u64) -> anyhow::Result<()> {
    let ratio = counted as f64 / recorded as f64;
    anyhow::ensure!(
        (ratio - 1.0).abs() <= TOLERANCE,
        "an answer from the cache takes {counted} instructions, {:+.1} % beside the {recorded} on record; if that is \
         meant, `cargo xtask instructions --write`",
        (ratio - 1.0) * 100.0,
    );
    Ok(())
}

fn count(program: &Path, bare: &Bare, paths: u64) -> anyhow::Result<u64> {
    let few = total(program, bare, paths, FEW)?;
    let many = total(program, bare, paths, MANY)?;
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// Of the agent's whole life, with so many hits on so many paths.
fn total(program: &Path, bare: &Bare, paths: u64, hits: u64) -> anyhow::Result<u64> {
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
    let write = |number: u64, out: &mut Vec<u8>| {
        let path = format!("GET /v1/database/creds/app{:03}", number % paths);
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(REST);
    };
    for number in 0..paths {
        let mut request = Vec::new();
        write(number, &mut request);
        load::once(&agent.address, &request)?;
    }
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
            repeated: hit,
            in_turn: 60_000,
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
