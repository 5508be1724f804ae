//! How entries end: revoked, cleared, or with the token that made them.
//!
//! Invariant: whatever ends a token ends all that was made with it, and what was made with that, to the leaves.

use super::slab::Slot;
use super::{Entry, Parent, Store, Timer};
use crate::cache::identity::TokenId;
use crate::cache::path;
use crate::cache::policy::What;
use crate::cache::revocation::Revoked;

impl Store {
    /// Ends what a revocation names.
    pub(crate) fn revoke(&mut self, revoked: &Revoked) {
        match revoked {
            Revoked::Token(token) => self.end_token(*token),
            Revoked::Orphaning(token) => self.orphan_and_end(*token),
            Revoked::Accessor(accessor) => {
                if let Some(slot) = self.accessor(accessor) {
                    self.end(slot);
                } else if let Some(token) = self.maker_with(accessor) {
                    self.end_token(token);
                } else {
                    self.doubt(|parent| parent.accessor.is_none());
                }
            }
            Revoked::Lease(lease) => {
                if let Some(slot) = self.lease(lease) {
                    self.end(slot);
                }
            }
            Revoked::Prefix { .. } | Revoked::Namespace(_) => {
                self.end_where(|entry| revokes(revoked, &entry.what, &entry.place));
                if revoked.may_end_logins() {
                    self.doubt(|_| true);
                }
            }
        }
    }

    /// A token that auto-auth obtained, by its accessor.
    pub(super) fn maker_with(&self, accessor: &str) -> Option<TokenId> {
        let mut parents = self.parents.iter();
        let named = parents.find(|(_, parent)| parent.accessor.as_deref() == Some(accessor));
        named.map(|(_, parent)| parent.id())
    }

    /// Gives out no more of what was made with tokens from elsewhere, and with what they made: one of them may be
    /// what was revoked. Where it was not, the credential is still somebody's: its record and its renewal go on.
    fn doubt(&mut self, may_be: impl Fn(&Parent) -> bool) {
        let parents = self.parents.iter().map(|(_, parent)| parent);
        let from_elsewhere = parents.filter(|it| may_be(it) && self.token(it.id()).is_none());
        let mut doubted: Vec<TokenId> = from_elsewhere.map(Parent::id).collect();
        while let Some(token) = doubted.pop() {
            let parent = self.parent(token).and_then(|slot| self.parents.get(slot));
            let made = parent.map(|parent| parent.made.clone());
            for slot in made.into_iter().flatten() {
                self.drop_answer(slot);
                if let Some(What::Token { token, .. }) = self.entries.get(slot).map(|e| &e.what) {
                    doubted.push(TokenId::from(token));
                }
            }
        }
    }

    /// Ends what was asked for at a path or below it.
    pub(crate) fn clear_path(&mut self, place: &str) {
        self.end_where(|entry| path::is_under(&entry.place, place));
    }

    /// Ends everything. Ticks go on: a renewal that is under way must not be taken for another one.
    pub(crate) fn clear(&mut self) {
        let (newest, revision, counter) = (self.newest, self.revision, self.counter);
        *self = Self::new(self.bounds);
        self.newest = newest;
        self.counter = counter;
        self.revision = revision + 1;
    }

    fn end_where(&mut self, ends: impl Fn(&Entry) -> bool) {
        let entries = self.entries.iter();
        let ended = entries.filter_map(|(slot, entry)| ends(entry).then_some(slot));
        for slot in ended.collect::<Vec<_>>() {
            self.end(slot);
        }
    }

    /// Ends a token: the entry that it is, and everything made with it.
    pub(super) fn end_token(&mut self, token: TokenId) {
        let mut ending = vec![token];
        while let Some(token) = ending.pop() {
            if let Some(slot) = self.token(token) {
                self.remove(slot);
            }
            let parent = self.parent(token).and_then(|slot| self.forget_parent(slot));
            for slot in parent.into_iter().flat_map(|parent| parent.made) {
                ending.extend(self.remove(slot));
            }
        }
    }

    pub(super) fn end_parent(&mut self, slot: Slot) {
        if let Some(token) = self.parents.get(slot).map(Parent::id) {
            self.end_token(token);
        }
    }

    /// Ends a token and its leases, and lets the tokens made with it go on.
    fn orphan_and_end(&mut self, token: TokenId) {
        let parent = self.parent(token);
        if let Some(parent) = parent.and_then(|slot| self.parents.get_mut(slot)) {
            let entries = &mut self.entries;
            parent.made.retain(|slot| match entries.get_mut(*slot) {
                Some(child) if matches!(child.what, What::Token { .. }) => {
                    child.maker = None;
                    false
                }
                _ => true,
            });
        }
        self.end_token(token);
    }

    /// Ends an entry, and where it is a token all that was made with it.
    pub(super) fn end(&mut self, slot: Slot) {
        if let Some(token) = self.remove(slot) {
            self.end_token(token);
        }
    }

    /// Takes an entry out of every index. Returns the token that it was.
    fn remove(&mut self, slot: Slot) -> Option<TokenId> {
        self.drop_answer(slot);
        let entry = self.entries.remove(slot)?;
        self.revision += 1;
        if let Some(due) = entry.due {
            self.timers.remove(&(due, Timer::Entry(slot)));
        }
        if let Some(maker) = entry.maker {
            self.disown(maker, slot);
        }
        self.unname(slot, &entry.what)
    }

    /// Forgets a token whose last entry has gone.
    fn disown(&mut self, maker: Slot, child: Slot) {
        let Some(parent) = self.parents.get_mut(maker) else {
            return;
        };
        parent.made.remove(&child);
        if parent.made.is_empty() {
            self.forget_parent(maker);
        }
    }

    /// Forgets a token that made nothing which is still there.
    pub(super) fn forget_parent(&mut self, slot: Slot) -> Option<Parent> {
        let parent = self.parents.remove(slot)?;
        self.by_maker.remove(parent.id().bytes(), slot);
        if let Some(ends) = parent.ends {
            self.timers.remove(&(ends, Timer::Parent(slot)));
        }
        Some(parent)
    }
}

/// Whether a revocation names this directly. Trees are for the store to follow.
pub(crate) fn revokes(revoked: &Revoked, what: &What, place: &str) -> bool {
    match (revoked, what) {
        (Revoked::Token(id) | Revoked::Orphaning(id), What::Token { token, .. }) => {
            *id == TokenId::from(token)
        }
        (Revoked::Accessor(named), What::Token { accessor, .. }) => named == accessor,
        (Revoked::Lease(named), What::Lease { id }) => named == id,
        (Revoked::Namespace(namespace), _) => path::is_under(place, namespace),
        (Revoked::Prefix { namespace, prefix }, what) => {
            let in_place = path::is_under(place, &path::join(namespace, prefix));
            // Where a lease's id does not start with the path that was asked for, its namespace is unknown.
            let by_id = matches!(what, What::Lease { id } if path::is_under(id, prefix));
            in_place || (by_id && super::namespace(what, place).is_none_or(|own| own == *namespace))
        }
        _ => false,
    }
}
