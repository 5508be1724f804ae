//! What is kept, who made it, and when it ends: pure, and told the time.
//!
//! An entry is a renewal record, small, and mostly an answer as well. Space is made by dropping answers, the longest
//! unused first; the record goes on, for somebody may still use the credential, and its renewal must not stop. The
//! records have a bound of their own.
//!
//! The tree: a token (auto-auth's, a client's, or one created through the proxy) → what was made with it. The end of
//! a token ends everything below it, for Vault revokes that then.
//!
//! Invariant: every index names only entries that are there, and `remove` is the only way out.
//! Invariant: an entry is never served after its own end, nor after the end of the token that made it.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::answer::Answer;
use super::identity::TokenId;
use super::key::Key;
use super::lease;
use super::policy::{Made, Skip, What};
use crate::token::Token;

pub(super) mod bodies;
#[cfg(test)]
mod check;
mod index;
mod names;
pub(crate) mod saved;
mod slab;
pub(crate) mod timers;
pub(super) mod tree;
mod uses;

use bodies::Bodies;
use index::Index;
use slab::{Slab, Slot};
use uses::{Links, Uses};

/// How deep a chain of tokens is followed. Vault has no limit; a chain this deep is nobody's use.
const DEPTH: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) answers: usize,
    pub(crate) bytes: usize,
    /// Renewal records, with an answer or without.
    pub(crate) records: usize,
}

/// The token that a request was made with, where it may have something made with it.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    pub(crate) token: Token,
    /// Known of auto-auth's tokens; empty where they have none.
    pub(crate) accessor: Option<String>,
    /// When it ends, where that is known: of auto-auth's tokens.
    pub(crate) ends: Option<Instant>,
}

/// An answer to keep.
pub(crate) struct New {
    pub(crate) key: Key,
    pub(crate) answer: Arc<Answer>,
    pub(crate) made: Made,
    pub(crate) maker: Option<Maker>,
    /// Namespace and decoded path as one.
    pub(crate) place: String,
    /// From when on it lasts.
    pub(crate) since: Instant,
}

/// What a key finds.
#[derive(Debug)]
pub(crate) enum Found {
    /// Serve it.
    Fresh(Arc<Answer>, Option<Instant>),
    /// It ends soon: ask for a new one, and serve this only where Vault cannot be reached.
    Ending(Arc<Answer>, Option<Instant>),
    Nothing,
}

/// Names the entry that a renewal is under way for, and no other one that lies where it lay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    slot: Slot,
    /// The tick at which the renewal began.
    began: NonZeroU64,
}

/// What a timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Entry(Slot),
    Parent(Slot),
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// Absent: dropped for space, or replaced by a newer one.
    answer: Option<Arc<Answer>>,
    /// When the answer was used last, and which ones before and after it.
    used: u64,
    links: Links,
    place: Box<str>,
    what: What,
    /// The parent.
    maker: Option<Slot>,
    /// The most that Vault gave it at once.
    lasts: Duration,
    /// How long before its end it is no longer given out.
    margin: Duration,
    ends: Option<Instant>,
    renews: bool,
    due: Option<Instant>,
    /// A renewal is under way since that tick.
    renewing: Option<NonZeroU64>,
    /// When a renewal was last heard of.
    renewed: u64,
}

#[derive(Debug)]
struct Parent {
    token: Arc<Token>,
    accessor: Option<String>,
    ends: Option<Instant>,
    /// When its end was last heard of.
    heard: u64,
    made: BTreeSet<Slot>,
}

impl Parent {
    fn id(&self) -> TokenId {
        TokenId::from(&*self.token)
    }
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(super) bounds: Bounds,
    entries: Slab<Entry>,
    parents: Slab<Parent>,
    by_key: Index,
    by_token: Index,
    by_accessor: Index,
    by_lease: Index,
    /// Parents.
    by_maker: Index,
    uses: Uses,
    bodies: Bodies,
    timers: BTreeSet<(Instant, Timer)>,
    /// The newest of auto-auth's tokens, and its end as last heard.
    newest: Option<(TokenId, Option<Instant>)>,
    bytes: usize,
    counter: u64,
    /// Counts changes, those of use left out.
    revision: u64,
}

impl Store {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: Slab::new(),
            parents: Slab::new(),
            by_key: Index::default(),
            by_token: Index::default(),
            by_accessor: Index::default(),
            by_lease: Index::default(),
            by_maker: Index::default(),
            uses: Uses::default(),
            bodies: Bodies::default(),
            timers: BTreeSet::new(),
            newest: None,
            bytes: 0,
            counter: 0,
            revision: 0,
        }
    }

    pub(crate) fn answers(&self) -> usize {
        self.uses.len()
    }

    pub(crate) fn records(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Another one than before where something was kept, dropped, renewed or ended.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn find(&mut self, key: &Key, now: Instant) -> Found {
        let Some(slot) = self.keyed(key) else {
            return Found::Nothing;
        };
        let ends = self.ends(slot);
        self.uses.remove(slot, &mut self.entries);
        self.uses.add(slot, &mut self.entries);
        let tick = self.tick();
        let Some(entry) = self.entries.get_mut(slot) else {
            return Found::Nothing;
        };
        entry.used = tick;
        let Some(answer) = entry.answer.clone() else {
            return Found::Nothing;
        };
        match ends {
            Some(ends) if ends <= now => Found::Nothing,
            Some(ends) if ends - now < entry.margin => Found::Ending(answer, Some(ends)),
            _ => Found::Fresh(answer, ends),
        }
    }

    /// From when on what a key finds fresh is ending.
    pub(crate) fn ending(&self, key: &Key) -> Option<Instant> {
        let slot = self.keyed(key)?;
        let margin = self.entries.get(slot)?.margin;
        self.ends(slot).map(|ends| ends - margin)
    }

    /// Keeps an answer. An older one under the same key loses its answer, and goes on as a record.
    /// Returns until when it may be served.
    pub(crate) fn insert(
        &mut self,
        new: New,
        now: Instant,
        random: f64,
    ) -> Result<Option<Instant>, Skip> {
        if new.answer.size() > self.bounds.bytes {
            return Err(Skip::TooLarge);
        }
        if self.entries.len() >= self.bounds.records {
            return Err(Skip::Full);
        }
        let tick = self.tick();
        let maker = match &new.made.what {
            What::Token { orphan: true, .. } => None,
            _ => new.maker.map(|maker| self.adopt(maker, tick)),
        };
        let ends = new.made.lasts;
        let ends = ends.map(|lasts| new.since + lasts.min(lease::LONGEST));
        let slot = self.add(Entry {
            key: new.key,
            answer: Some(new.answer),
            used: tick,
            links: Links::default(),
            place: new.place.into_boxed_str(),
            what: new.made.what,
            maker,
            lasts: new.made.lasts.unwrap_or(lease::LONGEST),
            margin: Duration::ZERO,
            ends,
            renews: new.made.renewable && ends.is_some(),
            due: None,
            renewing: None,
            renewed: tick,
        });
        self.revision += 1;
        self.plan(slot, now, random);
        self.make_space();
        let ends = self.ends(slot);
        if let Some((entry, ends)) = self.entries.get_mut(slot).zip(ends) {
            // Of what it can last: a lease of an hour, made with a token that has five minutes, is not always ending.
            entry.margin = lease::margin(ends.saturating_duration_since(now));
        }
        Ok(ends)
    }

    /// Puts an entry into every index but the timers.
    fn add(&mut self, mut entry: Entry) -> Slot {
        let key = entry.key;
        let size = entry.answer.as_ref().map(|answer| answer.size());
        if size.is_some()
            && let Some(older) = self.keyed(&key)
        {
            self.drop_answer(older);
        }
        if let Some(answer) = &mut entry.answer {
            *answer = Arc::new(answer.laid_in(&mut self.bodies));
        }
        let maker = entry.maker;
        let slot = self.entries.insert(entry);
        if let Some(size) = size {
            self.bytes += size;
            self.by_key.set(key.bytes(), slot, |_| false);
            self.uses.add(slot, &mut self.entries);
        }
        if let Some(parent) = maker.and_then(|maker| self.parents.get_mut(maker)) {
            parent.made.insert(slot);
        }
        self.name(slot);
        self.lay_anew();
        slot
    }

    /// Lays the answers' bodies closely, where they lie too far apart.
    fn lay_anew(&mut self) {
        if !self.bodies.are_sparse() {
            return;
        }
        let mut bodies = Bodies::default();
        for answer in self
            .entries
            .iter_mut()
            .filter_map(|entry| entry.answer.as_mut())
        {
            *answer = Arc::new(answer.laid_in(&mut bodies));
        }
        self.bodies = bodies;
    }

    /// An entry's end: its own, or an earlier one of the tokens above it.
    fn ends(&self, slot: Slot) -> Option<Instant> {
        let mut next = self.entries.get(slot);
        let mut earliest: Option<Instant> = None;
        for _ in 0..DEPTH {
            let Some(entry) = next else { break };
            let parent = entry.maker.and_then(|maker| self.parents.get(maker));
            let ends = [entry.ends, parent.and_then(|parent| parent.ends)];
            earliest = ends.into_iter().flatten().chain(earliest).min();
            next = parent
                .and_then(|parent| self.token(parent.id()))
                .and_then(|slot| self.entries.get(slot));
        }
        earliest
    }

    /// The parent that is a request's token, from now on.
    fn adopt(&mut self, maker: Maker, tick: u64) -> Slot {
        let token = TokenId::from(&maker.token);
        if let Some(known) = self.parent(token) {
            return known;
        }
        let slot = self.add_parent(Parent {
            token: Arc::new(maker.token),
            accessor: maker.accessor,
            ends: None,
            heard: tick,
            made: BTreeSet::new(),
        });
        // What the request knew of its token's end may be older than the last renewal.
        let ends = match self.newest {
            Some((newest, ends)) if newest == token => ends,
            _ => maker.ends,
        };
        self.set_parent_timer(slot, ends);
        slot
    }

    fn add_parent(&mut self, parent: Parent) -> Slot {
        let token = parent.id();
        let slot = self.parents.insert(parent);
        self.by_maker.set(token.bytes(), slot, |_| false);
        slot
    }

    /// Drops answers, the longest unused first, until both bounds hold.
    fn make_space(&mut self) {
        while self.uses.len() > self.bounds.answers || self.bytes > self.bounds.bytes {
            if self.uses.len() == 0 {
                return;
            }
            self.drop_oldest();
        }
    }

    /// When the longest unused answer was used, by the count of [`Store::tick`].
    pub(super) fn oldest(&self) -> Option<u64> {
        let oldest = self.entries.get(self.uses.oldest()?)?;
        Some(oldest.used)
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some(oldest) = self.uses.oldest() {
            self.drop_answer(oldest);
        }
    }

    fn drop_answer(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        if let Some(answer) = entry.answer.take() {
            let key = entry.key;
            self.revision += 1;
            self.bytes -= answer.size();
            self.bodies.goes(answer.body());
            self.by_key.remove(key.bytes(), slot);
            self.uses.remove(slot, &mut self.entries);
            self.lay_anew();
        }
    }

    /// Counts uses.
    pub(super) fn tick(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

/// The namespace in which something was made: what stands before the API's own part of the path. A lease's id starts
/// with that part; a token's path has `auth` in it.
fn namespace(what: &What, place: &str) -> Option<String> {
    let before = match what {
        What::Lease { id } => {
            let (path, _) = id.rsplit_once('/')?;
            place.trim_end_matches('/').strip_suffix(path)?
        }
        What::Token { .. } => {
            let auth = place.strip_prefix("auth/").map(|_| 0);
            let at = auth.or_else(|| place.find("/auth/").map(|at| at + 1))?;
            place.get(..at)?
        }
    };
    (before.is_empty() || before.ends_with('/')).then(|| before.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
