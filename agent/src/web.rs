//! The HTTP client for whom a login method has to ask before it can ask Vault: a cloud's metadata service, or a
//! provider's token endpoint.
//!
//! It trusts the certificates of the system, follows no redirect and uses no proxy. The roots are read when the first
//! `https` address is asked, so that the metadata services, which speak plain HTTP, cost no memory.
//!
//! Invariant: no error here holds a header, a body or a query: all three may carry a credential.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use keyside_config::model::listener::HostPort;
use keyside_config::model::vault::{Address, Vault};

use crate::body::Body;
use crate::vault;
use crate::vault::client::{Pool, pool};

/// Metadata and tokens are a few kilobytes.
const ANSWER_LIMIT: usize = 256 << 10;
/// From the connection to the last byte of the answer.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("set up an HTTP client")]
    Client(#[source] vault::error::Error),
    #[error("the request does not fit into HTTP")]
    Request(#[source] http::Error),
    #[error("ask {target}")]
    Exchange {
        target: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{target} did not answer within {LIMIT:?}")]
    Timeout { target: String },
    #[error("{target} answered {status}")]
    Status { target: String, status: StatusCode },
    #[error("{target} answered something else than expected: {expected}")]
    Answer {
        target: String,
        expected: &'static str,
    },
}

/// Makes its connections when they are needed.
#[derive(Default)]
pub(crate) struct Web {
    plain: OnceLock<Pool>,
    encrypted: OnceLock<Pool>,
}

impl Web {
    /// Sends a request with an absolute URI, and reads the whole answer, whatever its status.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let target = target(request.uri());
        let answered = tokio::time::timeout(LIMIT, self.exchange(request, &target)).await;
        answered.unwrap_or_else(|_elapsed| Err(Error::Timeout { target }))
    }

    /// As [`Web::send`], where only a success will do: its body.
    pub(crate) async fn fetch(&self, request: Request<Bytes>) -> Result<Bytes, Error> {
        let target = target(request.uri());
        let response = self.send(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::Status { target, status });
        }
        Ok(response.into_body())
    }

    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        target: &str,
    ) -> Result<Response<Bytes>, Error> {
        let broken = |source| Error::Exchange {
            target: target.to_owned(),
            source,
        };
        let encrypted = request.uri().scheme_str() == Some("https");
        if let Some(host) = request.uri().authority() {
            let host = HeaderValue::from_str(host.as_str());
            let host = host.map_err(|error| Error::Request(error.into()))?;
            request.headers_mut().entry(HOST).or_insert(host);
        }
        let sent = self.pool(encrypted)?.request(request.map(Body::full)).await;
        let (head, body) = sent.map_err(|error| broken(error.into()))?.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await;
        Ok(Response::from_parts(head, body.map_err(broken)?.to_bytes()))
    }

    fn pool(&self, encrypted: bool) -> Result<&Pool, Error> {
        let place = if encrypted {
            &self.encrypted
        } else {
            &self.plain
        };
        if let Some(pool) = place.get() {
            return Ok(pool);
        }
        let at = HostPort {
            host: String::new(),
            port: 0,
        };
        let anybody = Vault {
            address: Address::Tcp {
                tls: encrypted,
                at,
                prefix: String::new(),
            },
            ..Vault::default()
        };
        let pool = pool(&anybody).map_err(Error::Client)?;
        Ok(place.get_or_init(|| pool))
    }
}

/// Scheme, host and path, for messages.
pub(crate) fn target(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    // What stands before an @ may be a password.
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", uri.path())
}

#[cfg(test)]
pub(crate) mod fake;
