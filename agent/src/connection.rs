//! One connection of a client, served in one way for every listener of the agent.
//!
//! hyper's server is compiled anew for every type of stream, service and body that it meets. All of them come through
//! here, where they are one.
//!
//! A connection on which another protocol was agreed goes on as a tunnel to where the answer that says so came from.
//!
//! Invariant: a connection's panic or hang is its own.
//! Invariant: whoever sends a body and stops is not waited for; whoever sends one slowly is.

use std::convert::Infallible;
use std::error::Error;
use std::future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::sync::watch;
use tokio::time::{Sleep, timeout};
use tokio_util::either::Either;

use crate::body::Body;

mod head;

/// Between two parts of a request's body.
const BODY_SILENCE: Duration = Duration::from_secs(30);

/// For the other end of a tunnel, when one is gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What answers the requests of one connection; dropped with it.
pub(crate) trait Service: Send + Sync {
    /// An answer that is there already.
    fn at_once(&self, request: &Request<Incoming>) -> Option<Response<Body>>;

    fn answer(&self, request: Request<Body>) -> Answering;
}

pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Resolves when the connection has to end, though others go on, and says how.
pub(crate) type Leaving = Pin<Box<dyn Future<Output = Leave> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// After the request under way.
    Gently,
    /// There is no request under way, though part of a head may have arrived.
    AtOnce,
}

pub(crate) struct Limits {
    /// For the next request to begin.
    pub(crate) idle_time: Duration,
    /// For a request's head, from its first byte on.
    pub(crate) head_time: Duration,
    /// For a head, and for what of a body is read ahead. hyper takes no less than 8 KiB.
    pub(crate) buffer: usize,
}

/// Serves one connection to its end; `ending` and `leaving` let it finish the request under way.
pub(crate) fn serve(
    stream: Box<dyn Stream>,
    service: Box<dyn Service>,
    limits: &Limits,
    ending: &Ending,
    leaving: Leaving,
) -> impl Future<Output = ()> + Send + use<> {
    let service: Arc<dyn Service> = Arc::from(service);
    let tunnel = Tunnel::default();
    let (answers, agreed) = (Arc::clone(&service), tunnel.clone());
    let answers = service_fn(move |mut request: Request<Incoming>| {
        if let Some(response) = answers.at_once(&request) {
            return Either::Left(future::ready(Ok(response)));
        }
        let upgrade = request
            .headers()
            .contains_key(UPGRADE)
            .then(|| (hyper::upgrade::on(&mut request), agreed.clone()));
        let answering = answers.answer(request.map(received));
        Either::Right(async move {
            let mut response = answering.await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                && let Some((client, tunnel)) = upgrade
            {
                tunnel.agree(client, hyper::upgrade::on(&mut response));
            }
            Ok::<_, Infallible>(response)
        })
    });
    let reads = Arc::new(AtomicUsize::new(0));
    // hyper takes a hundred header fields; for any other number it would ask for memory with every request.
    let connection = http1::Builder::new()
        .timer(head::Timer::new(Arc::clone(&reads), limits.head_time))
        .header_read_timeout(limits.idle_time)
        .max_buf_size(limits.buffer)
        .serve_connection(TokioIo::new(Counted { stream, reads }), answers)
        .with_upgrades();
    let mut ending = ending.0.subscribe();
    async move {
        let mut connection = pin!(connection);
        // Cancel-safe: the connection stays where it is.
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = requested(&mut ending) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            leave = leaving => {
                if leave == Leave::AtOnce {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        drop(ending);
        if let Err(error) = ended {
            tracing::debug!(event = "connection_failed", %error, "a client went away");
        }
        tunnel.run().await;
        // What it holds is held by a tunnel, too.
        drop(service);
    }
}

/// A stream that tells how often something has arrived.
struct Counted {
    stream: Box<dyn Stream>,
    reads: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

type End = TokioIo<Upgraded>;

/// Lets connections finish what they are at, and waits for that. Tunnels are not waited for: they have no end.
pub(crate) struct Ending(watch::Sender<bool>);

impl Ending {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Returns when the last request is answered.
    pub(crate) async fn run(self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

async fn requested(ending: &mut watch::Receiver<bool>) {
    // Whoever is gone without a word will drop the connections, too.
    if ending.wait_for(|requested| *requested).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The two ends of what goes on after a connection's last answer, if anything does.
#[derive(Clone, Default)]
struct Tunnel(Arc<Mutex<Option<(OnUpgrade, OnUpgrade)>>>);

impl Tunnel {
    fn agree(&self, client: OnUpgrade, server: OnUpgrade) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((client, server));
    }

    /// Passes bytes both ways, until one end has said its last; the other has a moment then.
    async fn run(self) {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((client, server)) = ends else {
            return;
        };
        let Ok((client, server)) = tokio::try_join!(client, server) else {
            return;
        };
        let (from_client, to_client) = split(TokioIo::new(client));
        let (from_server, to_server) = split(TokioIo::new(server));
        let (mut up, mut down) = (
            pin!(pass(from_client, to_server)),
            pin!(pass(from_server, to_client)),
        );
        // Cancel-safe enough: what is dropped has had its time.
        let _ended = tokio::select! {
            () = up.as_mut() => timeout(LAST_WORDS, down).await,
            () = down.as_mut() => timeout(LAST_WORDS, up).await,
        };
    }
}

/// Passes what one end says to the other, to its end. Either may leave without a word.
async fn pass(mut from: ReadHalf<End>, mut to: WriteHalf<End>) {
    drop(tokio::io::copy(&mut from, &mut to).await);
    drop(to.shutdown().await);
}

/// Nothing came of a body for too long.
#[derive(Debug, thiserror::Error)]
#[error("no byte of the request's body came for {BODY_SILENCE:?}")]
pub(crate) struct Silence;

impl Silence {
    /// Whether this is what an error comes from.
    pub(crate) fn caused(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// A request's body on its way in.
struct Received {
    body: Incoming,
    /// Runs while the next part is waited for.
    silence: Option<Pin<Box<Sleep>>>,
}

fn received(body: Incoming) -> Body {
    Body::streamed(Received {
        body,
        silence: None,
    })
}

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(BODY_SILENCE)));
        ready!(silence.as_mut().poll(context));
        Poll::Ready(Some(Err(Silence.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
