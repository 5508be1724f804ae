//! What is asked of Vault for a secret that is not fresh: its version, the secret itself, or once what is mounted there.
//!
//! Nothing here runs by itself: Vault is asked while a client waits, as that client and with its token. Requests of all
//! tokens for one secret that has to be looked after wait for one.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::{Duration, Instant, timeout};

use super::mount::{self, Kind};
use super::request::{Asking, Reading};
use super::version::{self, Read};
use super::{Asker, Found, New, Secrets, Step};
use crate::body;
use crate::cache::answer::Answer;
use crate::cache::call::{Call, Outcome};
use crate::cache::path::Path;
use crate::cache::policy::{self, Skip};
use crate::cache::{Error, Kept};

/// How long Vault may take where there is something to serve instead, and for what is asked beside.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was asked beside.
enum Said {
    Json(Value),
    Refused(StatusCode),
    Away,
}

/// A secret to be had for one client, or for all that ask with the same token.
pub(in crate::cache) struct Secret<'a> {
    pub(in crate::cache) call: &'a Call,
    pub(in crate::cache) reading: &'a Reading,
    pub(in crate::cache) asker: Asker,
}

impl Secret<'_> {
    /// `read` asks for the secret itself, if it must be.
    pub(in crate::cache) async fn have(&self, read: Asking) -> Outcome {
        if self.reading.forced {
            return self.read(read).await;
        }
        loop {
            let now = Instant::now();
            let step = self.call.cache.with(|state| {
                let tick = state.store.tick();
                let secrets = state.secrets.as_mut()?;
                Some(secrets.step(&self.reading.key, &self.asker, now, tick))
            });
            let (turn, look_up) = match step {
                Some(Step::Serve(found)) => return Outcome::Kept(found.into()),
                Some(Step::Refresh { turn, look_up }) => (turn, look_up),
                Some(Step::Read) | None => return self.read(read).await,
            };
            let Ok(_turn) = turn.try_lock() else {
                // Whoever has it may make it fresh, or find Vault away, for all.
                drop(turn.lock().await);
                continue;
            };
            if let Some(mount) = look_up
                && let Some(found) = self.look_up(mount).await
            {
                return Outcome::Kept(found.into());
            }
            return self.read(read).await;
        }
    }

    /// Whether the version is the one that is kept; and what to serve if it is, or if Vault is away.
    async fn look_up(&self, mount: usize) -> Option<Found> {
        let (key, place) = (&self.reading.key, &self.call.asked.place);
        let path = mount::metadata(place, &self.reading.raw, mount)?;
        let began = Instant::now();
        match self.ask(&path).await {
            Said::Json(said) => {
                let version = version::looked_up(&said, self.reading.version)?;
                self.apply(|secrets| {
                    let written = secrets.writes.concern(place, self.call.writes, began);
                    (!written)
                        .then(|| secrets.confirm(key, &version, began, fastrand::f64()))
                        .flatten()
                })
            }
            Said::Refused(StatusCode::FORBIDDEN) => self.with(|secrets| {
                secrets.blind(key, self.asker.token);
                None
            }),
            Said::Refused(_) => None,
            Said::Away => self.away(),
        }
    }

    async fn read(&self, read: Asking) -> Outcome {
        let asked = async {
            let began = Instant::now();
            match read.await {
                Ok(response) => self.call.read(response, began).await,
                Err(error) => Outcome::Failed(Error::Ask(error)),
            }
        };
        let outcome = if self.stale().is_some() {
            let failed = |_elapsed| Outcome::Failed(Error::Slow(PATIENCE));
            timeout(PATIENCE, asked).await.unwrap_or_else(failed)
        } else {
            asked.await
        };
        if is_away(&outcome)
            && let Some(found) = self.away()
        {
            return Outcome::Kept(found.into());
        }
        if let Outcome::Passed(served) = &outcome {
            self.heed(served.response.status());
        }
        outcome
    }

    /// What an answer without the secret says of what is kept.
    fn heed(&self, status: StatusCode) {
        let place = &self.call.asked.place;
        self.with(|secrets| {
            match status {
                StatusCode::FORBIDDEN => secrets.withdraw(place, self.asker.token),
                StatusCode::NOT_FOUND => secrets.gone(place, Instant::now()),
                _ => {}
            }
            Some(())
        });
    }

    /// Keeps what was read, if it is a secret.
    pub(in crate::cache) async fn keep(
        &self,
        headers: &HeaderMap,
        bytes: &Bytes,
        began: Instant,
    ) -> Result<Kept, Skip> {
        let place = &self.call.asked.place;
        // Parsed, it takes many times the room that was given to its bytes: not while others are waited for.
        let read = serde_json::from_slice(bytes).map(|body| version::read(&body));
        let read = read.map_err(|_odd| Skip::NotVault)?;
        if read == Read::Other {
            return Err(Skip::Plain);
        }
        let (mount, kind) = self.mount(place).await.ok_or(Skip::Plain)?;
        let is_data = || {
            let rest = place.get(mount..);
            rest.is_some_and(|rest| rest.starts_with("/data/"))
        };
        let version = match (kind, read) {
            (Kind::One, _) => None,
            (Kind::Two, Read::Version(version)) if is_data() => Some(version),
            (Kind::Two, Read::Expiring) if is_data() => return Err(Skip::Expiring),
            _ => return Err(Skip::Plain),
        };
        let now = Instant::now();
        let mut answer = Answer::new(headers, bytes, now);
        self.call.cache.with(|state| {
            if state.ended.count != self.call.since {
                return Err(Skip::Revoked);
            }
            if answer.size() > state.store.bounds.bytes {
                return Err(Skip::TooLarge);
            }
            answer.share(&mut state.heads);
            let new = New {
                key: self.reading.key,
                place: place.clone(),
                answer: Arc::new(answer),
                version,
                mount,
                began,
                writes: self.call.writes,
            };
            let tick = state.store.tick();
            let secrets = state.secrets.as_mut().ok_or(Skip::Plain)?;
            let found = secrets.insert(new, &self.asker, now, fastrand::f64(), tick)?;
            Ok(found.into())
        })
    }

    async fn mount(&self, place: &str) -> Option<(usize, Kind)> {
        let now = Instant::now();
        if let Some(known) = self.with(|secrets| secrets.mounts.find(place, now)) {
            return Some(known);
        }
        let raw = &self.reading.raw;
        let said = self.ask(&format!("sys/internal/ui/mounts/{raw}")).await;
        let path = Path::read(raw).ok()?.decoded;
        let said = match &said {
            Said::Json(said) => Some(said),
            Said::Refused(_) => None,
            Said::Away => return None,
        };
        self.with(|secrets| {
            secrets.mounts.note(place, &path, said, now);
            secrets.mounts.find(place, now)
        })
    }

    async fn ask(&self, path: &str) -> Said {
        let answered = async {
            let response = (self.reading.beside)(path).await.ok()?;
            let (head, body) = response.into_parts();
            if head.status.is_server_error() {
                return None;
            }
            let limit = self.call.cache.max_body();
            let refused = Some(Said::Refused(head.status));
            if policy::head(head.status, &head.headers, limit).is_err() {
                return refused;
            }
            let room = Some(&self.call.cache.0.answers);
            match body::read(body, limit, room).await.ok()? {
                body::Read::Whole(bytes, _room) => serde_json::from_slice(&bytes)
                    .ok()
                    .map(Said::Json)
                    .or(refused),
                body::Read::Beyond(_) => refused,
            }
        };
        let answered = timeout(PATIENCE, answered).await;
        answered.ok().flatten().unwrap_or(Said::Away)
    }

    fn stale(&self) -> Option<Found> {
        if self.reading.forced {
            return None;
        }
        self.with(|secrets| secrets.stale(&self.reading.key, &self.asker, Instant::now()))
    }

    /// Vault was found away.
    fn away(&self) -> Option<Found> {
        let found = self.stale()?;
        self.with(|secrets| {
            secrets.away(&self.reading.key, Instant::now());
            Some(found)
        })
    }

    /// As `with`, unless something was revoked or cleared meanwhile.
    fn apply<T>(&self, act: impl FnOnce(&mut Secrets) -> Option<T>) -> Option<T> {
        self.call.cache.with(|state| {
            let secrets = state.secrets.as_mut()?;
            (state.ended.count == self.call.since)
                .then(|| act(secrets))
                .flatten()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Secrets) -> Option<T>) -> Option<T> {
        self.call.cache.with(|state| act(state.secrets.as_mut()?))
    }
}

fn is_away(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Kept(_) => false,
        Outcome::Passed(served) => served.response.status().is_server_error(),
        Outcome::Failed(_) => true,
    }
}
