//! What of the store outlives the process: written for the next one, and taken up by it.
//!
//! Only what fits is written, the latest used first: an answer whole, or its renewal record alone. A thing is never
//! written without the tokens above it, so that it ends with them in the next process too.
//!
//! Invariant: what was taken up is ended, renewed and evicted like what was inserted.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::slab::Slot;
use super::uses::Links;
use super::{DEPTH, Entry, Parent, Store};
use crate::cache::answer::Answer;
use crate::cache::head::Heads;
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
    /// With the tokens that made them.
    entries: Vec<(Entry, Option<TokenId>)>,
    parents: Vec<Parent>,
    heads: Heads,
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
            ENTRY => self.entries.push(read_entry(from, &mut self.heads)?),
            PARENT => self.parents.push(read_parent(from)?),
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
        for slot in self.uses.newest_first(&self.entries) {
            saving.entry(slot, 0);
        }
        for (slot, _) in self.entries.iter().filter(|(_, it)| it.answer.is_none()) {
            saving.entry(slot, 0);
        }
    }

    /// Takes up what an earlier process kept.
    pub(crate) fn restore(&mut self, saved: Saved, now: Instant, random: impl Fn() -> f64) {
        for mut parent in saved.parents {
            let ends = parent.ends.take();
            let known = self.parent(parent.id());
            let slot = known.unwrap_or_else(|| self.add_parent(parent));
            self.set_parent_timer(slot, ends);
        }
        let entries = saved.entries.into_iter().take(self.bounds.records);
        let entries: Vec<_> = entries.collect();
        for (entry, maker) in entries.into_iter().rev() {
            self.take_up(entry, maker, now, random());
        }
        let childless = self.parents.iter().filter(|(_, it)| it.made.is_empty());
        let childless: Vec<Slot> = childless.map(|(slot, _)| slot).collect();
        for slot in childless {
            self.forget_parent(slot);
        }
        self.make_space();
    }

    fn take_up(&mut self, mut entry: Entry, maker: Option<TokenId>, now: Instant, random: f64) {
        entry.used = self.tick();
        if let Some(maker) = maker {
            entry.maker = self.parent(maker);
            if entry.maker.is_none() {
                return;
            }
        }
        let slot = self.add(entry);
        self.plan(slot, now, random);
    }
}

/// What has been written so far.
struct Saving<'a> {
    store: &'a Store,
    out: &'a mut Writer,
    most: usize,
    entries: BTreeSet<Slot>,
    parents: BTreeSet<Slot>,
}

impl Saving<'_> {
    /// Writes an entry, and before it the tokens above it. Tells whether it is written.
    fn entry(&mut self, slot: Slot, depth: usize) -> bool {
        if self.entries.contains(&slot) {
            return true;
        }
        let store = self.store;
        let Some(entry) = store.entries.get(slot).filter(|_| depth < DEPTH) else {
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
        let maker = entry.maker.and_then(|maker| store.parents.get(maker));
        write_entry(entry, maker.map(Parent::id), answer, self.out);
        self.entries.insert(slot)
    }

    fn parent(&mut self, slot: Slot, depth: usize) -> bool {
        if self.parents.contains(&slot) {
            return true;
        }
        let store = self.store;
        let Some(parent) = store.parents.get(slot) else {
            return false;
        };
        if let Some(slot) = store.token(parent.id())
            && !self.entry(slot, depth + 1)
        {
            return false;
        }
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
        self.parents.insert(slot)
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

fn write_entry(
    entry: &Entry,
    maker: Option<TokenId>,
    answer: Option<&Arc<Answer>>,
    out: &mut Writer,
) {
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
    out.flag(maker.is_some());
    if let Some(maker) = maker {
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

fn read_entry(from: &mut Reader<'_>, heads: &mut Heads) -> Option<(Entry, Option<TokenId>)> {
    let key = Key::from_hash(from.hash()?);
    let place = from.text()?.into();
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
        let mut answer = Answer::saved(from)?;
        answer.share(heads);
        Some(Arc::new(answer))
    } else {
        None
    };
    let entry = Entry {
        key,
        answer,
        used: 0,
        links: Links::default(),
        place,
        what,
        maker: None,
        lasts,
        margin,
        ends,
        renews: renews && ends.is_some(),
        due: None,
        renewing: None,
        renewed: 0,
    };
    Some((entry, maker))
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
