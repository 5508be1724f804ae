//! The command line's side: asks the running agent over its admin socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use crate::body::{Body, Cause};
use crate::vault;

/// Below the 5 s that the injected startup probe waits, so that our words are printed and not the kubelet's.
const LIMIT: Duration = Duration::from_secs(4);
/// Many times what a full cache's status takes.
const ANSWER_LIMIT: usize = 1 << 20;
/// HTTP wants a host, though a socket has none.
const HOST_NAME: &str = "keyside";

/// Why the running agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no agent answers at {}; it listens there only with an `admin` block", socket.display())]
    Connect {
        socket: PathBuf,
        #[source]
        source: Cause,
    },
    #[error("asking the agent at {}", socket.display())]
    Exchange {
        socket: PathBuf,
        #[source]
        source: Cause,
    },
    #[error("the agent at {} did not answer within {} s", socket.display(), LIMIT.as_secs())]
    Timeout { socket: PathBuf },
}

/// A question.
pub(crate) fn get(path: &'static str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static(path);
    request
}

/// An order.
pub(crate) fn post(path: &'static str, body: &Value) -> Request<Body> {
    let mut request = Request::new(Body::full(body.to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(path);
    request
}

/// Sends a request, whose URI is a path; the answer's status and text.
pub(crate) async fn ask(
    socket: &Path,
    request: Request<Body>,
) -> Result<(StatusCode, String), Error> {
    tokio::time::timeout(LIMIT, exchange(socket, request))
        .await
        .map_err(|_elapsed| Error::Timeout {
            socket: socket.to_owned(),
        })?
}

async fn exchange(
    socket: &Path,
    mut request: Request<Body>,
) -> Result<(StatusCode, String), Error> {
    let broken = |source: Cause| Error::Exchange {
        socket: socket.to_owned(),
        source,
    };
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::from_static(HOST_NAME));
    *request.uri_mut() = Uri::from_parts(uri).map_err(|error| broken(error.into()))?;
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static(HOST_NAME));
    let client = vault::client::local(socket).map_err(|error| broken(error.into()))?;
    let response = client.request(request).await.map_err(|error| {
        if error.is_connect() {
            Error::Connect {
                socket: socket.to_owned(),
                source: error.into(),
            }
        } else {
            broken(error.into())
        }
    })?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_LIMIT).collect().await;
    let body = body.map_err(broken)?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}
