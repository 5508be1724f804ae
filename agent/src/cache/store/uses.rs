//! Which answers are there, the longest unused first: a list through their entries.
//!
//! A hit moves its entry from one place of the list to the last one, and nothing is allocated or freed for that.

use super::Entry;
use super::slab::{Slab, Slot};

#[derive(Debug, Default)]
pub(super) struct Uses {
    oldest: Option<Slot>,
    newest: Option<Slot>,
    len: usize,
}

/// An entry's neighbours in the list.
#[derive(Debug, Default)]
pub(super) struct Links {
    older: Option<Slot>,
    newer: Option<Slot>,
}

impl Uses {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn oldest(&self) -> Option<Slot> {
        self.oldest
    }

    /// Puts an entry that is not in the list at its end.
    pub(super) fn add(&mut self, slot: Slot, entries: &mut Slab<Entry>) {
        let older = self.newest.replace(slot);
        if let Some(entry) = entries.get_mut(slot) {
            entry.links = Links { older, newer: None };
        }
        match older.and_then(|older| entries.get_mut(older)) {
            Some(older) => older.links.newer = Some(slot),
            None => self.oldest = Some(slot),
        }
        self.len += 1;
    }

    /// Takes an entry that is in the list out of it.
    pub(super) fn remove(&mut self, slot: Slot, entries: &mut Slab<Entry>) {
        let Some(entry) = entries.get_mut(slot) else {
            return;
        };
        let Links { older, newer } = std::mem::take(&mut entry.links);
        match older.and_then(|older| entries.get_mut(older)) {
            Some(older) => older.links.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| entries.get_mut(newer)) {
            Some(newer) => newer.links.older = older,
            None => self.newest = older,
        }
        self.len -= 1;
    }

    /// The latest used first.
    pub(super) fn newest_first(&self, entries: &Slab<Entry>) -> impl Iterator<Item = Slot> {
        std::iter::successors(self.newest, |slot| entries.get(*slot)?.links.older)
    }
}
