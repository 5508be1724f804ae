//! What the admin endpoints answer.
//!
//! Invariant: an answer holds no token. The accessor alone is fine: it renews nothing and reads nothing by itself.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use keyside_lifecycle::readiness::Readiness;
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::token::{TokenState, Tokens};

/// Prometheus' text format, as its documentation names it.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
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
    /// Absent where nothing logs in.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) registry: Registry,
    pub(crate) started: Instant,
}

pub(crate) type Answer = Response<Full<Bytes>>;

impl Handler {
    pub(crate) fn answer(&self, surface: Surface, method: &Method, path: &str) -> Answer {
        let reading = method == Method::GET || method == Method::HEAD;
        match (path, surface) {
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
        let Some(tokens) = &self.tokens else {
            return self.startup().map(|_started| "ready".to_owned());
        };
        match &*tokens.borrow() {
            TokenState::Pending => Err(self
                .startup()
                .err()
                .unwrap_or_else(|| "waiting for the first login".to_owned())),
            TokenState::Live(live) => match live.expires {
                Some(end) if end <= now => {
                    let ago = now.duration_since(end).as_secs();
                    Err(format!(
                        "waiting for a new login: the token ended {ago} s ago"
                    ))
                }
                _ => Ok("ready".to_owned()),
            },
        }
    }

    fn metrics(&self) -> Answer {
        let mut text = String::new();
        match TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            Ok(()) => answer(StatusCode::OK, METRICS_TEXT, text),
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
            "token": self.tokens.as_ref().map(|tokens| token(&tokens.borrow(), now)),
        })
    }
}

fn token(state: &TokenState, now: Instant) -> Value {
    match state {
        TokenState::Pending => json!({ "state": "pending" }),
        TokenState::Live(live) => {
            let left = live.expires.map(|end| end.saturating_duration_since(now));
            json!({
                "state": if left == Some(Duration::ZERO) { "ended" } else { "live" },
                "generation": live.generation,
                "accessor": live.accessor,
                "policies": live.policies,
                "ttl_seconds": left.map(|left| left.as_secs()),
            })
        }
    }
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

fn answer(status: StatusCode, content: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}

#[cfg(test)]
mod tests;
