//! The proxy as its clients see it: what passes, what is refused, and how it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{openbao, poll, web};
use serde_json::json;

use crate::bank;
use crate::world::{ROLE, World};

/// More than anything that the agent may hold in memory.
const LARGE: usize = 64 << 20;

#[test]
fn a_secret_is_written_read_and_listed_without_a_token_and_never_kept() -> anyhow::Result<()> {
    let role = openbao::Role {
        name: ROLE,
        policies: &["notes"],
        ..Default::default()
    };
    let world = World::with(openbao::Options::default(), &role)?;
    world.server.key_value("secret", 2)?;
    world.server.policy(
        "notes",
        r#"path "secret/*" { capabilities = ["create", "read", "update", "list"] }"#,
    )?;
    let (_agent, proxy) = bank::open(&world)?;
    let written = proxy.post(
        "/v1/secret/data/app",
        &json!({ "data": { "color": "blue" } }),
    )?;
    assert_eq!(written.status(), 200, "{written:?}");
    for _ in 0..2 {
        let read = proxy.get("/v1/secret/data/app")?;
        assert_eq!(web::success(&read)?["data"]["data"]["color"], "blue");
        assert_eq!(read.headers()["x-cache"], "MISS");
        assert_eq!(read.headers()["x-keyside-cache"], "skip-plain");
    }
    let list = Method::from_bytes(b"LIST")?;
    let listed = proxy.send(web::request(list, "/v1/secret/metadata", None)?)?;
    assert_eq!(web::success(&listed)?["data"]["keys"], json!(["app"]));
    assert_eq!(world.tap.count(&Method::GET, "/v1/secret/data/app"), 2);
    Ok(())
}

#[test]
fn path_and_query_reach_vault_byte_for_byte() -> anyhow::Result<()> {
    let world = World::new()?;
    let (_agent, proxy) = bank::open(&world)?;
    world.tap.rule(|_| Action::json("{}"));
    for path in [
        "/v1/secret/a%2Fb",
        "/v1/secret/a%2fb/",
        "/v1/secret/a;b=1",
        "/v1/secret/a?b&c=&d=1;2&b=2",
        "/v1/secret/%7Ea~?q=%61+b",
        "/v1/secret/a?list=true",
    ] {
        world.tap.clear();
        assert_eq!(proxy.get(path)?.status(), StatusCode::OK, "{path}");
        let seen: Vec<_> = world
            .tap
            .requests()
            .into_iter()
            .map(|request| request.path)
            .collect();
        assert_eq!(seen, [path]);
    }
    Ok(())
}

#[test]
fn what_two_readers_could_take_differently_never_reaches_vault() -> anyhow::Result<()> {
    let world = World::new()?;
    let (_agent, proxy) = bank::open(&world)?;
    world.tap.rule(|_| Action::json("{}"));
    world.tap.clear();
    for path in [
        "/v1/secret/../sys/seal",
        "/v1/secret/%2e%2e/sys/seal",
        "/v1/secret%2f..%2fsys/seal",
        "/v1/./secret",
        "/v1/secret//a",
        "/v1//secret",
        "/v1/secret/a%00",
        "/v1/secret/a%5cb",
        "/v1/secret/a%zz",
    ] {
        let refused = proxy.get(path)?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{path}");
        assert!(web::json(&refused)?["errors"][0].is_string());
    }
    for path in [
        "/",
        "/ui/",
        "/v2/a",
        "/v1",
        "/agent/v1/quit",
        "/proxy/v1/quit",
        "/agent/v1/",
    ] {
        assert_eq!(proxy.get(path)?.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for (name, value, status) in [
        ("host", "evil.test", 403),
        ("origin", "http://evil.test", 403),
        ("x-forwarded-for", "10.0.0.1", 403),
        ("forwarded", "for=10.0.0.1", 403),
    ] {
        let marked = proxy.clone().with_header(name, value)?;
        for path in ["/v1/secret/a", "/agent/v1/metrics"] {
            assert_eq!(marked.get(path)?.status(), status, "{name} {path}");
        }
        let cleared = marked.post("/agent/v1/cache-clear", &json!({ "type": "all" }))?;
        assert_eq!(cleared.status(), status, "{name}");
    }
    let twice = Request::get("/v1/secret/a")
        .header("x-vault-token", "a")
        .header("x-vault-token", "b");
    assert_eq!(
        proxy.send(twice.body(Bytes::new())?)?.status(),
        StatusCode::BAD_REQUEST
    );
    let large = proxy.clone().with_header("x-large", &"a".repeat(40_000))?;
    assert_eq!(
        large.get("/v1/secret/a")?.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert_eq!(world.tap.requests().len(), 0);
    Ok(())
}

#[test]
fn the_request_header_is_demanded_where_configured() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["listener"][0]["require_request_header"] = json!(true);
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    for path in ["/v1/auth/token/lookup-self", "/agent/v1/metrics"] {
        assert_eq!(
            proxy.get(path)?.status(),
            StatusCode::PRECONDITION_FAILED,
            "{path}"
        );
        let with = proxy.clone().with_header("x-vault-request", "true")?;
        assert_eq!(with.get(path)?.status(), StatusCode::OK, "{path}");
    }
    Ok(())
}

#[test]
fn the_agents_token_goes_only_where_it_may() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["vault"]["namespace"] = json!("root");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    let own = world.sink()?;
    world.tap.rule(|_| Action::json("{}"));
    let sent = |path: &str, headers: &[(&str, &str)]| {
        world.tap.clear();
        let mut client = proxy.clone();
        for (name, value) in headers {
            client = client.with_header(name, value)?;
        }
        anyhow::ensure!(client.post(path, &json!({}))?.status() == StatusCode::OK);
        let requests = world.tap.requests();
        anyhow::ensure!(requests.len() == 1, "{requests:?}");
        anyhow::Ok(requests[0].clone())
    };
    let own = Some(own.as_str());
    for (path, headers, token) in [
        ("/v1/secret/a", &[][..], own),
        ("/v1/secret/a", &[("x-vault-token", "")], own),
        ("/v1/secret/a", &[("x-vault-token", "mine")], Some("mine")),
        ("/v1/secret/a", &[("authorization", "Bearer mine")], None),
        (
            "/v1/secret/a",
            &[("x-vault-inline-auth-path", "auth/a")],
            None,
        ),
        ("/v1/auth/approle/login", &[], None),
        ("/v1/auth/a/b/login/ada", &[], None),
        ("/v1/ns1/auth/approle/login/", &[], None),
    ] {
        let request = sent(path, headers)?;
        assert_eq!(request.header("x-vault-token"), token, "{path} {headers:?}");
    }
    let hop = sent(
        "/v1/secret/a",
        &[
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("te", "gzip"),
        ],
    )?;
    for name in ["connection", "x-mine", "te"] {
        assert_eq!(hop.header(name), None, "{name}");
    }
    assert_eq!(hop.header("x-vault-namespace"), Some("root"));
    let named = sent("/v1/secret/a", &[("x-vault-namespace", "ns1")])?;
    assert_eq!(named.header("x-vault-namespace"), Some("ns1"));
    Ok(())
}

#[test]
fn force_replaces_what_the_client_sent() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["api_proxy"]["use_auto_auth_token"] = json!("force");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    for (name, value) in [("x-vault-token", "mine"), ("authorization", "Bearer mine")] {
        let looked_up = proxy
            .clone()
            .with_header(name, value)?
            .get("/v1/auth/token/lookup-self")?;
        assert_eq!(looked_up.status(), StatusCode::OK, "{name}");
    }
    Ok(())
}

#[test]
fn before_the_first_login_a_request_is_told_to_come_back() -> anyhow::Result<()> {
    let world = World::new()?;
    world
        .tap
        .on(Method::POST, "/v1/auth/kubernetes/login", Action::Hold);
    let mut agent = world.agent(&world.config())?;
    let proxy = agent.proxy()?;
    let early = proxy.get("/v1/auth/token/lookup-self")?;
    assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(early.headers()["retry-after"], "1");
    assert_eq!(proxy.get("/v1/sys/health")?.status(), StatusCode::OK);
    let waiting = proxy.start(web::request(
        Method::GET,
        "/v1/auth/token/lookup-self",
        None,
    )?)?;
    bank::wait_for_metric(&proxy, "keyside_agent_proxy_connections", 2.0)?;
    world.tap.heal();
    world.tap.release();
    assert_eq!(waiting.wait()?.status(), StatusCode::OK);
    Ok(())
}

#[test]
fn vaults_own_errors_pass_and_ours_say_whose_fault_it_was() -> anyhow::Result<()> {
    let world = World::new()?;
    let (_agent, proxy) = bank::open(&world)?;
    for status in [400, 403, 404, 405, 412, 429, 473, 500, 501, 503] {
        let status = StatusCode::from_u16(status)?;
        // Not of everything: that would be an outage.
        world
            .tap
            .on(Method::GET, "/v1/secret/a", Action::fail(status));
        let passed = proxy.get("/v1/secret/a")?;
        assert_eq!(passed.status(), status);
        assert_eq!(web::json(&passed)?["errors"], json!(["from the tap"]));
        assert!(!passed.headers().contains_key("x-cache"));
    }
    world.tap.on(Method::GET, "/v1/secret/a", Action::Reset);
    let reset = proxy.get("/v1/secret/a")?;
    assert_eq!(reset.status(), StatusCode::BAD_GATEWAY);
    let said = web::json(&reset)?["errors"][0].to_string();
    assert!(said.contains(&world.tap.address()), "{said}");
    Ok(())
}

#[test]
fn large_bodies_stream_both_ways() -> anyhow::Result<()> {
    let world = World::new()?;
    let (agent, proxy) = bank::open(&world)?;
    let (up, down) = ("/v1/secret/up", "/v1/secret/down");
    let body = Bytes::from(vec![b'a'; LARGE]);
    let served = body.clone();
    world.tap.rule(move |request| {
        if request.path == down {
            Action::json(served.clone())
        } else {
            Action::json("{}")
        }
    });
    let before = agent.child.resident_bytes()?;
    let asked = proxy.send(Request::post(up).body(body.clone())?)?;
    assert_eq!(asked.headers()["x-keyside-cache"], "skip-request-too-large");
    let received = proxy.get(down)?;
    assert_eq!(received.headers()["x-keyside-cache"], "skip-too-large");
    assert!(received.body() == &body, "{} bytes", received.body().len());
    let seen = world.tap.requests();
    let sent = seen.iter().find(|request| request.path == up);
    assert_eq!(sent.map(|request| request.body.len()), Some(LARGE));
    let grown = agent.child.resident_bytes()?.saturating_sub(before);
    assert!(grown < LARGE as u64 / 4, "grown by {grown} bytes");
    Ok(())
}

/// Each is within the limit on one body; all of them together would be eight times what the cache may take.
#[test]
fn many_slow_uploads_take_no_more_than_the_cache_may() -> anyhow::Result<()> {
    const BODY: usize = 1 << 20;
    const UPLOADS: usize = 32;
    let world = World::new()?;
    let mut config = world.config();
    config["cache"] = json!({ "max_bytes": "4MiB" });
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    world.tap.rule(|_| Action::json("{}"));
    let address = agent.child.listening("tcp")?;
    let head = format!(
        "POST /v1/transit/encrypt/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY}\r\n\r\n"
    );
    let part = vec![b'x'; BODY - 1];
    let mut uploads = Vec::new();
    for _ in 0..UPLOADS {
        let mut stream = TcpStream::connect(&address)?;
        stream.set_write_timeout(Some(poll::LIMIT))?;
        stream.set_read_timeout(Some(poll::LIMIT))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&part)?;
        uploads.push(stream);
    }
    // What was sent before this has been read before this is answered, or nearly so.
    agent.proxy()?.get("/v1/sys/health")?;
    let mut streamed = 0;
    for mut stream in uploads {
        stream.write_all(b"x")?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer)?;
        let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        streamed += usize::from(answer.contains("skip-request-too-large"));
    }
    assert!(streamed > UPLOADS / 2, "{streamed}");
    Ok(())
}

#[test]
fn a_unix_socket_has_the_configured_mode_and_takes_a_dead_ones_place() -> anyhow::Result<()> {
    let world = World::new()?;
    let (plain, open) = (world.path("plain.sock"), world.path("open.sock"));
    // A socket that nobody listens on any more: the standard library leaves the file.
    drop(std::os::unix::net::UnixListener::bind(&open)?);
    let mut config = world.config();
    config["listener"] = json!([
        { "type": "unix", "address": plain, "tls_disable": true },
        { "type": "unix", "address": open, "socket_mode": "0666", "tls_disable": true },
    ]);
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    for (path, mode) in [(&plain, 0o600), (&open, 0o666)] {
        assert_eq!(std::fs::metadata(path)?.permissions().mode() & 0o777, mode);
        let client = web::Client::unix(path);
        assert_eq!(
            client.get("/v1/auth/token/lookup-self")?.status(),
            StatusCode::OK
        );
    }
    agent.child.terminate()?;
    assert!(!plain.exists() && !open.exists());
    Ok(())
}

#[test]
fn a_metrics_listener_serves_metrics_alone() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["listener"][0]["role"] = json!("metrics_only");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;
    let metrics = proxy.get("/agent/v1/metrics")?;
    let text = String::from_utf8_lossy(metrics.body()).into_owned();
    assert!(text.contains("keyside_agent_cache_entries 0"), "{text}");
    assert_eq!(proxy.get("/v1/sys/health")?.status(), StatusCode::NOT_FOUND);
    let cleared = proxy.post("/agent/v1/cache-clear", &json!({ "type": "all" }))?;
    assert_eq!(cleared.status(), StatusCode::NOT_FOUND);
    Ok(())
}

#[test]
fn one_connection_serves_many_requests() -> anyhow::Result<()> {
    let world = World::new()?;
    let (mut agent, _proxy) = bank::open(&world)?;
    let mut connection = TcpStream::connect(agent.child.listening("tcp")?)?;
    for _ in 0..3 {
        connection.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"]}") {
            connection.read_exact(&mut byte)?;
            seen.extend(byte);
        }
        assert!(
            seen.starts_with(b"HTTP/1.1 404"),
            "{}",
            String::from_utf8_lossy(&seen)
        );
    }
    Ok(())
}

#[test]
fn a_request_under_way_is_finished_before_the_end() -> anyhow::Result<()> {
    let world = World::new()?;
    let (mut agent, proxy) = bank::open(&world)?;
    let path = "/v1/auth/token/lookup-self";
    world.tap.on(Method::GET, path, Action::Hold);
    world.tap.clear();
    let pending = proxy.start(web::request(Method::GET, path, None)?)?;
    world.tap.wait_for(&Method::GET, path, 1)?;
    agent.child.signal(rustix::process::Signal::TERM)?;
    poll::until("the listener to be closed", poll::LIMIT, || {
        match proxy.get("/agent/v1/metrics") {
            Err(_refused) => Ok(()),
            Ok(answered) => Err(answered.status()),
        }
    })?;
    world.tap.release();
    assert_eq!(pending.wait()?.status(), StatusCode::OK);
    let status = agent.child.wait(poll::LIMIT)?;
    assert!(status.success(), "{status}");
    Ok(())
}
