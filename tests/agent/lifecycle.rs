//! The process: how it starts, ends, and what it never prints.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use keyside_harness::{poll, tap, web};
use rustix::process::Signal;
use serde_json::json;

use crate::world::World;

/// An end that does not wait for anything.
const PROMPT: Duration = Duration::from_secs(5);
const MOUNTS: &str = "/v1/sys/internal/ui/mounts";

#[test]
fn sigterm_finishes_the_request_under_way_and_exits_0() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = world.started()?;
    let proxy = agent.proxy()?;
    world.tap.on(Method::GET, MOUNTS, tap::Action::Hold);
    let held = proxy.start(web::request(Method::GET, MOUNTS, None)?)?;
    world.tap.wait_for(&Method::GET, MOUNTS, 1)?;

    agent.child.signal(Signal::TERM)?;
    agent.child.wait_for_event("signal")?;
    poll::until(
        "a listener that accepts no more",
        poll::LIMIT,
        || match proxy.get(MOUNTS) {
            Ok(response) => Err(format!("{}", response.status())),
            Err(_refused) => Ok(()),
        },
    )?;
    assert_eq!(
        agent.child.status()?,
        None,
        "it did not wait for the request"
    );

    world.tap.release();
    assert_eq!(held.wait()?.status(), 200);
    assert_eq!(agent.child.wait(PROMPT)?.code(), Some(0));
    Ok(())
}

#[test]
fn a_second_sigterm_drops_the_request_and_exits_1() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = world.started()?;
    world.tap.on(Method::GET, MOUNTS, tap::Action::Hold);
    let held = agent
        .proxy()?
        .start(web::request(Method::GET, MOUNTS, None)?)?;
    world.tap.wait_for(&Method::GET, MOUNTS, 1)?;

    agent.child.signal(Signal::TERM)?;
    agent.child.wait_for_event("signal")?;
    agent.child.signal(Signal::TERM)?;
    assert_eq!(agent.child.wait(PROMPT)?.code(), Some(1));
    held.wait().expect_err("the connection was dropped");
    Ok(())
}

#[test]
fn an_idle_agent_ends_at_once() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = world.started()?;
    let _idle = std::net::TcpStream::connect(agent.child.listening("tcp")?)?;
    agent.child.signal(Signal::INT)?;
    assert_eq!(agent.child.wait(PROMPT)?.code(), Some(0));
    assert!(
        !world.path("admin.sock").exists(),
        "the admin socket stayed"
    );
    Ok(())
}

#[test]
fn a_port_in_use_fails_the_start_before_anything_is_asked_of_vault() -> anyhow::Result<()> {
    let world = World::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let mut config = world.config();
    config["listener"][0]["address"] = json!(address);
    let mut agent = world.agent(&config)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(1));
    let failed = agent.child.wait_for_event("failed")?;
    let error = failed["error"].as_str().context("no error")?;
    assert!(
        error.contains(&address) && error.contains("in use"),
        "{error}"
    );
    assert!(world.tap.requests().is_empty(), "it had logged in already");
    Ok(())
}

#[test]
fn exit_after_auth_waits_until_the_sink_is_filled_and_exits_0() -> anyhow::Result<()> {
    let world = World::new()?;
    let folder = world.path("late");
    let mut config = world.config();
    config["exit_after_auth"] = json!(true);
    config["auto_auth"]["sink"][0]["config"]["path"] = json!(folder.join("token"));
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("sink_failed")?;
    assert_eq!(agent.child.status()?, None, "it did not wait for the sink");
    std::fs::create_dir(&folder)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(0));
    let token = std::fs::read_to_string(folder.join("token"))?;
    let found = world.server.client(&token)?.look_up_self()?;
    assert!(found.is_some(), "the sink holds a token that Vault refuses");
    Ok(())
}

#[test]
fn a_signal_before_the_sink_is_filled_is_neither_a_start_nor_a_success() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["exit_after_auth"] = json!(true);
    let late = world.path("late").join("token");
    config["auto_auth"]["sink"][0]["config"]["path"] = json!(late);
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("sink_failed")?;
    agent.child.signal(Signal::TERM)?;
    assert_eq!(agent.child.wait(PROMPT)?.code(), Some(1));
    let failed = agent.child.wait_for_event("failed")?;
    assert!(
        failed["error"].to_string().contains("exit_after_auth"),
        "{failed}"
    );
    assert!(agent.child.events("started").is_empty());
    Ok(())
}

#[test]
fn a_login_that_must_succeed_ends_the_process_with_1() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["auto_auth"]["method"]["exit_on_err"] = json!(true);
    config["auto_auth"]["method"]["config"]["role"] = json!("absent");
    let mut agent = world.agent(&config)?;
    assert_eq!(agent.child.wait(poll::LIMIT)?.code(), Some(1));
    let failed = agent.child.wait_for_event("failed")?;
    assert!(
        failed["error"]
            .to_string()
            .contains("auth/kubernetes/login"),
        "{failed}"
    );
    Ok(())
}

#[test]
fn the_first_line_tells_version_and_server() -> anyhow::Result<()> {
    let world = World::new()?;
    let config = world.config();
    let mut agent = world.agent(&config)?;
    let starting = agent.child.wait_for_event("starting")?;
    assert_eq!(starting["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(starting["vault"], config["vault"]["address"]);
    let first = agent.child.lines().into_iter().next().context("no line")?;
    assert!(first.contains("\"starting\""), "{first}");
    Ok(())
}

#[test]
fn the_pid_file_is_there_while_the_agent_is() -> anyhow::Result<()> {
    let world = World::new()?;
    let pid_file = world.path("agent.pid");
    let mut config = world.config();
    config["pid_file"] = json!(pid_file);
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    assert_eq!(
        std::fs::read_to_string(&pid_file)?.trim(),
        agent.child.id().to_string()
    );
    agent.child.terminate()?;
    assert!(!pid_file.exists());
    Ok(())
}

#[test]
fn sighup_takes_the_new_log_level_and_says_what_needs_a_restart() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["log_level"] = json!("info");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;

    std::fs::write(world.path("config.json"), "{")?;
    agent.child.signal(Signal::HUP)?;
    agent.child.wait_for_event("reload_failed")?;

    config["log_level"] = json!("trace");
    config["pid_file"] = json!(world.path("late.pid"));
    std::fs::write(world.path("config.json"), config.to_string())?;
    agent.child.signal(Signal::HUP)?;
    let reloaded = agent.child.wait_for_event("reloaded")?;
    assert_eq!(reloaded["kept"], "pid_file");
    assert!(
        !agent
            .child
            .lines()
            .iter()
            .any(|line| line.contains("\"DEBUG\"")),
        "debug before the reload"
    );
    agent.child.terminate()?;
    assert!(
        agent
            .child
            .lines()
            .iter()
            .any(|line| line.contains("\"DEBUG\"")),
        "no debug after the reload"
    );
    Ok(())
}

#[test]
fn no_core_is_ever_dumped() -> anyhow::Result<()> {
    let world = World::new()?;
    let agent = world.started()?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.child.id()))?;
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .context("no core limit")?;
    assert_eq!(
        core.split_whitespace().collect::<Vec<_>>()[4..6],
        ["0", "0"]
    );
    Ok(())
}

#[test]
fn worker_threads_are_there_when_asked_for() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["worker_threads"] = json!(8);
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let threads = std::fs::read_dir(format!("/proc/{}/task", agent.child.id()))?.count();
    // One more that waits for the runtime; name look-ups and file writes may have their own.
    assert!((9..=13).contains(&threads), "{threads}");
    Ok(())
}

#[test]
fn no_secret_is_printed_at_any_level() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["log_level"] = json!("trace");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let proxy = agent.proxy()?;

    let own = world
        .server
        .root()
        .write("auth/token/create", &json!({ "policies": ["default"] }))?;
    let own = own
        .pointer("/auth/client_token")
        .and_then(|token| token.as_str())
        .context("no token")?
        .to_owned();
    let client = proxy.clone().with_token(&own)?;
    client.get("/v1/auth/token/lookup-self")?;
    client.post("/v1/auth/token/create", &json!({ "ttl": "1m" }))?;
    proxy
        .clone()
        .with_token("hvs.refused-canary")?
        .get("/v1/auth/token/lookup-self")?;
    proxy.post(
        "/v1/auth/kubernetes/login",
        &json!({ "role": "absent", "jwt": "jwt-canary" }),
    )?;
    proxy.post(
        "/v1/auth/token/revoke",
        &json!({ "token": "hvs.body-canary" }),
    )?;
    proxy.get("/v1/secret/data/x?canary=query-canary")?;
    world.tap.rule(|_| tap::Action::Reset);
    client.get("/v1/auth/token/lookup-self")?;
    for verb in [&["status"][..], &["probe", "ready"]] {
        let (_, said) = agent.ask(verb)?;
        assert!(!said.contains(&world.sink()?), "{said}");
    }
    let metrics = String::from_utf8(agent.admin().get("/metrics")?.body().to_vec())?;
    agent.child.terminate()?;

    let service_account = std::fs::read_to_string(world.path("service-account-token"))?;
    let printed = agent.child.lines().join("\n") + &metrics;
    assert!(printed.contains("\"logged_in\""), "nothing was logged");
    for secret in [&own, &world.sink()?, &service_account, "canary"] {
        assert!(
            !printed.contains(secret),
            "{secret} was printed:\n{printed}"
        );
    }
    Ok(())
}
