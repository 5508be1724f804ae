//! How the agent ends where more than its end is asked for: its token revoked, its end delayed, its start bounded.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{poll, web};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bank::{self, Bank};
use crate::world::{Agent, World};

const REVOKE: &str = "/v1/auth/token/revoke-self";
const LOGIN: &str = "/v1/auth/kubernetes/login";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
/// What the agent never asks by itself.
const MOUNTS: &str = "/v1/sys/internal/ui/mounts";
/// What the agent gives Vault to revoke its token, and what a busy machine may need besides.
const WITHIN: Duration = Duration::from_millis(1500);
const BUSY: Duration = Duration::from_secs(3);

/// The usual configuration, with a folder for the next process, of an agent that takes its token along.
fn revoking(world: &World) -> anyhow::Result<Value> {
    let folder = world.path("run");
    std::fs::create_dir_all(&folder)?;
    let mut config = world.config();
    config["auto_auth"]["revoke_on_exit"] = json!(true);
    config["resume"] = json!({ "path": folder });
    Ok(config)
}

fn kept(world: &World) -> PathBuf {
    world.path("run").join("resume")
}

fn started(world: &World, config: &Value) -> anyhow::Result<Agent> {
    let mut agent = world.agent(config)?;
    agent.child.wait_for_event("started")?;
    poll::until("the file for the next process", poll::LIMIT, || {
        std::fs::metadata(kept(world)).map(drop)
    })?;
    Ok(agent)
}

/// Sends SIGTERM to an idle agent: how long it took to end, which it must do with 0.
fn end(agent: &mut Agent) -> anyhow::Result<Duration> {
    let start = Instant::now();
    agent.child.signal(Signal::TERM)?;
    let status = agent.child.wait(poll::LIMIT)?;
    assert_eq!(status.code(), Some(0));
    Ok(start.elapsed())
}

#[test]
fn a_signal_revokes_the_token_and_what_was_leased_with_it() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let world = &bank.world;
    let mut agent = started(world, &revoking(world)?)?;
    let credential = bank::borrow(&agent.proxy()?)?;
    assert!(world.sink_lives()? && bank.knows(&credential.lease)?);

    end(&mut agent)?;
    agent.child.wait_for_event("token_revoked")?;
    assert_eq!(world.tap.count(&Method::POST, REVOKE), 1);
    assert!(!world.sink_lives()?, "the token lives");
    poll::until("the end of the lease", poll::LIMIT, || {
        anyhow::ensure!(!bank.knows(&credential.lease)?, "Vault knows it");
        anyhow::Ok(())
    })?;
    assert!(!kept(world).exists(), "the next process would go on");

    // The container may have been restarted only.
    let mut agent = started(world, &revoking(world)?)?;
    assert!(agent.child.events("resumed").is_empty());
    assert!(world.sink_lives()?);
    agent.child.kill();

    // And what was taken over is its own, too.
    let mut agent = started(world, &revoking(world)?)?;
    agent.child.wait_for_event("resumed")?;
    end(&mut agent)?;
    assert!(!world.sink_lives()?, "the token lives");
    Ok(())
}

#[test]
fn the_token_is_revoked_after_the_last_request_that_uses_it() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = started(&world, &revoking(&world)?)?;
    let proxy = agent.proxy()?;
    world.tap.on(Method::GET, MOUNTS, Action::Hold);
    let held = proxy.start(web::request(Method::GET, MOUNTS, None)?)?;
    world.tap.wait_for(&Method::GET, MOUNTS, 1)?;
    agent.child.signal(Signal::TERM)?;
    agent.child.wait_for_event("signal")?;
    poll::until(
        "a listener that accepts no more",
        poll::LIMIT,
        || match proxy.get("/v1/sys/health") {
            Ok(response) => Err(format!("{}", response.status())),
            Err(_refused) => Ok(()),
        },
    )?;
    assert_eq!(world.tap.count(&Method::POST, REVOKE), 0);
    world.tap.release();
    assert_eq!(held.wait()?.status(), 200);
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(0));
    assert_eq!(world.tap.count(&Method::POST, REVOKE), 1);
    assert!(!world.sink_lives()?);
    Ok(())
}

#[test]
fn no_other_end_and_no_reload_revokes_the_token() -> anyhow::Result<()> {
    let world = World::new()?;
    let config = revoking(&world)?;
    let mut agent = started(&world, &config)?;
    agent.child.signal(Signal::HUP)?;
    agent.child.wait_for_event("reloaded")?;
    assert_eq!(agent.ask(&["quit"])?.0, 0);
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(0));
    assert!(world.sink_lives()? && kept(&world).exists());

    let mut once = config.clone();
    once["exit_after_auth"] = json!(true);
    let mut agent = world.agent(&once)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(0));
    assert!(world.sink_lives()? && kept(&world).exists());

    // The second signal drops what is under way.
    let mut agent = started(&world, &config)?;
    world.tap.on(Method::GET, MOUNTS, Action::Hold);
    let _held = agent
        .proxy()?
        .start(web::request(Method::GET, MOUNTS, None)?)?;
    world.tap.wait_for(&Method::GET, MOUNTS, 1)?;
    agent.child.signal(Signal::TERM)?;
    agent.child.wait_for_event("signal")?;
    agent.child.signal(Signal::TERM)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(1));
    assert!(world.sink_lives()?);
    assert_eq!(world.tap.count(&Method::POST, REVOKE), 0);
    Ok(())
}

#[test]
fn a_vault_that_hangs_or_refuses_does_not_hold_up_the_end() -> anyhow::Result<()> {
    let world = World::new()?;
    let config = revoking(&world)?;
    let mut agent = started(&world, &config)?;
    world.tap.on(Method::POST, REVOKE, Action::Hold);
    let took = end(&mut agent)?;
    assert!((WITHIN..WITHIN + BUSY).contains(&took), "{took:?}");
    let told = agent.child.wait_for_event("token_not_revoked")?;
    assert!(
        told["error"].to_string().contains("did not answer"),
        "{told}"
    );

    world.tap.heal();
    let mut agent = started(&world, &config)?;
    let refusal = Action::fail(StatusCode::FORBIDDEN);
    world.tap.on(Method::POST, REVOKE, refusal);
    assert!(end(&mut agent)? < WITHIN + BUSY);
    let told = agent.child.wait_for_event("token_not_revoked")?;
    assert!(told["error"].to_string().contains("403"), "{told}");
    assert_eq!(world.tap.count(&Method::POST, REVOKE), 2, "it tried again");
    Ok(())
}

#[test]
fn while_vault_is_away_nothing_is_revoked_and_the_next_process_goes_on() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = started(&world, &revoking(&world)?)?;
    let proxy = agent.proxy()?;
    let gone = || Action::fail(StatusCode::SERVICE_UNAVAILABLE);
    world.tap.rule(move |_any| gone());
    poll::until("an outage", poll::LIMIT, || {
        drop(proxy.get(LOOK_UP)?);
        let begun = !agent.child.events("outage_began").is_empty();
        anyhow::ensure!(begun, "none");
        anyhow::Ok(())
    })?;
    world.tap.clear();
    assert!(end(&mut agent)? < BUSY);
    let told = agent.child.wait_for_event("token_not_revoked")?;
    assert!(told["error"].to_string().contains("is away"), "{told}");
    assert_eq!(world.tap.count(&Method::POST, REVOKE), 0);

    world.tap.heal();
    assert!(world.sink_lives()? && kept(&world).exists());
    let mut agent = started(&world, &revoking(&world)?)?;
    agent.child.wait_for_event("resumed")?;
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 0);
    Ok(())
}

#[test]
fn a_delayed_end_serves_until_then_or_until_asked_again() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["shutdown_delay"] = json!("2s");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    let start = Instant::now();
    agent.child.signal(Signal::TERM)?;
    agent.child.wait_for_event("shutdown_delayed")?;
    let mut served = 0;
    let status = poll::until("the end", poll::LIMIT, || {
        if let Ok(response) = proxy.get(LOOK_UP) {
            web::success(&response)?;
            served += 1;
        }
        agent.child.status()?.context("it serves")
    })?;
    let took = start.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(
        took >= Duration::from_secs(2) && served >= 10,
        "{took:?} {served}"
    );

    config["shutdown_delay"] = json!("1h");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    agent.child.signal(Signal::TERM)?;
    agent.child.wait_for_event("shutdown_delayed")?;
    web::success(&agent.proxy()?.get(LOOK_UP)?)?;
    agent.child.signal(Signal::TERM)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(0));

    // What somebody asks for in words is not delayed.
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    assert_eq!(agent.ask(&["quit"])?.0, 0);
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(0));
    Ok(())
}

#[test]
fn after_a_delay_requests_under_way_do_not_outlast_the_grace_period() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["shutdown_delay"] = json!("100ms");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    world.tap.on(Method::GET, MOUNTS, Action::Hold);
    let _held = agent
        .proxy()?
        .start(web::request(Method::GET, MOUNTS, None)?)?;
    world.tap.wait_for(&Method::GET, MOUNTS, 1)?;
    let took = end(&mut agent)?;
    assert!(took < WITHIN + BUSY, "{took:?}");
    agent.child.wait_for_event("cut_short")?;
    Ok(())
}

#[test]
fn a_start_that_takes_too_long_ends_with_1_and_the_last_line_says_why() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["start_timeout"] = json!("2s");
    config["auto_auth"]["method"]["config"]["role"] = json!("absent");
    let mut agent = world.agent(&config)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(1));
    let lines = agent.child.lines();
    let last: Value = serde_json::from_str(lines.last().context("no line")?)?;
    let error = last["error"].as_str().unwrap_or_default();
    assert_eq!(last["event"], "failed");
    for part in [
        "not up within 2s (`start_timeout`), waiting for the first login: ",
        "auth/kubernetes/login was answered 400",
        "sink ",
    ] {
        assert!(error.contains(part), "{error}");
    }
    Ok(())
}

#[test]
fn a_start_in_time_is_not_looked_at_again() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["start_timeout"] = json!("3s");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    bank::wait_for_metric(&proxy, "keyside_agent_uptime_seconds", 3.5)?;
    assert_eq!(agent.child.status()?, None);
    Ok(())
}
