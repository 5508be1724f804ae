//! How entries end: revoked, cleared, or with the token that made them.
//!
//! Invariant: whatever ends a token ends all that was made with it, and what was made with that, to the leaves.

use std::collections::HashMap;

use super::{Entry, Id, Parent, Store, Timer};
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
                if let Some(&id) = self.by_accessor.get(accessor) {
                    self.end(id);
                } else if let Some(token) = self.maker_with(accessor) {
                    self.end_token(token);
                } else {
                    self.doubt(|parent| parent.accessor.is_none());
                }
            }
            Revoked::Lease(lease) => {
                if let Some(&id) = self.by_lease.get(lease) {
                    self.end(id);
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
        self.parents
            .iter()
            .find(|(_, parent)| parent.accessor.as_deref() == Some(accessor))
            .map(|(token, _)| *token)
    }

    /// Gives out no more of what was made with tokens from elsewhere, and with what they made: one of them may be
    /// what was revoked. Where it was not, the credential is still somebody's: its record and its renewal go on.
    fn doubt(&mut self, may_be: impl Fn(&Parent) -> bool) {
        let from_elsewhere = |(token, parent): &(&TokenId, &Parent)| {
            may_be(parent) && !self.by_token.contains_key(token)
        };
        let parents = self.parents.iter().filter(from_elsewhere);
        let mut doubted: Vec<TokenId> = parents.map(|(token, _)| *token).collect();
        while let Some(token) = doubted.pop() {
            let made = self.parents.get(&token).map(|parent| parent.made.clone());
            for id in made.into_iter().flatten() {
                self.drop_answer(id);
                if let Some(What::Token { token, .. }) = self.entries.get(&id).map(|e| &e.what) {
                    doubted.push(TokenId::from(token));
                }
            }
        }
    }

    /// Ends what was asked for at a path or below it.
    pub(crate) fn clear_path(&mut self, place: &str) {
        self.end_where(|entry| path::is_under(&entry.place, place));
    }

    /// Ends everything. Ids go on: a renewal that is under way must not find another entry under its own.
    pub(crate) fn clear(&mut self) {
        let (newest, revision, counter) = (self.newest, self.revision, self.counter);
        *self = Self::new(self.bounds);
        self.newest = newest;
        self.counter = counter;
        self.revision = revision + 1;
    }

    fn end_where(&mut self, ends: impl Fn(&Entry) -> bool) {
        let ended: Vec<Id> = self
            .entries
            .iter()
            .filter_map(|(id, entry)| ends(entry).then_some(*id))
            .collect();
        for id in ended {
            self.end(id);
        }
    }

    /// Ends a token: the entry that it is, and everything made with it.
    pub(super) fn end_token(&mut self, token: TokenId) {
        let mut ending = vec![token];
        while let Some(token) = ending.pop() {
            if let Some(&id) = self.by_token.get(&token) {
                self.remove(id);
            }
            let Some(parent) = self.parents.remove(&token) else {
                continue;
            };
            if let Some(ends) = parent.ends {
                self.timers.remove(&(ends, Timer::Token(Box::new(token))));
            }
            for id in parent.made {
                ending.extend(self.remove(id));
            }
        }
    }

    /// Ends a token and its leases, and lets the tokens made with it go on.
    fn orphan_and_end(&mut self, token: TokenId) {
        if let Some(parent) = self.parents.get_mut(&token) {
            let entries = &mut self.entries;
            parent.made.retain(|id| match entries.get_mut(id) {
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
    pub(super) fn end(&mut self, id: Id) {
        if let Some(token) = self.remove(id) {
            self.end_token(token);
        }
    }

    /// Takes an entry out of every index. Returns the token that it was.
    fn remove(&mut self, id: Id) -> Option<TokenId> {
        self.drop_answer(id);
        let entry = *self.entries.remove(&id)?;
        self.revision += 1;
        if let Some(due) = entry.due {
            self.timers.remove(&(due, Timer::Entry(id)));
        }
        if let Some(maker) = entry.maker {
            self.disown(maker, id);
        }
        match entry.what {
            What::Token {
                token, accessor, ..
            } => {
                let token = TokenId::from(&token);
                forget(&mut self.by_token, &token, id);
                forget(&mut self.by_accessor, &accessor, id);
                Some(token)
            }
            What::Lease { id: lease } => {
                forget(&mut self.by_lease, &lease, id);
                None
            }
        }
    }

    /// Forgets a token whose last entry has gone.
    fn disown(&mut self, maker: TokenId, child: Id) {
        let Some(parent) = self.parents.get_mut(&maker) else {
            return;
        };
        parent.made.remove(&child);
        if parent.made.is_empty() {
            self.forget_parent(maker);
        }
    }

    /// Forgets a token that made nothing which is still there.
    pub(super) fn forget_parent(&mut self, maker: TokenId) {
        let parent = self.parents.remove(&maker);
        if let Some(ends) = parent.and_then(|parent| parent.ends) {
            self.timers.remove(&(ends, Timer::Token(Box::new(maker))));
        }
    }
}

/// Removes an index's item where it still names this entry: a newer one may have taken the name.
fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Id>, name: &K, id: Id) {
    if index.get(name) == Some(&id) {
        index.remove(name);
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
