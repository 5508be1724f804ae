//! What clients of the proxy meet while Vault is away, and after it: what is kept, a quick refusal that says when to
//! come back, and a Vault that is not pressed.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use keyside_harness::openbao::{Options, Role, Storage};
use keyside_harness::tap::Action;
use keyside_harness::{poll, web};
use serde_json::json;
use tokio::time::Instant;

use crate::bank;
use crate::world::{ROLE, World};

const CREATE: &str = "/v1/auth/token/create";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const HEALTH: &str = "/v1/sys/health";
/// A refusal costs no look at Vault. The machine may be busy.
const INSTANT: Duration = Duration::from_secs(1);
/// After a short outage: docs/agent.md.
const SOON: Duration = Duration::from_secs(5);

fn world(storage: Storage) -> anyhow::Result<World> {
    let options = Options {
        storage,
        ..Options::default()
    };
    let role = Role {
        name: ROLE,
        policies: &["lender", "default"],
        ..Role::default()
    };
    let world = World::with(options, &role)?;
    let policy = r#"path "auth/token/create" { capabilities = ["update"] }"#;
    world.server.policy("lender", policy)?;
    Ok(world)
}

/// The text of a refusal in an instant, with a time to come back.
fn refused(proxy: &web::Client, status: StatusCode) -> anyhow::Result<String> {
    let asked = Instant::now();
    let answer = proxy.get(LOOK_UP)?;
    let took = asked.elapsed();
    anyhow::ensure!(answer.status() == status, "{answer:?}");
    anyhow::ensure!(took < INSTANT, "{took:?}: {answer:?}");
    let after = retry_after(&answer)?;
    anyhow::ensure!((1..=6).contains(&after), "{answer:?}");
    Ok(web::json(&answer)?["errors"][0].to_string())
}

fn retry_after(answer: &Response<Bytes>) -> anyhow::Result<u64> {
    let after = answer.headers().get("retry-after");
    let after = after.with_context(|| format!("no Retry-After: {answer:?}"))?;
    Ok(after.to_str()?.parse()?)
}

fn served(proxy: &web::Client) -> anyhow::Result<()> {
    let answer = proxy.get(LOOK_UP)?;
    anyhow::ensure!(answer.status() == StatusCode::OK, "{answer:?}");
    Ok(())
}

#[test]
fn with_vault_gone_what_is_kept_is_served_and_all_else_is_refused_at_once() -> anyhow::Result<()> {
    let mut world = world(Storage::Durable)?;
    let mut config = world.config();
    config["vault"]["address"] = json!(world.server.address());
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    let kept = json!({ "ttl": "1h" });
    web::success(&proxy.post(CREATE, &kept)?)?;

    world.server.stop()?;
    let first = proxy.get(LOOK_UP)?;
    assert_eq!(first.status(), StatusCode::BAD_GATEWAY, "{first:?}");
    retry_after(&first)?;
    agent.child.wait_for_event("outage_began")?;
    let said = refused(&proxy, StatusCode::BAD_GATEWAY)?;
    assert!(said.contains(&world.server.address()), "{said}");
    assert!(said.contains("is away"), "{said}");
    assert!(bank::is_hit(&proxy.post(CREATE, &kept)?));
    let other = proxy.post(CREATE, &json!({ "ttl": "2h" }))?;
    assert_eq!(other.status(), StatusCode::BAD_GATEWAY);

    world.server.restart()?;
    poll::until("clients to be served", SOON, || served(&proxy))?;
    agent.child.wait_for_event("outage_over")?;
    Ok(())
}

#[test]
fn an_agent_that_asks_nothing_itself_notices_vaults_return() -> anyhow::Result<()> {
    let mut world = World::with(
        Options {
            storage: Storage::Durable,
            ..Options::default()
        },
        &Role {
            name: ROLE,
            ..Role::default()
        },
    )?;
    let mut config = world.config();
    config["vault"]["address"] = json!(world.server.address());
    for key in ["auto_auth", "api_proxy"] {
        config.as_object_mut().context("an object")?.remove(key);
    }
    let mut agent = world.agent(&config)?;
    let proxy = agent.proxy()?.with_token(world.server.root().token())?;
    served(&proxy)?;
    world.server.stop()?;
    assert_eq!(proxy.get(LOOK_UP)?.status(), StatusCode::BAD_GATEWAY);
    refused(&proxy, StatusCode::BAD_GATEWAY)?;
    world.server.restart()?;
    agent.child.wait_for_event("outage_over")?;
    served(&proxy)
}

#[test]
fn a_thousand_clients_do_not_press_what_is_away() -> anyhow::Result<()> {
    let world = World::new()?;
    let (mut agent, proxy) = bank::open(&world)?;
    world.tap.rule(|_| Action::Reset);
    world.tap.clear();
    assert_eq!(proxy.get(LOOK_UP)?.status(), StatusCode::BAD_GATEWAY);
    agent.child.wait_for_event("outage_began")?;
    let began = Instant::now();
    for _ in 0..20 {
        let mut crowd = Vec::new();
        for _ in 0..50 {
            crowd.push(proxy.start(web::request(Method::GET, LOOK_UP, None)?)?);
        }
        for client in crowd {
            assert_eq!(client.wait()?.status(), StatusCode::BAD_GATEWAY);
        }
    }
    // The request that began it, the look, and one probe in a second and a half.
    let seen = world.tap.requests().len();
    let most = 4 + began.elapsed().as_millis() / 1500;
    assert!(
        seen as u128 <= most,
        "{seen} requests in {:?}",
        began.elapsed()
    );
    world.tap.heal();
    poll::until("clients to be served", SOON, || served(&proxy))
}

#[test]
fn a_sealed_vault_says_so_itself_and_then_the_agent_does() -> anyhow::Result<()> {
    let world = World::new()?;
    let (mut agent, proxy) = bank::open(&world)?;
    world.server.seal()?;
    world.tap.clear();
    let vaults = proxy.get(LOOK_UP)?;
    assert_eq!(vaults.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(vaults.headers().get("retry-after").is_none(), "{vaults:?}");
    agent.child.wait_for_event("outage_began")?;
    let said = refused(&proxy, StatusCode::SERVICE_UNAVAILABLE)?;
    assert!(said.contains("sealed"), "{said}");
    let open = proxy.get("/v1/sys/seal-status")?;
    assert_eq!(web::success(&open)?["sealed"], true);
    assert_eq!(world.tap.count(&Method::GET, LOOK_UP), 1);
    world.server.unseal()?;
    poll::until("clients to be served", SOON, || served(&proxy))
}

#[test]
fn a_slow_path_is_no_outage() -> anyhow::Result<()> {
    const SLOW: &str = "/v1/database/creds/slow";
    let world = World::new()?;
    let (agent, proxy) = bank::open(&world)?;
    world.tap.on(Method::GET, SLOW, Action::Hold);
    world.tap.clear();
    let mut slow = Vec::new();
    for number in 0..20 {
        let path = format!("{SLOW}?{number}");
        slow.push(proxy.start(web::request(Method::GET, &path, None)?)?);
    }
    // A look after five seconds, for all of them.
    world.tap.wait_for(&Method::GET, HEALTH, 1)?;
    poll::throughout("service on other paths", Duration::from_secs(1), || {
        served(&proxy)
    })?;
    assert_eq!(world.tap.count(&Method::GET, HEALTH), 1);
    assert_eq!(agent.child.events("outage_began").len(), 0);
    world.tap.release();
    for slow in slow {
        slow.wait()?;
    }
    Ok(())
}

#[test]
fn a_server_that_hangs_is_found_out_by_one_look() -> anyhow::Result<()> {
    let world = World::new()?;
    let (mut agent, proxy) = bank::open(&world)?;
    world.tap.rule(|_| Action::Hold);
    world.tap.clear();
    let hangs = proxy.start(web::request(Method::GET, LOOK_UP, None)?)?;
    agent.child.wait_for_event("outage_began")?;
    let said = refused(&proxy, StatusCode::GATEWAY_TIMEOUT)?;
    assert!(said.contains("did not answer"), "{said}");
    assert_eq!(world.tap.count(&Method::GET, LOOK_UP), 1);
    world.tap.heal();
    world.tap.release();
    assert_eq!(
        hangs.wait()?.status(),
        StatusCode::OK,
        "it was not given up"
    );
    poll::until("clients to be served", SOON, || served(&proxy))
}

#[test]
fn before_the_first_login_an_outage_is_told_at_once() -> anyhow::Result<()> {
    let mut world = World::with(
        Options {
            storage: Storage::Durable,
            ..Options::default()
        },
        &Role {
            name: ROLE,
            ..Role::default()
        },
    )?;
    let mut config = world.config();
    config["vault"]["address"] = json!(world.server.address());
    world.server.stop()?;
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("outage_began")?;
    let said = refused(&agent.proxy()?, StatusCode::BAD_GATEWAY)?;
    assert!(said.contains("is away"), "{said}");
    Ok(())
}
