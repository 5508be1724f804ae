//! A token that was revoked at the server, behind the agent's back: found out by the next request, and replaced.

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::{openbao, poll, web};
use serde_json::json;

use crate::bank::{self, Bank};
use crate::world::{Agent, ROLE, World};

const LOGIN: &str = "/v1/auth/kubernetes/login";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const NOTE: &str = "/v1/secret/data/app";
/// Nobody's business.
const DENIED: &str = "/v1/sys/policies/acl/notes";

/// A world with a note that the agent's token can read and write.
fn world() -> anyhow::Result<World> {
    let role = openbao::Role {
        name: ROLE,
        policies: &["notes"],
        ..Default::default()
    };
    let world = World::with(openbao::Options::default(), &role)?;
    world.server.key_value("secret", 2)?;
    world.server.policy(
        "notes",
        r#"path "secret/*" { capabilities = ["create", "read", "update", "list"] }"#,
    )?;
    let note = json!({ "data": { "color": "blue" } });
    poll::until("the mount", poll::LIMIT, || {
        world.server.root().write("secret/data/app", &note)
    })?;
    Ok(world)
}

/// Ends the agent's token at the server. Returns it.
fn revoke(world: &World) -> anyhow::Result<String> {
    let token = world.sink()?;
    let root = world.server.root();
    root.write("auth/token/revoke", &json!({ "token": token }))?;
    world.tap.clear();
    Ok(token)
}

/// Waits for another token than `old` in the sink, and sees that it lives.
fn replaced(world: &World, old: &str) -> anyhow::Result<()> {
    let token = poll::until("another token", poll::LIMIT, || {
        let token = world.sink()?;
        anyhow::ensure!(token != old, "still the old one");
        Ok(token)
    })?;
    let found = world.server.client(&token)?.look_up_self()?;
    found.context("Vault does not know the new one").map(drop)
}

fn logins(world: &World) -> usize {
    world.tap.count(&Method::POST, LOGIN)
}

fn look_ups(world: &World) -> usize {
    world.tap.count(&Method::GET, LOOK_UP)
}

fn found_dead(agent: &Agent) -> usize {
    agent.child.events("found_dead").len()
}

#[test]
fn fifty_reads_with_a_revoked_token_succeed_by_one_login() -> anyhow::Result<()> {
    let world = world()?;
    let (agent, proxy) = bank::open(&world)?;
    let old = revoke(&world)?;
    let list = Method::from_bytes(b"LIST")?;
    let reads = (0..50).map(|number| {
        proxy.start(match number % 5 {
            0 => web::request(list.clone(), "/v1/secret/metadata", None)?,
            _ => web::request(Method::GET, NOTE, None)?,
        })
    });
    let reads = reads.collect::<anyhow::Result<Vec<_>>>()?;
    for read in reads {
        let answer = read.wait()?;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }
    replaced(&world, &old)?;
    assert_eq!(logins(&world), 1);
    // One, and one more because the token was young.
    assert!((1..=2).contains(&look_ups(&world)), "{}", look_ups(&world));
    assert_eq!(found_dead(&agent), 1);
    for line in agent.child.lines() {
        assert!(!line.contains(&old), "the token is in the log: {line}");
    }
    Ok(())
}

#[test]
fn a_denial_by_policy_costs_one_look_up_and_no_login() -> anyhow::Result<()> {
    let world = world()?;
    let (agent, proxy) = bank::open(&world)?;
    let token = world.sink()?;
    world.tap.clear();
    for _ in 0..5 {
        let denied: anyhow::Result<Vec<_>> = (0..10)
            .map(|_| proxy.start(web::request(Method::GET, DENIED, None)?))
            .collect();
        for denied in denied? {
            assert_eq!(denied.wait()?.status(), StatusCode::FORBIDDEN);
        }
    }
    assert_eq!(world.tap.count(&Method::GET, DENIED), 50, "each once");
    assert_eq!(look_ups(&world), 1);
    assert_eq!(logins(&world), 0);
    assert_eq!(found_dead(&agent), 0);
    assert_eq!(world.sink()?, token);
    Ok(())
}

#[test]
fn a_write_and_a_clients_own_token_are_refused_once_and_lead_to_a_login_all_the_same()
-> anyhow::Result<()> {
    for own in [false, true] {
        let world = world()?;
        let (_agent, proxy) = bank::open(&world)?;
        let old = revoke(&world)?;
        let (method, refused) = if own {
            let client = proxy.clone().with_token(&old)?;
            (Method::GET, client.get(NOTE)?)
        } else {
            let note = json!({ "data": { "color": "red" } });
            (Method::POST, proxy.post(NOTE, &note)?)
        };
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{own}");
        assert!(
            web::json(&refused)?["errors"]
                .to_string()
                .contains("denied"),
            "{refused:?}"
        );
        replaced(&world, &old)?;
        assert_eq!(world.tap.count(&method, NOTE), 1, "{own}");
        let read = web::success(&proxy.get(NOTE)?)?;
        assert_eq!(read["data"]["data"]["color"], "blue", "{own}");
        assert_eq!(logins(&world), 1, "{own}");
    }
    Ok(())
}

#[test]
fn while_no_login_succeeds_vaults_own_answer_comes_back() -> anyhow::Result<()> {
    let world = world()?;
    let (mut agent, proxy) = bank::open(&world)?;
    std::fs::write(world.path("service-account-token"), "not a token")?;
    let old = revoke(&world)?;
    let refused = proxy.get(NOTE)?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    agent.child.wait_for_event("login_failed")?;
    assert_eq!(world.sink()?, old, "nothing better is known");
    world.write_service_account_token()?;
    replaced(&world, &old)?;
    assert_eq!(proxy.get(NOTE)?.status(), StatusCode::OK);
    Ok(())
}

#[test]
fn what_a_dead_token_made_is_not_served_again() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let before = bank::borrow(&proxy)?;
    assert!(bank::borrow(&proxy)?.hit);
    revoke(&bank.world)?;
    assert_eq!(proxy.get(LOOK_UP)?.status(), StatusCode::OK);
    let after = bank::borrow(&proxy)?;
    assert!(!after.hit && after.user != before.user, "{after:?}");
    assert!(bank.knows(&after.lease)?);
    assert!(
        bank::borrow(&proxy)?.hit,
        "made and kept with the new token"
    );
    Ok(())
}
