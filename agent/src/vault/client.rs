//! The client: one pool of HTTP/1.1 connections to one server.
//!
//! What a client of the proxy asked goes by [`forward`].
//!
//! Invariant: a request that may have reached Vault is never sent twice, unless the answer was to ask another node. The
//! pool repeats a request by itself only when hyper hands it back whole because the idle connection it was queued on had
//! already closed: nothing of it, neither head nor body, had been written then (`retry_canceled_requests` of
//! hyper-util).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::response::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use keyside_config::model::vault::{Address, ClientCertificate, Vault};
use rustls_pki_types::ServerName;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::connect::{Connector, Dial};
use super::error::Error;
use super::gate::metrics::Caller;
use super::gate::{Gate, Pass, Reason, Turn};
use super::tls;
use super::wire::{Call, Errors, Secret};
use crate::body::Body;
use crate::connection::Silence;

pub(crate) mod forward;
mod redirect;

/// The largest answer to a request of the agent itself.
const ANSWER_LIMIT: usize = 1 << 20;
/// Vault's own messages are a line; a page of HTML from something on the way is not worth more.
const MESSAGE_LIMIT: usize = 300;
const HEALTH: &str = "sys/health?standbyok=true&perfstandbyok=true";
/// A Vault in service answers a probe at once.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const IDLE_CONNECTIONS: usize = 32;
/// Below the minute after which many load balancers forget a quiet connection.
const IDLE_TIME: Duration = Duration::from_secs(45);

type Cause = Box<dyn std::error::Error + Send + Sync>;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");
const VAULT_REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// The one HTTP client of the agent: hyper's is compiled anew for every type of connector and body.
pub(crate) type Pool = legacy::Client<Connector, Body>;

/// Cheap to clone; all clones share the pool and the gate.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    way: RwLock<Way>,
    /// Those that [`Client::with_certificates`] made.
    derived: Mutex<Vec<Derived>>,
    gate: Gate,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    prefix: String,
    /// For messages.
    target: String,
    vault: Vault,
}

/// What a reload replaces.
struct Way {
    pool: Pool,
    /// Whom it trusts and what it presents; all else is as at the start.
    vault: Vault,
}

/// A client whose certificates are others where they are given.
struct Derived {
    client: Weak<Inner>,
    ca: Option<PathBuf>,
    identity: Option<ClientCertificate>,
}

impl Client {
    pub(crate) fn new(vault: &Vault, gate: Gate) -> Result<Self, Error> {
        let target = target(&vault.address);
        let unusable = |source: http::Error| Error::Address {
            address: target.clone(),
            source,
        };
        let (scheme, authority, prefix) = match &vault.address {
            Address::Tcp { tls, at, prefix } => {
                let (scheme, default) = if *tls {
                    (Scheme::HTTPS, 443)
                } else {
                    (Scheme::HTTP, 80)
                };
                let host = if at.host.contains(':') {
                    format!("[{}]", at.host)
                } else {
                    at.host.clone()
                };
                let written = if at.port == default {
                    host
                } else {
                    format!("{host}:{}", at.port)
                };
                (scheme, written, prefix.clone())
            }
            Address::Unix(_) => (Scheme::HTTP, "localhost".to_owned(), String::new()),
        };
        let host = HeaderValue::from_str(&authority).map_err(|error| unusable(error.into()))?;
        let authority = Authority::try_from(authority).map_err(|error| unusable(error.into()))?;
        Ok(Self(Arc::new(Inner {
            way: RwLock::new(Way {
                pool: pool(vault)?,
                vault: vault.clone(),
            }),
            derived: Mutex::default(),
            gate,
            scheme,
            authority,
            host,
            prefix,
            target,
            vault: vault.clone(),
        })))
    }

    /// As this one, with the same gate; where they are given, it trusts this CA only and presents this certificate.
    /// Reads the files, those of the `vault` block too.
    pub(crate) fn with_certificates(
        &self,
        ca: Option<&Path>,
        identity: Option<&ClientCertificate>,
    ) -> Result<Self, Error> {
        let vault = with(self.trusting(), ca, identity);
        let client = Self::new(&vault, self.0.gate.clone())?;
        let mut derived = self.derived();
        derived.retain(|derived| derived.client.strong_count() > 0);
        derived.push(Derived {
            client: Arc::downgrade(&client.0),
            ca: ca.map(Path::to_owned),
            identity: identity.cloned(),
        });
        drop(derived);
        Ok(client)
    }

    /// From now on, connections are made with the certificates of `vault`, read anew; so it is with the clients that
    /// were made from this one. What is under way goes on, and idle connections are closed.
    ///
    /// Where that cannot be, the one concerned goes on as before.
    pub(crate) fn reload(&self, vault: &Vault) -> Result<(), Error> {
        let way = Way {
            pool: pool(vault)?,
            vault: vault.clone(),
        };
        *self.0.way.write().unwrap_or_else(PoisonError::into_inner) = way;
        for derived in self.derived().iter() {
            if let Some(inner) = derived.client.upgrade() {
                let (ca, identity) = (derived.ca.as_deref(), derived.identity.as_ref());
                Self(inner).reload(&with(vault.clone(), ca, identity))?;
            }
        }
        Ok(())
    }

    fn derived(&self) -> std::sync::MutexGuard<'_, Vec<Derived>> {
        self.0
            .derived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The `vault` block with what the last reload read.
    fn trusting(&self) -> Vault {
        let way = self.0.way.read().unwrap_or_else(PoisonError::into_inner);
        way.vault.clone()
    }

    fn pool(&self) -> Pool {
        let way = self.0.way.read().unwrap_or_else(PoisonError::into_inner);
        way.pool.clone()
    }

    /// Sends a request of the agent itself when its turn at the gate has come, and reads the whole answer.
    pub(crate) async fn call(&self, reason: Reason, call: Call<'_>) -> Result<Secret, Error> {
        let pass = self.turn(reason, None).await;
        self.call_with(pass, call, self.0.vault.timeout).await
    }

    /// Waits for the right to send one request. Where it has to be sent `by` a time to be of use, it does not wait
    /// longer for the sake of other agents.
    pub(crate) async fn turn(&self, reason: Reason, by: Option<Instant>) -> Pass {
        loop {
            match self.0.gate.turn(reason, by).await {
                Turn::Send(pass) => return pass,
                Turn::Probe(probe) => probe.found(&self.probe().await),
            }
        }
    }

    /// As [`Client::call`], with the turn taken and no more time than `within` for the answer.
    pub(crate) async fn call_with(
        &self,
        pass: Pass,
        call: Call<'_>,
        within: Duration,
    ) -> Result<Secret, Error> {
        let uses = self.0.vault.single_use;
        let single_use = match pass.reason {
            Reason::LeaseRenew => uses.caching,
            _ => uses.auto_auth,
        };
        let within = within.min(self.0.vault.timeout);
        let answer = self.exchange(&call, single_use, within).await;
        let answer = answer.and_then(|(head, body)| self.read(&call, &head, body));
        pass.close(&answer);
        answer
    }

    /// Whether Vault is in service. Anybody may ask, in the root namespace; a standby will do.
    async fn probe(&self) -> Result<(), Error> {
        let call = Call {
            path: HEALTH,
            namespace: Some(""),
            ..Call::default()
        };
        let (head, body) = self.exchange(&call, false, PROBE_LIMIT).await?;
        if !head.status.is_server_error() {
            return Ok(());
        }
        let body = body.unwrap_or_default();
        let says = |text: &[u8]| body.windows(text.len()).any(|part| part == text);
        let mut errors = said(&call, &body);
        if says(br#""initialized":false"#) {
            errors.push("not initialized".to_owned());
        } else if says(br#""sealed":true"#) {
            errors.push("sealed".to_owned());
        }
        Err(Error::Status {
            path: HEALTH.to_owned(),
            status: head.status,
            errors,
            retry_after: retry_after(&head.headers),
        })
    }

    /// Sends, following redirects within the cluster, and reads to the end. A body that breaks off is the caller's affair:
    /// an error needs none.
    async fn exchange(
        &self,
        call: &Call<'_>,
        single_use: bool,
        within: Duration,
    ) -> Result<(Parts, Result<Bytes, Cause>), Error> {
        let answered = async {
            let start = Instant::now();
            let answer = self.follow(call, single_use).await;
            self.0.gate.took(Caller::Agent, start.elapsed());
            let (head, body) = answer?.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await;
            Ok((head, body.map(http_body_util::Collected::to_bytes)))
        };
        tokio::time::timeout(within, answered)
            .await
            .map_err(|_elapsed| self.timed_out(within))?
    }

    async fn follow(&self, call: &Call<'_>, single_use: bool) -> Result<Response<Incoming>, Error> {
        let mut answer = self.send(self.request(call, single_use, None)?).await?;
        let mut from = self.uri_of(call)?;
        for _ in 0..redirect::MOST {
            let Some(to) = redirect::target(&self.0.vault, &from, &answer) else {
                break;
            };
            from = to.clone();
            answer = self.send(self.request(call, single_use, Some(to))?).await?;
        }
        Ok(answer)
    }

    fn read(
        &self,
        call: &Call<'_>,
        head: &Parts,
        body: Result<Bytes, Cause>,
    ) -> Result<Secret, Error> {
        if !head.status.is_success() {
            return Err(Error::Status {
                path: call.path.to_owned(),
                status: head.status,
                errors: said(call, &body.unwrap_or_default()),
                retry_after: retry_after(&head.headers),
            });
        }
        let body = body.map_err(|source| self.broken(source))?;
        if body.is_empty() {
            return Ok(Secret::default());
        }
        serde_json::from_slice(&body).map_err(|source| Error::Answer {
            path: call.path.to_owned(),
            // A parser's message may quote what it read, and that may be a token: only its place is kept.
            source: format!("line {}, column {}", source.line(), source.column()).into(),
        })
    }

    fn uri_of(&self, call: &Call<'_>) -> Result<Uri, Error> {
        let path = PathAndQuery::try_from(format!("/v1/{}", call.path))
            .map_err(|error| Error::Request(error.into()))?;
        self.uri(path)
    }

    /// `to` is where a redirect has led.
    fn request(
        &self,
        call: &Call<'_>,
        single_use: bool,
        to: Option<Uri>,
    ) -> Result<Request<Body>, Error> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(self.uri_of(call)?)
            .header(HOST, self.0.host.clone())
            .header(VAULT_REQUEST, HeaderValue::from_static("true"));
        if let Some(token) = call.token {
            request = request.header(TOKEN, token.header());
        }
        if let Some(ttl) = call.wrap_ttl {
            request = request.header(WRAP_TTL, HeaderValue::from(ttl.as_secs().max(1)));
        }
        // An empty one is the root namespace, which needs no header.
        let namespace = call.namespace.or(self.0.vault.namespace.as_deref());
        if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
            request = request.header(NAMESPACE, namespace);
        }
        let mut bytes = Bytes::new();
        if let Some(body) = &call.body {
            bytes = Bytes::from_owner(Zeroizing::new(body.0.to_string().into_bytes()));
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut request = request.body(Body::full(bytes)).map_err(Error::Request)?;
        if single_use {
            close(&mut request);
        }
        if let Some(to) = to {
            redirect::address(&mut request, to);
        }
        Ok(request)
    }

    /// The certificate that the `vault` block names.
    pub(crate) fn identity(&self) -> Option<ClientCertificate> {
        self.trusting().client_certificate
    }

    /// The server's address, for people to read.
    pub(crate) fn target(&self) -> &str {
        &self.0.target
    }

    /// Sends, with no limit on the time.
    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let node = request.uri().authority().cloned();
        self.pool().request(request).await.map_err(|error| {
            if error.is_connect() {
                Error::Connect {
                    target: match node {
                        Some(node) if node != self.0.authority => {
                            format!("{}://{node}", self.0.scheme)
                        }
                        _ => self.0.target.clone(),
                    },
                    source: error.into(),
                }
            } else if is_of_the_body(&error) {
                // hyper's words around it say less.
                Error::Body(if Silence::caused(&error) {
                    Silence.into()
                } else {
                    error.into()
                })
            } else {
                self.broken(error.into())
            }
        })
    }

    fn uri(&self, path: PathAndQuery) -> Result<Uri, Error> {
        let path = if self.0.prefix.is_empty() {
            path
        } else {
            PathAndQuery::try_from(format!("{}{path}", self.0.prefix))
                .map_err(|error| Error::Request(error.into()))?
        };
        Uri::builder()
            .scheme(self.0.scheme.clone())
            .authority(self.0.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(Error::Request)
    }

    fn timed_out(&self, after: Duration) -> Error {
        Error::Timeout {
            target: self.0.target.clone(),
            after,
        }
    }

    fn broken(&self, source: Cause) -> Error {
        Error::Transport {
            target: self.0.target.clone(),
            source,
        }
    }
}

/// The `vault` block with these certificates instead of its own.
fn with(mut vault: Vault, ca: Option<&Path>, identity: Option<&ClientCertificate>) -> Vault {
    if let Some(ca) = ca {
        vault.ca_cert = Some(ca.to_owned());
        (vault.ca_path, vault.ca_pem) = (None, None);
    }
    if let Some(identity) = identity {
        vault.client_certificate = Some(identity.clone());
    }
    vault
}

/// A pool of connections: to Vault; or, as its address says nothing but whether TLS is spoken, to anybody.
pub(crate) fn pool(vault: &Vault) -> Result<Pool, Error> {
    match &vault.address {
        Address::Tcp { tls: true, .. } => encrypted(vault),
        Address::Tcp { tls: false, .. } => plain(Dial::tcp()),
        Address::Unix(path) => local(path),
    }
}

/// For whatever speaks HTTP on a Unix socket.
pub(crate) fn local(socket: &Path) -> Result<Pool, Error> {
    plain(Dial::Unix(Arc::from(socket)))
}

/// A plain address needs no roots, and so none are read.
fn plain(dial: Dial) -> Result<Pool, Error> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls::plain().map_err(Error::Tls)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(dial);
    Ok(pooled(connector))
}

fn encrypted(vault: &Vault) -> Result<Pool, Error> {
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls::config(vault).map_err(Error::Tls)?)
        .https_only();
    let Some(name) = &vault.tls_server_name else {
        return Ok(pooled(builder.enable_http1().wrap_connector(Dial::tcp())));
    };
    let name = ServerName::try_from(name.clone()).map_err(|source| {
        Error::Tls(tls::Error::ServerName {
            name: name.clone(),
            source,
        })
    })?;
    let connector = builder
        .with_server_name_resolver(FixedServerNameResolver::new(name))
        .enable_http1()
        .wrap_connector(Dial::tcp());
    Ok(pooled(connector))
}

fn pooled(connector: HttpsConnector<Dial>) -> Pool {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .set_host(false)
        .build(Connector(connector))
}

/// Whether what was to be sent broke off, and not the connection.
fn is_of_the_body(error: &legacy::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<hyper::Error>());
    cause.is_some_and(hyper::Error::is_user)
}

/// The connection ends with this request's answer.
fn close(request: &mut Request<Body>) {
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(CONNECTION, close);
}

fn target(address: &Address) -> String {
    match address {
        Address::Tcp { tls, at, prefix } => {
            let scheme = if *tls { "https" } else { "http" };
            format!("{scheme}://{at}{prefix}")
        }
        Address::Unix(path) => format!("unix://{}", path.display()),
    }
}

/// What Vault wrote under `errors`, fit for a log line.
fn said(call: &Call<'_>, body: &[u8]) -> Vec<String> {
    let Errors { errors } = serde_json::from_slice(body).unwrap_or_default();
    errors
        .into_iter()
        .take(4)
        .map(|text| {
            let text = call.redact(text);
            let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            one_line.chars().take(MESSAGE_LIMIT).collect()
        })
        .collect()
}

/// The form in seconds. The other one, a date, would need a clock that agrees with the server's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
