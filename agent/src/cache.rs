//! The cache: one entrance for everything that asks Vault for something that may be kept.
//!
//! `request → key → kept | a flight that is under way | Vault → policy → answer`. The parts are pure and are told the
//! time; this module holds them together under one lock.
//!
//! Invariant: the lock is never held across an await, and an answer is kept and its flight ended in one go, so
//! nobody finds neither.
//! Invariant: a credential that was revoked or cleared while it was on its way is not kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use keyside_config::model;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

use crate::vault;
use crate::vault::Body;

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod clear;
pub(crate) mod flight;
pub(crate) mod identity;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod path;
pub(crate) mod policy;
pub(crate) mod renewal;
pub(crate) mod revocation;
pub(crate) mod store;

use answer::Answer;
use clear::Clear;
use flight::{Flight, Landing, Pilot, Seat, Share};
use identity::TokenId;
use key::Key;
use metrics::Metrics;
use policy::{Decision, Made, Skip};
use revocation::Revoked;
use store::{Bounds, Found, Maker, New, Store};

/// How long an answer that may be kept can take to arrive, once its head is here.
const BODY_TIME: Duration = Duration::from_mins(1);
/// Renewal records beyond the answers: for each answer in the cache, so many that were dropped for space.
const RECORDS_PER_ANSWER: usize = 4;
/// How many tokens with a use limit, and how many revocations, are remembered.
const REMEMBERED: usize = 256;

/// A request to the cache.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) key: Key,
    /// Namespace and decoded path as one.
    pub(crate) place: String,
    /// Absent for a login by nobody.
    pub(crate) maker: Option<Maker>,
}

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
    /// Rung when a timer was set that may be earlier than the one slept on.
    earlier: Notify,
    calls: TaskTracker,
    max_body: usize,
    metrics: Metrics,
}

struct State {
    store: Store,
    flights: HashMap<Key, Flight<Kept, Served, Error>>,
    ended: Ended,
    limited: Limited,
}

/// What all who wait share.
#[derive(Debug)]
struct Kept {
    answer: Arc<Answer>,
    ends: Option<Instant>,
}

/// An answer that ends soon, kept as a last resort.
type Ending = Option<(Arc<Answer>, Option<Instant>)>;

enum Entrance {
    Answered(Served),
    Waits {
        seat: Seat<Kept, Served, Error>,
        first: bool,
        ending: Ending,
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
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            earlier: Notify::new(),
            calls: TaskTracker::new(),
            max_body: config.max_body,
            metrics,
        }))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.with(|state| Counts {
            entries: state.store.answers(),
            records: state.store.records(),
            bytes: state.store.bytes(),
        })
    }

    pub(crate) fn max_body(&self) -> usize {
        self.0.max_body
    }

    /// Whether a token is known to be good for a limited number of uses.
    pub(crate) fn is_limited(&self, token: TokenId) -> bool {
        self.with(|state| state.limited.holds(token))
    }

    /// Answers from what is kept, from a flight under way, or by `fetch`, which asks Vault. It may be called by more
    /// than one, as what turns out to be for one client is fetched by each.
    pub(crate) async fn answer<F, R>(&self, asked: Asked, fetch: F) -> Result<Served, Arc<Error>>
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send,
    {
        let (seat, first, ending) = match self.enter(asked, &fetch) {
            Entrance::Answered(served) => return Ok(served),
            Entrance::Waits {
                seat,
                first,
                ending,
            } => (seat, first, ending),
        };
        let result = match seat.share().await {
            Share::Kept(kept) => {
                let decision = if first {
                    Decision::Stored
                } else {
                    Decision::Shared
                };
                return Ok(serve(&kept.answer, kept.ends, decision));
            }
            Share::Mine(served) => Ok(served),
            Share::Failed(error) => Err(error),
            Share::Alone => match fetch().await {
                Ok(response) => Ok(Served {
                    response,
                    decision: Decision::Skip(Skip::Plain),
                }),
                Err(error) => Err(Arc::new(Error::Ask(error))),
            },
        };
        rescue(ending, result)
    }

    /// Applies what a request revoked, once Vault has answered that it did.
    pub(crate) fn revoke(&self, revoked: &[Revoked]) {
        self.with(|state| {
            for revoked in revoked {
                state.store.revoke(revoked);
                state.ended.note(revoked.clone());
            }
        });
    }

    /// Drops what is named. When this returns, it is gone; what was on its way will not be kept.
    pub(crate) fn clear(&self, clear: &Clear) {
        self.with(|state| {
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
        });
    }

    fn enter<F, R>(&self, asked: Asked, fetch: &F) -> Entrance
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send,
    {
        self.with(|state| {
            let ending = match state.store.find(&asked.key, Instant::now()) {
                Found::Fresh(answer, ends) => {
                    return Entrance::Answered(serve(&answer, ends, Decision::Hit));
                }
                Found::Ending(answer, ends) => Some((answer, ends)),
                Found::Nothing => None,
            };
            if let Some(seat) = state.flights.get(&asked.key).and_then(Flight::join) {
                return Entrance::Waits {
                    seat,
                    first: false,
                    ending,
                };
            }
            let (flight, seat, pilot) = Flight::new();
            let call = Call {
                cache: self.clone(),
                since: state.ended.count,
                asked,
                pilot,
            };
            let key = call.asked.key;
            let fetch = fetch.clone();
            let task = self.0.calls.spawn(async move { call.fly(fetch).await });
            flight.flown_by(task.abort_handle());
            state.flights.insert(key, flight);
            Entrance::Waits {
                seat,
                first: true,
                ending,
            }
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.store.next_due();
        let result = act(&mut state);
        let metrics = &self.0.metrics;
        metrics.answers.set(gauge(state.store.answers()));
        metrics.records.set(gauge(state.store.records()));
        metrics.bytes.set(gauge(state.store.bytes()));
        if state.store.next_due() != before {
            self.0.earlier.notify_one();
        }
        result
    }
}

/// One call of Vault on behalf of all who wait for the same. Dropping it, ended or not, ends its flight.
struct Call {
    cache: Cache,
    asked: Asked,
    pilot: Pilot<Kept, Served, Error>,
    /// How many ends had been noted when it began.
    since: u64,
}

impl Call {
    async fn fly<F, R>(self, fetch: F)
    where
        F: Fn() -> R + Send + Sync,
        R: Future<Output = Result<Response<Body>, vault::error::Error>> + Send,
    {
        let landing = match fetch().await {
            Ok(response) => self.read(response).await,
            Err(error) => Landing::Failed(Arc::new(Error::Ask(error))),
        };
        self.cache.with(|state| self.leave(state));
        self.pilot.land(landing);
    }

    async fn read(&self, response: Response<Body>) -> Landing<Kept, Served, Error> {
        let (head, body) = response.into_parts();
        let limit = self.cache.0.max_body;
        if let Err(skip) = policy::head(head.status, &head.headers, limit) {
            return for_one(Response::from_parts(head, body), skip);
        }
        let bytes = match tokio::time::timeout(BODY_TIME, body::read(body, limit)).await {
            Err(_elapsed) => return Landing::Failed(Arc::new(Error::Slow(BODY_TIME))),
            Ok(Err(source)) => return Landing::Failed(Arc::new(Error::Body(source))),
            Ok(Ok(body::Read::Beyond(body))) => {
                return for_one(Response::from_parts(head, body), Skip::TooLarge);
            }
            Ok(Ok(body::Read::Whole(bytes))) => bytes,
        };
        match policy::content(&bytes).and_then(|made| self.keep(&head.headers, &bytes, made)) {
            Ok(kept) => Landing::Kept(Arc::new(kept)),
            Err(skip) => {
                if skip == Skip::LimitedToken {
                    self.note_limited(&bytes);
                }
                for_one(Response::from_parts(head, body::full(bytes)), skip)
            }
        }
    }

    fn keep(&self, headers: &http::HeaderMap, bytes: &Bytes, made: Made) -> Result<Kept, Skip> {
        let now = Instant::now();
        let answer = Arc::new(Answer::new(headers, bytes, now));
        let asked = &self.asked;
        self.cache.with(|state| {
            let maker = asked
                .maker
                .as_ref()
                .map(|maker| TokenId::from(&maker.token));
            if state.ended.concerns(self.since, &made, &asked.place, maker) {
                return Err(Skip::Revoked);
            }
            let new = New {
                key: asked.key,
                answer: Arc::clone(&answer),
                made,
                maker: asked.maker.clone(),
                place: asked.place.clone(),
            };
            let ends = state.store.insert(new, now, fastrand::f64())?;
            self.leave(state);
            Ok(Kept {
                answer: Arc::clone(&answer),
                ends,
            })
        })
    }

    fn note_limited(&self, bytes: &Bytes) {
        if let Some(token) = policy::limited_token(bytes) {
            self.cache
                .with(|state| state.limited.note(TokenId::from(&token)));
        }
    }

    /// Takes the flight off the map, unless another one has its place.
    fn leave(&self, state: &mut State) {
        let key = &self.asked.key;
        if state
            .flights
            .get(key)
            .is_some_and(|flight| flight.is_flown_by(&self.pilot))
        {
            state.flights.remove(key);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.cache.clone().with(|state| self.leave(state));
    }
}

fn for_one(response: Response<Body>, skip: Skip) -> Landing<Kept, Served, Error> {
    Landing::for_one(Served {
        response,
        decision: Decision::Skip(skip),
    })
}

fn serve(answer: &Answer, ends: Option<Instant>, decision: Decision) -> Served {
    let response = answer.at(Instant::now(), ends);
    Served {
        response: response.map(body::full),
        decision,
    }
}

/// Serves what ends soon where Vault is away: a valid credential beats an error.
fn rescue(ending: Ending, result: Result<Served, Arc<Error>>) -> Result<Served, Arc<Error>> {
    let away = match &result {
        Ok(served) => served.response.status().is_server_error(),
        Err(_) => true,
    };
    match ending {
        Some((answer, ends)) if away && ends.is_none_or(|ends| ends > Instant::now()) => {
            Ok(serve(&answer, ends, Decision::Rescued))
        }
        _ => result,
    }
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The latest revocations and clearings, for answers that were on their way meanwhile.
#[derive(Default)]
struct Ended {
    /// Ever noted.
    count: u64,
    /// The latest; absent: everything.
    latest: VecDeque<Option<Revoked>>,
}

impl Ended {
    fn note(&mut self, revoked: Revoked) {
        self.push(Some(revoked));
    }

    fn note_all(&mut self) {
        self.push(None);
    }

    fn push(&mut self, end: Option<Revoked>) {
        self.count += 1;
        self.latest.push_back(end);
        if self.latest.len() > REMEMBERED {
            self.latest.pop_front();
        }
    }

    /// Whether something noted after `since` may name what was made. Where that is forgotten or cannot be told
    /// (an accessor of the maker), it may.
    fn concerns(&self, since: u64, made: &Made, place: &str, maker: Option<TokenId>) -> bool {
        let Ok(missed) = usize::try_from(self.count - since) else {
            return true;
        };
        if missed > self.latest.len() {
            return true;
        }
        self.latest.iter().rev().take(missed).any(|end| match end {
            None | Some(Revoked::Accessor(_)) => true,
            Some(revoked @ (Revoked::Token(token) | Revoked::Orphaning(token))) => {
                maker == Some(*token) || store::tree::revokes(revoked, &made.what, place)
            }
            Some(revoked) => store::tree::revokes(revoked, &made.what, place),
        })
    }
}

/// Tokens that were seen to be made with a use limit: what they ask for must reach Vault, which counts.
#[derive(Default)]
struct Limited {
    known: HashSet<TokenId>,
    oldest: VecDeque<TokenId>,
}

impl Limited {
    fn note(&mut self, token: TokenId) {
        if self.known.insert(token) {
            self.oldest.push_back(token);
        }
        if self.oldest.len() > REMEMBERED
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn holds(&self, token: TokenId) -> bool {
        self.known.contains(&token)
    }
}
