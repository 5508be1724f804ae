//! What was read from KV engines, kept: pure, and told the time.
//!
//! `fresh (ttl) → looked after on somebody's request (the version, or the secret itself) → fresh again`; and while Vault
//! is away, stale for a bounded time. One answer is shared by all tokens that may read it.
//!
//! Invariant: a token is given an answer only where it has itself read that secret through this proxy, and not longer
//! ago than [`PROOF`] or a `ttl`; a 403 ends that at once. The look-up of a version proves nothing: who may look at
//! metadata need not be allowed to read. A new login of the agent brings a new token, with other policies perhaps, so
//! it has to read anew as well.
//! Invariant: an older version never takes the place of a newer one; where Vault answers with one, from a standby that
//! lags, the newer one is served, as long as it could be served while Vault is away.
//! Invariant: what a write through the proxy concerns is neither found nor kept from when it is sent until some time
//! after it was answered ([`writes`]).
//! Invariant: `remove` is the only way out, so that the indexes name only what is there.
//!
//! Nothing of it is handed on to the next process: a secret is read anew sooner than it could be trusted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use keyside_config::model::StaticSecrets;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use super::answer::Answer;
use super::identity::TokenId;
use super::key::Key;
use super::path;
use super::policy::{Decision, Skip};
use super::revocation::Revoked;

pub(super) mod ask;
pub(crate) mod mount;
pub(crate) mod request;
pub(crate) mod version;
pub(crate) mod writes;

use mount::Mounts;
use version::Version;
use writes::Writes;

/// How long having read a secret counts as being allowed to, where the `ttl` is shorter.
const PROOF: Duration = Duration::from_mins(5);
/// How many tokens of one secret are remembered, the latest.
const MOST_PROOFS: usize = 64;
/// How long Vault is not asked again after it was found away.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a standby may lag.
const LAG: Duration = Duration::from_secs(10);

/// Whose request it is: a token, and its end where that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) token: TokenId,
    pub(crate) ends: Option<Instant>,
}

/// A secret that was read.
pub(crate) struct New {
    pub(crate) key: Key,
    /// Namespace and decoded path as one.
    pub(crate) place: String,
    pub(crate) answer: Arc<Answer>,
    /// Of version 2 of the engine.
    pub(crate) version: Option<Version>,
    /// How much of the place is the mount.
    pub(crate) mount: usize,
    /// When the request was sent that it answers.
    pub(crate) began: Instant,
    /// [`Writes::seen`] at that time.
    pub(crate) writes: u64,
}

/// An answer to serve.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) answer: Arc<Answer>,
    /// When Vault was asked last whether it is right.
    pub(crate) validated: Instant,
    pub(crate) decision: Decision,
}

/// What to do for a request.
#[derive(Debug)]
pub(crate) enum Step {
    Serve(Found),
    /// It must be looked after, by one at a time: whoever holds the turn. With the version first, where there is one.
    Refresh {
        turn: Arc<Mutex<()>>,
        look_up: Option<usize>,
    },
    /// Nothing is there for this token.
    Read,
}

#[derive(Debug)]
struct Entry {
    place: String,
    answer: Arc<Answer>,
    version: Option<Version>,
    mount: usize,
    began: Instant,
    validated: Instant,
    fresh_until: Instant,
    /// Vault was away: it is not asked before that.
    pause_until: Option<Instant>,
    turn: Arc<Mutex<()>>,
    used: u64,
    proofs: Vec<Proof>,
}

#[derive(Debug)]
struct Proof {
    token: TokenId,
    until: Instant,
    /// It may not look at the metadata.
    is_blind: bool,
}

#[derive(Debug)]
pub(crate) struct Secrets {
    terms: StaticSecrets,
    entries: HashMap<Key, Entry>,
    by_place: HashMap<String, Vec<Key>>,
    /// The longest unused first.
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    pub(crate) mounts: Mounts,
    pub(crate) writes: Writes,
}

impl Secrets {
    pub(crate) fn new(terms: StaticSecrets) -> Self {
        Self {
            terms,
            entries: HashMap::new(),
            by_place: HashMap::new(),
            by_use: BTreeMap::new(),
            bytes: 0,
            mounts: Mounts::default(),
            writes: Writes::default(),
        }
    }

    pub(crate) fn answers(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the longest unused one was used, by the count of [`Secrets::fresh`].
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.by_use.first_key_value().map(|(used, _)| *used)
    }

    pub(crate) fn drop_oldest(&mut self) {
        if let Some((_, &key)) = self.by_use.first_key_value() {
            self.remove(&key);
        }
    }

    /// What this token may be given without asking Vault. `tick` counts uses.
    pub(crate) fn fresh(
        &mut self,
        key: &Key,
        asker: &Asker,
        now: Instant,
        tick: u64,
    ) -> Option<Found> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        entry.used = tick;
        self.by_use.insert(tick, *key);
        let is_fresh = now < entry.fresh_until && entry.is_proven(asker, now, Duration::ZERO);
        is_fresh.then(|| entry.found(Decision::Hit))
    }

    /// What this token may be given because Vault is away.
    pub(crate) fn stale(&self, key: &Key, asker: &Asker, now: Instant) -> Option<Found> {
        let entry = self.entries.get(key)?;
        let beyond = self.terms.max_stale;
        let lasts = now < entry.fresh_until + beyond && entry.is_proven(asker, now, beyond);
        lasts.then(|| entry.found(Decision::Stale))
    }

    pub(crate) fn step(&mut self, key: &Key, asker: &Asker, now: Instant, tick: u64) -> Step {
        if let Some(found) = self.fresh(key, asker, now, tick) {
            return Step::Serve(found);
        }
        let Some(entry) = self.entries.get(key) else {
            return Step::Read;
        };
        if entry.pause_until.is_some_and(|until| now < until)
            && let Some(found) = self.stale(key, asker, now)
        {
            return Step::Serve(found);
        }
        if !entry.is_proven(asker, now, Duration::ZERO) {
            return Step::Read;
        }
        let is_blind = entry.proof(asker.token).is_some_and(|proof| proof.is_blind);
        let looks = entry.version.is_some() && !is_blind;
        Step::Refresh {
            turn: Arc::clone(&entry.turn),
            look_up: looks.then_some(entry.mount),
        }
    }

    /// Keeps what was read, unless what is there is newer; what is served is the newer of both.
    pub(crate) fn insert(
        &mut self,
        new: New,
        asker: &Asker,
        now: Instant,
        random: f64,
        tick: u64,
    ) -> Result<Found, Skip> {
        if self.writes.concern(&new.place, new.writes, new.began) {
            return Err(Skip::Written);
        }
        let until = new.began + self.terms.ttl.max(PROOF);
        let mut proofs = Vec::new();
        if let Some(entry) = self.entries.get_mut(&new.key) {
            self.bytes -= entry.size();
            entry.prove(asker.token, until);
            self.bytes += entry.size();
            let lag = entry.fresh_until + self.terms.max_stale.max(LAG);
            if new.began < lag && entry.is_newer_than(&new) {
                return (now < lag)
                    .then(|| entry.found(Decision::Newer))
                    .ok_or(Skip::Older);
            }
            proofs = std::mem::take(&mut entry.proofs);
            self.bytes -= size_of::<Proof>() * proofs.len();
            self.remove(&new.key);
        } else {
            proofs.push(Proof {
                token: asker.token,
                until,
                is_blind: false,
            });
        }
        let entry = Entry {
            answer: new.answer,
            version: new.version,
            mount: new.mount,
            began: new.began,
            validated: new.began,
            fresh_until: new.began + self.fresh_for(random),
            pause_until: None,
            turn: Arc::default(),
            used: tick,
            proofs,
            place: new.place,
        };
        let found = entry.found(Decision::Stored);
        self.bytes += entry.size();
        let keys = self.by_place.entry(entry.place.clone()).or_default();
        keys.push(new.key);
        self.by_use.insert(tick, new.key);
        self.entries.insert(new.key, entry);
        Ok(found)
    }

    /// Vault was asked at `began` for the version that it has: where it is the one that is kept, this is fresh again.
    pub(crate) fn confirm(
        &mut self,
        key: &Key,
        version: &Version,
        began: Instant,
        random: f64,
    ) -> Option<Found> {
        let fresh_until = began + self.fresh_for(random);
        let entry = self.entries.get_mut(key)?;
        if entry.version.as_ref() != Some(version) {
            return None;
        }
        entry.validated = began;
        entry.fresh_until = fresh_until;
        entry.pause_until = None;
        Some(entry.found(Decision::Revalidated))
    }

    /// Vault could not be asked.
    pub(crate) fn away(&mut self, key: &Key, now: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.pause_until = Some(now + PAUSE);
        }
    }

    /// The token may not look at the metadata.
    pub(crate) fn blind(&mut self, key: &Key, token: TokenId) {
        let entry = self.entries.get_mut(key);
        let mut proofs = entry.into_iter().flat_map(|entry| &mut entry.proofs);
        if let Some(proof) = proofs.find(|proof| proof.token == token) {
            proof.is_blind = true;
        }
    }

    /// Vault has refused the token this secret.
    pub(crate) fn withdraw(&mut self, place: &str, token: TokenId) {
        for key in self.by_place.get(place).into_iter().flatten() {
            if let Some(entry) = self.entries.get_mut(key) {
                self.bytes -= entry.size();
                entry.proofs.retain(|proof| proof.token != token);
                self.bytes += entry.size();
            }
        }
    }

    /// Drops all versions of a secret.
    pub(crate) fn evict(&mut self, place: &str) {
        for key in self.by_place.get(place).cloned().unwrap_or_default() {
            self.remove(&key);
        }
    }

    /// Vault has said that there is no such secret. Where one was seen, a standby that lags may say otherwise for a
    /// while; who asks in vain again and again keeps no other secret out.
    pub(crate) fn gone(&mut self, place: &str, now: Instant) {
        if !self.by_place.contains_key(place) {
            return;
        }
        let places = [place.to_owned()];
        self.write_begins(&places);
        self.write_ends(&places, now);
    }

    /// A write that concerns these places is about to be sent.
    pub(crate) fn write_begins(&mut self, places: &[String]) {
        self.writes.begin(places);
        for place in places {
            self.evict(place);
        }
    }

    /// It was answered, or will never be.
    pub(crate) fn write_ends(&mut self, places: &[String], now: Instant) {
        for place in places {
            self.evict(place);
        }
        self.writes.end(places, now);
    }

    /// Drops what is at a path or below it.
    pub(crate) fn clear_under(&mut self, parent: &str) {
        let places = self.by_place.keys();
        let under = places.filter(|place| path::is_under(place, parent));
        for place in under.cloned().collect::<Vec<_>>() {
            self.evict(&place);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.by_place.clear();
        self.by_use.clear();
        self.bytes = 0;
        self.mounts = Mounts::default();
    }

    /// Which tokens die with one is not known of all, so that all have to read anew.
    pub(crate) fn revoke(&mut self, revoked: &Revoked) {
        match revoked {
            Revoked::Lease(_) => {}
            Revoked::Prefix { .. } | Revoked::Namespace(_) => self.clear(),
            Revoked::Token(_) | Revoked::Accessor(_) | Revoked::Orphaning(_) => {
                self.forget_proofs();
            }
        }
    }

    pub(crate) fn forget_proofs(&mut self) {
        for entry in self.entries.values_mut() {
            self.bytes -= entry.size();
            entry.proofs.clear();
            self.bytes += entry.size();
        }
    }

    /// Spread, so that a fleet that started as one does not ask as one; never longer than was configured.
    fn fresh_for(&self, random: f64) -> Duration {
        self.terms.ttl.mul_f64(1.0 - random.clamp(0.0, 1.0) / 5.0)
    }

    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        self.bytes -= entry.size();
        self.by_use.remove(&entry.used);
        if let Some(keys) = self.by_place.get_mut(&entry.place) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_place.remove(&entry.place);
            }
        }
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.answer.size() + 2 * self.place.len() + size_of::<Proof>() * self.proofs.len()
    }

    fn found(&self, decision: Decision) -> Found {
        Found {
            answer: Arc::clone(&self.answer),
            validated: self.validated,
            decision,
        }
    }

    fn proof(&self, token: TokenId) -> Option<&Proof> {
        self.proofs.iter().find(|proof| proof.token == token)
    }

    fn is_proven(&self, asker: &Asker, now: Instant, beyond: Duration) -> bool {
        let lives = asker.ends.is_none_or(|ends| now < ends);
        let proof = self.proof(asker.token);
        lives && proof.is_some_and(|proof| now < proof.until + beyond)
    }

    fn prove(&mut self, token: TokenId, until: Instant) {
        let is_blind = self.proof(token).is_some_and(|proof| proof.is_blind);
        self.proofs.retain(|proof| proof.token != token);
        if self.proofs.len() >= MOST_PROOFS {
            self.proofs.remove(0);
        }
        self.proofs.push(Proof {
            token,
            until,
            is_blind,
        });
    }

    /// By version; of the same, or where there is none, by when it was asked for.
    fn is_newer_than(&self, new: &New) -> bool {
        match (&self.version, &new.version) {
            (Some(own), Some(other)) if !own.is_same_write(other) => other.is_older_than(own),
            _ => new.began < self.began,
        }
    }
}

#[cfg(test)]
mod tests;
