//! What can be asked of the agent itself: one answer for the admin socket, the verbs that use it, and listeners.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use keyside_lifecycle::shutdown::{Shutdown, Trigger};
use prometheus::{Registry, TextEncoder};

use crate::body::{self, Body, Read};
use crate::cache::{Cache, clear};

/// Prometheus' text format, as its documentation names it.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The largest request to clear the cache: a token, or a path.
pub(crate) const CLEAR_LIMIT: usize = 64 << 10;

#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) registry: Registry,
    /// Absent: nothing is kept.
    pub(crate) cache: Option<Cache>,
    pub(crate) trigger: Trigger,
    pub(crate) shutdown: Shutdown,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no cache: the configuration has no `cache` block")]
    NoCache,
    #[error("the request's body broke off")]
    Body(#[source] body::Cause),
    #[error("the body is larger than {CLEAR_LIMIT} bytes")]
    TooLarge,
    #[error(transparent)]
    Clear(clear::Error),
    #[error("write the metrics")]
    Metrics(#[source] prometheus::Error),
}

impl Control {
    /// All metrics as Prometheus reads them.
    pub(crate) fn metrics(&self) -> Result<Response<Body>, Error> {
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .map_err(Error::Metrics)?;
        let mut response = Response::new(Body::full(text));
        let kind = HeaderValue::from_static(METRICS_TEXT);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(response)
    }

    /// When this returns, what was named is gone.
    pub(crate) async fn clear(&self, body: Body) -> Result<(), Error> {
        let cache = self.cache.as_ref().ok_or(Error::NoCache)?;
        let read = body::read(body, CLEAR_LIMIT, None).await;
        let Read::Whole(bytes, _) = read.map_err(Error::Body)? else {
            return Err(Error::TooLarge);
        };
        cache.clear(&clear::read(&bytes).map_err(Error::Clear)?);
        tracing::info!(event = "cache_cleared", "answers were dropped on demand");
        Ok(())
    }

    /// Ends the agent as SIGTERM does: after what is under way. Asking twice is asking once.
    pub(crate) fn quit(&self) {
        if !self.shutdown.is_requested() {
            tracing::info!(event = "quit", "somebody asked the agent to end");
            self.trigger.request();
        }
    }
}
