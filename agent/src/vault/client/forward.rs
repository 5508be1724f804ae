//! What clients of the proxy ask: admitted, sent once, and learned from.
//!
//! Invariant: nothing here waits for the gate's turn or takes a place in its queue.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::UPGRADE;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use keyside_lifecycle::shutdown::Shutdown;
use tokio::time::{Duration, Instant};

use super::redirect::MOST;
use super::{Cause, Client, close, redirect};
use crate::body::Body;
use crate::vault::error::{self, Error};
use crate::vault::gate::metrics::Caller;

/// After which a request that has no answer makes the agent look whether Vault is there at all.
const SILENCE: Duration = Duration::from_secs(5);

impl Client {
    /// Takes a client's request under the ceiling on them.
    pub(crate) fn ration(&self) -> Result<(), Error> {
        let fits = self.0.gate.ration();
        fits.then_some(()).ok_or(Error::Limited)
    }

    /// Whether a request of a client may be sent: not while an outage is on.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        match self.0.gate.absence() {
            None => Ok(()),
            Some((found, retry_after)) => Err(Error::Away {
                target: self.0.target.clone(),
                found,
                retry_after,
            }),
        }
    }

    /// Sends what a client of the proxy asked, once, with path and query exactly as given: the address's own path
    /// goes in front, `Host` is Vault's, the protocol's version is ours on both sides, and nothing else is touched.
    /// Bodies stream both ways.
    ///
    /// A redirect is followed within the cluster, where the request can be sent again; others pass.
    ///
    /// The time limit is from the last part of the request's body to the head of the answer; how long the answer's body
    /// may take is the client's affair.
    ///
    /// The gate learns from it: without a connection an outage begins, and other trouble, a long silence too, is a
    /// suspicion, as it may be that of one path.
    pub(crate) async fn forward(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut uri = self.uri(path)?;
        let again = match &body {
            Body::Whole(bytes) => Some((head.clone(), bytes.clone())),
            Body::Streamed(_) => None,
        };
        let upgrades = head.headers.contains_key(UPGRADE);
        let mut request = Request::from_parts(head, body);
        let mut hops = 0;
        let mut response = loop {
            redirect::address(&mut request, uri.clone());
            let asked = Instant::now();
            let answer = self.send_as_ours(request, upgrades).await;
            self.0.gate.took(Caller::Client, asked.elapsed());
            self.learn(&answer, asked, hops > 0);
            let answer = answer?;
            let next = redirect::target(&self.0.vault, &uri, &answer);
            let Some(((head, bytes), next)) = again.as_ref().zip(next).filter(|_| hops < MOST)
            else {
                break answer;
            };
            hops += 1;
            uri = next;
            request = Request::from_parts(head.clone(), Body::Whole(bytes.clone()));
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrades {
            return Err(Error::Answer {
                path: response.status().to_string(),
                source: "nobody asked for another protocol".into(),
            });
        }
        *response.version_mut() = Version::HTTP_11;
        Ok(response)
    }

    async fn send_as_ours(
        &self,
        mut request: Request<Body>,
        upgrades: bool,
    ) -> Result<Response<Incoming>, Error> {
        *request.version_mut() = Version::HTTP_11;
        if self.0.vault.single_use.proxying && !upgrades {
            close(&mut request);
        }
        self.send_patiently(request).await
    }

    /// Sends, and waits for as long as it goes on.
    async fn send_patiently(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let limit = self.0.vault.timeout;
        let sent = Sent::new();
        let mut answer = pin!(self.send(sent.with(request)));
        let mut suspected = false;
        loop {
            let (moved, ended) = sent.state();
            let now = Instant::now();
            if now >= moved + limit {
                return Err(self.timed_out(limit));
            }
            if ended && !suspected && now >= moved + SILENCE {
                self.0.gate.suspect();
                suspected = true;
            }
            let look = (moved + limit).min(now + SILENCE);
            if let Ok(answer) = tokio::time::timeout_at(look, &mut answer).await {
                return answer;
            }
        }
    }

    /// `redirected`: it is about another node than that of the address, which may serve all the same.
    fn learn(&self, answer: &Result<Response<Incoming>, Error>, asked: Instant, redirected: bool) {
        let gate = &self.0.gate;
        match answer {
            Ok(answer) if !error::is_absence(answer.status()) => {}
            Err(error @ Error::Connect { .. }) if !redirected => gate.unreachable(error, asked),
            Ok(_)
            | Err(Error::Connect { .. } | Error::Timeout { .. } | Error::Transport { .. }) => {
                gate.suspect();
            }
            Err(_) => {}
        }
    }

    /// Sees every outage to its end where the agent has nothing of its own to ask, and looks into suspicions; for one
    /// task.
    pub(crate) async fn attend(self, shutdown: Shutdown) {
        let attending = async {
            loop {
                let probe = self.0.gate.duty().await;
                probe.found(&self.probe().await);
            }
        };
        // Cancel-safe both: nothing is half done that the end of the process does not end.
        tokio::select! {
            () = shutdown.requested() => {}
            () = attending => {}
        }
    }
}

/// When a part of a request was last passed on, and whether that was its end.
#[derive(Clone)]
struct Sent(Arc<Mutex<(Instant, bool)>>);

impl Sent {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((Instant::now(), true))))
    }

    fn state(&self) -> (Instant, bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, ended: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), ended);
    }

    fn with(&self, request: Request<Body>) -> Request<Body> {
        if request.body().is_end_stream() {
            return request;
        }
        self.note(false);
        let sent = self.clone();
        request.map(|body| Body::streamed(Sending { body, sent }))
    }
}

struct Sending {
    body: Body,
    sent: Sent,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = &frame {
            self.sent.note(frame.is_none() || self.body.is_end_stream());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
