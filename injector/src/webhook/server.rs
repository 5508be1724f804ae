//! The webhook's HTTPS server: `POST /mutate` and nothing else.
//!
//! Invariant: admission reaches no other host, so the time of an answer is the time of a computation.
//! Invariant: every wait on the caller has a limit, every buffer a bound.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use keyside_lifecycle::shutdown::Shutdown;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};
use tokio_rustls::TlsAcceptor;

use super::callers::Callers;
use super::connections::{self, Heads, Socket, Stage, Watch};
use super::metrics::Metrics;
use super::review::{self, Answer, Denial};
use crate::admission::reason::{Decision, Reason};
use crate::cert::kept;
use crate::cert::resolver::Resolver;
use crate::events::{Notice, Speaker};
use crate::profile::task::Current;

pub(crate) struct Server {
    socket: Socket,
    linger: Duration,
    acceptor: TlsAcceptor,
    webhook: Arc<Webhook>,
}

struct Webhook {
    defaults: Current,
    /// Where denials become Events.
    speaker: Option<Speaker>,
    metrics: Metrics,
    /// Held while a large body is in memory.
    large: Semaphore,
}

/// An API server takes objects of up to 3 MiB; a review wraps one.
const MOST_BODY: usize = 4 << 20;
/// What pods in practice stay below, and what many may send at once.
const ORDINARY_BODY: usize = 128 << 10;
const LARGE_BODIES: usize = 4;
const HANDSHAKE: Duration = Duration::from_secs(10);
const BODY: Duration = Duration::from_secs(10);
/// API servers close idle connections after 90 s: it is better that they do, for a request that crosses our closing is
/// lost.
const HEADS: Heads = Heads {
    time: Duration::from_secs(100),
    bytes: 64 << 10,
};

impl Server {
    pub(crate) fn new(
        socket: Socket,
        linger: Duration,
        (resolver, callers): (Resolver, Option<Callers>),
        (defaults, speaker): (Current, Option<Speaker>),
        metrics: Metrics,
    ) -> Result<Self, rustls::Error> {
        let tls = ServerConfig::builder_with_provider(Arc::new(kept::provider()))
            .with_safe_default_protocol_versions()?;
        let is_guarded = callers.is_some();
        let tls = match callers {
            None => tls.with_no_client_auth(),
            Some(callers) => tls.with_client_cert_verifier(Arc::new(callers)),
        };
        let mut tls = tls.with_cert_resolver(Arc::new(resolver));
        if is_guarded {
            // A resumed session would outlive the authority by which its caller was accepted.
            tls.session_storage = Arc::new(NoServerSessionStorage {});
        }
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            socket,
            linger,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            webhook: Arc::new(Webhook {
                defaults,
                speaker,
                metrics,
                large: Semaphore::new(LARGE_BODIES),
            }),
        })
    }

    pub(crate) async fn run(self, end: Shutdown) {
        let serve = |stream, stage| {
            let (webhook, acceptor) = (Arc::clone(&self.webhook), self.acceptor.clone());
            connection(webhook, acceptor, stream, stage)
        };
        self.socket.run(end, self.linger, serve).await;
    }
}

async fn connection(
    webhook: Arc<Webhook>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    mut stage: Watch,
) {
    // Cancel-safe in the sense that counts: a handshake that is given up is a connection that is closed.
    let handshake = tokio::select! {
        result = time::timeout(HANDSHAKE, acceptor.accept(stream)) => result,
        () = connections::draining(&mut stage) => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        failed => {
            webhook.metrics.handshake_failures.inc();
            let error = failed.map_or("too slow".to_owned(), |result| {
                result
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default()
            });
            tracing::debug!(event = "handshake_failed", error);
            return;
        }
    };
    webhook.metrics.connections.inc();
    let (asked, watch) = (Arc::clone(&webhook), stage.clone());
    let answer = move |request| {
        let (webhook, watch) = (Arc::clone(&asked), watch.clone());
        async move { webhook.respond(request, &watch).await }
    };
    connections::serve(stream, HEADS, stage, answer).await;
    webhook.metrics.connections.dec();
}

impl Webhook {
    async fn respond(&self, request: Request<Incoming>, stage: &Watch) -> Response<Full<Bytes>> {
        let _turn = match announced(request.headers()) {
            Some(length) if length <= ORDINARY_BODY => None,
            // The semaphore is never closed.
            _large_or_unknown => self.large.acquire().await.ok(),
        };
        let read = read(request).await;
        let start = Instant::now();
        let is_read = read.is_ok();
        let mut answer = match read {
            Ok(body) => review::answer(&body, &self.defaults.load()),
            Err(refusal) => refusal,
        };
        let elapsed = start.elapsed();
        if is_read {
            self.metrics.duration.observe(elapsed.as_secs_f64());
        }
        self.metrics.decided(answer.record.reason);
        log(&answer, elapsed);
        self.tell(answer.denial.take());
        let is_closing = *stage.borrow() >= Stage::Closing;
        response(answer, is_closing)
    }

    fn tell(&self, denial: Option<Box<Denial>>) {
        if let (Some(speaker), Some(denial)) = (&self.speaker, denial) {
            speaker.say(Notice {
                about: denial.about,
                reason: "InjectionDenied",
                message: denial.message,
            });
        }
    }
}

/// The body of a request that may be a review, or why it cannot be one.
async fn read(request: Request<Incoming>) -> Result<Bytes, Answer> {
    let (head, body) = request.into_parts();
    if head.uri.path() != "/mutate" {
        return Err(review::refuse(Reason::Path, "there is only /mutate here"));
    }
    if head.method != Method::POST {
        return Err(review::refuse(Reason::Method, "send a review with POST"));
    }
    if !is_json(&head.headers) {
        let why = "send a review as Content-Type: application/json";
        return Err(review::refuse(Reason::ContentType, why));
    }
    let too_large = || {
        let why = format!("a review may have {MOST_BODY} bytes");
        review::refuse(Reason::TooLarge, why)
    };
    if announced(&head.headers).is_some_and(|length| length > MOST_BODY) {
        return Err(too_large());
    }
    let body = time::timeout(BODY, Limited::new(body, MOST_BODY).collect());
    match body.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_broken)) => Err(review::refuse(Reason::Broken, "the body ended early")),
        Err(_late) => Err(review::refuse(Reason::TooSlow, "the body came too slowly")),
    }
}

/// Parameters such as `charset=utf-8` say nothing that JSON leaves open.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn response(answer: Answer, is_closing: bool) -> Response<Full<Bytes>> {
    let status = answer.status;
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = status;
    let kind = if status == StatusCode::OK {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if is_closing {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn log(answer: &Answer, elapsed: Duration) {
    let record = &answer.record;
    let (decision, reason) = (record.reason.decision(), record.reason.name());
    let (name, why) = (decision.name(), &record.why);
    let microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    if decision == Decision::Refused {
        let status = answer.status.as_u16();
        tracing::warn!(event = "admission", decision = name, reason, why, status);
        return;
    }
    tracing::info!(
        event = "admission",
        decision = name,
        reason,
        why,
        namespace = record.namespace,
        pod = record.name,
        uid = record.uid,
        dry_run = record.dry_run,
        microseconds,
    );
}
