//! One call of Vault: asks, reads the answer as far as a decision needs it, and keeps what may be kept.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::time::{Duration, Instant};

use super::answer::Answer;
use super::flight::{Landing, Pilot};
use super::identity::TokenId;
use super::kv::ask::Secret;
use super::lease;
use super::policy::{self, Decision, Made, Skip};
use super::store::New;
use super::{Asked, Cache, Error, Kept, Route, Served, State};
use crate::body::{self, Body};
use crate::vault;

/// How long an answer that may be kept can take to arrive, once its head is here.
pub(super) const BODY_TIME: Duration = Duration::from_mins(1);

/// What a call brought.
pub(super) enum Outcome {
    Kept(Kept),
    Passed(Served),
    Failed(Error),
}

/// A call for one client.
pub(super) struct Call {
    pub(super) cache: Cache,
    pub(super) asked: Asked,
    /// How many ends had been noted when it began.
    pub(super) since: u64,
    /// The same of writes, where it may read a secret.
    pub(super) writes: u64,
}

impl Call {
    pub(super) async fn make<F, R>(&self, fetch: F) -> Outcome
    where
        F: Fn() -> R,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send + 'static,
    {
        if let Some(secret) = self.secret() {
            return secret.have(Box::pin(fetch())).await;
        }
        let sent = Instant::now();
        match fetch().await {
            Ok(response) => self.read(response, sent).await,
            Err(error) => Outcome::Failed(Error::Ask(error)),
        }
    }

    fn secret(&self) -> Option<Secret<'_>> {
        let (reading, asker) = self.asked.secret()?;
        Some(Secret {
            call: self,
            reading,
            asker,
        })
    }

    pub(super) fn route(&self) -> Route {
        (self.asked.key, self.asked.asker(), self.writes)
    }

    /// Reads an answer to what was asked at `sent`, and keeps what may be kept.
    pub(super) async fn read(&self, response: Response<Body>, sent: Instant) -> Outcome {
        let (head, body) = response.into_parts();
        let limit = self.cache.max_body();
        if let Err(skip) = policy::head(head.status, &head.headers, limit) {
            return passed(Response::from_parts(head, body), skip);
        }
        let room = Some(&self.cache.0.answers);
        let (bytes, _room) =
            match tokio::time::timeout(BODY_TIME, body::read(body, limit, room)).await {
                Err(_elapsed) => return Outcome::Failed(Error::Slow(BODY_TIME)),
                Ok(Err(source)) => return Outcome::Failed(Error::Body(source)),
                Ok(Ok(body::Read::Beyond(body))) => {
                    return passed(Response::from_parts(head, body), Skip::TooLarge);
                }
                Ok(Ok(body::Read::Whole(bytes, room))) => (bytes, room),
            };
        let kept = match policy::content(&bytes) {
            Ok(made) => self.keep(&head.headers, &bytes, made, sent),
            Err(Skip::Plain) => match self.secret() {
                Some(secret) => secret.keep(&head.headers, &bytes, sent).await,
                None => Err(Skip::Plain),
            },
            Err(skip) => Err(skip),
        };
        match kept {
            Ok(kept) => Outcome::Kept(kept),
            Err(skip) => {
                if skip == Skip::LimitedToken {
                    self.note_limited(&bytes);
                }
                passed(Response::from_parts(head, Body::full(bytes)), skip)
            }
        }
    }

    /// Vault counts from when it made the thing, which was after the request was `sent`.
    fn keep(
        &self,
        headers: &HeaderMap,
        bytes: &Bytes,
        made: Made,
        sent: Instant,
    ) -> Result<Kept, Skip> {
        let now = Instant::now();
        let mut answer = Answer::new(headers, bytes, now);
        if !answer.can_tell(&made) {
            return Err(Skip::NotVault);
        }
        let asked = &self.asked;
        let maker = asked.asker();
        let own = made.lasts.map(|lasts| sent + lasts.min(lease::LONGEST));
        self.cache.with(|state| {
            if state.ended.concerns(self.since, &made, &asked.place, maker) {
                return Err(Skip::Revoked);
            }
            answer.share(&mut state.heads);
            let answer = Arc::new(answer);
            let new = New {
                key: asked.key,
                answer: Arc::clone(&answer),
                made,
                maker: asked.maker.clone(),
                place: asked.place.clone(),
                since: sent,
            };
            let ends = state.store.insert(new, now, fastrand::f64())?;
            let cut = ends.zip(own).is_some_and(|(ends, own)| ends < own);
            Ok(Kept {
                cut,
                ..Kept::lease(answer, ends, Decision::Stored)
            })
        })
    }

    fn note_limited(&self, bytes: &Bytes) {
        if let Some(token) = policy::limited_token(bytes) {
            let token = TokenId::from(&token);
            self.cache.with(|state| state.limited.note(token));
            self.cache.0.changed.notify_one();
        }
    }
}

fn passed(response: Response<Body>, skip: Skip) -> Outcome {
    Outcome::Passed(Served::new(response, Decision::Skip(skip)))
}

/// A call on behalf of all who wait for the same. Dropping it, done or not, ends its flight.
pub(super) struct SharedCall {
    pub(super) call: Call,
    pub(super) pilot: Pilot<Kept, Served, Error>,
}

impl SharedCall {
    /// What is kept is in the store before its flight leaves the map, so nobody in between asks again.
    pub(super) async fn fly<F, R>(self, fetch: F)
    where
        F: Fn() -> R,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send + 'static,
    {
        let landing = match self.call.make(fetch).await {
            Outcome::Kept(kept) => Landing::Kept(Arc::new(kept)),
            Outcome::Passed(served) => Landing::for_one(served),
            Outcome::Failed(error) => Landing::Failed(Arc::new(error)),
        };
        self.call.cache.with(|state| self.leave(state));
        self.pilot.land(landing);
    }

    /// Takes the flight off the map, unless another one has its place.
    fn leave(&self, state: &mut State) {
        let key = &self.call.route();
        let ours = |flight: &super::flight::Flight<_, _, _>| flight.is_flown_by(&self.pilot);
        if state.flights.get(key).is_some_and(ours) {
            state.flights.remove(key);
        }
    }
}

impl Drop for SharedCall {
    fn drop(&mut self) {
        self.call.cache.with(|state| self.leave(state));
    }
}
