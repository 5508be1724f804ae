//! The command line's side: asks the running agent over its admin socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Below the 5 s that the injected startup probe waits, so that our words are printed and not the kubelet's.
const LIMIT: Duration = Duration::from_secs(4);
/// Many times what a full cache's status takes.
const ANSWER_LIMIT: usize = 1 << 20;

/// Why the running agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no agent answers at {}; it listens there only with an `admin` block", socket.display())]
    Connect {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("asking the agent at {}", socket.display())]
    Exchange {
        socket: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the agent at {} did not answer within {} s", socket.display(), LIMIT.as_secs())]
    Timeout { socket: PathBuf },
}

/// A question.
pub(crate) fn get(path: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::default();
    *request.uri_mut() = Uri::from_static(path);
    request
}

/// An order.
pub(crate) fn post(path: &'static str, body: &Value) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(body.to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(path);
    request
}

/// Sends a request, whose URI is a path; the answer's status and text.
pub(crate) async fn ask(
    socket: &Path,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Error> {
    tokio::time::timeout(LIMIT, exchange(socket, request))
        .await
        .map_err(|_elapsed| Error::Timeout {
            socket: socket.to_owned(),
        })?
}

async fn exchange(
    socket: &Path,
    mut request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Error> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| Error::Connect {
            socket: socket.to_owned(),
            source,
        })?;
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| Error::Exchange {
        socket: socket.to_owned(),
        source,
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(error.into()))?;
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("keyside"));
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(connection, answered);
    // The connection has to be driven while the answer is awaited, and may end right after the answer.
    tokio::select! {
        biased;
        answer = &mut answered => answer.map_err(broken),
        Err(error) = &mut connection => Err(broken(error.into())),
    }
}
