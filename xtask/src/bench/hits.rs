//! Answers from the cache: how many, how late, and at which cost; beside the peer, and beside a server that does
//! nothing else.

use keyside_harness::{openbao, postgres};

use super::bare::Bare;
use super::contender::{Agent, Contender, Ground};
use super::load;
use super::place::On;
use super::report::{Row, Target, Unit};
use super::rounds::{self, Loaded, Series};

const ROLE: &str = "hits";

pub(super) struct Rows {
    pub(super) beside_peer: Vec<Row>,
    pub(super) beside_bare: Vec<Row>,
}

pub(super) fn rows(
    ground: &Ground,
    contenders: &[Contender; 2],
    bare: &Bare,
    quick: bool,
) -> anyhow::Result<Rows> {
    ground.reader(ROLE)?;
    let postgres = postgres::Server::start()?;
    ground.server().database(&postgres)?;
    ground.server().database_role(&openbao::DatabaseRole {
        name: "app",
        ttl: 8 * 3600,
        max_ttl: 24 * 3600,
    })?;
    let [ours, peers] = contenders;
    let (ours, peers) = (ground.agent(ours, ROLE)?, ground.agent(peers, ROLE)?);
    let hit = warm(&ours)?;
    warm(&peers)?;
    let bare = bare.start(On::First, &hit)?;
    let requests =
        [&ours.address, &peers.address, &bare.address].map(|address| credential(address));
    let [our_request, peers_request, bare_request] = &requests;
    let [ours, peers, bare] = rounds::run(
        &[
            Loaded::new(ours.child.id(), &ours.address, our_request),
            Loaded::new(peers.child.id(), &peers.address, peers_request),
            Loaded::new(bare.child.id(), &bare.address, bare_request),
        ],
        quick,
    )?;
    Ok(Rows {
        beside_bare: beside_bare(&ours, bare)?,
        beside_peer: beside_peer(ours, peers)?,
    })
}

fn beside_peer(ours: Series, peers: Series) -> anyhow::Result<Vec<Row>> {
    Ok(vec![
        Row::beside(
            "answers from the cache, 32 connections",
            Unit::PerSecond,
            ours.per_second,
            peers.per_second,
            Some(Target::By(6.0)),
        )?,
        Row::beside(
            "99 of 100 of them within",
            Unit::Milliseconds,
            ours.p99,
            peers.p99,
            Some(Target::By(4.0)),
        )?,
        Row::beside(
            "processor time for one of them",
            Unit::Microseconds,
            ours.processor,
            peers.processor,
            None,
        )?,
    ])
}

fn beside_bare(ours: &Series, bare: Series) -> anyhow::Result<Vec<Row>> {
    Ok(vec![
        Row::beside(
            "the same answers, 32 connections",
            Unit::PerSecond,
            ours.per_second.clone(),
            bare.per_second,
            Some(Target::By(0.85)),
        )?,
        Row::beside(
            "processor time for one of them",
            Unit::Microseconds,
            ours.processor.clone(),
            bare.processor,
            None,
        )?,
    ])
}

/// Has the answer kept, and returns it as the cache gives it.
fn warm(agent: &Agent) -> anyhow::Result<Vec<u8>> {
    let request = credential(&agent.address);
    load::once(&agent.address, &request)?;
    let hit = load::once(&agent.address, &request)?;
    anyhow::ensure!(
        is_hit(&hit),
        "{} did not keep what it was asked for: {}",
        agent.child.name(),
        String::from_utf8_lossy(&hit)
    );
    Ok(hit)
}

/// Both agents say it in the same header.
pub(super) fn is_hit(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    text.contains("\r\nx-cache: hit\r\n")
}

/// What applications ask for most: a database user of their own.
fn credential(address: &str) -> Vec<u8> {
    format!(
        "GET /v1/database/creds/app HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\n\
         Accept-Encoding: gzip\r\nX-Vault-Request: true\r\n\r\n"
    )
    .into_bytes()
}
