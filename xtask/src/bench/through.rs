//! Requests that are passed on: reads of a key-value secret, which neither agent keeps.
//!
//! Twice: to the real server, which takes most of the time and most of this machine; and to a server that answers at
//! once with the same bytes, where the agents are what there is to wait for.

use super::bare::Bare;
use super::contender::{Agent, Contender, Ground, Place};
use super::load;
use super::place::On;
use super::report::{Row, Target, Unit};
use super::rounds::{self, Loaded, Series};

use serde_json::json;

const ROLE: &str = "through";
const SECRET: &str = "secret/app";

pub(super) fn rows(
    ground: &Ground,
    contenders: &[Contender; 2],
    bare: &Bare,
    quick: bool,
) -> anyhow::Result<Vec<Row>> {
    ground.reader(ROLE)?;
    let root = ground.server().root();
    ground.server().key_value("secret", 1)?;
    root.write(
        SECRET,
        &json!({ "user": "app", "password": "p".repeat(24) }),
    )?;
    let [ours, peers] = contenders;
    let real = [ground.agent(ours, ROLE)?, ground.agent(peers, ROLE)?];
    let [first, second] = &real;
    let answer = load::once(&first.address, &read(first))?;
    load::once(&second.address, &read(second))?;
    let [to_real, peers_to_real] = measure(&real, quick)?;
    drop(real);
    let played = bare.start(On::Second, &answer)?;
    let address = format!("http://{}", played.address);
    let start = |contender| Place::without_login(contender, &address, json!({}))?.start(contender);
    let [to_played, peers_to_played] = measure(&[start(ours)?, start(peers)?], quick)?;
    Ok(vec![
        Row::beside(
            "reads passed on to OpenBao, 32 connections",
            Unit::PerSecond,
            to_real.per_second,
            peers_to_real.per_second,
            None,
        )?,
        Row::beside(
            "processor time for one of them",
            Unit::Microseconds,
            to_real.processor,
            peers_to_real.processor,
            None,
        )?,
        Row::beside(
            "reads passed on to a server that answers at once",
            Unit::PerSecond,
            to_played.per_second,
            peers_to_played.per_second,
            Some(Target::By(2.0)),
        )?,
        Row::beside(
            "processor time for one of these",
            Unit::Microseconds,
            to_played.processor,
            peers_to_played.processor,
            Some(Target::By(3.0)),
        )?,
    ])
}

fn measure([ours, peers]: &[Agent; 2], quick: bool) -> anyhow::Result<[Series; 2]> {
    let (our_request, peers_request) = (read(ours), read(peers));
    rounds::run(
        &[
            Loaded::new(ours.child.id(), &ours.address, &our_request),
            Loaded::new(peers.child.id(), &peers.address, &peers_request),
        ],
        quick,
    )
}

/// The token is for the agents without a login; the others attach their own to what brings none.
fn read(agent: &Agent) -> Vec<u8> {
    let token = if agent.logs_in {
        ""
    } else {
        "X-Vault-Token: s.client\r\n"
    };
    format!(
        "GET /v1/{SECRET} HTTP/1.1\r\nHost: {}\r\n{token}X-Vault-Request: true\r\n\r\n",
        agent.address
    )
    .into_bytes()
}
