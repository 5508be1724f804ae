//! What an agent holds once it is used: with a thousand answers in the cache, and after a million hits on them.

use std::time::Duration;

use keyside_harness::process;

use super::contender::{Agent, Contender, Ground};
use super::load::{self, Until};
use super::place::{On, pinned};
use super::proc;
use super::report::{Row, Target, Unit};

const ROLE: &str = "memory";
const ANSWERS: u64 = 1000;
const HITS: u64 = 1_000_000;
const QUICK_HITS: u64 = 10_000;
/// The peer is given no more: it holds no more after a million hits than after so many.
const PEERS_TIME: Duration = Duration::from_mins(1);
/// An answer repeats it, with some 800 bytes of its own.
const NOTE: usize = 1200;

/// Megabytes.
struct Held {
    filled: f64,
    used: f64,
}

pub(super) fn rows(
    ground: &Ground,
    [ours, peers]: &[Contender; 2],
    quick: bool,
) -> anyhow::Result<Vec<Row>> {
    ground.reader(ROLE)?;
    let hits = if quick { QUICK_HITS } else { HITS };
    let ours = held(&ground.agent(ours, ROLE)?, Until::answers(hits))?;
    let fewer = Until {
        time: PEERS_TIME,
        answers: hits,
    };
    let peers = held(&ground.agent(peers, ROLE)?, fewer)?;
    let target = Some(Target::AtMostAndBy(8.0, 12.0));
    let row =
        |what, ours, peers| Row::beside(what, Unit::Megabytes, vec![ours], vec![peers], target);
    Ok(vec![
        row(
            "resident memory, 1,000 answers of 2 KB",
            ours.filled,
            peers.filled,
        )?,
        row(
            "the same after a million hits on them",
            ours.used,
            peers.used,
        )?,
    ])
}

fn held(agent: &Agent, until: Until) -> anyhow::Result<Held> {
    let note = "n".repeat(NOTE);
    let ask = |number: u64, out: &mut Vec<u8>| create(&agent.address, number % ANSWERS, &note, out);
    pinned(On::Second, || {
        // One after the other: connections to Vault that are kept for a while are not what is measured.
        load::run(&agent.address, 1, &ask, Until::answers(ANSWERS))?;
        let filled = resident(&agent.child)?;
        load::run(&agent.address, load::CLIENTS, &ask, until)?;
        let used = resident(&agent.child)?;
        Ok(Held { filled, used })
    })?
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two decimals of a few megabytes"
)]
pub(super) fn resident(child: &process::Child) -> anyhow::Result<f64> {
    Ok(proc::memory(child.id())?.resident as f64 / 1e6)
}

/// Asks for a token with a note in it, which both agents keep.
fn create(address: &str, number: u64, note: &str, out: &mut Vec<u8>) {
    let body =
        format!(r#"{{"meta":{{"note":"{number:08}{note}"}},"policies":["default"],"ttl":"8h"}}"#);
    let head = format!(
        "POST /v1/auth/token/create HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nX-Vault-Request: true\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.as_bytes());
}
