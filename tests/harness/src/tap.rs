//! A reverse proxy between the binary under test and Vault that records every request and misbehaves on demand.
//!
//! Invariant: a request is recorded before it is acted on, so that what was counted has been asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{background, openbao, pki, poll, web};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: Method,
    /// Path and query, byte for byte.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Which of the tap's connections it came on.
    pub connection: u64,
}

impl Recorded {
    /// Whether the request is for this path, whatever its query.
    #[must_use]
    pub fn is(&self, method: &Method, path: &str) -> bool {
        self.method == method && self.path.split('?').next() == Some(path)
    }

    /// The value of a header, or nothing where it is missing or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Pass it on.
    Forward,
    /// Keep it until [`Tap::release`], then pass it on.
    Hold,
    /// Pass it on after this time.
    Delay(Duration),
    /// Pass it on, and withhold the answer until [`Tap::release`].
    HoldAnswer,
    /// Answer it here.
    Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    },
    /// Close the connection without an answer.
    Reset,
}

impl Action {
    /// An answer with this status and Vault's form of an error.
    #[must_use]
    pub fn fail(status: StatusCode) -> Self {
        let body = serde_json::json!({ "errors": ["from the tap"] }).to_string();
        Self::Answer {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// An answer with status 200 and this body.
    #[must_use]
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// As [`Action::ok`], and JSON.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        let json = header::HeaderValue::from_static("application/json");
        Self::Answer {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
            body: body.into(),
        }
    }

    /// As [`Action::fail`], with one more header.
    #[must_use]
    pub fn fail_with(status: StatusCode, name: http::HeaderName, value: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(name, header::HeaderValue::from_static(value));
        let body = serde_json::json!({ "errors": ["from the tap"] }).to_string();
        Self::Answer {
            status,
            headers,
            body: body.into(),
        }
    }
}

type Rule = Box<dyn Fn(&Recorded) -> Action + Send>;
type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// A running proxy.
pub struct Tap {
    shared: Arc<Shared>,
    address: String,
    ca: String,
    ca_path: std::path::PathBuf,
    server: AbortHandle,
}

struct Shared {
    upstream: web::Client,
    recorded: Mutex<Vec<Recorded>>,
    rule: Mutex<Rule>,
    /// Counts releases; whoever is held waits for the next one.
    released: watch::Sender<u64>,
    /// How many were accepted so far.
    connections: AtomicU64,
}

impl Tap {
    /// A proxy in front of the server, on TLS with a certificate of the same CA.
    ///
    /// # Errors
    /// When no certificate can be made or no port be bound.
    pub fn in_front_of(server: &openbao::Server) -> anyhow::Result<Self> {
        Self::start(&server.address(), server.pki())
    }

    /// A proxy on TLS in front of `upstream`, which has a certificate of `pki`, too.
    ///
    /// # Errors
    /// As [`Tap::in_front_of`].
    pub fn start(upstream: &str, pki: &pki::Pki) -> anyhow::Result<Self> {
        let acceptor = TlsAcceptor::from(pki.server("tap", &["vault.example"])?.server_config()?);
        let shared = Arc::new(Shared {
            upstream: web::Client::new(upstream, Some(&pki.ca()))?,
            recorded: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Action::Forward)),
            released: watch::Sender::new(0),
            connections: AtomicU64::new(0),
        });
        let listener = background::block_on(TcpListener::bind("127.0.0.1:0"))??;
        let address = format!("https://{}", listener.local_addr()?);
        let accepting = accept(listener, Some(acceptor), Arc::clone(&shared));
        let server = background::spawn(accepting)?.abort_handle();
        Ok(Self {
            shared,
            address,
            ca: pki.ca(),
            ca_path: pki.ca_path(),
            server,
        })
    }

    /// A service that is played, on plain HTTP: there is nobody behind it, so the rule has to answer everything.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn played(rule: impl Fn(&Recorded) -> Action + Send + 'static) -> anyhow::Result<Self> {
        let listener = background::block_on(TcpListener::bind("127.0.0.1:0"))??;
        let address = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            upstream: web::Client::unix("/nobody"),
            recorded: Mutex::default(),
            rule: Mutex::new(Box::new(rule)),
            released: watch::Sender::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = accept(listener, None, Arc::clone(&shared));
        let server = background::spawn(accepting)?.abort_handle();
        Ok(Self {
            shared,
            address,
            ca: String::new(),
            ca_path: std::path::PathBuf::new(),
            server,
        })
    }

    /// `https://127.0.0.1:port`, or `http://127.0.0.1:port` where it is played.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    #[must_use]
    pub fn ca(&self) -> String {
        self.ca.clone()
    }

    #[must_use]
    pub fn ca_path(&self) -> std::path::PathBuf {
        self.ca_path.clone()
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.recorded).clone()
    }

    /// How many requests for this path arrived so far, whatever their query.
    #[must_use]
    pub fn count(&self, method: &Method, path: &str) -> usize {
        lock(&self.shared.recorded)
            .iter()
            .filter(|request| request.is(method, path))
            .count()
    }

    /// Waits until at least this many requests for the path have arrived.
    ///
    /// # Errors
    /// When they do not.
    pub fn wait_for(&self, method: &Method, path: &str, count: usize) -> anyhow::Result<()> {
        poll::until(
            &format!("{count} times {method} {path}"),
            poll::LIMIT,
            || {
                let seen = self.count(method, path);
                if seen >= count {
                    Ok(())
                } else {
                    Err(format!("{seen}"))
                }
            },
        )
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        lock(&self.shared.recorded).clear();
    }

    /// From now on the rule decides what happens to each request.
    pub fn rule(&self, rule: impl Fn(&Recorded) -> Action + Send + 'static) {
        *lock(&self.shared.rule) = Box::new(rule);
    }

    /// From now on requests for this path meet this action, all others are passed on.
    pub fn on(&self, method: Method, path: &str, action: Action) {
        let path = path.to_owned();
        self.rule(move |request| {
            if request.is(&method, &path) {
                action.clone()
            } else {
                Action::Forward
            }
        });
    }

    /// From now on everything is passed on; what is held stays held until [`Tap::release`].
    pub fn heal(&self) {
        self.rule(|_| Action::Forward);
    }

    /// Lets go of everything that is held.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Cancel-safe: a connection is either accepted or still in the queue.
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
            }
            // Cancel-safe: a task that ended stays in the set until it is taken.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    drop(stream.set_nodelay(true));
    let Some(acceptor) = acceptor else {
        return over(stream, shared).await;
    };
    if let Ok(stream) = acceptor.accept(stream).await {
        over(stream, shared).await;
    }
}

async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, shared: Arc<Shared>) {
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let service = service_fn(|request| answer(request, connection, Arc::clone(&shared)));
    // A client may go whenever it likes; an error of ours reaches it as a closed connection.
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    shared: Arc<Shared>,
) -> anyhow::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let recorded = Recorded {
        method: head.method.clone(),
        path: head
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        headers: head.headers.clone(),
        body: body.clone(),
        connection,
    };
    // Subscribed before the request can be seen, so that a release after it was seen is not missed.
    let mut released = shared.released.subscribe();
    lock(&shared.recorded).push(recorded.clone());
    let action = lock(&shared.rule)(&recorded);
    let request = Request::from_parts(head, Full::new(body));
    match action {
        Action::Forward => forward(request, &shared).await,
        Action::Hold => {
            released.changed().await?;
            forward(request, &shared).await
        }
        Action::Delay(time) => {
            tokio::time::sleep(time).await;
            forward(request, &shared).await
        }
        Action::HoldAnswer => {
            let response = forward(request, &shared).await?;
            released.changed().await?;
            Ok(response)
        }
        Action::Answer {
            status,
            headers,
            body,
        } => {
            let mut response = Response::new(
                Full::new(body)
                    .map_err(|never| match never {})
                    .boxed_unsync(),
            );
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        }
        Action::Reset => anyhow::bail!("reset on demand"),
    }
}

async fn forward(
    mut request: Request<Full<Bytes>>,
    shared: &Shared,
) -> anyhow::Result<Response<Body>> {
    // The body is whole by now, so hyper frames it anew.
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    let response = shared
        .upstream
        .send_once(request)
        .await
        .context("pass a request on")?;
    Ok(response.map(http_body_util::BodyExt::boxed_unsync))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_faults_and_counts() {
        let server = openbao::Server::start(openbao::Options::default()).unwrap();
        let tap = Tap::in_front_of(&server).unwrap();
        let client = web::Client::new(&tap.address(), Some(&tap.ca())).unwrap();
        let path = "/v1/sys/health";
        assert_eq!(client.get(path).unwrap().status(), 200);

        tap.on(Method::GET, path, Action::Hold);
        let held = client
            .start(web::request(Method::GET, path, None).unwrap())
            .unwrap();
        tap.wait_for(&Method::GET, path, 2).unwrap();
        tap.on(Method::GET, path, Action::fail(StatusCode::BAD_GATEWAY));
        assert_eq!(client.get(path).unwrap().status(), 502);
        tap.on(Method::GET, path, Action::Reset);
        client.get(path).unwrap_err();
        // What was held has not reached the server before it is sealed.
        server.seal().unwrap();
        tap.release();
        assert_eq!(held.wait().unwrap().status(), 503);
        assert_eq!(tap.count(&Method::GET, path), 4);
    }
}
