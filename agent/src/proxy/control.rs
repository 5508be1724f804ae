//! The agent's own endpoints on a listener: `/agent/v1/metrics` and `/agent/v1/cache-clear`.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use keyside_config::model::listener::Role;
use prometheus::TextEncoder;

use super::Proxy;
use super::respond::Error;
use crate::cache::body::{self, Read};
use crate::cache::clear;
use crate::vault::Body;

/// Below which nothing is Vault's.
const METRICS: &str = "/agent/v1/metrics";
const CACHE_CLEAR: &str = "/agent/v1/cache-clear";

/// Prometheus' text format, as its documentation names it.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The largest request to clear the cache: a token, or a path.
const CLEAR_LIMIT: usize = 64 << 10;

impl Proxy {
    /// Answers a request to the agent itself.
    pub(super) async fn control(
        &self,
        path: &str,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        match path {
            METRICS => self.render(head),
            CACHE_CLEAR => self.clear(head, body).await,
            _ => Err(Error::NotFound),
        }
    }

    fn render(&self, head: &Parts) -> Result<Response<Body>, Error> {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Error::Method("GET, HEAD"));
        }
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .map_err(Error::Metrics)?;
        let mut response = Response::new(body::full(text));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TEXT));
        Ok(response)
    }

    /// When this answers, what was named is gone.
    async fn clear(&self, head: &Parts, body: Body) -> Result<Response<Body>, Error> {
        if !matches!(head.method, Method::POST | Method::PUT) {
            return Err(Error::Method("POST, PUT"));
        }
        let cache = self.cache.as_ref().ok_or(Error::NoCache)?;
        match body::read(body, CLEAR_LIMIT, None)
            .await
            .map_err(Error::Body)?
        {
            Read::Beyond(_) => Err(Error::BodyTooLarge { limit: CLEAR_LIMIT }),
            Read::Whole(bytes, _) => {
                cache.clear(&clear::read(&bytes)?);
                Ok(Response::new(body::full("")))
            }
        }
    }
}

/// Whether a listener of this role serves this path at all.
pub(super) fn serves(role: Role, path: &str) -> bool {
    role == Role::Default || path == METRICS
}
