//! What is found by which name. A name that two entries have is the newer one's.

use super::slab::Slot;
use super::{Entry, Store};
use crate::cache::identity::TokenId;
use crate::cache::key::Key;
use crate::cache::policy::What;

impl Entry {
    fn is_token(&self, id: TokenId) -> bool {
        matches!(&self.what, What::Token { token, .. } if TokenId::from(token) == id)
    }

    fn has_accessor(&self, named: &str) -> bool {
        matches!(&self.what, What::Token { accessor, .. } if accessor == named)
    }

    fn is_lease(&self, named: &str) -> bool {
        matches!(&self.what, What::Lease { id } if id == named)
    }
}

impl Store {
    /// The entry that has an answer to this.
    pub(super) fn keyed(&self, key: &Key) -> Option<Slot> {
        let is = |slot| self.entries.get(slot).is_some_and(|it| it.key == *key);
        self.by_key.find(key.bytes(), is)
    }

    /// The entry that is this token.
    pub(super) fn token(&self, id: TokenId) -> Option<Slot> {
        let is = |slot| self.entries.get(slot).is_some_and(|it| it.is_token(id));
        self.by_token.find(id.bytes(), is)
    }

    /// The entry that is the token with this accessor.
    pub(super) fn accessor(&self, named: &str) -> Option<Slot> {
        let is = |slot| {
            self.entries
                .get(slot)
                .is_some_and(|it| it.has_accessor(named))
        };
        self.by_accessor.find(named.as_bytes(), is)
    }

    /// The entry that is this lease.
    pub(super) fn lease(&self, named: &str) -> Option<Slot> {
        let is = |slot| self.entries.get(slot).is_some_and(|it| it.is_lease(named));
        self.by_lease.find(named.as_bytes(), is)
    }

    /// The parent that is this token.
    pub(super) fn parent(&self, id: TokenId) -> Option<Slot> {
        let is = |slot| self.parents.get(slot).is_some_and(|it| it.id() == id);
        self.by_maker.find(id.bytes(), is)
    }

    /// Gives an entry the names of its token or lease.
    pub(super) fn name(&mut self, slot: Slot) {
        let entries = &self.entries;
        let Some(entry) = entries.get(slot) else {
            return;
        };
        match &entry.what {
            What::Token {
                token, accessor, ..
            } => {
                let id = TokenId::from(token);
                let is = |slot| entries.get(slot).is_some_and(|it| it.is_token(id));
                self.by_token.set(id.bytes(), slot, is);
                if !accessor.is_empty() {
                    let is = |slot| {
                        entries
                            .get(slot)
                            .is_some_and(|it| it.has_accessor(accessor))
                    };
                    self.by_accessor.set(accessor.as_bytes(), slot, is);
                }
            }
            What::Lease { id } => {
                let is = |slot| entries.get(slot).is_some_and(|it| it.is_lease(id));
                self.by_lease.set(id.as_bytes(), slot, is);
            }
        }
    }

    /// Takes them from it, and tells which token it was.
    pub(super) fn unname(&mut self, slot: Slot, what: &What) -> Option<TokenId> {
        match what {
            What::Token {
                token, accessor, ..
            } => {
                let id = TokenId::from(token);
                self.by_token.remove(id.bytes(), slot);
                self.by_accessor.remove(accessor.as_bytes(), slot);
                Some(id)
            }
            What::Lease { id } => {
                self.by_lease.remove(id.as_bytes(), slot);
                None
            }
        }
    }
}
