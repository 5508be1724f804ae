//! Secrets of KV engines: what is kept, for whom, and what ends it.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{openbao, poll, web};
use serde_json::{Value, json};

use crate::bank;
use crate::world::{Agent, ROLE, World};

const ONE: &str = "/v1/one/app";
const TWO: &str = "/v1/two/data/app";
const METADATA: &str = "/v1/two/metadata/app";

const POLICY: &str = r#"
    path "one/*"       { capabilities = ["create", "read", "update", "delete"] }
    path "two/*"       { capabilities = ["create", "read", "update", "patch", "delete"] }
    path "transit/*"   { capabilities = ["read"] }
    path "cubbyhole/*" { capabilities = ["create", "read"] }
    path "auth/token/*" { capabilities = ["create", "read", "update", "sudo"] }
"#;
/// No metadata.
const BLIND: &str = r#"
    path "one/app"      { capabilities = ["read"] }
    path "two/data/app" { capabilities = ["read"] }
"#;

/// Long enough that nothing of a test is due before its end.
const LASTING: &str = "1h";

struct Play {
    world: World,
    _agent: Agent,
    proxy: web::Client,
}

impl Play {
    fn new(ttl: &str, max_stale: &str) -> anyhow::Result<Self> {
        Self::with(&json!({ "static_secrets": { "ttl": ttl, "max_stale": max_stale } }))
    }

    fn with(cache: &Value) -> anyhow::Result<Self> {
        let role = openbao::Role {
            name: ROLE,
            policies: &["reader"],
            ..Default::default()
        };
        let world = World::with(openbao::Options::default(), &role)?;
        world.server.policy("reader", POLICY)?;
        world.server.policy("blind", BLIND)?;
        world.server.key_value("one", 1)?;
        world.server.key_value("two", 2)?;
        let mut config = world.config();
        config["cache"] = cache.clone();
        let mut agent = world.agent(&config)?;
        agent.child.wait_for_event("started")?;
        let play = Self {
            proxy: agent.proxy()?,
            world,
            _agent: agent,
        };
        play.write("first")?;
        Ok(play)
    }

    /// Not through the proxy.
    fn write(&self, text: &str) -> anyhow::Result<()> {
        let root = self.world.server.root();
        root.write("one/app", &json!({ "text": text }))?;
        root.write("two/data/app", &json!({ "data": { "text": text } }))?;
        Ok(())
    }

    fn token(&self, policy: &str) -> anyhow::Result<web::Client> {
        let root = self.world.server.root();
        let body = json!({ "policies": [policy], "no_default_policy": true });
        let made = root.write("auth/token/create", &body)?;
        let token = made["auth"]["client_token"].as_str().context("no token")?;
        self.proxy.clone().with_token(token)
    }

    fn asked(&self, path: &str) -> usize {
        self.world.tap.count(&Method::GET, path)
    }
}

fn decision(response: &Response<Bytes>) -> &str {
    let value = response.headers().get("x-keyside-cache");
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// What the cache did, and what the secret says.
fn seen(response: &Response<Bytes>) -> anyhow::Result<(String, String)> {
    let body = web::success(response)?;
    let data = &body["data"];
    let text = data["data"]["text"].as_str().or(data["text"].as_str());
    let text = text.with_context(|| body.to_string())?;
    Ok((decision(response).to_owned(), text.to_owned()))
}

fn ask(client: &web::Client, path: &str) -> anyhow::Result<(String, String)> {
    seen(&client.get(path)?)
}

fn said(decision: &str, text: &str) -> (String, String) {
    (decision.to_owned(), text.to_owned())
}

/// Asks until the cache does this with the request, and gives what the secret says.
fn until(client: &web::Client, path: &str, decided: &str) -> anyhow::Result<String> {
    poll::until(decided, poll::LIMIT, || {
        let (decision, text) = ask(client, path)?;
        anyhow::ensure!(decision == decided, "{decision} {text}");
        anyhow::Ok(text)
    })
}

fn played(body: &Value) -> Action {
    Action::json(body.to_string())
}

#[test]
fn without_the_block_no_secret_is_kept() -> anyhow::Result<()> {
    let play = Play::with(&json!({}))?;
    for path in [ONE, TWO] {
        for _ in 0..2 {
            assert_eq!(ask(&play.proxy, path)?, said("skip-plain", "first"));
        }
        assert_eq!(play.asked(path), 2);
    }
    let all = play.world.tap.requests();
    let beside = all.iter().any(|of| of.path.contains("/internal/ui/"));
    assert!(!beside, "nobody asks what is mounted");
    Ok(())
}

#[test]
fn both_versions_of_the_engine_are_read_once() -> anyhow::Result<()> {
    let play = Play::new(LASTING, "10m")?;
    for path in [ONE, TWO] {
        let miss = play.proxy.get(path)?;
        assert_eq!(seen(&miss)?, said("stored", "first"));
        assert_eq!(miss.headers()["x-cache"], "MISS");
        for _ in 0..3 {
            let hit = play.proxy.get(path)?;
            assert_eq!(seen(&hit)?, said("hit", "first"));
            assert_eq!(hit.headers()["x-cache"], "HIT");
            assert!(hit.headers().contains_key("age"));
            assert_eq!(hit.body(), miss.body());
        }
        assert_eq!(play.asked(path), 1);
    }
    play.write("second")?;
    let first = format!("{TWO}?version=1");
    let second = format!("{TWO}?version=2");
    for decided in ["stored", "hit"] {
        assert_eq!(ask(&play.proxy, &first)?, said(decided, "first"));
        assert_eq!(ask(&play.proxy, &second)?, said(decided, "second"));
    }
    assert_eq!(ask(&play.proxy, TWO)?, said("hit", "first"));
    // The client's will.
    let newest = play
        .proxy
        .clone()
        .with_header("cache-control", "no-cache")?;
    assert_eq!(ask(&newest, TWO)?, said("stored", "second"));
    assert_eq!(ask(&play.proxy, TWO)?, said("hit", "second"));
    let all = play.world.tap.requests();
    let beside = all.iter().filter(|of| of.path.contains("/internal/ui/"));
    assert_eq!(beside.count(), 2, "once for each mount");
    bank::wait_for_metric(&play.proxy, "keyside_agent_cache_entries", 4.0)?;
    Ok(())
}

#[test]
fn what_is_no_secret_of_a_kv_engine_is_not_kept() -> anyhow::Result<()> {
    let play = Play::new(LASTING, "10m")?;
    let root = play.world.server.root();
    root.write("sys/mounts/transit", &json!({ "type": "transit" }))?;
    root.write("transit/keys/app", &json!({}))?;
    let token = play.token("reader")?;
    let fake = json!({ "data": { "text": "mine" }, "metadata": { "version": 1, "created_time": "x",
                       "deletion_time": "", "destroyed": false } });
    token.post("/v1/cubbyhole/data/app", &fake)?;
    for path in [
        "/v1/transit/keys/app",
        "/v1/auth/token/lookup-self",
        "/v1/cubbyhole/data/app",
        "/v1/two/config",
        METADATA,
        "/v1/two/subkeys/app",
    ] {
        for asked in 1..=3 {
            let response = token.get(path)?;
            web::success(&response)?;
            assert!(decision(&response).starts_with("skip-"), "{response:?}");
            assert_eq!(play.asked(path), asked, "{path}");
        }
    }
    let all = play.world.tap.requests();
    let beside = |of: &str| {
        let path = format!("/v1/sys/internal/ui/mounts/{of}");
        all.iter().filter(|of| of.path.starts_with(&path)).count()
    };
    assert_eq!((beside("transit"), beside("two"), beside("")), (1, 1, 2));
    Ok(())
}

#[test]
fn a_token_gets_what_it_has_read_itself_and_no_other() -> anyhow::Result<()> {
    let play = Play::new(LASTING, "10m")?;
    let (allowed, refused) = (play.token("blind")?, play.token("default")?);
    for path in [ONE, TWO] {
        assert_eq!(ask(&play.proxy, path)?, said("stored", "first"));
        for _ in 0..2 {
            assert_eq!(refused.get(path)?.status(), StatusCode::FORBIDDEN);
        }
        assert_eq!(ask(&allowed, path)?, said("stored", "first"));
        assert_eq!(ask(&allowed, path)?, said("hit", "first"));
        assert_eq!(ask(&play.proxy, path)?, said("hit", "first"));
        assert_eq!(play.asked(path), 4);
    }
    let unknown = play.proxy.clone().with_token("hvs.unknown")?;
    assert_eq!(unknown.get(TWO)?.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[test]
fn without_a_token_nothing_comes_from_the_cache() -> anyhow::Result<()> {
    let world = World::new()?;
    world.server.policy("reader", POLICY)?;
    world.server.key_value("one", 1)?;
    let root = world.server.root();
    root.write("one/app", &json!({ "text": "first" }))?;
    let made = root.write("auth/token/create", &json!({ "policies": ["reader"] }))?;
    let mut config = world.config();
    config["cache"] = json!({ "static_secrets": { "ttl": LASTING } });
    config["api_proxy"] = json!({ "use_auto_auth_token": false });
    let mut agent = world.agent(&config)?;
    let proxy = agent.proxy()?;
    let token = made["auth"]["client_token"].as_str().context("no token")?;
    let client = proxy.clone().with_token(token)?;
    assert_eq!(ask(&client, ONE)?, said("stored", "first"));
    assert_eq!(ask(&client, ONE)?, said("hit", "first"));
    let nobody = proxy.get(ONE)?;
    assert_eq!(nobody.status(), StatusCode::FORBIDDEN);
    assert_eq!(decision(&nobody), "skip-anonymous");
    Ok(())
}

#[test]
fn a_secret_is_looked_after_by_its_version() -> anyhow::Result<()> {
    let play = Play::new("1s", "10m")?;
    assert_eq!(ask(&play.proxy, TWO)?, said("stored", "first"));
    assert_eq!(until(&play.proxy, TWO, "revalidated")?, "first");
    assert_eq!(ask(&play.proxy, TWO)?, said("hit", "first"));
    assert_eq!((play.asked(TWO), play.asked(METADATA)), (1, 1));
    // Behind the proxy's back.
    play.write("second")?;
    assert_eq!(until(&play.proxy, TWO, "stored")?, "second");
    assert_eq!((play.asked(TWO), play.asked(METADATA)), (2, 2));
    // What is shown with the data counts, too.
    let custom = json!({ "custom_metadata": { "owner": "shop" } });
    let root = play.world.server.root();
    root.write("two/metadata/app", &custom)?;
    until(&play.proxy, TWO, "stored")?;
    let hit = play.proxy.get(TWO)?;
    let metadata = &web::success(&hit)?["data"]["metadata"];
    assert_eq!(metadata["custom_metadata"]["owner"], "shop");
    Ok(())
}

#[test]
fn who_may_not_look_at_the_version_reads_again() -> anyhow::Result<()> {
    let play = Play::new("1s", "10m")?;
    let blind = play.token("blind")?;
    for path in [ONE, TWO] {
        assert_eq!(ask(&blind, path)?, said("stored", "first"));
        for read in 2..=3 {
            assert_eq!(ask(&blind, path)?, said("hit", "first"));
            assert_eq!(until(&blind, path, "stored")?, "first");
            assert_eq!(play.asked(path), read);
        }
    }
    assert_eq!(play.asked(METADATA), 1, "asked once and refused");
    Ok(())
}

#[test]
fn many_who_wait_for_one_secret_ask_once() -> anyhow::Result<()> {
    let play = Play::new("1s", "10m")?;
    let other = play.token("reader")?;
    ask(&play.proxy, TWO)?;
    ask(&other, TWO)?;
    let tap = &play.world.tap;
    tap.on(Method::GET, METADATA, Action::HoldAnswer);
    let mut asked = vec![play.proxy.start(web::request(Method::GET, TWO, None)?)?];
    poll::until("the end of its freshness", poll::LIMIT, || {
        if play.asked(METADATA) == 0 {
            asked.push(play.proxy.start(web::request(Method::GET, TWO, None)?)?);
            anyhow::bail!("not yet");
        }
        anyhow::Ok(())
    })?;
    for client in [&play.proxy, &other].repeat(5) {
        asked.push(client.start(web::request(Method::GET, TWO, None)?)?);
    }
    bank::wait_for_metric(&play.proxy, "keyside_agent_proxy_connections", 11.0)?;
    tap.release();
    tap.heal();
    for pending in asked {
        assert_eq!(seen(&pending.wait()?)?.1, "first");
    }
    assert_eq!((play.asked(TWO), play.asked(METADATA)), (2, 1));
    Ok(())
}

#[test]
fn a_write_through_the_proxy_ends_what_is_kept() -> anyhow::Result<()> {
    let play = Play::new(LASTING, "10m")?;
    let proxy = &play.proxy;
    let body = json!({ "text": "second", "data": { "text": "second" } });
    for path in [ONE, TWO] {
        assert_eq!(ask(proxy, path)?, said("stored", "first"));
        web::success(&proxy.post(path, &body)?)?;
        assert_eq!(ask(proxy, path)?, said("skip-written", "second"));
    }
    for path in [ONE, TWO] {
        assert_eq!(until(proxy, path, "stored")?, "second");
    }
    let first = format!("{TWO}?version=1");
    assert_eq!(ask(proxy, &first)?, said("stored", "first"));
    let versions = json!({ "versions": [1] });
    let destroyed = proxy.post("/v1/two/destroy/app", &versions)?;
    assert!(destroyed.status().is_success(), "{destroyed:?}");
    assert_eq!(proxy.get(&first)?.status(), StatusCode::NOT_FOUND);
    assert_eq!(until(proxy, TWO, "stored")?, "second");
    let deleted = proxy.send(web::request(Method::DELETE, TWO, None)?)?;
    assert!(deleted.status().is_success(), "{deleted:?}");
    assert_eq!(proxy.get(TWO)?.status(), StatusCode::NOT_FOUND);
    Ok(())
}

#[test]
fn what_was_on_its_way_during_a_write_is_not_kept() -> anyhow::Result<()> {
    let play = Play::new(LASTING, "10m")?;
    let (tap, proxy) = (&play.world.tap, &play.proxy);
    for path in [ONE, TWO] {
        tap.on(Method::GET, path, Action::HoldAnswer);
        let early = proxy.start(web::request(Method::GET, path, None)?)?;
        tap.wait_for(&Method::GET, path, 1)?;
        tap.heal();
        let body = json!({ "text": "second", "data": { "text": "second" } });
        proxy.post(path, &body)?;
        let after = ask(proxy, path)?;
        assert_eq!(after, said("skip-written", "second"), "it joins nobody");
        // Until the write has settled.
        assert_eq!(until(proxy, path, "stored")?, "second");
        tap.release();
        let early = seen(&early.wait()?)?;
        assert_eq!(early, said("skip-written", "first"));
        assert_eq!(ask(proxy, path)?, said("hit", "second"));
    }
    Ok(())
}

#[test]
fn with_vault_away_a_secret_is_served_until_its_bound() -> anyhow::Result<()> {
    let mut play = Play::new("1s", "4s")?;
    let proxy = play.proxy.clone();
    let never = play.token("reader")?;
    ask(&proxy, ONE)?;
    ask(&proxy, TWO)?;
    play.world.server.stop()?;
    for path in [ONE, TWO] {
        assert_eq!(until(&proxy, path, "stale")?, "first");
        poll::until("its age", poll::LIMIT, || {
            let stale = proxy.get(path)?;
            anyhow::ensure!(stale.headers()["x-cache"] == "HIT", "{stale:?}");
            anyhow::ensure!(stale.headers()["age"] != "0", "{stale:?}");
            anyhow::Ok(())
        })?;
        let other = never.get(path)?;
        assert!(other.status().is_server_error(), "{other:?}");
    }
    poll::until("the bound", poll::LIMIT, || {
        let response = proxy.get(TWO)?;
        let age = response.headers().get("age").cloned();
        anyhow::ensure!(response.status().is_server_error(), "{age:?}");
        anyhow::Ok(())
    })
}

#[test]
fn with_a_silent_vault_one_waits_and_the_others_are_served() -> anyhow::Result<()> {
    let play = Play::new("1s", "10m")?;
    ask(&play.proxy, TWO)?;
    play.world
        .tap
        .rule(|_| Action::Delay(Duration::from_secs(20)));
    assert_eq!(until(&play.proxy, TWO, "stale")?, "first");
    let asked = || play.asked(TWO) + play.asked(METADATA);
    let before = asked();
    assert_eq!(ask(&play.proxy, TWO)?, said("stale", "first"));
    assert_eq!(asked(), before, "it is not asked at once");
    Ok(())
}

#[test]
fn an_older_version_is_never_served_after_a_newer_one() -> anyhow::Result<()> {
    let play = Play::new("1s", "10m")?;
    let (proxy, tap) = (&play.proxy, &play.world.tap);
    let root = play.world.server.root();
    let (old, metadata) = (root.read("two/data/app")?, root.read("two/metadata/app")?);
    play.write("second")?;
    assert_eq!(ask(proxy, TWO)?, said("stored", "second"));
    // A standby that lags.
    tap.rule(move |request| match &request.method {
        method if request.is(method, TWO) => played(&old),
        method if request.is(method, METADATA) => played(&metadata),
        _ => Action::Forward,
    });
    let late = play.token("reader")?;
    assert_eq!(ask(&late, TWO)?, said("hit-newer", "second"));
    assert_eq!(until(proxy, TWO, "hit-newer")?, "second");
    tap.heal();
    assert_eq!(until(proxy, TWO, "revalidated")?, "second");
    Ok(())
}

#[test]
fn a_refusal_withdraws_what_a_token_could_get() -> anyhow::Result<()> {
    let mut play = Play::new("1s", "10m")?;
    let blind = play.token("blind")?;
    for path in [ONE, TWO] {
        ask(&play.proxy, path)?;
        ask(&blind, path)?;
    }
    let nothing = r#"path "nothing" { capabilities = ["read"] }"#;
    play.world.server.policy("blind", nothing)?;
    for path in [ONE, TWO] {
        poll::until("a refusal", poll::LIMIT, || {
            let status = blind.get(path)?.status();
            anyhow::ensure!(status == StatusCode::FORBIDDEN, "{status}");
            anyhow::Ok(())
        })?;
    }
    play.world.server.stop()?;
    for path in [ONE, TWO] {
        until(&play.proxy, path, "stale")?;
        assert!(blind.get(path)?.status().is_server_error());
    }
    Ok(())
}

#[test]
fn clearing_and_revoking_end_what_is_kept() -> anyhow::Result<()> {
    let play = Play::new(LASTING, "10m")?;
    let proxy = &play.proxy;
    let own = play.world.sink()?;
    for body in [
        json!({ "type": "all" }),
        json!({ "type": "request_path", "value": "/v1/two/data" }),
        json!({ "type": "request_path", "value": TWO }),
        json!({ "type": "token", "value": own }),
    ] {
        assert_eq!(ask(proxy, TWO)?, said("stored", "first"), "{body}");
        assert_eq!(ask(proxy, TWO)?, said("hit", "first"), "{body}");
        proxy.post("/agent/v1/cache-clear", &body)?;
    }
    let other = play.token("reader")?;
    assert_eq!(ask(&other, TWO)?, said("stored", "first"));
    assert_eq!(ask(&other, TWO)?, said("hit", "first"));
    let revoked = other.post("/v1/auth/token/revoke-self", &json!({}))?;
    assert!(revoked.status().is_success(), "{revoked:?}");
    assert_eq!(other.get(TWO)?.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[test]
fn namespaces_are_kept_apart_and_each_has_two_spellings() -> anyhow::Result<()> {
    let play = Play::new(LASTING, "10m")?;
    let root = play.world.server.root();
    root.write("sys/namespaces/ns1", &json!({}))?;
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    root.write("ns1/sys/mounts/two", &mount)?;
    root.write("ns1/two/data/app", &json!({ "data": { "text": "inside" } }))?;
    let client = play.proxy.clone().with_token(root.token())?;
    let inside = client.clone().with_header("x-vault-namespace", "ns1")?;
    assert_eq!(ask(&client, TWO)?, said("stored", "first"));
    assert_eq!(ask(&inside, TWO)?, said("stored", "inside"));
    assert_eq!(ask(&client, TWO)?, said("hit", "first"));
    assert_eq!(ask(&client, "/v1/ns1/two/data/app")?, said("hit", "inside"));
    assert_eq!(ask(&inside, TWO)?, said("hit", "inside"));
    Ok(())
}

#[test]
fn secrets_count_against_the_bounds_of_the_cache() -> anyhow::Result<()> {
    let play = Play::with(&json!({ "max_entries": 2, "static_secrets": { "ttl": LASTING } }))?;
    let create = json!({ "policies": ["reader"], "ttl": "1h" });
    let made = |client: &web::Client| {
        let answer = client.post("/v1/auth/token/create", &create)?;
        anyhow::Ok(decision(&answer).to_owned())
    };
    assert_eq!(made(&play.proxy)?, "stored");
    ask(&play.proxy, ONE)?;
    assert_eq!(made(&play.proxy)?, "hit");
    assert_eq!(ask(&play.proxy, TWO)?, said("stored", "first"));
    // The longest unused has gone.
    assert_eq!(made(&play.proxy)?, "hit");
    assert_eq!(ask(&play.proxy, TWO)?, said("hit", "first"));
    assert_eq!(ask(&play.proxy, ONE)?, said("stored", "first"));
    assert_eq!(made(&play.proxy)?, "stored");
    let metrics = bank::metrics(&play.proxy)?;
    let entries = metrics.get("keyside_agent_cache_entries").copied();
    assert_eq!(entries, Some(2.0));
    Ok(())
}
