//! One connection of a client, served in one way for every listener of the agent.
//!
//! hyper's server is compiled anew for every type of stream, service and body that it meets. All of them come through
//! here, where they are one.
//!
//! Invariant: a connection's panic or hang is its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::vault::Body;

/// A connection of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What answers the requests of one connection; dropped with it.
pub(crate) type Service = Box<dyn Fn(Request<Body>) -> Answering + Send + Sync>;

pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

pub(crate) struct Limits {
    /// For a request's head to arrive, and, as hyper counts it, for the next request on a kept connection.
    pub(crate) head_time: Duration,
    /// For a head, and for what of a body is read ahead. hyper takes no less than 8 KiB.
    pub(crate) buffer: usize,
    pub(crate) headers: usize,
}

/// Serves one connection to its end; `graceful` lets it finish the request under way.
pub(crate) fn serve(
    stream: Box<dyn Stream>,
    service: Service,
    limits: &Limits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = service(request.map(|body| body.map_err(Into::into).boxed_unsync()));
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.buffer)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(event = "connection_failed", %error, "a client went away");
        }
    }
}
