//! An agent that is killed goes on with its token and its leases.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::poll;
use keyside_harness::tap::Action;
use serde_json::{Value, json};

use crate::bank::{self, Bank, Credential, Terms};
use crate::world::{Agent, World};

const LOGIN: &str = "/v1/auth/kubernetes/login";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const RENEW: &str = "/v1/auth/token/renew-self";
const RENEW_LEASE: &str = "/v1/sys/leases/renew";

/// The usual configuration, with a folder for the next process.
fn config(world: &World) -> anyhow::Result<Value> {
    let folder = world.path("run");
    std::fs::create_dir_all(&folder)?;
    // As a pod's volume is.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777))?;
    let mut config = world.config();
    let resume = json!({ "path": folder });
    let fields = config.as_object_mut().context("an object")?;
    fields.insert("resume".to_owned(), resume);
    Ok(config)
}

fn file(world: &World) -> PathBuf {
    world.path("run").join("resume")
}

fn start(world: &World) -> anyhow::Result<Agent> {
    let mut agent = world.agent(&config(world)?)?;
    agent.child.wait_for_event("started")?;
    Ok(agent)
}

/// Waits until the file holds the text.
fn kept(world: &World, text: &str) -> anyhow::Result<()> {
    poll::until("the file for the next process", poll::LIMIT, || {
        let held = std::fs::read(file(world))?;
        let mut places = held.windows(text.len());
        anyhow::ensure!(places.any(|place| place == text.as_bytes()), "not yet");
        anyhow::Ok(())
    })
}

/// An agent that has lent a credential, killed when both were safe. The token, and the credential.
fn killed(bank: &Bank) -> anyhow::Result<(String, Credential)> {
    let mut agent = start(&bank.world)?;
    let token = bank.world.sink()?;
    let credential = bank::borrow(&agent.proxy()?)?;
    kept(&bank.world, &token)?;
    kept(&bank.world, &credential.lease)?;
    agent.child.kill();
    // What the next process does not write, nobody does.
    std::fs::remove_file(bank.world.path("token"))?;
    bank.world.tap.clear();
    Ok((token, credential))
}

fn users(bank: &Bank) -> anyhow::Result<String> {
    let (user, password) = (
        keyside_harness::postgres::ADMINISTRATOR,
        bank.postgres.password(),
    );
    let statement = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'";
    bank.postgres.select(user, password, statement)
}

#[test]
fn a_killed_agent_goes_on_with_its_token_and_its_database_user() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (token, before) = killed(&bank)?;
    let mode = std::fs::metadata(file(&bank.world))?.permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    let mut agent = start(&bank.world)?;
    let resumed = agent.child.wait_for_event("resumed")?;
    assert_eq!(
        (&resumed["verified"], &resumed["leases"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(bank.world.sink()?, token);
    let proxy = agent.proxy()?;
    let after = bank::borrow(&proxy)?;
    assert!(after.hit, "{after:?}");
    assert_eq!((&after.user, &after.lease), (&before.user, &before.lease));
    assert!(after.duration <= before.duration, "{after:?}");
    let answer = bank
        .postgres
        .select(&after.user, &after.password, "SELECT 6 * 7")?;
    assert_eq!(answer, "42");
    assert_eq!(users(&bank)?, "1");
    assert_eq!(bank.world.tap.count(&Method::POST, LOGIN), 0);
    assert_eq!(bank.world.tap.count(&Method::GET, LOOK_UP), 1);
    assert_eq!(bank.lent(), 0);

    // What was taken over is not less alive: it can be revoked, and the revocation is handed on in turn.
    let revoke = json!({ "lease_id": after.lease });
    let revoked = proxy.send(keyside_harness::web::request(
        Method::PUT,
        "/v1/sys/leases/revoke",
        Some(&revoke),
    )?)?;
    assert!(revoked.status().is_success(), "{revoked:?}");
    poll::until("the lease to be forgotten", poll::LIMIT, || {
        let held = std::fs::read(file(&bank.world))?;
        let lease = after.lease.as_bytes();
        let mut places = held.windows(lease.len());
        anyhow::ensure!(!places.any(|place| place == lease), "not yet");
        anyhow::Ok(())
    })?;
    agent.child.kill();
    let mut agent = start(&bank.world)?;
    let other = bank::borrow(&agent.proxy()?)?;
    assert!(!other.hit && other.user != before.user, "{other:?}");
    for line in agent.child.lines() {
        let secret = line.contains(&token) || line.contains(&after.password);
        assert!(!secret, "a secret is in the log: {line}");
    }
    Ok(())
}

#[test]
fn while_vault_is_sealed_token_and_database_user_are_there_all_the_same() -> anyhow::Result<()> {
    goes_on_without_vault(false)
}

#[test]
fn while_vault_hangs_token_and_database_user_are_there_all_the_same() -> anyhow::Result<()> {
    goes_on_without_vault(true)
}

fn goes_on_without_vault(hangs: bool) -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        token: 30,
        lease: 20,
        lease_at_most: 3600,
        ..Terms::default()
    })?;
    let (token, before) = killed(&bank)?;
    bank.world.tap.rule(move |_any| {
        if hangs {
            Action::Hold
        } else {
            Action::fail(StatusCode::SERVICE_UNAVAILABLE)
        }
    });
    let mut agent = start(&bank.world)?;
    let resumed = agent.child.wait_for_event("resumed")?;
    assert_eq!(resumed.get("verified"), Some(&json!(false)));
    assert_eq!(bank.world.sink()?, token);
    let (status, said) = agent.ask(&["probe", "startup"])?;
    assert_eq!(status, 0, "{said}");
    let proxy = agent.proxy()?;
    let after = bank::borrow(&proxy)?;
    assert!(after.hit && after.user == before.user, "{after:?}");
    assert_eq!(users(&bank)?, "1");

    bank.world.tap.heal();
    bank.world.tap.release();
    agent.child.wait_for_event("resume_verified")?;
    poll::until("the lease's renewal", Duration::from_secs(40), || {
        let renewed = bank.world.tap.requests();
        let renewed = renewed.iter().filter(|it| it.path == RENEW_LEASE).count();
        anyhow::ensure!(renewed > 0, "none");
        anyhow::Ok(())
    })?;
    agent.child.wait_for_event("renewed")?;
    assert!(bank.world.tap.count(&Method::POST, RENEW) > 0);
    assert_eq!(bank.world.tap.count(&Method::POST, LOGIN), 0);
    let last = bank::borrow(&proxy)?;
    assert!(last.hit && last.user == before.user, "{last:?}");
    assert_eq!(users(&bank)?, "1");
    Ok(())
}

#[test]
fn a_token_that_was_revoked_meanwhile_costs_one_login_and_takes_its_leases_along()
-> anyhow::Result<()> {
    for away_at_first in [false, true] {
        let bank = Bank::lasting()?;
        let (token, before) = killed(&bank)?;
        let root = bank.world.server.root();
        root.write("auth/token/revoke", &json!({ "token": token }))?;
        if away_at_first {
            bank.world
                .tap
                .rule(|_any| Action::fail(StatusCode::SERVICE_UNAVAILABLE));
        }
        let mut agent = start(&bank.world)?;
        if away_at_first {
            assert_eq!(bank.world.sink()?, token, "nothing better is known");
            bank.world.tap.heal();
        }
        let refused = agent.child.wait_for_event("resume_refused")?;
        assert!(refused["reason"].to_string().contains("403"), "{refused}");
        agent.child.wait_for_event("logged_in")?;
        poll::until("another token", poll::LIMIT, || {
            let held = bank.world.sink()?;
            anyhow::ensure!(held != token, "still the old one");
            anyhow::Ok(())
        })?;
        assert!(bank.world.sink_lives()?);
        let after = bank::borrow(&agent.proxy()?)?;
        assert!(!after.hit && after.user != before.user, "{after:?}");
        assert_eq!(bank.world.tap.count(&Method::POST, LOGIN), 1);
    }
    Ok(())
}

#[test]
fn an_agent_with_another_login_does_not_go_on_with_the_token() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (token, _) = killed(&bank)?;
    let other = keyside_harness::openbao::Role {
        name: "other",
        policies: &["bank"],
        ..Default::default()
    };
    bank.world.server.kubernetes_role(&other)?;
    let mut config = config(&bank.world)?;
    config["auto_auth"]["method"]["config"]["role"] = "other".into();
    let mut agent = bank.world.agent(&config)?;
    let refused = agent.child.wait_for_event("resume_refused")?;
    assert!(
        refused["reason"].to_string().contains("another login"),
        "{refused}"
    );
    agent.child.wait_for_event("started")?;
    assert_ne!(bank.world.sink()?, token);
    assert!(!bank::borrow(&agent.proxy()?)?.hit);
    Ok(())
}

/// An init container that hands over.
#[test]
fn what_an_agent_that_exits_after_auth_obtained_is_taken_over() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut once = config(&world)?;
    once["exit_after_auth"] = true.into();
    let mut init = world.agent(&once)?;
    let status = init.child.wait(poll::LIMIT)?;
    assert!(status.success(), "{status}");
    let token = world.sink()?;
    let mut agent = start(&world)?;
    agent.child.wait_for_event("resumed")?;
    assert_eq!(world.sink()?, token);
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 1);
    // And after a graceful end.
    agent.child.terminate()?;
    let mut agent = start(&world)?;
    agent.child.wait_for_event("resumed")?;
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 1);
    Ok(())
}

#[test]
fn nothing_that_lies_in_the_way_keeps_the_agent_from_starting() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = start(&world)?;
    kept(&world, &world.sink()?)?;
    agent.child.kill();
    let good = std::fs::read(file(&world))?;
    let place = file(&world);
    let put = |bytes: &[u8], mode: u32| -> anyhow::Result<()> {
        std::fs::write(&place, bytes)?;
        let mode = std::fs::Permissions::from_mode(mode);
        Ok(std::fs::set_permissions(&place, mode)?)
    };
    let elsewhere = world.path("elsewhere");
    std::fs::write(&elsewhere, &good)?;
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o600))?;
    for obstacle in ["truncated", "empty", "readable", "link", "folder", "large"] {
        let half = good.get(..good.len() / 2).context("half")?;
        match obstacle {
            "truncated" => put(half, 0o600)?,
            "empty" => put(b"", 0o600)?,
            "readable" => put(&good, 0o644)?,
            "large" => put(&vec![b'x'; 2 << 20], 0o600)?,
            "link" => {
                std::fs::remove_file(&place)?;
                std::os::unix::fs::symlink(&elsewhere, &place)?;
            }
            _ => {
                std::fs::remove_file(&place)?;
                std::fs::create_dir(&place)?;
            }
        }
        world.tap.clear();
        let mut agent = start(&world)?;
        let refused = agent.child.events("resume_refused");
        assert_eq!(refused.len(), 1, "{obstacle}: {refused:?}");
        assert_eq!(world.tap.count(&Method::POST, LOGIN), 1, "{obstacle}");
        if matches!(obstacle, "link" | "folder") {
            agent.child.wait_for_event("resume_failed")?;
        } else {
            kept(&world, &world.sink()?)?;
        }
        agent.child.kill();
        if obstacle == "folder" {
            std::fs::remove_dir(&place)?;
        }
    }
    // A folder that is not there.
    std::fs::remove_dir_all(world.path("run"))?;
    let mut config = world.config();
    config["resume"] = json!({ "path": world.path("run") });
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    agent.child.wait_for_event("resume_failed")?;
    Ok(())
}
