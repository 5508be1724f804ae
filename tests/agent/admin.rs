//! Probes, metrics, status, and the verbs that ask for them.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use http::StatusCode;
use keyside_harness::{openbao, poll, tap, web};
use serde_json::{Value, json};

use crate::world::{Agent, ROLE, World, keyside_agent, run};

#[test]
fn a_probe_without_an_agent_fails_and_says_where_it_asked() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.args(["probe", "startup", "-socket=/nonexistent/admin.sock"]);
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 1);
    assert!(
        stderr.contains("no agent answers at /nonexistent/admin.sock"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn the_startup_probe_says_what_it_waits_for_until_the_token_is_in_the_sink() -> anyhow::Result<()> {
    let world = World::new()?;
    world
        .server
        .root()
        .delete(&format!("auth/kubernetes/role/{ROLE}"))?;
    let mut agent = world.agent(&world.config())?;
    agent.child.wait_for_event("login_failed")?;
    for probe in ["startup", "ready"] {
        let (status, line) = agent.ask(&["probe", probe])?;
        assert_eq!((status, line.lines().count()), (1, 1), "{line}");
        assert!(line.starts_with("waiting for the first login: "), "{line}");
        assert!(
            line.contains("auth/kubernetes/login was answered 400") && line.contains(ROLE),
            "{line}"
        );
    }
    assert_eq!(agent.ask(&["probe", "live"])?, (0, "alive\n".to_owned()));

    world.server.kubernetes_role(&openbao::Role {
        name: ROLE,
        ..Default::default()
    })?;
    let passed = poll::until("a startup probe that passes", poll::LIMIT, || {
        match agent.ask(&["probe", "startup"]) {
            Ok((0, line)) => Ok(line),
            other => Err(format!("{other:?}")),
        }
    })?;
    assert_eq!(passed, "started\n");
    assert!(!world.sink()?.is_empty());
    assert_eq!(agent.ask(&["probe", "ready"])?, (0, "ready\n".to_owned()));
    Ok(())
}

#[test]
fn an_unwritable_sink_is_what_the_startup_probe_names() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    let path = world.path("absent").join("token");
    config["auto_auth"]["sink"][0]["config"]["path"] = json!(path);
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("sink_failed")?;
    let (status, line) = agent.ask(&["probe", "startup"])?;
    assert_eq!(status, 1);
    let expected = format!("waiting for sink {}: ", path.display());
    assert!(
        line.starts_with(&expected) && line.contains("No such file"),
        "{line}"
    );
    assert_eq!(
        agent.ask(&["probe", "ready"])?.0,
        0,
        "the proxy has its token"
    );
    Ok(())
}

#[test]
fn ready_ends_with_the_token_and_startup_does_not() -> anyhow::Result<()> {
    let role = openbao::Role {
        name: ROLE,
        ttl: 2,
        max_ttl: 2,
        ..Default::default()
    };
    let world = World::with(openbao::Options::default(), &role)?;
    let agent = world.started()?;
    world
        .tap
        .rule(|_| tap::Action::fail(StatusCode::SERVICE_UNAVAILABLE));
    let line = poll::until("a ready probe that fails", poll::LIMIT, || {
        match agent.ask(&["probe", "ready"]) {
            Ok((1, line)) => Ok(line),
            other => Err(format!("{other:?}")),
        }
    })?;
    assert!(
        line.starts_with("waiting for a new login, for the token ended"),
        "{line}"
    );
    assert_eq!(agent.ask(&["probe", "startup"])?.0, 0);
    world.tap.heal();
    poll::until("a ready probe that passes", poll::LIMIT, || {
        match agent.ask(&["probe", "ready"]) {
            Ok((0, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

#[test]
fn the_socket_is_found_by_flag_by_environment_and_by_file() -> anyhow::Result<()> {
    let world = World::new()?;
    let _agent = world.started()?;
    let config = world.path("config.json");
    let mut by_file = keyside_agent();
    by_file
        .args(["probe", "startup"])
        .arg(format!("-config={}", config.display()));
    let mut by_environment = keyside_agent();
    by_environment
        .args(["probe", "startup"])
        .env("KEYSIDE_CONFIG", std::fs::read_to_string(&config)?);
    for command in [by_file, by_environment] {
        let (status, stdout, stderr) = run(command)?;
        assert_eq!((status, stdout.as_str()), (0, "started\n"), "{stderr}");
    }
    Ok(())
}

#[test]
fn the_socket_is_for_its_owner_alone_and_replaces_a_dead_agents() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut first = world.started()?;
    let socket = world.path("admin.sock");
    let mode = std::fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    first.child.kill();
    assert!(socket.exists(), "a killed agent cannot tidy up");
    let second = world.started()?;
    assert_eq!(second.ask(&["probe", "live"])?.0, 0);
    Ok(())
}

#[test]
fn status_tells_of_the_token_what_vault_tells() -> anyhow::Result<()> {
    let world = World::new()?;
    let agent = world.started()?;
    let (status, text) = agent.ask(&["status"])?;
    assert_eq!(status, 0);
    let told: Value = serde_json::from_str(&text)?;
    let vault = world
        .server
        .client(&world.sink()?)?
        .look_up_self()?
        .context("a dead token")?;
    assert_eq!(told["token"]["accessor"], vault["data"]["accessor"]);
    assert_eq!(told["token"]["generation"], 1);
    let (ttl, real) = (
        told["token"]["ttl_seconds"].as_i64(),
        vault["data"]["ttl"].as_i64(),
    );
    let (ttl, real) = (ttl.context("no ttl")?, real.context("no ttl")?);
    assert!((real - ttl).abs() <= 5, "{ttl}, and Vault says {real}");
    assert_eq!(told["ready"], true);
    assert_eq!(told["waiting_for"], json!([]));
    Ok(())
}

#[test]
fn cache_clear_forgets_what_it_names_and_status_counts_what_is_left() -> anyhow::Result<()> {
    let world = issuing()?;
    let mut agent = world.started()?;
    let path = "/v1/auth/token/create";
    let create = |agent: &mut Agent, client: &str| -> anyhow::Result<Value> {
        let body = json!({ "meta": { "client": client } });
        web::success(&agent.proxy()?.post(path, &body)?)
    };
    let (kept, dropped) = (create(&mut agent, "kept")?, create(&mut agent, "dropped")?);
    assert_eq!(
        create(&mut agent, "dropped")?,
        dropped,
        "it is not cached to begin with"
    );
    assert_eq!(entries(&agent)?, 2);

    let accessor = dropped["auth"]["accessor"]
        .as_str()
        .context("no accessor")?;
    let value = format!("-value={accessor}");
    let (status, said) = agent.ask(&["cache-clear", "-type=token_accessor", &value])?;
    assert_eq!((status, said.as_str()), (0, "cleared\n"));
    assert_eq!(entries(&agent)?, 1);
    assert_ne!(create(&mut agent, "dropped")?, dropped);
    assert_eq!(create(&mut agent, "kept")?, kept);

    assert_eq!(agent.ask(&["cache-clear"])?.0, 0);
    assert_eq!(entries(&agent)?, 0);
    let (status, said) = agent.ask(&["cache-clear", "-type=lease"])?;
    assert_eq!(
        (status, said.as_str()),
        (64, "\"value\" is missing: the lease id\n")
    );
    Ok(())
}

#[test]
fn a_token_to_be_forgotten_is_read_from_standard_input() -> anyhow::Result<()> {
    let world = issuing()?;
    let mut agent = world.started()?;
    let created = web::success(&agent.proxy()?.post("/v1/auth/token/create", &json!({}))?)?;
    let token = created["auth"]["client_token"]
        .as_str()
        .context("no token")?;
    assert_eq!(entries(&agent)?, 1);
    let (file, socket) = (world.path("stdin"), world.path("admin.sock"));
    std::fs::write(&file, format!("{token}\n"))?;
    let mut command = keyside_agent();
    command
        .args(["cache-clear", "-type=token", "-value=-"])
        .arg(format!("-socket={}", socket.display()));
    command.stdin(std::fs::File::open(&file)?);
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(entries(&agent)?, 0);
    Ok(())
}

/// A world whose agent may make tokens.
fn issuing() -> anyhow::Result<World> {
    let role = openbao::Role {
        name: ROLE,
        policies: &["default", "issuing"],
        ..Default::default()
    };
    let world = World::with(openbao::Options::default(), &role)?;
    let rules = r#"path "auth/token/create" { capabilities = ["update"] }"#;
    world.server.policy("issuing", rules)?;
    Ok(world)
}

/// How many answers the cache holds, as `status` says.
fn entries(agent: &Agent) -> anyhow::Result<u64> {
    let (_, text) = agent.ask(&["status"])?;
    let status: Value = serde_json::from_str(&text)?;
    let entries = status.pointer("/cache/entries").and_then(Value::as_u64);
    entries.with_context(|| text)
}

#[test]
fn over_http_there_are_probes_and_metrics_and_nothing_else() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["admin"]["address"] = json!("127.0.0.1:0");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let http = web::Client::new(&agent.child.listening("health")?, None)?;
    for path in ["/startup", "/ready", "/live", "/metrics"] {
        assert_eq!(http.get(path)?.status(), 200, "{path}");
    }
    for path in ["/status", "/cache-clear"] {
        assert_eq!(http.get(path)?.status(), 404, "{path}");
    }
    Ok(())
}

#[test]
fn metrics_are_prometheus_text_and_count_what_happened() -> anyhow::Result<()> {
    let world = World::new()?;
    let agent = world.started()?;
    let samples = metrics(&agent)?;
    assert!(
        samples
            .keys()
            .all(|name| name.starts_with("keyside_agent_")),
        "{samples:?}"
    );
    let version = concat!(
        "keyside_agent_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    );
    let at_least = |name: &str, least: f64| {
        let value = samples.get(name).copied();
        assert!(
            value.is_some_and(|value| value >= least),
            "{name}: {value:?} in {samples:?}"
        );
    };
    at_least(version, 1.0);
    at_least("keyside_agent_uptime_seconds", 0.0);
    at_least("keyside_agent_login_total{result=\"success\"}", 1.0);
    at_least("keyside_agent_token_expiry_seconds", 60.0);
    at_least("keyside_agent_resident_memory_bytes", 1e6);
    Ok(())
}

/// Reads Prometheus' text format: every sample belongs to a family with a type and a help, and is there once.
fn metrics(agent: &Agent) -> anyhow::Result<HashMap<String, f64>> {
    let response = agent.admin().get("/metrics")?;
    let content = response.headers()["content-type"].to_str()?;
    anyhow::ensure!(
        content.starts_with("text/plain; version=0.0.4"),
        "{content}"
    );
    let text = std::str::from_utf8(response.body())?;
    anyhow::ensure!(text.ends_with('\n'), "the last line is not ended");
    let mut families = HashMap::<&str, Vec<&str>>::new();
    let mut samples = HashMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ').context("a bare comment")?;
            let (name, said) = rest
                .split_once(' ')
                .with_context(|| format!("nothing said: {line}"))?;
            let types = ["counter", "gauge", "histogram", "summary", "untyped"];
            anyhow::ensure!(
                kind == "HELP" || kind == "TYPE" && types.contains(&said),
                "{line}"
            );
            families.entry(name).or_default().push(kind);
            continue;
        }
        let (sample, value) = line
            .rsplit_once(' ')
            .with_context(|| format!("no value: {line}"))?;
        let name = sample.split('{').next().unwrap_or_default();
        let family = ["", "_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| families.get(name.strip_suffix(end)?));
        anyhow::ensure!(
            family.is_some_and(|said| *said == ["HELP", "TYPE"]),
            "no family for {line}"
        );
        let value = value
            .parse()
            .with_context(|| format!("no number: {line}"))?;
        anyhow::ensure!(
            samples.insert(sample.to_owned(), value).is_none(),
            "twice: {line}"
        );
    }
    Ok(samples)
}

#[test]
fn a_mistake_in_what_to_clear_is_told_apart_from_a_failure() -> anyhow::Result<()> {
    let world = World::new()?;
    let agent = world.started()?;
    for arguments in [
        &["cache-clear", "-type=leases"][..],
        &["cache-clear", "-type=lease"],
    ] {
        let (status, said) = agent.ask(arguments)?;
        assert_eq!(status, 64, "{arguments:?}: {said}");
    }
    Ok(())
}
