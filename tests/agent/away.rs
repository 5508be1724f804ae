//! A minute without Vault: nothing is rotated, nothing ends, what is cached is served, and soon after all is well.
//!
//! The token lives for 90 s, and its renewal, due 60 to 67 s after the login, falls into the outage.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::openbao::{Options, Role, Storage};
use keyside_harness::{poll, web};
use serde_json::{Value, json};

use crate::bank;
use crate::watch::Watch;
use crate::world::{Agent, ROLE, World};

const TTL: u64 = 90;
const BEFORE: Duration = Duration::from_secs(9);
/// Two looks a second for a minute.
const LOOKS: u32 = 122;
const PACE: Duration = Duration::from_millis(500);
/// Within which all is well after Vault's return.
const SOON: Duration = Duration::from_secs(5);

const CREATE: &str = "/v1/auth/token/create";
const POLICY: &str = r#"path "auth/token/create" { capabilities = ["update"] }"#;

fn world(storage: Storage) -> anyhow::Result<World> {
    let role = Role {
        name: ROLE,
        policies: &["lender", "default"],
        ttl: TTL,
        ..Role::default()
    };
    let options = Options {
        storage,
        ..Options::default()
    };
    let world = World::with(options, &role)?;
    world.server.policy("lender", POLICY)?;
    Ok(world)
}

/// An agent that asks the server itself, and has been well for a while.
struct Pod {
    world: World,
    agent: Agent,
    proxy: web::Client,
    token: String,
    kept: Value,
}

impl Pod {
    fn start(world: World) -> anyhow::Result<Self> {
        let mut config = world.config();
        config["vault"]["address"] = json!(world.server.address());
        let mut agent = world.agent(&config)?;
        agent.child.wait_for_event("started")?;
        let proxy = agent.proxy()?;
        let kept = web::success(&proxy.post(CREATE, &lasting())?)?;
        Watch::new(&world).throughout(BEFORE)?;
        let token = world.sink()?;
        Ok(Self {
            world,
            agent,
            proxy,
            token,
            kept,
        })
    }

    /// One look while Vault is away.
    fn look(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.world.sink()? == self.token, "the token was replaced");
        let status = self.agent.child.status()?;
        anyhow::ensure!(status.is_none(), "the agent ended: {status:?}");
        let hit = self.proxy.post(CREATE, &lasting())?;
        anyhow::ensure!(bank::is_hit(&hit), "{hit:?}");
        let (held, kept) = (web::success(&hit)?, &self.kept);
        let token = "/auth/client_token";
        anyhow::ensure!(held.pointer(token) == kept.pointer(token), "{held}");
        Ok(())
    }

    /// Ready, without trouble, and with a token that was renewed since.
    fn well(&self) -> anyhow::Result<()> {
        let (ready, said) = self.agent.ask(&["probe", "ready"])?;
        anyhow::ensure!(ready == 0, "not ready: {said}");
        let (_, said) = self.agent.ask(&["status"])?;
        let status: Value = serde_json::from_str(&said)?;
        let trouble = status.pointer("/token/trouble").context("no trouble")?;
        anyhow::ensure!(trouble.is_null(), "{trouble}");
        let renewed = self.agent.child.events("renewed").len();
        anyhow::ensure!(renewed == 1, "renewed {renewed} times");
        Ok(())
    }

    /// All that must hold from Vault's return on.
    fn recovers(mut self) -> anyhow::Result<()> {
        poll::until("that all is well", SOON, || self.well())?;
        self.look()?;
        let client = self.world.server.client(&self.token)?;
        let found = client.look_up_self()?.context("the token is dead")?;
        let ttl = found.pointer("/data/ttl").and_then(Value::as_u64);
        assert!(ttl.is_some_and(|ttl| ttl + 10 > TTL), "{found}");
        for (event, expected) in [("logged_in", 1), ("replaced", 0), ("token_ended", 0)] {
            assert_eq!(self.agent.child.events(event).len(), expected, "{event}");
        }
        Ok(())
    }
}

fn lasting() -> Value {
    json!({ "ttl": "1h" })
}

/// Nothing answers: requests hang, and the kernel goes on accepting connections.
#[test]
fn a_minute_of_silence_costs_nothing() -> anyhow::Result<()> {
    let mut pod = Pod::start(world(Storage::Memory)?)?;
    pod.world.server.freeze()?;
    poll::looks("what was", LOOKS, PACE, || pod.look())?;
    pod.world.server.thaw()?;
    pod.recovers()
}

/// Nobody listens. A short-lived token of a client, which the agent keeps alive, makes it notice at once.
#[test]
fn a_minute_of_refusal_costs_nothing() -> anyhow::Result<()> {
    let mut pod = Pod::start(world(Storage::Durable)?)?;
    let short = json!({ "ttl": "12s" });
    web::success(&pod.proxy.post(CREATE, &short)?)?;
    pod.world.server.stop()?;
    poll::looks("what was", LOOKS, PACE, || pod.look())?;
    pod.world.server.restart()?;
    pod.recovers()
}
