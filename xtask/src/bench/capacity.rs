//! How many requests of each kind a real OpenBao answers in a second on this machine: what the server of the
//! simulated fleet is made of.
//!
//! Clients in a closed loop, each on a new connection for every request, as agents come that asked for nothing for
//! most of an hour. They share the machine with the server, so a server by itself would bear more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::{jwt, openbao, tools, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::proc;
use super::report::Limit;
use super::samples::Samples;

const CLIENTS: usize = 32;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const QUICK_ROUND: Duration = Duration::from_millis(200);
const ROLE: &str = "capacity";
/// Where the simulation reads it.
const FILE: &str = "xtask/src/simulate/capacity.json";

/// What the simulation is told, in requests per second, each kind alone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PerSecond {
    /// By a token signed with ES256.
    pub(crate) login: f64,
    pub(crate) renewal: f64,
    pub(crate) look_up: f64,
    /// A look-up by a token that OpenBao does not know.
    pub(crate) refusal: f64,
    pub(crate) health: f64,
}

/// What was measured, in all rounds.
pub(crate) struct Capacity {
    server: openbao::Server,
    kinds: [Kind; 6],
}

/// The requests of one kind.
struct Kind {
    name: &'static str,
    method: Method,
    path: &'static str,
    body: Option<Value>,
    /// One for each client; none where the request needs none.
    tokens: Vec<String>,
    expected: StatusCode,
    per_second: Vec<f64>,
    /// Of the server, for one request.
    milliseconds: Vec<f64>,
}

impl Capacity {
    pub(crate) fn measure(quick: bool) -> anyhow::Result<Self> {
        let server = openbao::Server::start(openbao::Options {
            storage: openbao::Storage::Durable,
            ..openbao::Options::default()
        })?;
        let kinds = kinds(&server)?;
        let mut capacity = Self { server, kinds };
        let (rounds, round) = if quick {
            (1, QUICK_ROUND)
        } else {
            (ROUNDS, ROUND)
        };
        for _ in 0..rounds {
            for kind in &mut capacity.kinds {
                kind.load(&capacity.server, round)?;
            }
        }
        Ok(capacity)
    }

    pub(super) fn rows(&self) -> anyhow::Result<Vec<Limit>> {
        let row = |kind: &Kind| {
            anyhow::Ok(Limit {
                what: kind.name,
                per_second: Samples::new(kind.per_second.clone())?,
                processor_milliseconds: Samples::new(kind.milliseconds.clone())?,
            })
        };
        self.kinds.iter().map(row).collect()
    }

    pub(crate) fn per_second(&self) -> anyhow::Result<PerSecond> {
        let median =
            |kind: &Kind| anyhow::Ok(Samples::new(kind.per_second.clone())?.median().round());
        let [login, _, renewal, look_up, refusal, health] = &self.kinds;
        Ok(PerSecond {
            login: median(login)?,
            renewal: median(renewal)?,
            look_up: median(look_up)?,
            refusal: median(refusal)?,
            health: median(health)?,
        })
    }

    /// Writes the numbers to where the simulation reads them.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.per_second()?)? + "\n";
        std::fs::write(tools::root()?.join(FILE), text).with_context(|| format!("write {FILE}"))
    }
}

/// All kinds, in the order of the table.
fn kinds(server: &openbao::Server) -> anyhow::Result<[Kind; 6]> {
    let issuer = jwt::Issuer::new()?;
    server.trust(&issuer)?;
    server.kubernetes_role(&openbao::Role {
        name: ROLE,
        ttl: 3600,
        max_ttl: 86_400,
        ..openbao::Role::default()
    })?;
    let approle = server.approle(
        ROLE,
        &json!({ "token_ttl": "1h", "token_max_ttl": "24h", "secret_id_num_uses": 0 }),
    )?;
    let jwt = json!({ "role": ROLE, "jwt": issuer.token(&jwt::Claims::default())? });
    let approle = json!({ "role_id": approle.role_id, "secret_id": approle.secret_id });
    let tokens = tokens(server, &jwt)?;
    let login = |name, path, body| Kind::new(name, Method::POST, path, Some(body));
    let look_up = |name| Kind::new(name, Method::GET, "auth/token/lookup-self", None);
    Ok([
        login(
            "login by a Kubernetes token, ES256",
            "auth/kubernetes/login",
            jwt,
        ),
        login("login by AppRole", "auth/approle/login", approle),
        Kind::new(
            "renewal",
            Method::POST,
            "auth/token/renew-self",
            Some(json!({})),
        )
        .with(tokens.clone()),
        look_up("look-up").with(tokens),
        look_up("refusal of a dead token")
            .with(vec!["s.dead".to_owned()])
            .refused(),
        Kind::new("health", Method::GET, "sys/health", None),
    ])
}

/// A token for each client.
fn tokens(server: &openbao::Server, login: &Value) -> anyhow::Result<Vec<String>> {
    let token = |_| {
        let answer = server.root().write("auth/kubernetes/login", login)?;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        Ok(token.context("a login without a token")?.to_owned())
    };
    (0..CLIENTS).map(token).collect()
}

impl Kind {
    fn new(name: &'static str, method: Method, path: &'static str, body: Option<Value>) -> Self {
        Self {
            name,
            method,
            path,
            body,
            tokens: Vec::new(),
            expected: StatusCode::OK,
            per_second: Vec::new(),
            milliseconds: Vec::new(),
        }
    }

    fn with(self, tokens: Vec<String>) -> Self {
        Self { tokens, ..self }
    }

    fn refused(self) -> Self {
        Self {
            expected: StatusCode::FORBIDDEN,
            ..self
        }
    }

    /// One round: as many as the server answers within `time`.
    fn load(&mut self, server: &openbao::Server, time: Duration) -> anyhow::Result<()> {
        let answered = AtomicU64::new(0);
        let before = proc::processor_time(server.id())?;
        let start = Instant::now();
        let kind = &*self;
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let answered = &answered;
                    scope.spawn(move || kind.ask(server, client, start + time, answered))
                })
                .collect();
            clients.into_iter().try_for_each(|client| {
                let outcome = client.join();
                outcome.unwrap_or_else(|_| anyhow::bail!("a client panicked"))
            })
        })
        .with_context(|| self.name)?;
        let took = start.elapsed();
        let spent = proc::processor_time(server.id())?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
        let answered = answered.into_inner() as f64;
        self.per_second.push(answered / took.as_secs_f64());
        self.milliseconds.push(spent.as_secs_f64() * 1e3 / answered);
        Ok(())
    }

    /// A client: the next request when the last was answered, until the time is over.
    fn ask(
        &self,
        server: &openbao::Server,
        client: usize,
        until: Instant,
        answered: &AtomicU64,
    ) -> anyhow::Result<()> {
        let mut web = web::Client::new(&server.address(), Some(&server.ca()))?;
        if !self.tokens.is_empty() {
            let token = self.tokens.get(client % self.tokens.len());
            web = web.with_token(token.context("a token for each")?)?;
        }
        let path = format!("/v1/{}", self.path);
        while Instant::now() < until {
            let request = web::request(self.method.clone(), &path, self.body.as_ref())?;
            let answer = web.send(request)?;
            anyhow::ensure!(
                answer.status() == self.expected,
                "answered {}",
                answer.status()
            );
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
