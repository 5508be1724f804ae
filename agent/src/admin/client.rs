//! The command line's side: asks the running agent over its admin socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Below the 5 s that the injected startup probe waits, so that our words are printed and not the kubelet's.
const LIMIT: Duration = Duration::from_secs(4);
/// Many times what a full cache's status takes.
const ANSWER_LIMIT: usize = 1 << 20;

/// Why the running agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no agent answers at {}", socket.display())]
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

/// Asks for `path`; the answer's status and text.
pub(crate) async fn ask(socket: &Path, path: &str) -> Result<(StatusCode, String), Error> {
    tokio::time::timeout(LIMIT, exchange(socket, path))
        .await
        .map_err(|_elapsed| Error::Timeout {
            socket: socket.to_owned(),
        })?
}

async fn exchange(socket: &Path, path: &str) -> Result<(StatusCode, String), Error> {
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
    let request = Request::get(path)
        .header(HOST, "keyside")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| broken(error.into()))?;
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
