//! What of the store outlives the process: written for the next one, and taken up by it.
//!
//! Only what fits is written, the latest used first: an answer whole, or its renewal record alone. A thing is never
//! written without the tokens above it, so that it ends with them in the next process too.
//!
//! Invariant: what was taken up is ended, renewed and evicted like what was inserted.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::{DEPTH, Entry, Id, Parent, Store};
use crate::cache::answer::Answer;
use crate::cache::identity::TokenId;
use crate::cache::key::Key;
use crate::cache::policy::What;
use crate::resume::form::{Reader, Writer};
use crate::token::Token;

const ENTRY: u8 = b'E';
const PARENT: u8 = b'P';
const LIMITED: u8 = b'L';
/// More than the fields of fixed length take.
const FIXED: usize = 256;

/// What an earlier process kept, the latest used first.
#[derive(Default)]
pub(crate) struct Saved {
    entries: Vec<Entry>,
    parents: Vec<(TokenId, Parent)>,
    /// Tokens with a use limit.
    pub(in crate::cache) limited: Vec<TokenId>,
}

impl Saved {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reads one item; `None` where it is not one of these.
    pub(crate) fn item(&mut self, letter: u8, from: &mut Reader<'_>) -> Option<()> {
        match letter {
            ENTRY => self.entries.push(read_entry(from)?),
            PARENT => {
                let parent = read_parent(from)?;
                self.parents.push((TokenId::from(&*parent.token), parent));
            }
            LIMITED => self.limited.push(TokenId::from_hash(from.hash()?)),
            _ => return None,
        }
        Some(())
    }
}

/// Writes tokens with a use limit.
pub(in crate::cache) fn write_limited<'a>(
    tokens: impl Iterator<Item = &'a TokenId>,
    out: &mut Writer,
) {
    for token in tokens {
        out.byte(LIMITED);
        out.raw(token.bytes());
    }
}

impl Store {
    /// Writes what fits, until `out` has `most` bytes.
    pub(crate) fn save(&self, out: &mut Writer, most: usize) {
        let mut saving = Saving {
            store: self,
            out,
            most,
            entries: BTreeSet::new(),
            parents: BTreeSet::new(),
        };
        for id in self.by_use.values().rev() {
            saving.entry(*id, 0);
        }
        for (id, _) in self.entries.iter().filter(|(_, it)| it.answer.is_none()) {
            saving.entry(*id, 0);
        }
    }

    /// Takes up what an earlier process kept.
    pub(crate) fn restore(&mut self, saved: Saved, now: Instant, random: impl Fn() -> f64) {
        for (token, mut parent) in saved.parents {
            let ends = parent.ends.take();
            self.parents.entry(token).or_insert(parent);
            self.set_token_timer(token, ends);
        }
        let entries = saved.entries.into_iter().take(self.bounds.records);
        let entries: Vec<Entry> = entries.collect();
        for entry in entries.into_iter().rev() {
            self.take_up(entry, now, random());
        }
        let childless = self.parents.iter().filter(|(_, it)| it.made.is_empty());
        let childless: Vec<TokenId> = childless.map(|(token, _)| *token).collect();
        for token in childless {
            self.forget_parent(token);
        }
        self.make_space();
    }

    fn take_up(&mut self, mut entry: Entry, now: Instant, random: f64) {
        let id = Id(self.tick());
        if let Some(maker) = entry.maker {
            let Some(parent) = self.parents.get_mut(&maker) else {
                return;
            };
            parent.made.insert(id);
        }
        if let Some(answer) = &entry.answer {
            if let Some(&older) = self.by_key.get(&entry.key) {
                self.drop_answer(older);
            }
            self.bytes += answer.size();
            self.by_key.insert(entry.key, id);
            self.by_use.insert(id.0, id);
        }
        self.index(id, &entry.what);
        entry.used = id.0;
        self.entries.insert(id, Box::new(entry));
        self.plan(id, now, random);
    }
}

/// What has been written so far.
struct Saving<'a> {
    store: &'a Store,
    out: &'a mut Writer,
    most: usize,
    entries: BTreeSet<Id>,
    parents: BTreeSet<TokenId>,
}

impl Saving<'_> {
    /// Writes an entry, and before it the tokens above it. Tells whether it is written.
    fn entry(&mut self, id: Id, depth: usize) -> bool {
        if self.entries.contains(&id) {
            return true;
        }
        let store = self.store;
        let Some(entry) = store.entries.get(&id).filter(|_| depth < DEPTH) else {
            return false;
        };
        if let Some(maker) = entry.maker
            && !self.parent(maker, depth)
        {
            return false;
        }
        let record = FIXED + entry.place.len() + what_length(&entry.what);
        let answer = entry.answer.as_ref();
        let answer = answer.filter(|it| self.fits(record + it.saved_length()));
        if answer.is_none() && !self.fits(record) {
            return false;
        }
        write_entry(entry, answer, self.out);
        self.entries.insert(id)
    }

    fn parent(&mut self, token: TokenId, depth: usize) -> bool {
        if self.parents.contains(&token) {
            return true;
        }
        let store = self.store;
        if let Some(id) = store.by_token.get(&token)
            && !self.entry(*id, depth + 1)
        {
            return false;
        }
        let Some(parent) = store.parents.get(&token) else {
            return false;
        };
        let accessor = parent.accessor.as_deref().unwrap_or_default();
        if !self.fits(FIXED + parent.token.expose().len() + accessor.len()) {
            return false;
        }
        let out = &mut *self.out;
        out.byte(PARENT);
        out.text(parent.token.expose());
        out.flag(parent.accessor.is_some());
        out.text(accessor);
        out.end(parent.ends);
        self.parents.insert(token)
    }

    fn fits(&self, length: usize) -> bool {
        self.out.len() + length <= self.most
    }
}

fn what_length(what: &What) -> usize {
    match what {
        What::Token {
            token, accessor, ..
        } => token.expose().len() + accessor.len(),
        What::Lease { id } => id.len(),
    }
}

fn write_entry(entry: &Entry, answer: Option<&Arc<Answer>>, out: &mut Writer) {
    out.byte(ENTRY);
    out.raw(entry.key.bytes());
    out.text(&entry.place);
    match &entry.what {
        What::Token {
            token,
            accessor,
            orphan,
        } => {
            out.flag(true);
            out.text(token.expose());
            out.text(accessor);
            out.flag(*orphan);
        }
        What::Lease { id } => {
            out.flag(false);
            out.text(id);
        }
    }
    out.flag(entry.maker.is_some());
    if let Some(maker) = entry.maker {
        out.raw(maker.bytes());
    }
    out.duration(entry.lasts);
    out.duration(entry.margin);
    out.end(entry.ends);
    out.flag(entry.renews);
    out.flag(answer.is_some());
    if let Some(answer) = answer {
        answer.save(out);
    }
}

fn read_entry(from: &mut Reader<'_>) -> Option<Entry> {
    let key = Key::from_hash(from.hash()?);
    let place = from.text()?.to_owned();
    let what = if from.flag()? {
        What::Token {
            token: Token::new(from.text()?)?,
            accessor: from.text()?.to_owned(),
            orphan: from.flag()?,
        }
    } else {
        What::Lease {
            id: from.text()?.to_owned(),
        }
    };
    let maker = if from.flag()? {
        Some(TokenId::from_hash(from.hash()?))
    } else {
        None
    };
    let (lasts, margin): (Duration, Duration) = (from.duration()?, from.duration()?);
    let (ends, renews) = (from.end()?, from.flag()?);
    let answer = if from.flag()? {
        Some(Arc::new(Answer::saved(from)?))
    } else {
        None
    };
    Some(Entry {
        key,
        answer,
        used: 0,
        place,
        what,
        maker,
        lasts,
        margin,
        ends,
        renews: renews && ends.is_some(),
        due: None,
        renewing: None,
        renewed: 0,
    })
}

fn read_parent(from: &mut Reader<'_>) -> Option<Parent> {
    let token = Arc::new(Token::new(from.text()?)?);
    let named = from.flag()?;
    let accessor = from.text()?.to_owned();
    Some(Parent {
        token,
        accessor: named.then_some(accessor),
        ends: from.end()?,
        heard: 0,
        made: BTreeSet::new(),
    })
}
