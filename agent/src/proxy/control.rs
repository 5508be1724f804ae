//! The agent's own endpoints on a listener: `metrics`, `cache-clear` and `quit` below `/agent/v1/`, and the same below
//! `/proxy/v1/`, as Vault Proxy has them.

use http::request::Parts;
use http::{Method, Response};
use keyside_config::model::listener::{Listener, Role};

use super::Proxy;
use super::respond::Error;
use crate::body::Body;

/// Below which nothing is Vault's.
const OWN: [&str; 2] = ["/agent/v1/", "/proxy/v1/"];

/// What a listener offers of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    role: Role,
    quit: bool,
}

impl From<&Listener> for Offer {
    fn from(listener: &Listener) -> Self {
        Self {
            role: listener.role,
            quit: listener.enable_quit,
        }
    }
}

impl Offer {
    /// Whether this is served here at all.
    pub(super) fn serves(self, path: &str) -> bool {
        match endpoint(path) {
            Some("metrics") => true,
            Some("quit") => self.quit && self.role == Role::Default,
            _ => self.role == Role::Default,
        }
    }
}

impl Proxy {
    /// Answers a request to the agent itself.
    pub(super) async fn control(
        &self,
        path: &str,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        match endpoint(path) {
            Some("metrics") => {
                allow(head, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                format(head.uri.query().unwrap_or_default())?;
                Ok(self.control.metrics()?)
            }
            // When this answers, what was named is gone.
            Some("cache-clear") => {
                allow(head, &[Method::POST, Method::PUT], "POST, PUT")?;
                self.control.clear(body).await?;
                Ok(Response::new(Body::empty()))
            }
            Some("quit") => {
                allow(head, &[Method::POST], "POST")?;
                self.control.quit();
                Ok(Response::new(Body::empty()))
            }
            _ => Err(Error::NotFound),
        }
    }
}

/// The endpoint's name, if this is no path of Vault's.
fn endpoint(path: &str) -> Option<&str> {
    OWN.iter().find_map(|prefix| path.strip_prefix(prefix))
}

fn allow(head: &Parts, methods: &[Method], names: &'static str) -> Result<(), Error> {
    if methods.contains(&head.method) {
        Ok(())
    } else {
        Err(Error::Method(names))
    }
}

/// `?format=`: there is one.
fn format(query: &str) -> Result<(), Error> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    if pairs.any(|(key, value)| key == "format" && !matches!(value, "" | "prometheus")) {
        return Err(Error::Format);
    }
    Ok(())
}
