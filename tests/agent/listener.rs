//! Listeners: TLS, and several of them with options of their own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::pki::{self, Pki};
use keyside_harness::tap::Action;
use keyside_harness::{poll, web};
use rustix::process::Signal;
use rustls::ProtocolVersion;
use serde_json::{Value, json};

use crate::lone::Lone;
use crate::world::{Agent, World};

const SELF: &str = "/v1/auth/token/lookup-self";

/// The usual configuration, with TLS on its listener, and further keys there.
fn config(world: &World, leaf: &pki::Leaf, keys: Value) -> anyhow::Result<Value> {
    let mut config = world.config();
    let listener = config
        .pointer_mut("/listener/0")
        .and_then(Value::as_object_mut);
    let listener = listener.context("a block")?;
    listener.remove("tls_disable");
    listener.insert("tls_cert_file".to_owned(), json!(leaf.certificate_path));
    listener.insert("tls_key_file".to_owned(), json!(leaf.key_path));
    let Value::Object(keys) = keys else {
        anyhow::bail!("{keys} is no object");
    };
    listener.extend(keys);
    Ok(config)
}

fn started(world: &World, config: &Value) -> anyhow::Result<Agent> {
    let mut agent = world.agent(config)?;
    agent.child.wait_for_event("started")?;
    Ok(agent)
}

/// A client of the TLS listener.
fn client(agent: &mut Agent, ca: &str) -> anyhow::Result<web::Client> {
    let address = agent.child.listening("tcp")?;
    web::Client::new(&format!("https://{address}"), Some(ca))
}

/// The version and the protocol that a client with these offers and the listener agree on.
fn agreed(
    agent: &mut Agent,
    ca: &str,
    version: &'static rustls::SupportedProtocolVersion,
    protocols: &[&[u8]],
) -> anyhow::Result<(Option<ProtocolVersion>, Option<Vec<u8>>)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::pem_slice_iter(
            ca.as_bytes(),
        )
    {
        roots.add(certificate?)?;
    }
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let mut tcp = TcpStream::connect(agent.child.listening("tcp")?)?;
    tcp.set_read_timeout(Some(poll::LIMIT))?;
    let mut session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    Ok((
        session.protocol_version(),
        session.alpn_protocol().map(<[u8]>::to_vec),
    ))
}

#[test]
fn a_listener_with_a_certificate_speaks_tls_alone_and_guards_as_ever() -> anyhow::Result<()> {
    let world = World::new()?;
    let pki = Pki::new()?;
    let config = config(&world, &pki.server("agent", &[])?, json!({}))?;
    let mut agent = started(&world, &config)?;
    let proxy = client(&mut agent, &pki.ca())?;
    assert_eq!(proxy.get(SELF)?.status(), StatusCode::OK);
    let large = "a".repeat(1 << 20);
    let posted = proxy.post("/v1/secret/a", &json!({ "large": large }))?;
    assert_eq!(posted.status(), StatusCode::FORBIDDEN);
    let guarded = "/v1/secret/guarded";
    let foreign = proxy.with_header("host", "evil.test")?.get(guarded)?;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);

    // Plain HTTP gets no HTTP answer.
    let mut plain = TcpStream::connect(agent.child.listening("tcp")?)?;
    plain.set_read_timeout(Some(poll::LIMIT))?;
    plain.write_all(format!("GET {guarded} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert_eq!(world.tap.count(&Method::GET, guarded), 0);

    for (version, spoken) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let offers: &[&[u8]] = &[b"h2", b"http/1.1"];
        let agreed = agreed(&mut agent, &pki.ca(), version, offers)?;
        assert_eq!(agreed, (Some(spoken), Some(b"http/1.1".to_vec())));
    }
    Ok(())
}

#[test]
fn a_version_that_is_not_allowed_is_not_spoken() -> anyhow::Result<()> {
    let world = World::new()?;
    let pki = Pki::new()?;
    let leaf = pki.server("agent", &[])?;
    for (key, value, good, bad) in [
        (
            "tls_min_version",
            "tls13",
            &rustls::version::TLS13,
            &rustls::version::TLS12,
        ),
        (
            "tls_max_version",
            "tls12",
            &rustls::version::TLS12,
            &rustls::version::TLS13,
        ),
    ] {
        let config = config(&world, &leaf, json!({ key: value }))?;
        let mut agent = started(&world, &config)?;
        agreed(&mut agent, &pki.ca(), good, &[])?;
        assert!(agreed(&mut agent, &pki.ca(), bad, &[]).is_err(), "{key}");
    }
    Ok(())
}

#[test]
fn who_has_no_certificate_of_the_client_ca_is_turned_away() -> anyhow::Result<()> {
    let world = World::new()?;
    let (pki, clients, strangers) = (Pki::new()?, Pki::new()?, Pki::new()?);
    let keys = json!({
        "tls_require_and_verify_client_cert": true,
        "tls_client_ca_file": clients.ca_path(),
    });
    let config = config(&world, &pki.server("agent", &[])?, keys)?;
    let mut agent = started(&world, &config)?;
    let nobody = client(&mut agent, &pki.ca())?;
    world.tap.clear();
    assert!(nobody.get(SELF).is_err());
    let stranger = nobody
        .clone()
        .presenting(&pki.ca(), &strangers.client("app")?)?;
    assert!(stranger.get(SELF).is_err());
    assert_eq!(world.tap.requests().len(), 0);
    let app = nobody.presenting(&pki.ca(), &clients.client("app")?)?;
    assert_eq!(app.get(SELF)?.status(), StatusCode::OK);
    Ok(())
}

/// Waits until the listener's certificate is one of this CA.
fn presented(agent: &mut Agent, ca: &str) -> anyhow::Result<()> {
    let client = client(agent, ca)?;
    poll::until("the certificate", poll::LIMIT, || {
        client
            .get(SELF)
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    })
}

#[test]
fn a_listeners_certificate_is_replaced_by_a_signal_and_by_itself() -> anyhow::Result<()> {
    let world = World::new()?;
    let (first, second, third) = (Pki::new()?, Pki::new()?, Pki::new()?);
    let leaf = first.server("agent", &[])?;
    let config = config(&world, &leaf, json!({}))?;
    let mut agent = started(&world, &config)?;
    presented(&mut agent, &first.ca())?;

    let renewed = second.server("agent", &[])?;
    std::fs::write(&leaf.certificate_path, &renewed.certificate)?;
    agent.child.signal(Signal::HUP)?;
    let failed = agent.child.wait_for_event("reload_failed")?;
    assert!(
        failed["error"].to_string().contains("do not go together"),
        "{failed}"
    );
    presented(&mut agent, &first.ca())?;
    std::fs::write(&leaf.key_path, &renewed.key)?;
    agent.child.signal(Signal::HUP)?;
    presented(&mut agent, &second.ca())?;

    let renewed = third.server("agent", &[])?;
    std::fs::write(&leaf.certificate_path, &renewed.certificate)?;
    std::fs::write(&leaf.key_path, &renewed.key)?;
    agent.child.wait_for_event("certificates_reloaded")?;
    presented(&mut agent, &third.ca())
}

#[test]
fn a_certificate_that_cannot_be_used_fails_the_start_by_name() -> anyhow::Result<()> {
    let world = World::new()?;
    let pki = Pki::new()?;
    let mut leaf = pki.server("agent", &[])?;
    leaf.key_path = pki.server("another", &[])?.key_path;
    let mut agent = world.agent(&config(&world, &leaf, json!({}))?)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(1));
    let said = agent.child.wait_for_event("failed")?["error"].to_string();
    for part in [
        "TLS on the listener 127.0.0.1:",
        "another.key",
        "do not go together",
    ] {
        assert!(said.contains(part), "{said}");
    }
    Ok(())
}

/// Each has its own rules: what one allows, another refuses.
#[test]
fn every_listener_keeps_its_own_options() -> anyhow::Result<()> {
    let world = World::new()?;
    let pki = Pki::new()?;
    let leaf = pki.server("agent", &[])?;
    let (open, strict) = (world.path("open.sock"), world.path("strict.sock"));
    let mut config = config(&world, &leaf, json!({ "allow_forwarded": true }))?;
    let listeners = config["listener"].as_array_mut().context("a list")?;
    listeners.extend([
        json!({ "type": "unix", "address": open }),
        json!({ "type": "unix", "address": strict, "require_request_header": true }),
        json!({
            "type": "unix", "address": world.path("metrics.sock"), "role": "metrics_only",
            "require_request_header": true,
        }),
        json!({
            "type": "unix", "address": world.path("tls.sock"),
            "tls_cert_file": leaf.certificate_path, "tls_key_file": leaf.key_path,
        }),
    ]);
    let mut agent = started(&world, &config)?;
    let tls = client(&mut agent, &pki.ca())?;
    let forwarded = tls.with_header("x-forwarded-for", "10.0.0.1")?;
    assert_eq!(forwarded.get(SELF)?.status(), StatusCode::OK);
    let (open, strict) = (web::Client::unix(open), web::Client::unix(strict));
    assert_eq!(open.get(SELF)?.status(), StatusCode::OK);
    assert_eq!(strict.get(SELF)?.status(), StatusCode::PRECONDITION_FAILED);
    let metrics = web::Client::unix(world.path("metrics.sock"));
    let marked = metrics.clone().with_header("x-vault-request", "true")?;
    assert_eq!(marked.get("/agent/v1/metrics")?.status(), StatusCode::OK);
    assert_eq!(marked.get(SELF)?.status(), StatusCode::NOT_FOUND);
    let plain = web::Client::unix(world.path("tls.sock"));
    assert!(plain.get(SELF).is_err(), "TLS on a Unix socket is TLS");
    Ok(())
}

/// What the peers' users call, under both names.
#[test]
fn metrics_and_cache_clear_answer_under_both_names_and_know_their_formats() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), |_| Action::ok("{}"))?;
    let proxy = lone.proxy()?;
    for prefix in ["/agent/v1", "/proxy/v1"] {
        for path in ["metrics", "metrics?format=prometheus"] {
            let metrics = proxy.get(&format!("{prefix}/{path}"))?;
            assert_eq!(metrics.status(), StatusCode::OK, "{path}");
            assert!(!metrics.body().is_empty());
        }
        let head = web::request(Method::HEAD, &format!("{prefix}/metrics"), None)?;
        let head = proxy.send(head)?;
        assert_eq!(head.status(), StatusCode::OK);
        assert!(head.body().is_empty());
        let json = proxy.get(&format!("{prefix}/metrics?format=json"))?;
        assert_eq!(json.status(), StatusCode::BAD_REQUEST);
        assert!(
            web::json(&json)?["errors"][0]
                .to_string()
                .contains("prometheus")
        );
        let posted = proxy.post(&format!("{prefix}/metrics"), &json!({}))?;
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(posted.headers()["allow"], "GET, HEAD");
        let cleared = proxy.post(&format!("{prefix}/cache-clear"), &json!({ "type": "all" }))?;
        assert_eq!(cleared.status(), StatusCode::OK);
    }
    assert_eq!(lone.seen().len(), 0);
    Ok(())
}

#[test]
fn quit_ends_the_agent_gently_where_it_is_enabled() -> anyhow::Result<()> {
    for (block, prefix) in [("agent_api", "/agent/v1"), ("proxy_api", "/proxy/v1")] {
        let keys = json!({ block: { "enable_quit": true } });
        let mut lone = Lone::with(keys, |request| {
            if request.path == "/v1/held" {
                Action::Hold
            } else {
                Action::ok("{}")
            }
        })?;
        let proxy = lone.proxy()?;
        let quit = format!("{prefix}/quit");
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let refused = proxy.send(web::request(method, &quit, None)?)?;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(refused.headers()["allow"], "POST");
        }
        let held = proxy.start(web::request(Method::GET, "/v1/held", None)?)?;
        lone.tap.wait_for(&Method::GET, "/v1/held", 1)?;
        let answered = proxy.send(web::request(Method::POST, &quit, None)?)?;
        assert_eq!(answered.status(), StatusCode::OK);
        // Nobody stands behind the server that is played, so what it lets go of fails, and is answered.
        lone.tap.release();
        assert_eq!(held.wait()?.status(), StatusCode::BAD_GATEWAY);
        let status = lone.agent.child.wait(poll::LIMIT)?;
        assert!(status.success(), "{status}");
    }
    Ok(())
}

#[test]
fn ten_thousand_quits_end_it_once() -> anyhow::Result<()> {
    let keys = json!({ "agent_api": { "enable_quit": true }, "allow_forwarded": true });
    let mut lone = Lone::with(keys, |_| Action::ok("{}"))?;
    let address = lone.agent.child.listening("tcp")?;
    let one = "POST /agent/v1/quit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let many = one.repeat(100);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                // It may be gone already.
                let Ok(mut stream) = TcpStream::connect(&address) else {
                    return;
                };
                stream.set_read_timeout(Some(poll::LIMIT)).ok();
                stream.write_all(many.as_bytes()).ok();
                stream.read_to_end(&mut Vec::new()).ok();
            });
        }
    });
    let status = lone.agent.child.wait(poll::LIMIT)?;
    assert!(status.success(), "{status}");
    assert_eq!(lone.agent.child.events("quit").len(), 1);
    assert_eq!(lone.agent.child.events("connection_panicked").len(), 0);
    Ok(())
}

#[test]
fn the_verb_quit_needs_no_listener_that_allows_it() -> anyhow::Result<()> {
    let mut lone = Lone::with(json!({}), |_| Action::ok("{}"))?;
    let (status, said) = lone.agent.ask(&["quit"])?;
    assert_eq!((status, said.trim()), (0, "ending after what is under way"));
    let status = lone.agent.child.wait(poll::LIMIT)?;
    assert!(status.success(), "{status}");
    Ok(())
}

#[test]
fn socket_mode_user_and_group_count_each_by_itself() -> anyhow::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let world = World::new()?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let other = if user.is_root() {
        65534
    } else {
        group.as_raw()
    };
    let owner = if user.is_root() { 65534 } else { user.as_raw() };
    let mut config = world.config();
    config["listener"] = json!([
        { "type": "unix", "address": world.path("mode"), "socket_mode": "0660" },
        { "type": "unix", "address": world.path("user"), "socket_user": owner },
        { "type": "unix", "address": world.path("group"), "socket_group": other },
    ]);
    let _agent = started(&world, &config)?;
    for (name, mode, user, group) in [
        ("mode", 0o660, user.as_raw(), group.as_raw()),
        ("user", 0o600, owner, group.as_raw()),
        ("group", 0o600, user.as_raw(), other),
    ] {
        let of = std::fs::metadata(world.path(name))?;
        assert_eq!(of.permissions().mode() & 0o777, mode, "{name}");
        assert_eq!((of.uid(), of.gid()), (user, group), "{name}");
    }
    Ok(())
}

/// Vault Proxy's `prepend_configured_namespace`.
#[test]
fn a_clients_namespace_is_below_the_configured_one_where_that_is_wanted() -> anyhow::Result<()> {
    for (prepend, expected) in [(false, "ns1"), (true, "team/ns1")] {
        let world = World::new()?;
        let mut config = world.config();
        config["vault"]["namespace"] = json!("team");
        config["auto_auth"]["method"]["namespace"] = json!("root");
        config["api_proxy"]["prepend_configured_namespace"] = json!(prepend);
        let mut agent = started(&world, &config)?;
        world.tap.rule(|_| Action::ok("{}"));
        world.tap.clear();
        let proxy = agent.proxy()?;
        proxy.get("/v1/secret/a")?;
        let named = proxy.with_header("x-vault-namespace", "/ns1/")?;
        named.get("/v1/secret/b")?;
        let requests = world.tap.requests();
        let sent = |path| {
            let mut requests = requests.iter();
            let found = requests.find(|request| request.path == path);
            found.and_then(|request| request.header("x-vault-namespace"))
        };
        assert_eq!(sent("/v1/secret/a"), Some("team"));
        let namespace = sent("/v1/secret/b").map(|namespace| namespace.trim_matches('/'));
        assert_eq!(namespace, Some(expected));
    }
    Ok(())
}

/// The peer copies half of the setting into an empty `api_proxy`, and sends no token at all.
#[test]
fn force_in_the_cache_block_beside_an_empty_api_proxy_keeps_the_token() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["cache"] = json!({ "use_auto_auth_token": "force" });
    config["api_proxy"] = json!({});
    let mut agent = started(&world, &config)?;
    let proxy = agent.proxy()?;
    assert_eq!(proxy.get(SELF)?.status(), StatusCode::OK);
    let other = proxy.with_token("mine")?.get(SELF)?;
    assert_eq!(other.status(), StatusCode::OK);
    Ok(())
}
