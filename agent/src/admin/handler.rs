//! What the admin endpoints answer.
//!
//! Invariant: an answer holds no token. The accessor alone is fine: it renews nothing and reads nothing by itself.

use std::path::PathBuf;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use keyside_lifecycle::error;
use keyside_lifecycle::readiness::Readiness;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::control::Control;
use crate::auth::plan::Plan;
use crate::body::Body;
use crate::cache::Cache;
use crate::token::{TokenState, Tokens};
use crate::vault::gate::Gate;

const LINE: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Where a request came in, which decides what it may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// The admin socket: whoever may open it may ask everything.
    Socket,
    /// HTTP: probes and metrics alone.
    Address,
}

/// What the endpoints look at.
pub(crate) struct Handler {
    pub(crate) readiness: Readiness,
    pub(crate) upstream: Upstream,
    /// Absent where nothing logs in.
    pub(crate) token: Option<Token>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) control: Control,
    pub(crate) started: Instant,
}

/// What auto-auth tells.
pub(crate) struct Token {
    pub(crate) state: Tokens,
    /// Why the last attempt to log in or to renew failed; `None` after a success.
    pub(crate) trouble: watch::Receiver<Option<String>>,
    pub(crate) plan: watch::Receiver<Plan>,
}

/// What is known of Vault.
pub(crate) struct Upstream {
    pub(crate) address: String,
    pub(crate) gate: Gate,
}

/// What a sink tells.
pub(crate) struct Sink {
    pub(crate) path: PathBuf,
    /// The generation of the token that it holds; 0 before the first one.
    pub(crate) written: watch::Receiver<u64>,
}

pub(crate) type Answer = Response<Body>;

impl Handler {
    pub(crate) async fn answer(&self, surface: Surface, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let reading = head.method == Method::GET || head.method == Method::HEAD;
        match (head.uri.path(), surface) {
            ("/startup" | "/ready" | "/live" | "/metrics", _) | ("/status", Surface::Socket)
                if !reading =>
            {
                not_allowed("GET, HEAD")
            }
            ("/startup", _) => probe(self.startup()),
            ("/ready", _) => probe(self.ready(Instant::now())),
            ("/live", _) => probe(Ok("alive".to_owned())),
            ("/metrics", _) => self.metrics(),
            ("/status", Surface::Socket) => {
                let text = format!("{:#}\n", self.status(Instant::now()));
                answer(StatusCode::OK, JSON, text)
            }
            ("/cache-clear", Surface::Socket) if head.method == Method::POST => {
                match self.control.clear(body).await {
                    Ok(()) => line(StatusCode::OK, "cleared"),
                    Err(error) => line(StatusCode::BAD_REQUEST, &error::chain(&error)),
                }
            }
            ("/quit", Surface::Socket) if head.method == Method::POST => {
                self.control.quit();
                line(StatusCode::OK, "ending after what is under way")
            }
            ("/cache-clear" | "/quit", Surface::Socket) => not_allowed("POST"),
            _ => line(StatusCode::NOT_FOUND, "no such endpoint"),
        }
    }

    /// Up once every listener is bound and the first token is in every sink.
    fn startup(&self) -> Result<String, String> {
        let pending = self.readiness.pending();
        if pending.is_empty() {
            return Ok("started".to_owned());
        }
        Err(format!("waiting for {}", pending.join("; ")))
    }

    /// Ready while there is a token that has not ended, or where none is needed.
    fn ready(&self, now: Instant) -> Result<String, String> {
        let Some(token) = &self.token else {
            return self.startup().map(|_started| "ready".to_owned());
        };
        let ended = match token.left(now) {
            Left::Pending => "the first login".to_owned(),
            Left::Ended { since } => {
                format!("a new login, for the token ended {} s ago", since.as_secs())
            }
            Left::Endless | Left::For(_) => return Ok("ready".to_owned()),
        };
        Err(match &*token.trouble.borrow() {
            Some(why) => format!("waiting for {ended}: {why}"),
            None => format!("waiting for {ended}"),
        })
    }

    fn metrics(&self) -> Answer {
        match self.control.metrics() {
            Ok(metrics) => metrics,
            Err(error) => {
                tracing::warn!(event = "metrics_failed", %error, "the metrics cannot be written as text");
                line(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the metrics cannot be written; the log says why",
                )
            }
        }
    }

    fn status(&self, now: Instant) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": now.duration_since(self.started).as_secs(),
            "ready": self.ready(now).is_ok(),
            "waiting_for": self.readiness.pending(),
            "vault": self.upstream.status(now),
            "token": self.token.as_ref().map(|token| token.status(now)),
            "cache": self.control.cache.as_ref().map(cache),
            "sinks": self.sinks.iter().map(Sink::status).collect::<Vec<_>>(),
        })
    }
}

/// How long the token lasts unless it is renewed.
enum Left {
    Pending,
    For(Duration),
    Endless,
    Ended { since: Duration },
}

impl Token {
    fn left(&self, now: Instant) -> Left {
        match &*self.state.borrow() {
            TokenState::Pending => Left::Pending,
            TokenState::Live(live) => match live.expires {
                None => Left::Endless,
                Some(end) if end > now => Left::For(end - now),
                Some(end) => Left::Ended { since: now - end },
            },
        }
    }

    fn status(&self, now: Instant) -> Value {
        let (state, seconds) = match self.left(now) {
            Left::Pending => ("pending", None),
            Left::For(left) => ("live", Some(left.as_secs())),
            Left::Endless => ("live", None),
            Left::Ended { .. } => ("ended", Some(0)),
        };
        let live = self.state.borrow().live().map(Arc::clone);
        let live = live.as_ref();
        let plan = *self.plan.borrow();
        json!({
            "state": state,
            "ttl_seconds": seconds,
            "generation": live.map(|live| live.generation),
            "accessor": live.map(|live| &live.accessor),
            "policies": live.map(|live| &live.policies),
            "trouble": &*self.trouble.borrow(),
            "next": plan.action,
            "next_in_seconds": plan.at.map(|at| at.saturating_duration_since(now).as_secs()),
        })
    }
}

impl Upstream {
    fn status(&self, now: Instant) -> Value {
        let away = self.gate.away_since();
        json!({
            "address": self.address,
            "up": away.is_none(),
            "away_seconds": away.map(|since| now.saturating_duration_since(since).as_secs()),
        })
    }
}

impl Sink {
    fn status(&self) -> Value {
        json!({ "path": self.path, "generation": *self.written.borrow() })
    }
}

fn cache(cache: &Cache) -> Value {
    let counts = cache.counts();
    json!({ "entries": counts.entries, "records": counts.records, "bytes": counts.bytes })
}

fn probe(outcome: Result<String, String>) -> Answer {
    match outcome {
        Ok(text) => line(StatusCode::OK, &text),
        Err(text) => line(StatusCode::SERVICE_UNAVAILABLE, &text),
    }
}

fn line(status: StatusCode, text: &str) -> Answer {
    answer(status, LINE, format!("{}\n", text.replace('\n', " ")))
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut refused = line(StatusCode::METHOD_NOT_ALLOWED, &format!("use {methods}"));
    refused
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    refused
}

fn answer(status: StatusCode, content: &'static str, text: String) -> Answer {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}

#[cfg(test)]
mod tests;
