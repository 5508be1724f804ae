//! What is asked of both: requests in a row, and what the server is to answer where it is not left to OpenBao.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use keyside_harness::tap::Action;
use serde_json::Value;

/// Which configuration both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Setting {
    /// The agent's token is attached where a request brings none.
    Attach,
    /// The agent's token replaces whatever a request brings.
    Force,
    /// A request goes up with what it brings.
    Plain,
    /// As `Attach`, on a listener that demands the request header.
    Demanding,
    /// As `Attach`, on a listener that serves metrics alone.
    MetricsOnly,
    /// As `Attach`, on a listener that lets the agent be ended.
    Quitting,
    /// As `Attach`, without a cache.
    Uncached,
}

/// Requests that are sent to both, one after the other; and the rows of the page that they show.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) setting: Setting,
    pub(super) steps: Vec<Step>,
    /// What the server answers: OpenBao itself where there is nothing.
    pub(super) played: Option<Action>,
    pub(super) shows: Vec<&'static str>,
}

/// One request. `{name}` in target, headers and body is what [`Step::keep`] kept of an earlier answer.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) keep: Vec<(&'static str, &'static str)>,
}

/// A case of one or more requests on the usual configuration, answered by OpenBao, that shows nothing.
pub(super) fn case(name: impl Into<String>, steps: impl Into<Vec<Step>>) -> Case {
    Case {
        name: name.into(),
        setting: Setting::Attach,
        steps: steps.into(),
        played: None,
        shows: Vec::new(),
    }
}

impl Case {
    pub(super) fn on(mut self, setting: Setting) -> Self {
        self.setting = setting;
        self
    }

    /// The rows of the page that this case is about.
    pub(super) fn shows(mut self, rows: &[&'static str]) -> Self {
        self.shows.extend(rows);
        self
    }

    /// The server answers with this.
    pub(super) fn played(mut self, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        self.played = Some(Action::Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers
                .iter()
                .map(|(name, value)| header(name, value))
                .collect::<HeaderMap>(),
            body: Bytes::from(body.to_owned()),
        });
        self
    }
}

fn header(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    (
        name.parse().expect("a header's name"),
        value.parse().expect("a header's value"),
    )
}

/// A request of any method, without a body.
pub(super) fn ask(method: &str, target: &str) -> Step {
    Step {
        method: method.parse().expect("a method"),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        keep: Vec::new(),
    }
}

pub(super) fn get(target: &str) -> Step {
    ask("GET", target)
}

/// `POST` with a JSON body.
pub(super) fn post(target: &str, body: &Value) -> Step {
    ask("POST", target).json(body)
}

impl Step {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn token(self, token: &str) -> Self {
        self.with("x-vault-token", token)
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.with("content-type", "application/json")
            .body(body.to_string())
    }

    /// Keeps what stands in the answer at this JSON pointer, under this name.
    pub(super) fn keep(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.keep.push((name, pointer));
        self
    }
}
