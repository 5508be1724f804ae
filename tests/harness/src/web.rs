//! A small HTTP/1.1 client over TCP, TLS or a Unix socket: one connection per request, so that no test depends on what
//! another left in a pool.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::{background, pki};

/// No request of a test takes this long unless something hangs.
const TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub struct Client {
    target: Target,
    headers: http::HeaderMap,
}

#[derive(Clone)]
enum Target {
    Tcp {
        authority: String,
        tls: Option<Arc<rustls::ClientConfig>>,
        /// What the certificate must name, and what goes into `Host`, where it is not the authority.
        name: Option<String>,
    },
    Unix(PathBuf),
}

impl Client {
    /// A client of `address`: `http://host:port`, `https://host:port` (with the CA in PEM), or `host:port` for plain
    /// HTTP.
    ///
    /// # Errors
    /// When the CA cannot be read, or HTTPS is asked for without one.
    pub fn new(address: &str, ca: Option<&str>) -> anyhow::Result<Self> {
        let target = match address.split_once("://") {
            Some(("https", authority)) => {
                let ca = ca.with_context(|| format!("no CA for {address}"))?;
                Target::Tcp {
                    authority: authority.to_owned(),
                    tls: Some(pki::client_config(ca)?),
                    name: None,
                }
            }
            Some(("http", authority)) => Target::Tcp {
                authority: authority.to_owned(),
                tls: None,
                name: None,
            },
            Some((scheme, _)) => anyhow::bail!("unknown scheme {scheme}"),
            None => Target::Tcp {
                authority: address.to_owned(),
                tls: None,
                name: None,
            },
        };
        Ok(Self {
            target,
            headers: http::HeaderMap::new(),
        })
    }

    /// A client of a Unix socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self {
            target: Target::Unix(path.into()),
            headers: http::HeaderMap::new(),
        }
    }

    /// The same client, which presents this certificate to a server that asks for one.
    ///
    /// # Errors
    /// When certificate and key do not go together.
    pub fn presenting(mut self, ca: &str, leaf: &pki::Leaf) -> anyhow::Result<Self> {
        if let Target::Tcp { tls, .. } = &mut self.target {
            *tls = Some(leaf.client_config(ca)?);
        }
        Ok(self)
    }

    /// The same client, for a server that is reached at one address and has its certificate for another name.
    #[must_use]
    pub fn with_server_name(mut self, server: &str) -> Self {
        if let Target::Tcp { name, .. } = &mut self.target {
            *name = Some(server.to_owned());
        }
        self
    }

    /// The same client, with a header on every request that does not set it itself.
    ///
    /// # Errors
    /// When the name or the value cannot be a header's.
    pub fn with_header(mut self, name: &str, value: &str) -> anyhow::Result<Self> {
        self.headers.insert(
            http::HeaderName::try_from(name)?,
            HeaderValue::try_from(value)?,
        );
        Ok(self)
    }

    /// The same client, with `X-Vault-Token` on every request.
    ///
    /// # Errors
    /// When the token cannot be a header's value.
    pub fn with_token(self, token: &str) -> anyhow::Result<Self> {
        self.with_header("x-vault-token", token)
    }

    /// Sends a request whose URI is path and query, and reads the whole answer.
    ///
    /// # Errors
    /// When there is no connection or no complete answer.
    pub fn send(&self, request: Request<Bytes>) -> anyhow::Result<Response<Bytes>> {
        self.start(request)?.wait()
    }

    /// Starts a request and does not wait for it: for many at once.
    ///
    /// # Errors
    /// When the harness's runtime cannot start.
    pub fn start(&self, request: Request<Bytes>) -> anyhow::Result<Pending> {
        Ok(Pending(background::Pending::start(
            self.clone().exchange(request),
        )?))
    }

    /// As [`Client::send`], for tests that are `async` themselves.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn fetch(&self, request: Request<Bytes>) -> anyhow::Result<Response<Bytes>> {
        background::spawn(self.clone().exchange(request))?.await?
    }

    /// # Errors
    /// As [`Client::send`].
    pub fn get(&self, path: &str) -> anyhow::Result<Response<Bytes>> {
        self.send(request(Method::GET, path, None)?)
    }

    /// # Errors
    /// As [`Client::send`].
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Response<Bytes>> {
        self.send(request(Method::POST, path, Some(body))?)
    }

    async fn exchange(self, mut request: Request<Bytes>) -> anyhow::Result<Response<Bytes>> {
        let what = format!("{} {}", request.method(), request.uri());
        for (name, value) in &self.headers {
            request
                .headers_mut()
                .entry(name)
                .or_insert_with(|| value.clone());
        }
        let host = match &self.target {
            Target::Tcp {
                authority, name, ..
            } => HeaderValue::try_from(name.as_deref().unwrap_or(authority))?,
            Target::Unix(_) => HeaderValue::from_static("localhost"),
        };
        request.headers_mut().entry(header::HOST).or_insert(host);
        let exchange = async {
            let response = self.send_once(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.context("read the body")?;
            anyhow::Ok(Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(outcome) => outcome.with_context(|| what),
            Err(_) => anyhow::bail!("{what}: no answer within {TIMEOUT:?}"),
        }
    }

    /// Sends one request on a connection of its own and gives the answer as soon as its head is here.
    pub(crate) async fn send_once(
        &self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<hyper::body::Incoming>> {
        match &self.target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .with_context(|| format!("connect to {}", path.display()))?;
                over(stream, request).await
            }
            Target::Tcp {
                authority,
                tls,
                name,
            } => {
                let stream = TcpStream::connect(authority)
                    .await
                    .with_context(|| format!("connect to {authority}"))?;
                stream.set_nodelay(true)?;
                let Some(config) = tls else {
                    return over(stream, request).await;
                };
                let host = name.as_deref().unwrap_or_else(|| host(authority));
                let name = ServerName::try_from(host.to_owned())?;
                let stream = TlsConnector::from(Arc::clone(config))
                    .connect(name, stream)
                    .await
                    .with_context(|| format!("TLS with {authority}"))?;
                over(stream, request).await
            }
        }
    }
}

/// An answer that is on its way.
pub struct Pending(background::Pending<anyhow::Result<Response<Bytes>>>);

impl Pending {
    /// # Errors
    /// As [`Client::send`].
    pub fn wait(self) -> anyhow::Result<Response<Bytes>> {
        self.0.wait()?
    }
}

/// A request with an optional JSON body; `path` is path and query.
///
/// # Errors
/// When the path cannot be one.
pub fn request(method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Request<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    match body {
        Some(body) => Ok(request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))?),
        None => Ok(request.body(Bytes::new())?),
    }
}

/// The body as JSON.
///
/// # Errors
/// When it is none; the error shows it.
pub fn json(response: &Response<Bytes>) -> anyhow::Result<Value> {
    let body = response.body();
    serde_json::from_slice(body).with_context(|| {
        format!(
            "{}: not JSON: {}",
            response.status(),
            String::from_utf8_lossy(body)
        )
    })
}

/// The body as JSON, if the status is a success.
///
/// # Errors
/// When it is not; the error shows status and body.
pub fn success(response: &Response<Bytes>) -> anyhow::Result<Value> {
    let body = response.body();
    anyhow::ensure!(
        response.status().is_success(),
        "{}: {}",
        response.status(),
        String::from_utf8_lossy(body)
    );
    if response.status() == StatusCode::NO_CONTENT || body.is_empty() {
        return Ok(Value::Null);
    }
    json(response)
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn host(authority: &str) -> &str {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

async fn over<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<hyper::body::Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection drives itself until the body is read; its errors reach the sender and the body.
    drop(background::spawn(discard(connection))?);
    Ok(sender.send_request(request).await?)
}

async fn discard<T>(future: impl Future<Output = T>) {
    drop(future.await);
}
