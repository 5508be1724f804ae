//! The ceiling on what clients of the proxy send to Vault.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use http::{Method, Response, StatusCode, header};
use keyside_harness::{openbao, poll, web};
use serde_json::json;
use tokio::time::Instant;

use crate::bank;
use crate::world::{Agent, ROLE, World};

const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const CREATE: &str = "/v1/auth/token/create";
const LIMITED: &str = "keyside_agent_proxy_limited_total";

/// A world whose tokens may create others and read a KV engine, and an agent with this ceiling.
fn with(rate: u32, burst: u32) -> anyhow::Result<(World, Agent, web::Client)> {
    let role = openbao::Role {
        name: ROLE,
        policies: &["client"],
        ..Default::default()
    };
    let world = World::with(openbao::Options::default(), &role)?;
    let rules = r#"
        path "auth/token/create" { capabilities = ["create", "update", "sudo"] }
        path "one/*"             { capabilities = ["create", "read", "update"] }
    "#;
    world.server.policy("client", rules)?;
    world.server.key_value("one", 1)?;
    let mut config = world.config();
    config["limits"] = json!({ "client_requests_per_second": rate, "client_burst": burst });
    config["cache"] = json!({ "static_secrets": { "ttl": "1s", "max_stale": "10m" } });
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    world.tap.clear();
    Ok((world, agent, proxy))
}

fn decision<B>(response: &Response<B>) -> &str {
    let header = response.headers().get("x-keyside-cache");
    header
        .and_then(|text| text.to_str().ok())
        .unwrap_or_default()
}

#[test]
fn above_it_clients_are_told_to_come_back_and_vault_is_not_asked() -> anyhow::Result<()> {
    let (world, agent, proxy) = with(2, 3)?;
    let start = Instant::now();
    let mut refused = Vec::new();
    for _ in 0..40 {
        let response = proxy.get(LOOK_UP)?;
        if response.status() != StatusCode::OK {
            refused.push(response);
        }
    }
    let (sent, most) = (
        world.tap.count(&Method::GET, LOOK_UP),
        3.0 + 2.0 * start.elapsed().as_secs_f64(),
    );
    assert!(
        sent >= 3 && f64::from(u32::try_from(sent)?) <= most,
        "{sent} of {most}"
    );
    assert_eq!(sent + refused.len(), 40);
    for response in &refused {
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let after = response.headers()[header::RETRY_AFTER].to_str()?;
        assert!((1..=3).contains(&after.parse::<u64>()?), "{after}");
        let said = &web::json(response)?["errors"][0];
        let expected =
            "this agent's clients send more than `limits.client_requests_per_second` allows";
        assert!(said.to_string().contains(expected), "{said}");
    }
    let counted = bank::metrics(&proxy)?[LIMITED];
    assert!(
        (counted - f64::from(u32::try_from(refused.len())?)).abs() < 0.5,
        "{counted}"
    );
    // What tells how Vault is has no ceiling, and nothing of the agent's own falls under this one.
    for _ in 0..10 {
        web::success(&proxy.get("/v1/sys/health")?)?;
    }
    assert_eq!(agent.ask(&["probe", "ready"])?.0, 0);
    Ok(())
}

#[test]
fn answers_from_the_cache_do_not_count() -> anyhow::Result<()> {
    let (world, _agent, proxy) = with(1, 1)?;
    let body = json!({ "ttl": "1h" });
    web::success(&proxy.post(CREATE, &body)?)?;
    for _ in 0..50 {
        let response = proxy.post(CREATE, &body)?;
        assert_eq!(
            (response.status(), decision(&response)),
            (StatusCode::OK, "hit")
        );
    }
    assert_eq!(world.tap.count(&Method::POST, CREATE), 1);
    Ok(())
}

#[test]
fn what_is_kept_beyond_its_time_is_served_instead_of_a_refusal() -> anyhow::Result<()> {
    let (world, _agent, proxy) = with(1, 1)?;
    world
        .server
        .root()
        .write("one/app", &json!({ "text": "first" }))?;
    poll::until("a secret that is kept", poll::LIMIT, || {
        let response = proxy.get("/v1/one/app")?;
        anyhow::ensure!(decision(&response) == "hit", "{response:?}");
        anyhow::Ok(())
    })?;
    poll::until("one that is stale", poll::LIMIT, || {
        // There is always somebody who asks more than is allowed.
        drop(proxy.get(LOOK_UP)?);
        let response = proxy.get("/v1/one/app")?;
        assert_eq!(web::success(&response)?["data"]["text"], "first");
        anyhow::ensure!(decision(&response) == "stale", "{response:?}");
        anyhow::Ok(())
    })
}

#[test]
fn there_is_none_by_default() -> anyhow::Result<()> {
    let world = World::new()?;
    let (_agent, proxy) = bank::open(&world)?;
    for _ in 0..100 {
        web::success(&proxy.get(LOOK_UP)?)?;
    }
    assert!(bank::metrics(&proxy)?[LIMITED].abs() < 0.5);
    Ok(())
}
