//! A world whose server lends PostgreSQL credentials, and an agent in between.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response};
use keyside_harness::{openbao, poll, postgres, web};
use serde_json::{Value, json};

use crate::world::{Agent, ROLE, World};

/// Where credentials come from.
pub(crate) const CREDENTIALS: &str = "/v1/database/creds/app";

const POLICY: &str = r#"
    path "database/creds/*"        { capabilities = ["read"] }
    path "auth/token/*"            { capabilities = ["create", "read", "update", "sudo"] }
    path "auth/approle/*"          { capabilities = ["create", "read", "update"] }
    path "sys/leases/*"            { capabilities = ["create", "read", "update", "sudo"] }
    path "sys/mounts/*"            { capabilities = ["delete", "sudo"] }
    path "secret/*"                { capabilities = ["create", "read", "update", "list"] }
"#;

pub(crate) struct Bank {
    pub(crate) world: World,
    pub(crate) postgres: postgres::Server,
}

/// How long things last, in seconds; 0 is the server's default.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms {
    pub(crate) token: u64,
    pub(crate) token_at_most: u64,
    pub(crate) lease: u64,
    pub(crate) lease_at_most: u64,
}

impl Bank {
    pub(crate) fn new(terms: Terms) -> anyhow::Result<Self> {
        let role = openbao::Role {
            name: ROLE,
            policies: &["bank"],
            ttl: terms.token,
            max_ttl: terms.token_at_most,
            ..Default::default()
        };
        let world = World::with(openbao::Options::default(), &role)?;
        let postgres = postgres::Server::start()?;
        world.server.policy("bank", POLICY)?;
        world.server.database(&postgres)?;
        world.server.database_role(&openbao::DatabaseRole {
            name: "app",
            ttl: terms.lease,
            max_ttl: terms.lease_at_most,
        })?;
        Ok(Self { world, postgres })
    }

    /// Of defaults: nothing ends while a test runs.
    pub(crate) fn lasting() -> anyhow::Result<Self> {
        Self::new(Terms {
            lease: 3600,
            lease_at_most: 86400,
            ..Terms::default()
        })
    }

    /// An AppRole with the same rights, whose tokens last an hour.
    pub(crate) fn approle(&self) -> anyhow::Result<Value> {
        let settings = json!({ "token_policies": ["bank"], "token_ttl": "1h" });
        let role = self.world.server.approle("worker", &settings)?;
        Ok(json!({ "role_id": role.role_id, "secret_id": role.secret_id }))
    }

    /// How often credentials were asked for at the server.
    pub(crate) fn lent(&self) -> usize {
        self.world.tap.count(&Method::GET, CREDENTIALS)
    }

    /// Whether the server knows this lease.
    pub(crate) fn knows(&self, lease: &str) -> anyhow::Result<bool> {
        let asked = json!({ "lease_id": lease });
        let answer =
            self.world
                .server
                .root()
                .request(Method::PUT, "sys/leases/lookup", Some(&asked))?;
        Ok(answer.status() == 200)
    }
}

/// A credential as the proxy gave it out.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) hit: bool,
    pub(crate) lease: String,
    pub(crate) duration: u64,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Asks for a credential.
pub(crate) fn borrow(proxy: &web::Client) -> anyhow::Result<Credential> {
    read(&proxy.get(CREDENTIALS)?)
}

pub(crate) fn read(response: &Response<Bytes>) -> anyhow::Result<Credential> {
    let secret = web::success(response)?;
    let text = |pointer: &str| {
        let text = secret.pointer(pointer).and_then(Value::as_str);
        anyhow::Ok(text.with_context(|| format!("no {pointer}"))?.to_owned())
    };
    Ok(Credential {
        hit: is_hit(response),
        lease: text("/lease_id")?,
        duration: secret
            .get("lease_duration")
            .and_then(Value::as_u64)
            .context("no lease_duration")?,
        user: text("/data/username")?,
        password: text("/data/password")?,
    })
}

pub(crate) fn is_hit(response: &Response<Bytes>) -> bool {
    response
        .headers()
        .get("x-cache")
        .is_some_and(|word| word == "HIT")
}

/// A login through the proxy.
pub(crate) struct Login {
    pub(crate) token: String,
    pub(crate) accessor: String,
}

pub(crate) fn log_in(proxy: &web::Client, credentials: &Value) -> anyhow::Result<Login> {
    let secret = web::success(&proxy.post("/v1/auth/approle/login", credentials)?)?;
    let text = |pointer: &str| {
        let text = secret.pointer(pointer).and_then(Value::as_str);
        anyhow::Ok(text.with_context(|| format!("no {pointer}"))?.to_owned())
    };
    Ok(Login {
        token: text("/auth/client_token")?,
        accessor: text("/auth/accessor")?,
    })
}

/// The agent's metrics: name with labels, and value.
pub(crate) fn metrics(proxy: &web::Client) -> anyhow::Result<HashMap<String, f64>> {
    let response = proxy.get("/agent/v1/metrics")?;
    let text = std::str::from_utf8(response.body())?;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            Ok((name.to_owned(), value.parse()?))
        })
        .collect()
}

/// Waits until a metric is at least so much.
pub(crate) fn wait_for_metric(proxy: &web::Client, name: &str, least: f64) -> anyhow::Result<()> {
    poll::until(name, Duration::from_secs(30), || {
        let value = metrics(proxy)?.get(name).copied().unwrap_or_default();
        anyhow::ensure!(value >= least, "{value}");
        anyhow::Ok(())
    })
}

/// Waits until fewer connections than this are open, the one that asks included.
pub(crate) fn wait_for_fewer_connections(proxy: &web::Client, than: f64) -> anyhow::Result<()> {
    poll::until("a connection to close", poll::LIMIT, || {
        let name = "keyside_agent_proxy_connections";
        let open = metrics(proxy)?.get(name).copied().context(name)?;
        anyhow::ensure!(open < than, "{open} are open");
        anyhow::Ok(())
    })
}

/// A client that has sent its request and can hang up: by being dropped.
pub(crate) fn hung(
    agent: &mut Agent,
    method: &Method,
    path: &str,
    body: &str,
) -> anyhow::Result<TcpStream> {
    let mut client = TcpStream::connect(agent.child.listening("tcp")?)?;
    let length = body.len();
    write!(
        client,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    Ok(client)
}

/// An agent that has started, and a client of its proxy without a token.
pub(crate) fn open(world: &World) -> anyhow::Result<(Agent, web::Client)> {
    let mut agent = world.started()?;
    let proxy = agent.proxy()?;
    Ok((agent, proxy))
}
