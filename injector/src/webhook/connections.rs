//! A bound socket and the connections that came through it, from the first to the last.
//!
//! The end has three stages, because the API server learns late that a replica goes away: first connections are still
//! accepted and each answer asks to close, then nothing more is accepted, then what is left is dropped.
//!
//! Invariant: at most `limit` connections are open; the next ones wait in the kernel's queue.
//! Invariant: an accept that fails pauses the loop and does not end it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use keyside_lifecycle::error;
use keyside_lifecycle::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;

pub(crate) struct Socket {
    name: &'static str,
    listener: TcpListener,
    limit: Arc<Semaphore>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    /// Still accepting, but every answer asks the caller to close.
    Closing,
    /// No new connection; idle ones are closed.
    Draining,
}

pub(crate) type Watch = watch::Receiver<Stage>;

/// What is taken as the head of a request.
pub(crate) struct Heads {
    /// How long one may take, and therefore how long a connection may be idle.
    pub(crate) time: Duration,
    pub(crate) bytes: usize,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("listening on {address} for {name}")]
    Bind {
        name: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
}

/// How long what is under way may still take once nothing more is accepted.
const DRAIN: Duration = Duration::from_secs(10);
/// The usual cause of a failing accept is a lack of file descriptors, which does not pass in a microsecond.
const PAUSE: Duration = Duration::from_millis(100);

impl Socket {
    pub(crate) async fn bind(
        name: &'static str,
        address: SocketAddr,
        limit: usize,
    ) -> Result<Self, Error> {
        let error = |source| Error::Bind {
            name,
            address,
            source,
        };
        let listener = listen(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        tracing::info!(event = "listening", listener = name, address = %address);
        Ok(Self {
            name,
            listener,
            limit: Arc::new(Semaphore::new(limit)),
        })
    }

    /// Serves until `end` is requested, `linger` has passed and the last connection is closed.
    pub(crate) async fn run<F>(
        self,
        end: Shutdown,
        linger: Duration,
        serve: impl Fn(TcpStream, Watch) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stage, watch) = watch::channel(Stage::Serving);
        let mut connections = JoinSet::new();
        let closed = async {
            end.requested().await;
            stage.send_replace(Stage::Closing);
            time::sleep(linger).await;
        };
        tokio::pin!(closed);
        loop {
            // Cancel-safe all: an accepted connection is handed out at once, a joined task is gone either way.
            tokio::select! {
                biased;
                () = &mut closed => break,
                Some(_ended) = connections.join_next() => {}
                (stream, permit) = self.accept() => {
                    let connection = serve(stream, watch.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
            }
        }
        let name = self.name;
        drop(self);
        stage.send_replace(Stage::Draining);
        let drained = time::timeout(DRAIN, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                event = "drain_late",
                listener = name,
                dropped = connections.len()
            );
        }
    }

    /// Cancel-safe: what is awaited last is the accept itself.
    async fn accept(&self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok(permit) = Arc::clone(&self.limit).acquire_owned().await else {
                // Nobody closes the semaphore.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, _peer)) => {
                    // Answers are one small write each; waiting to fill a segment would only delay them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(event = "nodelay_failed", %error);
                    }
                    return (stream, permit);
                }
                Err(error) => {
                    tracing::warn!(event = "accept_failed", listener = self.name, %error);
                    time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// `[::]` is every address; on a machine without IPv6 that is `0.0.0.0`.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let result = TcpListener::bind(address).await;
    match result {
        Err(error) if address.ip().is_unspecified() && lacks_ipv6(&error) => {
            TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port())).await
        }
        other => other,
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        // EAFNOSUPPORT has no kind of its own.
        || error.raw_os_error() == Some(97)
}

/// Answers what comes over one connection, until it ends or the socket drains and no request is under way.
pub(crate) async fn serve<S, F>(
    stream: S,
    heads: Heads,
    mut stage: Watch,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(heads.time)
        .max_buf_size(heads.bytes)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // Cancel-safe: the connection is polled on below.
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = draining(&mut stage) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(event = "connection_failed", error = error::chain(&error));
    }
}

/// Resolves when idle connections are to be closed. Cancel-safe.
pub(crate) async fn draining(watch: &mut Watch) {
    // An error means that the socket is gone, which is as good.
    let _reached = watch.wait_for(|stage| *stage >= Stage::Draining).await;
}
