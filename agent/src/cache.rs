//! The cache: one entrance for everything that asks Vault for something that may be kept.
//!
//! `request → key → kept | a flight that is under way | Vault → policy → answer`. The parts are pure and are told the
//! time; this module holds them together under one lock.
//!
//! Invariant: the lock is never held across an await, and an answer is kept and its flight ended in one go, so
//! nobody finds neither.
//! Invariant: a credential that was revoked or cleared while it was on its way is not kept, and whoever asks after
//! that does not join those who wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::AGE;
use http::{HeaderValue, Method, Response};
use keyside_config::model;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

use crate::body::{self, Body};
use crate::resume::form::Writer;
use crate::vault;

pub(crate) mod answer;
mod call;
pub(crate) mod clear;
pub(crate) mod dead;
pub(crate) mod flight;
pub(crate) mod head;
pub(crate) mod hit;
pub(crate) mod identity;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod kv;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod path;
pub(crate) mod policy;
mod recent;
pub(crate) mod renewal;
pub(crate) mod renewed;
pub(crate) mod revocation;
#[cfg(test)]
mod schedules;
pub(crate) mod store;

use answer::Answer;
use call::{Call, Outcome, SharedCall};
use clear::Clear;
use flight::{Flight, Seat, Share};
use head::Heads;
use hit::Hit;
use identity::TokenId;
use key::Key;
use kv::request::{Reading, is_elsewhere};
use kv::writes;
use kv::{Asker, Secrets};
use metrics::Metrics;
use policy::Decision;
use recent::{Ended, Limited};
use revocation::Revoked;
use store::saved::Saved;
use store::timers::Next;
use store::{Bounds, Found, Maker, Store};

/// Renewal records beyond the answers: for each answer in the cache, so many that were dropped for space.
const RECORDS_PER_ANSWER: usize = 4;

/// A request to the cache.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) key: Key,
    /// Namespace and decoded path as one.
    pub(crate) place: String,
    /// Absent for a login by nobody.
    pub(crate) maker: Option<Maker>,
    /// Where it may read a secret of a KV engine, and those are kept.
    pub(crate) reading: Option<Reading>,
}

impl Asked {
    fn asker(&self) -> Option<TokenId> {
        self.maker.as_ref().map(|maker| TokenId::from(&maker.token))
    }

    /// The secret that it may read, and for whom.
    fn secret(&self) -> Option<(&Reading, Asker)> {
        let (reading, maker) = self.reading.as_ref().zip(self.maker.as_ref())?;
        let asker = Asker {
            token: TokenId::from(&maker.token),
            ends: maker.ends,
        };
        Some((reading, asker))
    }
}

/// By key and asker: the pod keeps its key when its token is replaced, but must not be given what the one before was
/// refused. Of a secret also by the writes before it: what was on its way before a write is not for those who ask after.
type Route = (Key, Option<TokenId>, u64);

/// Why nothing came. Shared by all who waited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("ask Vault")]
    Ask(#[source] vault::error::Error),
    #[error("read the answer of Vault")]
    Body(#[source] body::Cause),
    #[error("the answer of Vault was not complete after {0:?}")]
    Slow(Duration),
}

/// An answer, and what the cache did for it.
pub(crate) struct Served {
    pub(crate) response: Response<Body>,
    pub(crate) decision: Decision,
    /// Where it was found, to be found there again without asking who asks for what.
    pub(crate) hit: Option<Hit>,
}

impl Served {
    pub(crate) const fn new(response: Response<Body>, decision: Decision) -> Self {
        Self {
            response,
            decision,
            hit: None,
        }
    }
}

/// What the cache holds.
pub(crate) struct Counts {
    pub(crate) entries: usize,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// Cheap to clone; all clones are one cache.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Another one whenever something may have changed; only the holder of the lock raises it.
    version: AtomicU64,
    /// Rung when a timer was set that may be earlier than the one slept on.
    earlier: Notify,
    /// Rung when what the next process is to know has changed.
    changed: Notify,
    calls: TaskTracker,
    max_body: usize,
    keeps_secrets: bool,
    requests: body::Room,
    answers: body::Room,
    metrics: Metrics,
}

struct State {
    store: Store,
    flights: HashMap<Route, Flight<Kept, Served, Error>>,
    ended: Ended,
    limited: Limited,
    heads: Heads,
    /// Absent where secrets of KV engines are not kept.
    secrets: Option<Secrets>,
}

/// What all who wait share.
#[derive(Debug)]
struct Kept {
    answer: Arc<Answer>,
    ends: Option<Instant>,
    /// It ends before its own time, with the token that made it.
    cut: bool,
    /// What the first of them is told.
    decision: Decision,
    /// Where Vault was asked about it since it came.
    validated: Option<Instant>,
}

impl Kept {
    fn lease(answer: Arc<Answer>, ends: Option<Instant>, decision: Decision) -> Self {
        Self {
            answer,
            ends,
            cut: false,
            decision,
            validated: None,
        }
    }

    fn has_ended(&self) -> bool {
        self.ends.is_some_and(|ends| ends <= Instant::now())
    }
}

impl From<kv::Found> for Kept {
    fn from(found: kv::Found) -> Self {
        Self {
            answer: found.answer,
            ends: None,
            cut: false,
            decision: found.decision,
            validated: Some(found.validated),
        }
    }
}

/// A write that may concern a secret, from when it is sent until this is dropped: it was answered, or nobody waits for
/// that any more.
pub(crate) struct Writing {
    cache: Cache,
    places: Vec<String>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.cache.with(|state| {
            if let Some(secrets) = &mut state.secrets {
                secrets.write_ends(&self.places, Instant::now());
            }
        });
    }
}

enum Entrance {
    Answered(Served),
    Waits {
        seat: Seat<Kept, Served, Error>,
        first: bool,
        /// There is an answer that ends soon, as a last resort.
        ending: bool,
    },
}

impl Cache {
    pub(crate) fn new(config: &model::Cache, metrics: Metrics) -> Self {
        let bounds = Bounds {
            answers: config.max_entries,
            bytes: config.max_bytes,
            records: config.max_entries.saturating_mul(1 + RECORDS_PER_ANSWER),
        };
        let state = State {
            store: Store::new(bounds),
            flights: HashMap::new(),
            ended: Ended::default(),
            limited: Limited::default(),
            heads: Heads::default(),
            secrets: config.static_secrets.map(Secrets::new),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            version: AtomicU64::new(0),
            earlier: Notify::new(),
            changed: Notify::new(),
            calls: TaskTracker::new(),
            max_body: config.max_body,
            keeps_secrets: config.static_secrets.is_some(),
            requests: room(config),
            answers: room(config),
            metrics,
        }))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.with(|state| Counts {
            entries: state.answers(),
            records: state.store.records(),
            bytes: state.bytes(),
        })
    }

    /// Whether secrets of KV engines are kept.
    pub(crate) fn keeps_secrets(&self) -> bool {
        self.0.keeps_secrets
    }

    /// Notes a write before it is sent.
    pub(crate) fn writing(&self, method: &Method, place: &str) -> Option<Writing> {
        if !self.keeps_secrets() || !writes::is_write(method) || is_elsewhere(place) {
            return None;
        }
        let places = writes::concerned(place);
        self.with(|state| {
            if let Some(secrets) = &mut state.secrets {
                secrets.write_begins(&places);
            }
        });
        Some(Writing {
            cache: self.clone(),
            places,
        })
    }

    /// Leases and tokens by what happens to them next.
    pub(crate) fn next(&self) -> [(Next, usize); 3] {
        self.with(|state| state.store.next())
    }

    pub(crate) fn max_body(&self) -> usize {
        self.0.max_body
    }

    /// For the bodies of requests.
    pub(crate) fn room(&self) -> &body::Room {
        &self.0.requests
    }

    /// Whether a token is known to be good for a limited number of uses.
    pub(crate) fn is_limited(&self, token: TokenId) -> bool {
        self.lock().limited.holds(token)
    }

    /// Returns when what is kept has changed since the last time. Cancel-safe. For one who waits.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Writes what the next process is to know, as far as it fits into `most` bytes.
    pub(crate) fn save(&self, out: &mut Writer, most: usize) {
        self.with(|state| {
            store::saved::write_limited(state.limited.all(), out);
            state.store.save(out, most);
        });
    }

    /// Takes up what the process before knew.
    pub(crate) fn restore(&self, saved: Saved) {
        self.with(|state| {
            for token in &saved.limited {
                state.limited.note(*token);
            }
            state.store.restore(saved, Instant::now(), fastrand::f64);
        });
    }

    /// Answers from what is kept, from a flight under way, or by `fetch`, which asks Vault. It may be called by more
    /// than one, as what turns out to be for one client is fetched by each.
    pub(crate) async fn answer<F, R>(&self, asked: Asked, fetch: F) -> Result<Served, Arc<Error>>
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send + 'static,
    {
        if asked.reading.as_ref().is_some_and(|reading| reading.forced) {
            return self.answer_alone(asked, fetch).await;
        }
        let key = asked.key;
        let (seat, first, ending) = match self.enter(&asked, &fetch) {
            Entrance::Answered(served) => return Ok(served),
            Entrance::Waits {
                seat,
                first,
                ending,
            } => (seat, first, ending),
        };
        let result = match seat.share().await {
            Share::Kept(kept) if first || kept.decision != Decision::Stored => {
                Ok(serve_first(&kept))
            }
            // It took longer to come than it lasts.
            Share::Kept(kept) if kept.has_ended() => self.answer_alone(asked, fetch).await,
            Share::Kept(kept) => Ok(serve(&kept, Decision::Shared)),
            Share::Mine(served) => Ok(served),
            Share::Failed(error) => Err(error),
            Share::Alone => self.answer_alone(asked, fetch).await,
        };
        if ending {
            self.rescue(&key, result)
        } else {
            result
        }
    }

    /// Serves what ends soon where Vault is away: a valid credential beats an error. It is looked for once more, for it may
    /// have been revoked meanwhile.
    fn rescue(&self, key: &Key, result: Result<Served, Arc<Error>>) -> Result<Served, Arc<Error>> {
        let away = match &result {
            Ok(served) => served.response.status().is_server_error(),
            Err(_) => true,
        };
        if !away {
            return result;
        }
        match self.with(|state| state.store.find(key, Instant::now())) {
            Found::Fresh(answer, ends) | Found::Ending(answer, ends) => {
                let kept = Kept::lease(answer, ends, Decision::Rescued);
                Ok(serve(&kept, Decision::Rescued))
            }
            Found::Nothing => result,
        }
    }

    /// For those whose flight brought something for another: what comes now may well be kept.
    async fn answer_alone<F, R>(&self, asked: Asked, fetch: F) -> Result<Served, Arc<Error>>
    where
        F: Fn() -> R,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send + 'static,
    {
        let call = self.with(|state| self.call(state, asked));
        match call.make(fetch).await {
            Outcome::Kept(kept) => Ok(serve_first(&kept)),
            Outcome::Passed(served) => Ok(served),
            Outcome::Failed(error) => Err(Arc::new(error)),
        }
    }

    /// Applies what a request revoked, once Vault has answered that it did.
    pub(crate) fn revoke(&self, revoked: &[Revoked]) {
        self.with(|state| {
            for revoked in revoked {
                state.store.revoke(revoked);
                if let Some(secrets) = &mut state.secrets {
                    secrets.revoke(revoked);
                }
                state.ended.note(revoked.clone());
            }
            state.flights.clear();
        });
    }

    /// Drops what is named. When this returns, it is gone; what was on its way will not be kept.
    pub(crate) fn clear(&self, clear: &Clear) {
        self.with(|state| {
            if let Some(secrets) = &mut state.secrets {
                match clear {
                    Clear::All => secrets.clear(),
                    Clear::Place(place) => secrets.clear_under(place),
                    Clear::Token(_) | Clear::Accessor(_) => secrets.forget_proofs(),
                    Clear::Lease(_) => {}
                }
            }
            match clear {
                Clear::All => state.store.clear(),
                Clear::Place(place) => state.store.clear_path(place),
                Clear::Token(token) => state.store.revoke(&Revoked::Token(TokenId::of(token))),
                Clear::Accessor(accessor) => {
                    state.store.revoke(&Revoked::Accessor(accessor.clone()));
                }
                Clear::Lease(lease) => state.store.revoke(&Revoked::Lease(lease.clone())),
            }
            state.ended.note_all();
            state.flights.clear();
        });
    }

    fn enter<F, R>(&self, asked: &Asked, fetch: &F) -> Entrance
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send + 'static,
    {
        self.with(|state| {
            let now = Instant::now();
            if let Some(found) = state.secret(asked, now) {
                return Entrance::Answered(serve(&found.into(), Decision::Hit));
            }
            let ending = match state.store.find(&asked.key, now) {
                Found::Fresh(answer, ends) => {
                    let kept = Kept::lease(answer, ends, Decision::Hit);
                    return Entrance::Answered(serve(&kept, Decision::Hit));
                }
                Found::Ending(..) => true,
                Found::Nothing => false,
            };
            let route = state.route(asked);
            let joined = state.flights.get(&route).and_then(Flight::join);
            let (seat, first) = match joined {
                Some(seat) => (seat, false),
                None => (self.take_off(state, asked, fetch), true),
            };
            Entrance::Waits {
                seat,
                first,
                ending,
            }
        })
    }

    fn take_off<F, R>(
        &self,
        state: &mut State,
        asked: &Asked,
        fetch: &F,
    ) -> Seat<Kept, Served, Error>
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send + 'static,
    {
        let (flight, seat, pilot) = Flight::new();
        let call = self.call(state, asked.clone());
        let route = call.route();
        let shared = SharedCall { call, pilot };
        let task = self.0.calls.spawn(shared.fly(fetch.clone()));
        flight.flown_by(task.abort_handle());
        state.flights.insert(route, flight);
        seat
    }

    fn call(&self, state: &mut State, asked: Asked) -> Call {
        let (.., writes) = state.route(&asked);
        Call {
            cache: self.clone(),
            asked,
            since: state.ended.count,
            writes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = state.store.next_due();
        let revision = state.store.revision();
        let result = act(&mut state);
        state.make_space();
        self.0.version.fetch_add(1, Ordering::Release);
        let metrics = &self.0.metrics;
        metrics.answers.set(gauge(state.answers()));
        metrics.records.set(gauge(state.store.records()));
        metrics.bytes.set(gauge(state.bytes()));
        if state.store.revision() != revision {
            self.0.changed.notify_one();
        }
        if state.store.next_due() != before {
            self.0.earlier.notify_one();
        }
        result
    }
}

impl State {
    fn answers(&self) -> usize {
        let secrets = self.secrets.as_ref().map_or(0, Secrets::answers);
        self.store.answers() + secrets
    }

    fn bytes(&self) -> usize {
        self.store.bytes() + self.secrets.as_ref().map_or(0, Secrets::bytes)
    }

    /// A secret that can be served without asking Vault.
    fn secret(&mut self, asked: &Asked, now: Instant) -> Option<kv::Found> {
        let (reading, whose) = asked.secret()?;
        let tick = self.store.tick();
        let secrets = self.secrets.as_mut()?;
        secrets.fresh(&reading.key, &whose, now, tick)
    }

    /// Which flight a request may join.
    fn route(&mut self, asked: &Asked) -> Route {
        let secrets = self.secrets.as_mut().filter(|_| asked.reading.is_some());
        let writes = secrets.map_or(0, |secrets| secrets.writes.seen(&asked.place));
        (asked.key, asked.asker(), writes)
    }

    /// The store and the secrets have one bound: what was unused for longest goes, whichever it is.
    fn make_space(&mut self) {
        let Some(secrets) = &mut self.secrets else {
            return;
        };
        let bounds = self.store.bounds;
        while self.store.answers() + secrets.answers() > bounds.answers
            || self.store.bytes() + secrets.bytes() > bounds.bytes
        {
            match (self.store.oldest(), secrets.oldest()) {
                (Some(lease), Some(secret)) if lease < secret => self.store.drop_oldest(),
                (_, Some(_)) => secrets.drop_oldest(),
                (Some(_), None) => self.store.drop_oldest(),
                (None, None) => return,
            }
        }
    }
}

/// What is being read takes as much as what is kept: one half are requests, and one half answers, so that clients
/// that send slowly keep no answer out.
fn room(config: &model::Cache) -> body::Room {
    body::Room::new((config.max_bytes / 2).max(config.max_body))
}

fn serve(kept: &Kept, decision: Decision) -> Served {
    let now = Instant::now();
    let mut response = kept.answer.at(now, kept.ends);
    if let Some(validated) = kept.validated {
        let age = now.saturating_duration_since(validated).as_secs();
        response.headers_mut().insert(AGE, HeaderValue::from(age));
    }
    Served::new(response.map(Body::full), decision)
}

/// What has just come is as Vault sent it, unless it ends sooner than Vault says.
fn serve_first(kept: &Kept) -> Served {
    if kept.decision != Decision::Stored {
        return serve(kept, kept.decision);
    }
    let response = kept
        .answer
        .at(Instant::now(), kept.ends.filter(|_| kept.cut));
    Served::new(response.map(Body::full), Decision::Stored)
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
