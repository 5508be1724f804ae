//! Certificates that are replaced while the agent runs.

use anyhow::Context as _;
use http::StatusCode;
use keyside_harness::{pki, poll, web};
use rustix::process::Signal;
use serde_json::json;

use crate::world::{Agent, World};

const MOUNTS: &str = "/v1/sys/internal/ui/mounts";

/// An agent that trusts the file `ca.pem` and makes a new connection for every request of its clients.
fn started(world: &World) -> anyhow::Result<Agent> {
    let ca = world.path("ca.pem");
    std::fs::write(&ca, world.server.ca())?;
    let mut config = world.config();
    let fields = config.as_object_mut().context("an object")?;
    let vault = json!({ "address": world.server.address(), "ca_cert": ca });
    fields.insert("vault".to_owned(), vault);
    fields.insert("disable_keep_alives".to_owned(), json!(["proxying"]));
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    Ok(agent)
}

/// Waits until a client of the proxy is answered so.
fn answered(agent: &mut Agent, wanted: StatusCode) -> anyhow::Result<()> {
    let proxy = agent.proxy()?;
    poll::until("an answer", poll::LIMIT, || match proxy.get(MOUNTS) {
        Ok(response) if response.status() == wanted => Ok(()),
        Ok(response) => Err(response.status().to_string()),
        Err(error) => Err(format!("{error:#}")),
    })
}

/// From now on, the server's certificate is of another CA.
fn renewed(world: &World) -> anyhow::Result<pki::Pki> {
    let pki = pki::Pki::new()?;
    world.server.present(&pki.server("openbao", &[])?)?;
    let server = web::Client::new(&world.server.address(), Some(&pki.ca()))?;
    poll::until("the new certificate", poll::LIMIT, || {
        server.get("/v1/sys/health").map(drop)
    })?;
    Ok(pki)
}

#[test]
fn sighup_reads_the_ca_again() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = started(&world)?;
    answered(&mut agent, StatusCode::OK)?;
    let ca = renewed(&world)?;
    // A TLS session goes on with a server that it once trusted; a reload begins anew.
    agent.child.signal(Signal::HUP)?;
    answered(&mut agent, StatusCode::BAD_GATEWAY)?;

    std::fs::write(world.path("ca.pem"), ca.ca())?;
    agent.child.signal(Signal::HUP)?;
    answered(&mut agent, StatusCode::OK)?;
    let reloaded = agent.child.events("reloaded");
    assert_eq!(reloaded.len(), 2);
    assert!(
        reloaded.iter().all(|event| event.get("kept").is_none()),
        "{reloaded:?}"
    );
    Ok(())
}

#[test]
fn files_of_certificates_that_change_are_read_without_a_signal() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = started(&world)?;
    std::fs::write(world.path("ca.pem"), "no certificate")?;
    let failed = agent.child.wait_for_event("reload_failed")?;
    assert!(failed["error"].to_string().contains("ca.pem"), "{failed}");
    answered(&mut agent, StatusCode::OK)?;

    let ca = renewed(&world)?;
    std::fs::write(world.path("ca.pem"), world.server.ca())?;
    agent.child.wait_for_event("certificates_reloaded")?;
    answered(&mut agent, StatusCode::BAD_GATEWAY)?;
    std::fs::write(world.path("ca.pem"), ca.ca())?;
    answered(&mut agent, StatusCode::OK)?;
    assert_eq!(agent.child.events("reload_failed").len(), 1);
    Ok(())
}

#[test]
fn sighup_takes_another_ca_file_and_nothing_from_a_configuration_that_names_a_bad_one()
-> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = started(&world)?;
    let text = std::fs::read_to_string(world.path("config.json"))?;
    let mut config: serde_json::Value = serde_json::from_str(&text)?;
    config["vault"]["ca_cert"] = json!(world.path("other.pem"));
    config["log_level"] = json!("error");
    std::fs::write(world.path("config.json"), config.to_string())?;
    agent.child.signal(Signal::HUP)?;
    let failed = agent.child.wait_for_event("reload_failed")?;
    assert!(
        failed["error"].to_string().contains("other.pem"),
        "{failed}"
    );

    config["log_level"] = json!("debug");
    std::fs::write(world.path("config.json"), config.to_string())?;
    std::fs::write(world.path("other.pem"), pki::Pki::new()?.ca())?;
    agent.child.signal(Signal::HUP)?;
    answered(&mut agent, StatusCode::BAD_GATEWAY)?;
    let ca = renewed(&world)?;
    std::fs::write(world.path("other.pem"), ca.ca())?;
    agent.child.signal(Signal::HUP)?;
    answered(&mut agent, StatusCode::OK)
}
