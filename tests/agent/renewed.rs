//! A client that renews through the proxy sees what Vault said in every later hit.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::web;
use serde_json::{Value, json};

use crate::bank::{self, Bank};

const LOGIN: &str = "/v1/auth/approle/login";

fn send(
    proxy: &web::Client,
    method: &Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Response<Bytes>> {
    let request = web::request(method.clone(), &format!("/v1/{path}"), Some(body))?;
    proxy.send(request)
}

/// Sends a renewal and expects it to be passed on, and its answer not to be kept.
fn renew(proxy: &web::Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = send(proxy, &Method::PUT, path, body)?;
    assert_eq!(answer.headers()["x-keyside-cache"], "skip-path", "{path}");
    assert!(!bank::is_hit(&answer), "{path}");
    web::success(&answer)
}

fn is_about(duration: u64, expected: u64) -> bool {
    (expected - 30..=expected).contains(&duration)
}

#[test]
fn every_form_of_renewing_a_lease_moves_its_end() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let lease = bank::borrow(&proxy)?.lease;
    let escaped = lease.replace('/', "%2F");
    let named = |increment: u64| json!({ "lease_id": lease, "increment": increment });
    let unnamed = |increment: u64| json!({ "increment": increment });
    for (path, body, expected) in [
        ("sys/leases/renew".to_owned(), named(7200), 7200),
        (format!("sys/leases/renew/{lease}"), unnamed(9000), 9000),
        (format!("sys/leases/renew/{escaped}"), unnamed(9500), 9500),
        // A client may make it end sooner as well.
        ("sys/leases/renew".to_owned(), named(600), 600),
    ] {
        let answer = renew(&proxy, &path, &body)?;
        assert_eq!(answer["lease_duration"], expected, "{path}");
        let hit = bank::borrow(&proxy)?;
        assert!(hit.hit && hit.lease == lease, "{path}: {hit:?}");
        assert!(is_about(hit.duration, expected), "{path}: {hit:?}");
    }
    assert_eq!(bank.lent(), 1);
    Ok(())
}

#[test]
fn every_form_of_renewing_a_token_moves_its_end_and_that_of_its_leases() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let credentials = bank.approle()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let bank::Login { token, accessor } = bank::log_in(&proxy, &credentials)?;
    let own = proxy.clone().with_token(&token)?;
    let bearer = proxy
        .clone()
        .with_header("authorization", &format!("Bearer {token}"))?;
    bank::borrow(&own)?;
    let by_token = |increment| json!({ "token": token, "increment": increment });
    let by_accessor = json!({ "accessor": accessor, "increment": 5000 });
    let itself = |increment| json!({ "increment": increment });
    for (asks, path, body, expected) in [
        (&own, "auth/token/renew-self", itself(2000), 2000),
        (&bearer, "auth/token/renew-self", itself(3000), 3000),
        (&proxy, "auth/token/renew", by_token(4000), 4000),
        (&proxy, "auth/token/renew-accessor", by_accessor, 5000),
        (&own, "auth/token/renew-self", itself(500), 500),
    ] {
        let answer = renew(asks, path, &body)?;
        assert_eq!(answer["auth"]["lease_duration"], expected, "{path}");
        let login = proxy.post(LOGIN, &credentials)?;
        assert!(bank::is_hit(&login), "{path}: {login:?}");
        let login = web::success(&login)?;
        assert_eq!(login["auth"]["client_token"], token.as_str(), "{path}");
        let left = login["auth"]["lease_duration"].as_u64().unwrap_or_default();
        assert!(is_about(left, expected), "{path}: {left}");
        let credential = bank::borrow(&bearer)?;
        assert!(credential.hit, "{path}: {credential:?}");
        assert!(
            is_about(credential.duration, expected.min(3600)),
            "{path}: {credential:?}"
        );
    }
    Ok(())
}

#[test]
fn a_renewal_in_a_namespace_moves_the_end_of_what_is_there() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let root = bank.world.server.root();
    root.write("sys/namespaces/ns1", &json!({}))?;
    root.write(
        "ns1/sys/policies/acl/default",
        &json!({ "policy": r#"path "auth/token/*" { capabilities = ["update"] }"# }),
    )?;
    let parent = root.write(
        "ns1/auth/token/create-orphan",
        &json!({ "policies": ["default"], "ttl": "10h" }),
    )?;
    let parent = parent["auth"]["client_token"].as_str().unwrap_or_default();
    let (_agent, proxy) = bank::open(&bank.world)?;
    let client = proxy.clone().with_token(parent)?;
    let create = || client.post("/v1/ns1/auth/token/create", &json!({ "ttl": "1h" }));
    let created = web::success(&create()?)?;
    let child = created["auth"]["client_token"].as_str().unwrap_or_default();
    let child = proxy.with_token(child)?;
    let in_header = child.clone().with_header("x-vault-namespace", "ns1")?;
    for (asks, path, increment) in [
        (&child, "ns1/auth/token/renew-self", 7000),
        (&in_header, "auth/token/renew-self", 9000),
    ] {
        renew(asks, path, &json!({ "increment": increment }))?;
        let hit = create()?;
        assert!(bank::is_hit(&hit), "{path}: {hit:?}");
        let left = web::success(&hit)?["auth"]["lease_duration"].as_u64();
        assert!(
            is_about(left.unwrap_or_default(), increment),
            "{path}: {left:?}"
        );
    }
    Ok(())
}

#[test]
fn a_refused_renewal_changes_nothing() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let before = bank::borrow(&proxy)?;
    let body = json!({ "lease_id": before.lease, "increment": 60 });
    let stranger = proxy.clone().with_token("no token")?;
    let refused = send(&stranger, &Method::PUT, "sys/leases/renew", &body)?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let after = bank::borrow(&proxy)?;
    assert!(after.hit && is_about(after.duration, 3600), "{after:?}");
    Ok(())
}

/// Vault did it, and nobody knows for how long: the agent renews the lease by itself, at once.
#[test]
fn a_renewal_whose_answer_is_lost_is_followed_by_the_agents_own() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let before = bank::borrow(&proxy)?;
    let body = json!({ "lease_id": before.lease, "increment": 60 });
    let path = "/v1/sys/leases/renew";
    bank.world.tap.on(Method::PUT, path, Action::Reset);
    let lost = send(&proxy, &Method::PUT, "sys/leases/renew", &body)?;
    assert_eq!(lost.status(), StatusCode::BAD_GATEWAY);
    bank.world.tap.wait_for(&Method::POST, path, 1)?;
    Ok(())
}
