//! A node that sleeps longer than the token lives: when the agent wakes up, one login brings it back.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use keyside_harness::openbao::{Options, Role};
use keyside_harness::{jwt, poll};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::watch::Watch;
use crate::world::{ROLE, World};

const KUBERNETES: &str = "/v1/auth/kubernetes/login";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const TTL: u64 = 5;

fn world() -> anyhow::Result<World> {
    let role = Role {
        name: ROLE,
        ttl: TTL,
        ..Role::default()
    };
    World::with(Options::default(), &role)
}

/// Runs an agent with this method, lets it sleep until Vault has forgotten its token, does something `meanwhile`, and
/// wakes it up. `login` is what the method asks Vault. Gives the requests since.
fn sleep(
    world: &World,
    method: &Value,
    (verb, login): (Method, &str),
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut config = world.config();
    config["auto_auth"]["method"] = method.clone();
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let before = world.sink()?;
    agent.child.signal(Signal::STOP)?;
    poll::until("the end of the token", poll::LIMIT, || {
        anyhow::ensure!(!world.sink_lives()?, "it lives");
        anyhow::Ok(())
    })?;
    meanwhile()?;
    world.tap.clear();
    agent.child.signal(Signal::CONT)?;

    poll::until("another token in the sink", Duration::from_secs(5), || {
        anyhow::ensure!(world.sink()? != before, "still the dead one");
        anyhow::Ok(())
    })?;
    let seen = Watch::new(world).throughout(Duration::from_secs(2 * TTL))?;
    assert_eq!(seen.tokens, 1, "and it is kept");
    let logins = world.tap.count(&verb, login);
    assert_eq!(logins, 1, "{:?}", world.tap.requests());
    assert_eq!(agent.child.events("replaced").len(), 1);
    let (ready, said) = agent.ask(&["probe", "ready"])?;
    assert_eq!(ready, 0, "{said}");
    Ok(())
}

#[test]
fn a_service_account_logs_in_once() -> anyhow::Result<()> {
    let world = world()?;
    let method = world.config()["auto_auth"]["method"].clone();
    sleep(&world, &method, (Method::POST, KUBERNETES), || Ok(()))
}

#[test]
fn a_jwt_that_was_rotated_meanwhile_logs_in_once_and_is_the_new_one() -> anyhow::Result<()> {
    let world = world()?;
    let path = world.path("jwt");
    let claims = jwt::Claims::default();
    fs::write(&path, world.issuer.token(&claims)?)?;
    let method = json!({
        "type": "jwt", "mount_path": "auth/kubernetes",
        "config": { "role": ROLE, "path": path, "remove_jwt_after_reading": false },
    });
    let lifetime = claims.lifetime * 2;
    let rotated = world.issuer.token(&jwt::Claims { lifetime, ..claims })?;
    sleep(&world, &method, (Method::POST, KUBERNETES), || {
        Ok(fs::write(&path, &rotated)?)
    })?;
    let requests = world.tap.requests();
    let login = requests.iter().find(|request| request.path == KUBERNETES);
    let body: Value = serde_json::from_slice(&login.context("no login")?.body)?;
    assert_eq!(body.get("jwt"), Some(&json!(rotated)));
    Ok(())
}

#[test]
fn a_given_token_that_was_rotated_meanwhile_is_taken_with_one_look() -> anyhow::Result<()> {
    let world = world()?;
    let path = world.path("given");
    let write = |ttl: u64| {
        let asked = json!({ "ttl": format!("{ttl}s"), "policies": ["default"] });
        let made = world.server.root().write("auth/token/create", &asked)?;
        let token = made.pointer("/auth/client_token").and_then(Value::as_str);
        anyhow::Ok(fs::write(&path, token.context("no token")?)?)
    };
    write(TTL)?;
    let method = json!({ "type": "token_file", "config": { "token_file_path": path } });
    sleep(&world, &method, (Method::GET, LOOK_UP), || write(600))
}
