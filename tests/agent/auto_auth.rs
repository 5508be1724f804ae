//! Auto-auth against a real server: every method, and a sink that never holds a dead token.

use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::openbao::{Options, Role};
use keyside_harness::tap::Action;
use keyside_harness::{jwt, poll};
use serde_json::{Value, json};

use crate::watch::Watch;
use crate::world::{ROLE, World};

const LOGIN: &str = "/v1/auth/kubernetes/login";
const RENEW: &str = "/v1/auth/token/renew-self";

/// A world whose tokens live for so many seconds.
fn world(ttl: u64, max_ttl: u64, token_type: &str) -> anyhow::Result<World> {
    let role = Role {
        name: ROLE,
        ttl,
        max_ttl,
        token_type,
        ..Role::default()
    };
    World::with(Options::default(), &role)
}

fn set(config: &mut Value, pointer: &str, value: Value) -> anyhow::Result<()> {
    *config.pointer_mut(pointer).context("no such key")? = value;
    Ok(())
}

#[test]
fn a_service_account_becomes_a_live_token_and_the_log_tells_it_without_showing_it()
-> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = world.started()?;
    let token = world.sink()?;
    let found = world.server.client(&token)?.look_up_self()?;
    let found = found.context("Vault does not know the token")?;

    let told = agent.child.wait_for_event("logged_in")?;
    let accessor = found.pointer("/data/accessor");
    assert_eq!(told.get("accessor"), accessor, "{told}");
    assert_eq!(told.get("generation"), Some(&json!(1)), "{told}");
    let account = std::fs::read_to_string(world.path("service-account-token"))?;
    for line in agent.child.lines() {
        assert!(!line.contains(&token), "the token is in the log: {line}");
        assert!(
            !line.contains(account.trim()),
            "the service account is in the log: {line}"
        );
    }
    Ok(())
}

#[test]
fn three_seconds_of_ten_are_renewed_and_then_replaced_and_the_sink_never_holds_a_dead_token()
-> anyhow::Result<()> {
    let world = world(3, 10, "service")?;
    let agent = world.started()?;
    let seen = Watch::new(&world).throughout(Duration::from_secs(25))?;
    assert!(
        (3..=5).contains(&seen.tokens),
        "{} tokens in 25 s",
        seen.tokens
    );
    let (logins, renewals) = (
        world.tap.count(&Method::POST, LOGIN),
        world.tap.count(&Method::POST, RENEW),
    );
    assert!(logins <= 5, "{logins} logins");
    assert!(
        renewals >= 2 * logins,
        "{renewals} renewals for {logins} logins"
    );
    assert_eq!(agent.child.events("renewal_refused").len(), 0);
    Ok(())
}

#[test]
fn a_batch_token_is_replaced_before_it_ends() -> anyhow::Result<()> {
    let world = world(4, 0, "batch")?;
    let _agent = world.started()?;
    let seen = Watch::new(&world).throughout(Duration::from_secs(11))?;
    assert!(seen.tokens >= 3, "{} tokens in 11 s", seen.tokens);
    assert_eq!(
        world.tap.count(&Method::POST, RENEW),
        0,
        "a batch token cannot be renewed"
    );
    Ok(())
}

#[test]
fn approle_logs_in_again_when_its_secret_id_file_is_gone() -> anyhow::Result<()> {
    let world = World::new()?;
    let role = world
        .server
        .approle("cart", &json!({ "token_ttl": "3s", "token_max_ttl": "3s" }))?;
    let (role_id, secret_id) = (world.path("role-id"), world.path("secret-id"));
    std::fs::write(&role_id, format!("{}\n", role.role_id))?;
    std::fs::write(&secret_id, format!("{}\n", role.secret_id))?;
    let mut config = world.config();
    set(
        &mut config,
        "/auto_auth/method",
        json!({ "type": "approle", "config": { "role_id_file_path": role_id, "secret_id_file_path": secret_id } }),
    )?;
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    assert!(!secret_id.exists(), "the secret id stays on disk");
    assert!(role_id.exists(), "the role id is gone");
    let seen = Watch::new(&world).throughout(Duration::from_secs(7))?;
    assert!(seen.tokens >= 3, "{} tokens in 7 s", seen.tokens);
    for line in agent.child.lines() {
        assert!(
            !line.contains(&role.secret_id),
            "the secret id is in the log: {line}"
        );
    }
    Ok(())
}

#[test]
fn a_jwt_is_read_trimmed_and_removed() -> anyhow::Result<()> {
    let world = World::new()?;
    let path = world.path("jwt");
    std::fs::write(
        &path,
        format!("{}\n", world.issuer.token(&jwt::Claims::default())?),
    )?;
    let mut config = world.config();
    set(
        &mut config,
        "/auto_auth/method",
        json!({ "type": "jwt", "mount_path": "auth/kubernetes", "config": { "role": ROLE, "path": path } }),
    )?;
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    assert!(!path.exists());
    assert!(world.sink_lives()?);
    Ok(())
}

#[test]
fn a_refused_login_hints_at_the_audience_and_is_tried_again_with_the_new_token()
-> anyhow::Result<()> {
    let world = World::new()?;
    let claims = jwt::Claims {
        audience: "somebody-else",
        ..jwt::Claims::default()
    };
    std::fs::write(
        world.path("service-account-token"),
        world.issuer.token(&claims)?,
    )?;
    let mut agent = world.agent(&world.config())?;
    let told = agent.child.wait_for_event("login_failed")?;
    let hint = told.get("hint").and_then(Value::as_str).unwrap_or_default();
    assert!(
        hint.contains("somebody-else") && hint.contains("keyside.dev/audience"),
        "{told}"
    );
    assert_eq!(told.get("level"), Some(&json!("WARN")), "{told}");

    world.tap.wait_for(&Method::POST, LOGIN, 3)?;
    let warned = agent.child.events("login_failed").into_iter();
    let warned = warned
        .filter(|event| event.get("level") == Some(&json!("WARN")))
        .count();
    assert_eq!(warned, 1, "repeats are for debugging");
    world.write_service_account_token()?;
    agent.child.wait_for_event("sink_written")?;
    Ok(())
}

#[test]
fn exit_on_err_ends_the_process_with_status_1() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    set(
        &mut config,
        "/auto_auth/method/config/role",
        json!("nobody"),
    )?;
    config["auto_auth"]["method"]["exit_on_err"] = json!(true);
    let mut agent = world.agent(&config)?;
    let status = agent.child.wait(poll::LIMIT)?;
    assert_eq!(status.code(), Some(1), "{:?}", agent.child.lines());
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 1);
    Ok(())
}

#[test]
fn exit_after_auth_ends_the_process_once_every_sink_is_filled() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["exit_after_auth"] = json!(true);
    let late = world.path("late");
    let second = late.join("token");
    let sinks = json!([
        { "type": "file", "config": { "path": world.path("token") } },
        { "type": "file", "config": { "path": second } },
    ]);
    set(&mut config, "/auto_auth/sink", sinks)?;
    let mut agent = world.agent(&config)?;
    poll::until(
        "two attempts at the second sink",
        poll::LIMIT,
        || match agent.child.events("sink_failed").len() {
            0 | 1 => Err(agent.child.lines().join("\n")),
            _ => Ok(()),
        },
    )?;
    assert!(agent.child.events("stopped").is_empty());
    std::fs::create_dir(late)?;
    let status = agent.child.wait(poll::LIMIT)?;
    assert_eq!(status.code(), Some(0), "{:?}", agent.child.lines());
    assert_eq!(std::fs::read_to_string(second)?, world.sink()?);
    Ok(())
}

/// A server gone mad: tokens of one second, and no renewal granted.
#[test]
fn a_server_that_grants_a_second_and_refuses_every_renewal_makes_no_storm() -> anyhow::Result<()> {
    let world = World::new()?;
    world.tap.rule(|request| match request.path.as_str() {
        LOGIN => Action::Answer {
            status: StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: json!({ "auth": { "client_token": "s.second", "lease_duration": 1, "renewable": true } })
                .to_string()
                .into(),
        },
        _ => Action::fail(StatusCode::FORBIDDEN),
    });
    let mut agent = world.agent(&world.config())?;
    agent.child.wait_for_event("renewal_refused")?;
    world.tap.clear();
    poll::throughout("at most a login a second", Duration::from_secs(10), || {
        let logins = world.tap.count(&Method::POST, LOGIN);
        let all = world.tap.requests().len();
        anyhow::ensure!(logins <= 11 && all <= 22, "{logins} logins, {all} requests");
        anyhow::Ok(())
    })?;
    let logins = world.tap.count(&Method::POST, LOGIN);
    assert!(logins >= 5, "it went on: {logins}");
    Ok(())
}

#[test]
fn the_server_is_trusted_by_file_folder_or_text_and_by_the_name_that_was_asked_for()
-> anyhow::Result<()> {
    let world = World::new()?;
    let folder = world.path("cas");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("ca.pem"), world.tap.ca())?;
    let certificate = "certificate";
    for (settings, problem) in [
        (json!({ "ca_path": folder }), None),
        (json!({ "ca_pem": world.tap.ca() }), None),
        (json!({ "tls_skip_verify": true }), None),
        (
            json!({ "ca_cert": world.tap.ca_path(), "tls_server_name": "vault.example" }),
            None,
        ),
        (
            json!({ "ca_cert": world.tap.ca_path(), "tls_server_name": "other.example" }),
            Some(certificate),
        ),
        (json!({}), Some(certificate)),
    ] {
        let mut config = world.config();
        let mut vault = settings.clone();
        vault["address"] = json!(world.tap.address());
        set(&mut config, "/vault", vault)?;
        let mut agent = world.agent(&config)?;
        let Some(problem) = problem else {
            agent
                .child
                .wait_for_event("logged_in")
                .with_context(|| settings.to_string())?;
            continue;
        };
        let told = agent.child.wait_for_event("login_failed")?;
        assert!(told.to_string().contains(problem), "{settings}: {told}");
        assert!(agent.child.events("logged_in").is_empty(), "{settings}");
    }
    Ok(())
}
