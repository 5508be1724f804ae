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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::answer::Answer;
use super::identity::TokenId;
use super::key::Key;
use super::lease;
use super::policy::{Made, Skip, What};
use crate::token::Token;

#[cfg(test)]
mod check;
pub(crate) mod saved;
pub(crate) mod timers;
pub(super) mod tree;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u64);

/// What a timer is set for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Entry(Id),
    /// Boxed, for there are few of them, and very many of the others.
    Token(Box<TokenId>),
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// Absent: dropped for space, or replaced by a newer one.
    answer: Option<Arc<Answer>>,
    used: u64,
    place: String,
    what: What,
    maker: Option<TokenId>,
    /// The most that Vault gave it at once.
    lasts: Duration,
    /// How long before its end it is no longer given out.
    margin: Duration,
    ends: Option<Instant>,
    renews: bool,
    due: Option<Instant>,
    /// A renewal is under way since that tick.
    renewing: Option<u64>,
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
    made: BTreeSet<Id>,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(super) bounds: Bounds,
    /// Boxed, so that the map's free places are small.
    entries: HashMap<Id, Box<Entry>>,
    parents: HashMap<TokenId, Parent>,
    by_key: HashMap<Key, Id>,
    by_token: HashMap<TokenId, Id>,
    by_accessor: HashMap<String, Id>,
    by_lease: HashMap<String, Id>,
    /// Entries with an answer, the longest unused first.
    by_use: BTreeMap<u64, Id>,
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
            entries: HashMap::new(),
            parents: HashMap::new(),
            by_key: HashMap::new(),
            by_token: HashMap::new(),
            by_accessor: HashMap::new(),
            by_lease: HashMap::new(),
            by_use: BTreeMap::new(),
            timers: BTreeSet::new(),
            newest: None,
            bytes: 0,
            counter: 0,
            revision: 0,
        }
    }

    pub(crate) fn answers(&self) -> usize {
        self.by_use.len()
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
        let Some(&id) = self.by_key.get(key) else {
            return Found::Nothing;
        };
        let ends = self.ends(id);
        let tick = self.tick();
        let Some(entry) = self.entries.get_mut(&id) else {
            return Found::Nothing;
        };
        let Some(answer) = entry.answer.clone() else {
            return Found::Nothing;
        };
        self.by_use.remove(&entry.used);
        entry.used = tick;
        self.by_use.insert(tick, id);
        match ends {
            Some(ends) if ends <= now => Found::Nothing,
            Some(ends) if ends - now < entry.margin => Found::Ending(answer, Some(ends)),
            _ => Found::Fresh(answer, ends),
        }
    }

    /// From when on what a key finds is ending.
    pub(crate) fn ending(&self, key: &Key) -> Option<Instant> {
        let id = *self.by_key.get(key)?;
        let margin = self.entries.get(&id)?.margin;
        self.ends(id).map(|ends| ends - margin)
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
        if let Some(&older) = self.by_key.get(&new.key) {
            self.drop_answer(older);
        }
        let id = Id(self.tick());
        let maker = match &new.made.what {
            What::Token { orphan: true, .. } => None,
            _ => new.maker.map(|maker| self.adopt(id, maker)),
        };
        self.index(id, &new.made.what);
        let ends = new.made.lasts;
        let ends = ends.map(|lasts| new.since + lasts.min(lease::LONGEST));
        let entry = Entry {
            key: new.key,
            answer: Some(Arc::clone(&new.answer)),
            used: id.0,
            place: new.place,
            what: new.made.what,
            maker,
            lasts: new.made.lasts.unwrap_or(lease::LONGEST),
            margin: Duration::ZERO,
            ends,
            renews: new.made.renewable && ends.is_some(),
            due: None,
            renewing: None,
            renewed: id.0,
        };
        self.revision += 1;
        self.bytes += new.answer.size();
        self.by_key.insert(new.key, id);
        self.by_use.insert(id.0, id);
        self.entries.insert(id, Box::new(entry));
        self.plan(id, now, random);
        self.make_space();
        let ends = self.ends(id);
        if let Some((entry, ends)) = self.entries.get_mut(&id).zip(ends) {
            // Of what it can last: a lease of an hour, made with a token that has five minutes, is not always ending.
            entry.margin = lease::margin(ends.saturating_duration_since(now));
        }
        Ok(ends)
    }

    /// An entry's end: its own, or an earlier one of the tokens above it.
    fn ends(&self, id: Id) -> Option<Instant> {
        let mut next = self.entries.get(&id);
        let mut earliest: Option<Instant> = None;
        for _ in 0..DEPTH {
            let Some(entry) = next else { break };
            let parent = entry.maker.and_then(|maker| self.parents.get(&maker));
            let ends = [entry.ends, parent.and_then(|parent| parent.ends)];
            earliest = ends.into_iter().flatten().chain(earliest).min();
            next = entry
                .maker
                .and_then(|maker| self.by_token.get(&maker))
                .and_then(|id| self.entries.get(id));
        }
        earliest
    }

    fn adopt(&mut self, child: Id, maker: Maker) -> TokenId {
        let token = TokenId::from(&maker.token);
        let known = self.parents.contains_key(&token);
        let parent = self.parents.entry(token).or_insert_with(|| Parent {
            token: Arc::new(maker.token),
            accessor: maker.accessor,
            ends: None,
            heard: child.0,
            made: BTreeSet::new(),
        });
        parent.made.insert(child);
        if !known {
            // What the request knew of its token's end may be older than the last renewal.
            let ends = match self.newest {
                Some((newest, ends)) if newest == token => ends,
                _ => maker.ends,
            };
            self.set_token_timer(token, ends);
        }
        token
    }

    fn index(&mut self, id: Id, what: &What) {
        match what {
            What::Token {
                token, accessor, ..
            } => {
                self.by_token.insert(TokenId::from(token), id);
                if !accessor.is_empty() {
                    self.by_accessor.insert(accessor.clone(), id);
                }
            }
            What::Lease { id: lease } => {
                self.by_lease.insert(lease.clone(), id);
            }
        }
    }

    /// Drops answers, the longest unused first, until both bounds hold.
    fn make_space(&mut self) {
        while self.by_use.len() > self.bounds.answers || self.bytes > self.bounds.bytes {
            if self.by_use.is_empty() {
                return;
            }
            self.drop_oldest();
        }
    }

    /// When the longest unused answer was used, by the count of [`Store::tick`].
    pub(super) fn oldest(&self) -> Option<u64> {
        self.by_use.first_key_value().map(|(used, _)| *used)
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some((_, &id)) = self.by_use.first_key_value() {
            self.drop_answer(id);
        }
    }

    fn drop_answer(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if let Some(answer) = entry.answer.take() {
            self.revision += 1;
            self.bytes -= answer.size();
            self.by_use.remove(&entry.used);
        }
        if self.by_key.get(&entry.key) == Some(&id) {
            self.by_key.remove(&entry.key);
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
