//! What goes wrong with some requests, on demand.

use http::{Method, StatusCode};
use serde_json::Value;

use super::store::Store;
use crate::tap::Recorded;

/// Which requests go wrong, and how. Every one that fits does, unless [`Fault::every`] says otherwise.
#[derive(Clone)]
pub struct Fault {
    method: Option<Method>,
    part: String,
    body: String,
    account: Option<String>,
    every: u32,
    seen: u32,
    pub(super) answer: Answer,
}

#[derive(Clone)]
pub(super) enum Answer {
    Status(StatusCode),
    /// This object instead of what would be right.
    Object(StatusCode, Value),
    /// Reads see the objects as they were when the fault began.
    Stale(Option<Store>),
    /// The connection ends without an answer.
    Cut,
}

impl Fault {
    /// An answer with this status.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self::new(Answer::Status(status))
    }

    /// An answer with this status and object.
    #[must_use]
    pub fn object(status: StatusCode, object: Value) -> Self {
        Self::new(Answer::Object(status, object))
    }

    /// What is read is as old as the fault.
    #[must_use]
    pub fn stale() -> Self {
        Self::new(Answer::Stale(None)).to(Method::GET)
    }

    /// Nobody is there.
    #[must_use]
    pub fn cut() -> Self {
        Self::new(Answer::Cut)
    }

    fn new(answer: Answer) -> Self {
        Self {
            method: None,
            part: String::new(),
            body: String::new(),
            account: None,
            every: 1,
            seen: 0,
            answer,
        }
    }

    /// Only requests with this method.
    #[must_use]
    pub fn to(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only requests with this text in their path.
    #[must_use]
    pub fn of(mut self, part: &str) -> Self {
        part.clone_into(&mut self.part);
        self
    }

    /// Only requests with this text in their body.
    #[must_use]
    pub fn with(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// Only requests of this account (see [`super::ApiServer::kubeconfig_of`]).
    #[must_use]
    pub fn for_account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only the n-th, 2n-th … of them.
    #[must_use]
    pub fn every(mut self, every: u32) -> Self {
        self.every = every.max(1);
        self
    }

    /// Whether this request goes wrong; it counts.
    pub(super) fn hits(&mut self, request: &Recorded) -> bool {
        let path = request.path.split('?').next().unwrap_or_default();
        let account = request.header("authorization");
        let account = account.and_then(|header| header.strip_prefix("Bearer "));
        let fits = self
            .method
            .as_ref()
            .is_none_or(|wanted| *wanted == request.method)
            && path.contains(&self.part)
            && String::from_utf8_lossy(&request.body).contains(&self.body)
            && (self.account.is_none() || self.account.as_deref() == account);
        self.seen += u32::from(fits);
        fits && self.seen.is_multiple_of(self.every)
    }
}
