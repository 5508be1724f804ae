//! Vault goes away and comes back: nothing is lost, and nothing is stormed.

use std::time::Duration;

use http::{Method, StatusCode, header};
use keyside_harness::openbao::{Options, Role, Storage};
use keyside_harness::poll;
use keyside_harness::tap::Action;
use serde_json::json;
use tokio::time::Instant;

use crate::bank::{self, Bank, Terms};
use crate::watch::Watch;
use crate::world::{ROLE, World};

const LOGIN: &str = "/v1/auth/kubernetes/login";
const RENEW: &str = "/v1/auth/token/renew-self";
const HEALTH: &str = "/v1/sys/health";
/// After a short outage: docs/agent.md.
const SOON: Duration = Duration::from_secs(5);

/// The token lives for 60 s and is renewed after 40 to 45 s: Vault is away from second 35 to second 45 at least.
#[test]
fn a_restart_of_ten_seconds_costs_neither_the_token_nor_a_login() -> anyhow::Result<()> {
    let options = Options {
        storage: Storage::Durable,
        ..Options::default()
    };
    let role = Role {
        name: ROLE,
        ttl: 60,
        ..Role::default()
    };
    let mut world = World::with(options, &role)?;
    let mut agent = world.started()?;
    let token = world.sink()?;
    Watch::new(&world).throughout(Duration::from_secs(35))?;

    world.server.stop()?;
    poll::throughout("the token in the sink", Duration::from_secs(10), || {
        let held = world.sink()?;
        anyhow::ensure!(held == token, "another one");
        anyhow::Ok(())
    })?;
    let tried = world.tap.count(&Method::POST, RENEW);
    assert!((1..=3).contains(&tried), "{tried} renewals in 10 s");
    agent.child.wait_for_event("outage_began")?;
    world.server.restart()?;

    agent.child.wait_for_event("outage_over")?;
    agent.child.wait_for_event("renewed")?;
    // Well past the end that the token would have had.
    Watch::new(&world).throughout(Duration::from_secs(20))?;
    assert_eq!(world.sink()?, token);
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 1, "no new login");
    Ok(())
}

#[test]
fn a_sealed_vault_is_not_pressed_and_retry_after_is_kept() -> anyhow::Result<()> {
    let world = World::new()?;
    let busy = Action::fail_with(StatusCode::SERVICE_UNAVAILABLE, header::RETRY_AFTER, "3");
    world.tap.on(Method::POST, LOGIN, busy);
    let mut agent = world.agent(&world.config())?;
    agent.child.wait_for_event("outage_began")?;
    let failed = agent.child.wait_for_event("login_failed")?;
    assert!(
        failed.get("token_valid_seconds").is_none(),
        "there is no token: {failed}"
    );
    poll::throughout("silence", Duration::from_millis(2500), || {
        let logins = world.tap.count(&Method::POST, LOGIN);
        anyhow::ensure!(logins == 1, "{logins} logins");
        anyhow::Ok(())
    })?;
    world.tap.heal();
    agent.child.wait_for_event("outage_over")?;
    agent.child.wait_for_event("started")?;
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 2);
    Ok(())
}

#[test]
fn a_token_that_ends_in_an_outage_is_told_once() -> anyhow::Result<()> {
    let role = Role {
        name: ROLE,
        ttl: 3,
        ..Role::default()
    };
    let world = World::with(Options::default(), &role)?;
    let mut agent = world.started()?;
    world
        .tap
        .rule(|_any| Action::fail(StatusCode::SERVICE_UNAVAILABLE));
    let last = world.sink()?;
    agent.child.wait_for_event("token_ended")?;
    let tried = world.tap.count(&Method::POST, LOGIN);
    let before = world.tap.count(&Method::GET, HEALTH);
    poll::until("more probes that failed", poll::LIMIT, || {
        let probes = world.tap.count(&Method::GET, HEALTH);
        anyhow::ensure!(probes > before + 1, "{probes} probes");
        anyhow::Ok(())
    })?;
    let logins = world.tap.count(&Method::POST, LOGIN);
    assert_eq!(logins, tried, "a probe is all that is sent");
    assert_eq!(agent.child.events("token_ended").len(), 1);
    assert_eq!(world.sink()?, last, "nothing better is known");
    world.tap.heal();
    agent.child.wait_for_event("replaced")?;
    poll::until("the next token in the sink", poll::LIMIT, || {
        anyhow::ensure!(world.sink_lives()?, "it is dead");
        anyhow::Ok(())
    })
}

#[test]
fn a_new_pod_waits_and_starts_soon_after_vaults_return() -> anyhow::Result<()> {
    let options = Options {
        storage: Storage::Durable,
        ..Options::default()
    };
    let role = Role {
        name: ROLE,
        ..Role::default()
    };
    let mut world = World::with(options, &role)?;
    let mut config = world.config();
    config["vault"]["address"] = json!(world.server.address());
    world.server.stop()?;
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("outage_began")?;
    poll::throughout("the gate", Duration::from_secs(5), || {
        let (status, line) = agent.ask(&["probe", "startup"])?;
        anyhow::ensure!(status == 1, "it is open: {line}");
        anyhow::ensure!(line.starts_with("waiting for the first login"), "{line}");
        anyhow::ensure!(!world.path("token").exists(), "there is a token");
        anyhow::Ok(())
    })?;
    let ended = agent.child.status()?;
    assert!(ended.is_none(), "the agent ended: {ended:?}");

    world.server.restart()?;
    poll::until("the gate to open", SOON, || {
        let (status, line) = agent.ask(&["probe", "startup"])?;
        anyhow::ensure!(status == 0, "{line}");
        anyhow::Ok(())
    })?;
    assert!(world.sink_lives()?);
    Ok(())
}

#[test]
fn a_lease_that_ended_in_an_outage_is_not_served() -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        lease: 6,
        lease_at_most: 6,
        ..Terms::default()
    })?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    bank::borrow(&proxy)?;
    bank.world
        .tap
        .rule(|_any| Action::fail(StatusCode::SERVICE_UNAVAILABLE));
    assert!(bank::borrow(&proxy)?.hit);
    poll::until("a refusal", poll::LIMIT, || {
        let answer = proxy.get(bank::CREDENTIALS)?;
        anyhow::ensure!(
            answer.status() == StatusCode::SERVICE_UNAVAILABLE,
            "{answer:?}"
        );
        anyhow::Ok(())
    })?;
    Ok(())
}

#[test]
fn an_outage_does_not_hold_up_the_end() -> anyhow::Result<()> {
    let world = World::new()?;
    world.tap.rule(|_any| Action::Hold);
    let mut agent = world.agent(&world.config())?;
    world.tap.wait_for(&Method::POST, LOGIN, 1)?;
    let asked = Instant::now();
    let status = agent.child.terminate()?;
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    Ok(())
}
