//! What probes and Prometheus ask, over plain HTTP: `/livez`, `/readyz`, `/version`, `/metrics`.
//!
//! A port of its own, because the kubelet does not verify certificates: a probe over HTTPS would show nothing that a
//! plain one does not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::Shutdown;
use prometheus::{IntGauge, Registry, TextEncoder};

use super::connections::{self, Heads, Socket};
use crate::cert::serving::Remark;

pub(crate) struct Server {
    socket: Socket,
    health: Arc<Health>,
}

struct Health {
    readiness: Readiness,
    /// What is to be said although all is ready.
    remark: Remark,
    registry: Registry,
    ready: IntGauge,
    /// Requested: the process is about to go, so it is not ready.
    leaving: Shutdown,
}

const HEADS: Heads = Heads {
    time: Duration::from_secs(30),
    bytes: 16 << 10,
};

const VERSION: &str = concat!("keyside-injector ", env!("CARGO_PKG_VERSION"), "\n");

impl Server {
    pub(crate) fn new(
        socket: Socket,
        (readiness, remark): (Readiness, Remark),
        registry: Registry,
        leaving: Shutdown,
    ) -> Result<Self, prometheus::Error> {
        let ready = IntGauge::new(
            "keyside_injector_ready",
            "1 while /readyz says so, 0 while it does not.",
        )?;
        registry.register(Box::new(ready.clone()))?;
        let health = Arc::new(Health {
            readiness,
            remark,
            registry,
            ready,
            leaving,
        });
        Ok(Self { socket, health })
    }

    /// Serves until `end`, which comes after the webhook has ended, so that probes see it leave.
    pub(crate) async fn run(self, end: Shutdown) {
        let serve = |stream, stage| {
            let health = Arc::clone(&self.health);
            connections::serve(stream, HEADS, stage, move |request| {
                std::future::ready(health.respond(&request))
            })
        };
        self.socket.run(end, Duration::ZERO, serve).await;
    }
}

impl Health {
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, text) = match request.uri().path() {
            _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "only GET here\n".to_owned()),
            "/livez" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.ready(),
            "/version" => (StatusCode::OK, VERSION.to_owned()),
            "/metrics" => self.metrics(),
            _ => (
                StatusCode::NOT_FOUND,
                "there are /livez, /readyz, /version and /metrics here\n".to_owned(),
            ),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // The version is that of the exposition format; a browser shows it as text all the same.
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        if !is_read {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn ready(&self) -> (StatusCode, String) {
        let pending = self.pending();
        if pending.is_empty() {
            let text = match self.remark.text() {
                None => "ok\n".to_owned(),
                Some(remark) => format!("ok; {remark}\n"),
            };
            return (StatusCode::OK, text);
        }
        let text = format!("waiting for {}\n", pending.join("\nwaiting for "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// What this replica waits for before it may be asked.
    fn pending(&self) -> Vec<String> {
        let mut pending = self.readiness.pending();
        if self.leaving.is_requested() {
            pending.push("the next start: this process is ending".to_owned());
        }
        pending
    }

    fn metrics(&self) -> (StatusCode, String) {
        self.ready.set(self.pending().is_empty().into());
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}
