//! What is kept, for whom, and for how long.

use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{poll, web};
use serde_json::{Value, json};

use crate::bank::{self, Bank, CREDENTIALS, Terms};

#[test]
fn a_hit_is_the_miss_with_what_remains_of_the_lease() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let miss = proxy.get(CREDENTIALS)?;
    assert_eq!(miss.headers()["x-cache"], "MISS");
    assert_eq!(miss.headers()["x-keyside-cache"], "stored");
    let first = bank::read(&miss)?;
    let hit = poll::until("a second to pass", poll::LIMIT, || {
        let hit = proxy.get(CREDENTIALS)?;
        anyhow::ensure!(hit.headers()["age"] != "0", "{:?}", hit.headers());
        anyhow::Ok(hit)
    })?;
    assert_eq!(hit.headers()["x-cache"], "HIT");
    let second = bank::read(&hit)?;
    assert!(second.duration < first.duration, "{second:?}");
    let masked = |body: &[u8], duration: u64| {
        String::from_utf8_lossy(body).replace(
            &format!("\"lease_duration\":{duration},"),
            "\"lease_duration\":X,",
        )
    };
    assert_eq!(
        masked(miss.body(), first.duration),
        masked(hit.body(), second.duration)
    );
    let answer = bank
        .postgres
        .select(&first.user, &first.password, "SELECT 6 * 7")?;
    assert_eq!(answer, "42");
    assert_eq!(bank.lent(), 1);
    Ok(())
}

#[test]
fn a_hundred_concurrent_equal_requests_reach_vault_once() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    bank.world
        .tap
        .on(Method::GET, CREDENTIALS, Action::HoldAnswer);
    let asked: Vec<_> = (0..100)
        .map(|_| proxy.start(web::request(Method::GET, CREDENTIALS, None)?))
        .collect::<anyhow::Result<_>>()?;
    bank::wait_for_metric(&proxy, "keyside_agent_proxy_connections", 101.0)?;
    bank.world.tap.wait_for(&Method::GET, CREDENTIALS, 1)?;
    bank.world.tap.release();
    let mut users = HashSet::new();
    let mut hits = 0;
    for pending in asked {
        let credential = bank::read(&pending.wait()?)?;
        hits += usize::from(credential.hit);
        users.insert(credential.user);
    }
    assert_eq!((users.len(), hits), (1, 99));
    assert_eq!(bank.lent(), 1);
    Ok(())
}

#[test]
fn a_leader_that_leaves_takes_nobody_down() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (mut agent, proxy) = bank::open(&bank.world)?;
    bank.world
        .tap
        .on(Method::GET, CREDENTIALS, Action::HoldAnswer);
    let leader = bank::hung(&mut agent, &Method::GET, CREDENTIALS, "")?;
    bank.world.tap.wait_for(&Method::GET, CREDENTIALS, 1)?;
    let follower = proxy.start(web::request(Method::GET, CREDENTIALS, None)?)?;
    bank::wait_for_metric(&proxy, "keyside_agent_proxy_connections", 3.0)?;
    drop(leader);
    bank::wait_for_fewer_connections(&proxy, 3.0)?;
    bank.world.tap.release();
    assert!(!bank::read(&follower.wait()?)?.user.is_empty());
    assert_eq!(bank.lent(), 1);
    Ok(())
}

#[test]
fn a_call_that_nobody_waits_for_is_dropped() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (mut agent, proxy) = bank::open(&bank.world)?;
    bank.world
        .tap
        .on(Method::GET, CREDENTIALS, Action::HoldAnswer);
    let only = bank::hung(&mut agent, &Method::GET, CREDENTIALS, "")?;
    bank.world.tap.wait_for(&Method::GET, CREDENTIALS, 1)?;
    drop(only);
    bank::wait_for_fewer_connections(&proxy, 2.0)?;
    bank.world.tap.heal();
    let next = bank::borrow(&proxy)?;
    assert!(!next.hit, "asked anew, not behind a call that hangs");
    assert_eq!(bank.lent(), 2);
    Ok(())
}

#[test]
fn a_thousand_spellings_of_one_request_reach_vault_once() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let path = "/v1/auth/token/create";
    let fields = [
        r#""policies": ["bank", "default"]"#,
        r#""ttl":"1h""#,
        r#" "renewable" : true "#,
        r#""meta":{"b":"2","a":"1"}"#,
    ];
    let mut shuffle = fastrand::Rng::with_seed(7);
    let mut tokens = HashSet::new();
    for number in 0..1000 {
        let (mut fields, mut query) = (fields, ["a=1", "b=%61", "c"]);
        shuffle.shuffle(&mut fields);
        shuffle.shuffle(&mut query);
        let mut headers = [
            ("traceparent", format!("00-{number:032x}-{number:016x}-01")),
            ("user-agent", format!("client/{number}")),
            ("x-request-id", format!("{number}")),
            ("accept", "*/*".to_owned()),
        ];
        shuffle.shuffle(&mut headers);
        let mut request = http::Request::post(format!("{path}?{}", query.join("&")));
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let body = format!("{{{}}}", fields.join(","));
        let response = proxy.send(request.body(body.into())?)?;
        let token = web::success(&response)?["auth"]["client_token"].to_string();
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), 1);
    assert_eq!(bank.world.tap.count(&Method::POST, path), 1);
    Ok(())
}

#[test]
fn equal_logins_return_one_token_and_role_data_is_not_kept() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let login = bank.approle()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let path = "/v1/auth/approle/login";
    let mut tokens = HashSet::new();
    for expected in ["MISS", "HIT", "HIT"] {
        let response = proxy.post(path, &login)?;
        assert_eq!(response.headers()["x-cache"], expected);
        tokens.insert(web::success(&response)?["auth"]["client_token"].to_string());
    }
    assert_eq!(tokens.len(), 1);
    let sent = bank.world.tap.requests();
    let sent: Vec<_> = sent
        .iter()
        .filter(|request| request.is(&Method::POST, path))
        .collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        sent[0].header("x-vault-token"),
        None,
        "a login brings its own credential"
    );

    let secret_id = "/v1/auth/approle/role/worker/secret-id";
    let role_id = "/v1/auth/approle/role/worker/role-id";
    for _ in 0..3 {
        let created = proxy.post(secret_id, &json!({}))?;
        assert!(web::success(&created)?["data"]["secret_id"].is_string());
        assert_eq!(created.headers()["x-cache"], "MISS");
        assert_eq!(proxy.get(role_id)?.headers()["x-cache"], "MISS");
    }
    assert_eq!(bank.world.tap.count(&Method::POST, secret_id), 3);
    assert_eq!(bank.world.tap.count(&Method::GET, role_id), 3);
    Ok(())
}

#[test]
fn clients_with_tokens_of_their_own_share_nothing() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let create = |meta: &str| {
        let body = json!({ "policies": ["bank"], "meta": { "for": meta } });
        let answer = bank.world.server.root().write("auth/token/create", &body)?;
        anyhow::Ok(
            answer["auth"]["client_token"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let (one, other) = (create("one")?, create("other")?);
    let pod = bank::borrow(&proxy)?;
    let first = bank::borrow(&proxy.clone().with_token(&one)?)?;
    let second = bank::borrow(&proxy.clone().with_token(&other)?)?;
    let users = HashSet::from([&pod.user, &first.user, &second.user]);
    assert_eq!(users.len(), 3);
    let bearer = proxy
        .clone()
        .with_header("authorization", &format!("Bearer {one}"))?;
    assert_eq!(bank::borrow(&bearer)?.user, first.user);
    // The pod's own token is the pod, however it comes.
    let own = proxy.with_token(&bank.world.sink()?)?;
    assert_eq!(bank::borrow(&own)?.user, pod.user);
    assert_eq!(bank.lent(), 3);
    Ok(())
}

#[test]
fn what_asks_for_a_wrapped_or_a_counted_thing_always_reaches_vault() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let wrapped = proxy.clone().with_header("x-vault-wrap-ttl", "60s")?;
    for asked in 1..=2 {
        let response = wrapped.get(CREDENTIALS)?;
        assert!(web::success(&response)?["wrap_info"]["token"].is_string());
        assert_eq!(bank.lent(), asked);
    }
    let create = json!({ "policies": ["bank"], "num_uses": 5 });
    let token = |response: &http::Response<bytes::Bytes>| {
        anyhow::Ok(
            web::success(response)?["auth"]["client_token"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let counted = token(&proxy.post("/v1/auth/token/create", &create)?)?;
    assert_ne!(
        counted,
        token(&proxy.post("/v1/auth/token/create", &create)?)?
    );
    let counted = proxy.clone().with_token(&counted)?;
    for asked in 3..=4 {
        let response = counted.get(CREDENTIALS)?;
        assert_eq!(response.headers()["x-keyside-cache"], "skip-limited-asker");
        assert_eq!(bank.lent(), asked);
    }
    Ok(())
}

#[test]
fn answers_that_are_not_kept_are_fetched_in_parallel() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    bank.world.server.key_value("secret", 1)?;
    bank.world
        .server
        .root()
        .write("secret/app", &json!({ "a": "b" }))?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let path = "/v1/secret/app";
    bank.world.tap.on(Method::GET, path, Action::Hold);
    let asked: Vec<_> = (0..5)
        .map(|_| proxy.start(web::request(Method::GET, path, None)?))
        .collect::<anyhow::Result<_>>()?;
    bank::wait_for_metric(&proxy, "keyside_agent_proxy_connections", 6.0)?;
    bank.world.tap.wait_for(&Method::GET, path, 1)?;
    bank.world.tap.release();
    // The first one's answer lets the other four go, all at once: each is held, and none waits for another.
    bank.world.tap.wait_for(&Method::GET, path, 5)?;
    bank.world.tap.release();
    for pending in asked {
        assert_eq!(pending.wait()?.status(), StatusCode::OK);
    }
    Ok(())
}

#[test]
fn a_lease_is_renewed_and_replaced_before_it_ends() -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        lease: 4,
        lease_at_most: 9,
        ..Terms::default()
    })?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let mut leases = HashSet::new();
    poll::throughout("a live credential", Duration::from_secs(14), || {
        let credential = bank::borrow(&proxy)?;
        anyhow::ensure!(
            bank.knows(&credential.lease)?,
            "Vault does not know {credential:?}"
        );
        leases.insert(credential.lease);
        anyhow::Ok(())
    })?;
    let renewed = bank.world.tap.count(&Method::POST, "/v1/sys/leases/renew");
    assert!(renewed >= 2, "renewed {renewed} times");
    assert_eq!(leases.len(), bank.lent());
    assert!((2..=3).contains(&leases.len()), "{leases:?}");
    Ok(())
}

#[test]
fn what_a_token_made_ends_with_it() -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        token: 4,
        token_at_most: 8,
        lease: 3600,
        lease_at_most: 3600,
    })?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let first = bank::borrow(&proxy)?;
    assert!(
        bank::borrow(&proxy)?.duration <= 8,
        "the token that made it ends before"
    );
    let mut leases = HashSet::from([first.lease]);
    poll::throughout("a live credential", Duration::from_secs(12), || {
        let credential = bank::borrow(&proxy)?;
        anyhow::ensure!(
            bank.knows(&credential.lease)?,
            "Vault does not know {credential:?}"
        );
        leases.insert(credential.lease);
        anyhow::Ok(())
    })?;
    assert_eq!(leases.len(), bank.lent());
    assert!((2..=4).contains(&leases.len()), "{leases:?}");
    Ok(())
}

#[test]
fn a_token_that_vault_no_longer_knows_takes_its_leases_along() -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        lease: 6,
        lease_at_most: 3600,
        ..Terms::default()
    })?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let root = bank.world.server.root();
    let made = root.write("auth/token/create", &json!({ "policies": ["bank"] }))?;
    let token = made["auth"]["client_token"].as_str().unwrap_or_default();
    let client = proxy.clone().with_token(token)?;
    bank::borrow(&client)?;
    // Not through the proxy: it learns of it when it renews.
    root.write("auth/token/revoke", &json!({ "token": token }))?;
    let outcome = r#"keyside_agent_cache_renewals_total{outcome="token_dead"}"#;
    bank::wait_for_metric(&proxy, outcome, 1.0)?;
    assert_eq!(client.get(CREDENTIALS)?.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[test]
fn a_lease_that_vault_no_longer_knows_is_asked_for_anew() -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        lease: 6,
        lease_at_most: 3600,
        ..Terms::default()
    })?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let before = bank::borrow(&proxy)?;
    let root = bank.world.server.root();
    root.write(
        "sys/leases/revoke",
        &json!({ "lease_id": before.lease, "sync": true }),
    )?;
    let outcome = r#"keyside_agent_cache_renewals_total{outcome="gone"}"#;
    bank::wait_for_metric(&proxy, outcome, 1.0)?;
    assert_ne!(bank::borrow(&proxy)?.user, before.user);
    Ok(())
}

#[test]
fn a_kept_credential_survives_an_outage() -> anyhow::Result<()> {
    let mut bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let before = bank::borrow(&proxy)?;
    bank.world.server.stop()?;
    let during = bank::borrow(&proxy)?;
    assert!(during.hit && during.user == before.user, "{during:?}");
    let other = proxy.get("/v1/database/creds/other")?;
    assert!(other.status().is_server_error(), "{other:?}");
    Ok(())
}

#[test]
fn what_ends_soon_is_still_served_where_vault_is_away() -> anyhow::Result<()> {
    let bank = Bank::new(Terms {
        lease: 20,
        lease_at_most: 20,
        ..Terms::default()
    })?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let first = bank::borrow(&proxy)?;
    bank.world
        .tap
        .rule(|_| Action::fail(StatusCode::SERVICE_UNAVAILABLE));
    let rescued = poll::until("the end to come near", poll::LIMIT, || {
        let response = proxy.get(CREDENTIALS)?;
        anyhow::ensure!(
            response.headers()["x-keyside-cache"] == "hit-vault-away",
            "{response:?}"
        );
        anyhow::Ok(response)
    })?;
    assert_eq!(bank::read(&rescued)?.user, first.user);
    // The agent asks no more by itself, and rescues all the same.
    let asked = bank.lent();
    assert!(bank::borrow(&proxy)?.hit);
    assert_eq!(bank.lent(), asked);
    bank.world.tap.heal();
    poll::until("another one", poll::LIMIT, || {
        let next = bank::borrow(&proxy)?;
        anyhow::ensure!(!next.hit && next.user != first.user, "{next:?}");
        anyhow::Ok(())
    })
}

/// The value to clear, of a token's accessor, the token, and a lease.
type Named = fn(&str, &str, &str) -> Value;

#[test]
fn cache_clear_takes_effect_when_it_answers() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let login = bank.approle()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let token_and_lease = || {
        let bank::Login { token, accessor } = bank::log_in(&proxy, &login)?;
        let lease = bank::borrow(&proxy.clone().with_token(&token)?)?.lease;
        anyhow::Ok((accessor, token, lease))
    };
    let clears: [(&str, Named, bool); 5] = [
        ("all", |_, _, _| json!(null), true),
        ("request_path", |_, _, _| json!("/v1/auth/approle"), true),
        ("token", |_, token, _| json!(token), true),
        ("token_accessor", |accessor, _, _| json!(accessor), true),
        ("lease", |_, _, lease| json!(lease), false),
    ];
    for (kind, value, ends_token) in clears {
        let (accessor, token, lease) = token_and_lease()?;
        assert_eq!(token_and_lease()?.2, lease, "kept until it is cleared");
        let mut body = json!({ "type": kind });
        if kind != "all" {
            body["value"] = value(&accessor, &token, &lease);
        }
        let cleared = proxy.post("/agent/v1/cache-clear", &body)?;
        assert_eq!(cleared.status(), StatusCode::OK, "{kind}");
        let (_, new_token, new_lease) = token_and_lease()?;
        assert_ne!(new_lease, lease, "{kind}");
        assert_eq!(new_token != token, ends_token, "{kind}");
        assert!(
            bank.knows(&lease)?,
            "{kind}: cleared here, not revoked there"
        );
    }
    for (body, text) in [
        (json!({}), "\"type\" is missing"),
        (
            json!({ "type": "token" }),
            "\"value\" is missing: the token",
        ),
        (json!({ "type": "leases" }), "is not one of"),
    ] {
        let refused = proxy.post("/agent/v1/cache-clear", &body)?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let said = web::json(&refused)?["errors"][0]
            .to_string()
            .replace("\\\"", "\"");
        assert!(said.contains(text), "{said}");
    }
    Ok(())
}

#[test]
fn who_asks_after_a_clearing_does_not_get_what_was_on_its_way() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let tap = &bank.world.tap;
    tap.on(Method::GET, CREDENTIALS, Action::HoldAnswer);
    let pending = proxy.start(web::request(Method::GET, CREDENTIALS, None)?)?;
    tap.wait_for(&Method::GET, CREDENTIALS, 1)?;
    tap.heal();
    proxy.post("/agent/v1/cache-clear", &json!({ "type": "all" }))?;
    let after = bank::borrow(&proxy)?;
    tap.release();
    let before = pending.wait()?;
    assert_eq!(before.headers()["x-keyside-cache"], "skip-revoked");
    assert_ne!(bank::read(&before)?.user, after.user);
    assert_eq!(bank::borrow(&proxy)?.user, after.user);
    Ok(())
}

#[test]
fn a_namespace_in_the_header_and_in_the_path_is_one() -> anyhow::Result<()> {
    let bank = Bank::lasting()?;
    let root = bank.world.server.root();
    root.write("sys/namespaces/ns1", &json!({}))?;
    let created = root.write(
        "ns1/auth/token/create-orphan",
        &json!({ "policies": ["default"] }),
    );
    let created = created?;
    let (_agent, proxy) = bank::open(&bank.world)?;
    let token = created["auth"]["client_token"].as_str().unwrap_or_default();
    root.write(
        "ns1/sys/policies/acl/default",
        &json!({ "policy": r#"path "auth/token/create" { capabilities = ["update"] }"# }),
    )?;
    let client = proxy.with_token(token)?;
    let in_path = client.post("/v1/ns1/auth/token/create", &json!({}))?;
    let in_header = client
        .clone()
        .with_header("x-vault-namespace", "ns1/")?
        .post("/v1/auth/token/create", &json!({}))?;
    let made = |response| anyhow::Ok(web::success(response)?["auth"]["client_token"].clone());
    assert_eq!(made(&in_path)?, made(&in_header)?);
    assert!(bank::is_hit(&in_header) && !bank::is_hit(&in_path));
    let elsewhere = client
        .with_header("x-vault-namespace", "root")?
        .post("/v1/auth/token/create", &json!({}))?;
    assert_eq!(
        elsewhere.headers().get("x-cache"),
        None::<&HeaderValue>,
        "{elsewhere:?}"
    );
    Ok(())
}
