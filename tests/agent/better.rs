//! What a user of the peer's proxy finds better here: each test bears the name under which `docs/differences.md` lists it.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{poll, web};
use serde_json::{Value, json};

use crate::bank::{self, Bank, CREDENTIALS};
use crate::world::World;

const LEASE_RENEWAL: &str = "/v1/sys/leases/renew";
const SELF: &str = "/v1/auth/token/lookup-self";
const RENEW_SELF: &str = "/v1/auth/token/renew-self";

/// Seconds that the server leaves a lease.
fn left(bank: &Bank, lease: &str) -> anyhow::Result<u64> {
    let root = bank.world.server.root();
    let answer = root.write("sys/leases/lookup", &json!({ "lease_id": lease }))?;
    answer
        .pointer("/data/ttl")
        .and_then(Value::as_u64)
        .context("a ttl")
}

#[test]
fn a_renew_through_the_proxy_renews_and_is_not_kept() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let lease = bank::borrow(&proxy)?.lease;
    for increment in [7200, 7200, 14400] {
        let body = json!({ "lease_id": lease, "increment": increment });
        let renewed = proxy.post(LEASE_RENEWAL, &body)?;
        assert_eq!(web::success(&renewed)?["lease_duration"], increment);
        assert_eq!(renewed.headers()["x-cache"], "MISS");
        assert!(left(&bank, &lease)? > increment - 60);
    }
    assert_eq!(bank.world.tap.count(&Method::POST, LEASE_RENEWAL), 3);
    for asked in 1..=2 {
        let renewed = proxy.post(RENEW_SELF, &json!({}))?;
        assert_eq!(renewed.headers()["x-cache"], "MISS");
        assert_eq!(web::success(&renewed)?["auth"]["renewable"], true);
        assert_eq!(bank.world.tap.count(&Method::POST, RENEW_SELF), asked);
    }
    Ok(())
}

#[test]
fn a_token_that_was_renewed_still_ends_when_it_is_revoked() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let credentials = bank.approle()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let first = bank::log_in(&proxy, &credentials)?.token;
    let client = proxy.clone().with_token(&first)?;
    bank::borrow(&client)?;
    for _ in 0..2 {
        web::success(&client.post(RENEW_SELF, &json!({}))?)?;
    }
    let revoked = client.post("/v1/auth/token/revoke-self", &json!({}))?;
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    assert_eq!(client.get(CREDENTIALS)?.status(), StatusCode::FORBIDDEN);
    assert_ne!(bank::log_in(&proxy, &credentials)?.token, first);
    Ok(())
}

#[test]
fn clearing_all_leaves_the_agents_token_in_use() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let before = bank::borrow(&proxy)?;
    let cleared = proxy.post("/agent/v1/cache-clear", &json!({ "type": "all" }))?;
    assert_eq!(cleared.status(), StatusCode::OK);
    let after = bank::borrow(&proxy)?;
    assert!(!after.hit && after.user != before.user, "{after:?}");
    let again = bank::borrow(&proxy)?;
    assert!(again.hit && again.user == after.user, "{again:?}");
    Ok(())
}

#[test]
fn a_secret_that_looks_like_a_lease_passes_as_it_is() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    bank.world.server.key_value("secret", 1)?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    for data in [
        json!({ "renewable": "yes" }),
        json!({ "renewable": { "a": [1] } }),
        json!({ "renewable": true, "lease_id": "database/creds/app/x", "lease_duration": 9 }),
        json!({ "auth": { "client_token": "hvs.a", "renewable": true } }),
    ] {
        web::success(&proxy.post("/v1/secret/app", &data)?)?;
        for _ in 0..2 {
            let read = proxy.get("/v1/secret/app")?;
            assert_eq!(web::success(&read)?["data"], data);
            assert_eq!(read.headers()["x-keyside-cache"], "skip-plain");
        }
    }
    Ok(())
}

/// A client without a token learns neither the agent's nor its accessor, whatever it asks.
#[test]
fn the_agents_own_token_is_never_told() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let own = bank.world.sink()?;
    let known = bank
        .world
        .server
        .client(&own)?
        .look_up_self()?
        .context("it lives")?;
    let accessor = known
        .pointer("/data/accessor")
        .and_then(Value::as_str)
        .context("an accessor")?;
    let wrapping = proxy.clone().with_header("x-vault-wrap-ttl", "60s")?;
    let rooted = proxy.clone().with_header("x-vault-namespace", "root")?;
    let zipping = proxy.clone().with_header("accept-encoding", "gzip")?;
    let named = proxy.clone().with_token(&own)?;
    let mut asked = 0;
    for client in [&proxy, &wrapping, &rooted, &zipping, &named] {
        for (method, path, body) in [
            ("GET", SELF, None),
            ("POST", SELF, Some(json!({}))),
            ("GET", "/v1/auth/token/lookup-self/", None),
            ("GET", "/v1/auth/token/%6Cookup-self", None),
            ("POST", "/v1/auth/token/lookup", Some(json!({}))),
            (
                "POST",
                "/v1/auth/token/lookup",
                Some(json!({ "token": own })),
            ),
            (
                "POST",
                "/v1/auth/token/lookup-accessor",
                Some(json!({ "accessor": accessor })),
            ),
            ("POST", RENEW_SELF, Some(json!({}))),
            ("PUT", RENEW_SELF, Some(json!({ "increment": "1h" }))),
            (
                "POST",
                "/v1/auth/token/renew",
                Some(json!({ "token": own })),
            ),
            (
                "POST",
                "/v1/auth/token/renew-accessor",
                Some(json!({ "accessor": accessor })),
            ),
        ] {
            let request = web::request(method.parse()?, path, body.as_ref())?;
            let answer = client.send(request)?;
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            assert!(
                !text.contains(&own) && !text.contains(accessor),
                "{method} {path}: {text}"
            );
            assert!(!text.contains("wrap_info\":{"), "{method} {path}: {text}");
            asked += usize::from(answer.status().is_success());
        }
    }
    assert!(asked >= 36, "{asked}");
    let told = web::success(&proxy.get(SELF)?)?;
    assert_eq!(told["data"]["id"], "");
    assert_eq!(told["data"]["display_name"], known["data"]["display_name"]);
    // Who has a token of its own may know all about it.
    let made = bank
        .world
        .server
        .root()
        .write("auth/token/create", &json!({}))?;
    let token = made["auth"]["client_token"].as_str().context("a token")?;
    let told = proxy.clone().with_token(token)?.get(SELF)?;
    assert_eq!(web::success(&told)?["data"]["id"], token);
    let wrapped = wrapping.with_token(token)?.get(SELF)?;
    assert!(web::success(&wrapped)?["wrap_info"]["token"].is_string());
    Ok(())
}

#[test]
fn keep_alives_are_off_for_the_part_that_is_named() -> anyhow::Result<()> {
    let connections = |parts: Value| {
        let world = World::new()?;
        let mut config = world.config();
        config["disable_keep_alives"] = parts;
        let mut agent = world.agent(&config)?;
        agent.child.wait_for_event("started")?;
        let proxy = agent.proxy()?;
        for _ in 0..3 {
            assert_eq!(proxy.get("/v1/sys/seal-status")?.status(), StatusCode::OK);
        }
        let sent = world.tap.requests();
        let sent = sent
            .iter()
            .filter(|request| request.is(&Method::GET, "/v1/sys/seal-status"));
        anyhow::Ok(
            sent.map(|request| request.connection)
                .collect::<HashSet<_>>()
                .len(),
        )
    };
    assert_eq!(connections(json!(["auto-auth"]))?, 1);
    assert_eq!(connections(json!(["proxying"]))?, 3);
    Ok(())
}

#[test]
fn a_flood_of_distinct_requests_stays_within_the_bound() -> anyhow::Result<()> {
    const MOST: u32 = 20;
    let bank = Bank::lasting()?;
    let mut config = bank.world.config();
    config["cache"] = json!({ "max_entries": MOST });
    let mut agent = bank.world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    for number in 0..4 * MOST {
        let body = json!({ "policies": ["bank"], "display_name": number.to_string() });
        web::success(&proxy.post("/v1/auth/token/create", &body)?)?;
        let entries = bank::metrics(&proxy)?
            .get("keyside_agent_cache_entries")
            .copied();
        let entries = entries.context("no such metric")?;
        assert!(entries <= f64::from(MOST), "{entries}");
    }
    Ok(())
}

#[test]
fn every_decision_is_counted_by_its_reason() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    bank.world.server.key_value("secret", 1)?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    bank::borrow(&proxy)?;
    bank::borrow(&proxy)?;
    proxy.get("/v1/secret/app")?;
    proxy.send(web::request("LIST".parse()?, "/v1/secret", None)?)?;
    let metrics = bank::metrics(&proxy)?;
    for decision in ["stored", "hit", "skip-status", "skip-method"] {
        let name = format!("keyside_agent_cache_total{{decision=\"{decision}\"}}");
        assert_eq!(metrics.get(&name), Some(&1.0), "{decision}: {metrics:?}");
    }
    Ok(())
}

#[test]
fn a_request_that_vault_failed_is_sent_once() -> anyhow::Result<()> {
    let world = World::new()?;
    let (_agent, proxy) = bank::open(&world)?;
    let path = "/v1/secret/app";
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        for status in [412, 429, 500, 502, 503] {
            world.tap.clear();
            world.tap.on(
                method.clone(),
                path,
                Action::fail(StatusCode::from_u16(status)?),
            );
            let body = json!({ "a": "b" });
            let body = (method != Method::GET).then_some(&body);
            let answer = proxy.send(web::request(method.clone(), path, body)?)?;
            assert_eq!(answer.status(), status);
            assert_eq!(world.tap.count(&method, path), 1, "{method} {status}");
        }
    }
    Ok(())
}

#[test]
fn the_age_of_a_hit_is_measured_here() -> anyhow::Result<()> {
    let world = World::new()?;
    let (_agent, proxy) = bank::open(&world)?;
    let body = json!({ "lease_id": "database/creds/app/x", "lease_duration": 3600, "renewable": false, "data": {} });
    for (path, date) in [
        ("/v1/a/creds/past", "Mon, 01 Jan 1990 00:00:00 GMT"),
        ("/v1/a/creds/future", "Fri, 01 Jan 2100 00:00:00 GMT"),
    ] {
        let mut answer = Action::json(body.to_string());
        if let Action::Answer { headers, .. } = &mut answer {
            headers.insert(http::header::DATE, date.parse()?);
        }
        world.tap.on(Method::GET, path, answer);
        let miss = proxy.get(path)?;
        assert_eq!(miss.headers()["x-cache"], "MISS");
        assert!(!miss.headers().contains_key("age"));
        let hit = proxy.get(path)?;
        assert_eq!(hit.headers()["x-cache"], "HIT");
        let age: u64 = hit.headers()["age"].to_str()?.parse()?;
        assert!(age < 60, "{age}");
    }
    Ok(())
}

#[test]
fn a_lease_is_not_renewed_the_moment_it_is_there() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    bank::borrow(&proxy)?;
    poll::throughout("no renewal", Duration::from_millis(500), || {
        let renewals = bank.world.tap.count(&Method::POST, LEASE_RENEWAL);
        anyhow::ensure!(renewals == 0, "{renewals}");
        anyhow::Ok(())
    })
}
