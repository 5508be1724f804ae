//! What is kept although it looks odd, and what is not although it looks right.

use std::collections::HashSet;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{poll, web};
use serde_json::json;

use crate::bank::{self, Bank, CREDENTIALS, Terms};

#[test]
fn what_is_not_renewable_is_kept_until_shortly_before_its_end() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let create = json!({ "ttl": "6s", "renewable": false });
    let mut tokens = HashSet::new();
    poll::throughout("a live token", Duration::from_secs(9), || {
        let secret = web::success(&proxy.post("/v1/auth/token/create", &create)?)?;
        let token = secret["auth"]["client_token"].as_str().unwrap_or_default();
        let alive = bank.world.server.client(token)?.look_up_self()?;
        anyhow::ensure!(alive.is_some(), "Vault does not know it");
        tokens.insert(token.to_owned());
        anyhow::Ok(())
    })?;
    assert_eq!(tokens.len(), 2, "one for each five seconds or so");
    let renewed = bank
        .world
        .tap
        .count(&Method::POST, "/v1/auth/token/renew-self");
    assert_eq!(renewed, 0);
    Ok(())
}

#[test]
fn data_that_looks_like_a_lease_is_data() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    bank.world.server.key_value("secret", 1)?;
    let data = json!({ "lease_id": "database/creds/app/x", "lease_duration": 3600,
        "renewable": true, "auth": { "client_token": "x", "lease_duration": 3600 } });
    bank.world.server.root().write("secret/odd", &data)?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    for asked in 1..=2 {
        let answer = proxy.get("/v1/secret/odd")?;
        assert_eq!(web::success(&answer)?["data"], data);
        assert!(!bank::is_hit(&answer), "{answer:?}");
        assert_eq!(bank.world.tap.count(&Method::GET, "/v1/secret/odd"), asked);
    }
    Ok(())
}

#[test]
fn a_content_type_with_parameters_is_the_same_type() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let body = json!({ "lease_id": "database/creds/app/x", "lease_duration": 3600,
        "renewable": false, "data": { "username": "u", "password": "p" } });
    for (kind, kept) in [
        ("text/plain", false),
        ("application/jsonp", false),
        ("Application/JSON ; charset=UTF-8", true),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let answer = Action::Answer {
            status: StatusCode::OK,
            headers,
            body: body.to_string().into(),
        };
        bank.world.tap.on(Method::GET, CREDENTIALS, answer);
        assert!(!bank::is_hit(&proxy.get(CREDENTIALS)?), "{kind}");
        assert_eq!(bank::is_hit(&proxy.get(CREDENTIALS)?), kept, "{kind}");
    }
    Ok(())
}

#[test]
fn a_login_outlives_the_agents_own_token() -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        token: 4,
        token_at_most: 6,
        lease: 3600,
        lease_at_most: 3600,
    })?;
    let credentials = bank.approle()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let own = bank.world.sink()?;
    let before = bank::log_in(&proxy, &credentials)?;
    poll::until(
        "another token of the agent",
        Duration::from_secs(20),
        || {
            let next = bank.world.sink()?;
            anyhow::ensure!(next != own, "it is the same");
            anyhow::Ok(())
        },
    )?;
    let after = proxy.post("/v1/auth/approle/login", &credentials)?;
    assert!(bank::is_hit(&after), "{after:?}");
    let after = web::success(&after)?;
    assert_eq!(after["auth"]["client_token"], before.token.as_str());
    Ok(())
}
