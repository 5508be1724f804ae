//! The store's invariants, walked: for tests.

use super::{Store, Timer};
use crate::cache::identity::TokenId;
use crate::cache::policy::What;

impl Store {
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sure = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
        let bounds = &self.bounds;
        sure(self.uses.len() <= bounds.answers, "too many answers")?;
        sure(self.bytes <= bounds.bytes, "too many bytes")?;
        sure(self.entries.len() <= bounds.records, "too many records")?;
        let entries = || self.entries.iter().map(|(_, entry)| entry);
        let answers = entries().filter_map(|it| it.answer.as_ref());
        let (count, bytes) = answers.fold((0, 0), |(count, bytes), answer| {
            (count + 1, bytes + answer.size())
        });
        sure(count == self.uses.len(), "answers and uses differ")?;
        sure(bytes == self.bytes, "bytes are miscounted")?;
        let bodies = entries().filter_map(|it| it.answer.as_ref());
        sure(
            self.bodies.counts(bodies.map(|it| it.body())),
            "bodies are miscounted",
        )?;
        sure(self.by_key.len() == count, "keys and answers differ")?;
        self.check_uses()?;
        let mut timers = 0;
        for (slot, entry) in self.entries.iter() {
            if entry.answer.is_some() {
                sure(self.keyed(&entry.key) == Some(slot), "an unknown key")?;
            }
            let named = match &entry.what {
                What::Token { token, .. } => self.token(TokenId::from(token)),
                What::Lease { id } => self.lease(id),
            };
            sure(named.is_some(), "an unknown name")?;
            if let Some(maker) = entry.maker {
                let parent = self.parents.get(maker);
                sure(parent.is_some_and(|it| it.made.contains(&slot)), "disowned")?;
            }
            match (entry.due, entry.renewing) {
                (Some(due), None) => {
                    timers += 1;
                    let set = self.timers.contains(&(due, Timer::Entry(slot)));
                    sure(set, "a timer that is not set")?;
                }
                (None, Some(_)) => {}
                (None, None) => sure(entry.ends.is_none(), "an end without a timer")?,
                (Some(_), Some(_)) => sure(false, "renewed twice at once")?,
            }
        }
        for (slot, parent) in self.parents.iter() {
            sure(self.parent(parent.id()) == Some(slot), "an unknown parent")?;
            sure(!parent.made.is_empty(), "a token that made nothing")?;
            for child in &parent.made {
                let child = self.entries.get(*child);
                let ours = child.is_some_and(|it| it.maker == Some(slot));
                sure(ours, "a child of nobody's")?;
            }
            if let Some(ends) = parent.ends {
                timers += 1;
                let set = self.timers.contains(&(ends, Timer::Parent(slot)));
                sure(set, "a token's timer that is not set")?;
            }
        }
        sure(timers == self.timers.len(), "timers of nobody's")?;
        sure(self.by_maker.len() == self.parents.len(), "a dead parent")?;
        let mut slots = self.by_token.iter().chain(self.by_accessor.iter());
        sure(
            slots.all(|slot| self.entries.get(slot).is_some()),
            "a dead token",
        )?;
        let mut slots = self.by_lease.iter();
        sure(
            slots.all(|slot| self.entries.get(slot).is_some()),
            "a dead lease",
        )
    }

    /// The answers, and no others, are in the order of their uses.
    fn check_uses(&self) -> Result<(), String> {
        let (mut count, mut last, mut oldest) = (0, u64::MAX, None);
        for slot in self.uses.newest_first(&self.entries) {
            let entry = self.entries.get(slot).ok_or("a use of nobody's")?;
            if entry.answer.is_none() || entry.used >= last {
                return Err("uses out of order".to_owned());
            }
            (count, last, oldest) = (count + 1, entry.used, Some(slot));
        }
        if count != self.uses.len() || oldest != self.uses.oldest() {
            return Err("uses are miscounted".to_owned());
        }
        Ok(())
    }

    /// Whether a lease, by its id, is known; or a token.
    pub(crate) fn knows(&self, lease: Option<&str>, token: TokenId) -> bool {
        match lease {
            Some(lease) => self.lease(lease).is_some(),
            None => self.token(token).is_some(),
        }
    }

    /// Whether it is known that one token made another.
    pub(crate) fn knows_child(&self, parent: TokenId, child: TokenId) -> bool {
        let entry = self.token(child).and_then(|slot| self.entries.get(slot));
        entry.is_some_and(|entry| entry.maker.is_some() && entry.maker == self.parent(parent))
    }
}
