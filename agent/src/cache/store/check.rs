//! The store's invariants, walked: for tests.

use super::{Store, Timer};
use crate::cache::identity::TokenId;
use crate::cache::policy::What;

impl Store {
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sure = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
        let bounds = &self.bounds;
        sure(self.by_use.len() <= bounds.answers, "too many answers")?;
        sure(self.bytes <= bounds.bytes, "too many bytes")?;
        sure(self.entries.len() <= bounds.records, "too many records")?;
        let answers = self.entries.values().filter_map(|it| it.answer.as_ref());
        let (count, bytes) = answers.fold((0, 0), |(count, bytes), answer| {
            (count + 1, bytes + answer.size())
        });
        sure(count == self.by_use.len(), "answers and uses differ")?;
        sure(bytes == self.bytes, "bytes are miscounted")?;
        sure(self.by_key.len() == count, "keys and answers differ")?;
        let mut timers = 0;
        for (id, entry) in &self.entries {
            if entry.answer.is_some() {
                sure(self.by_key.get(&entry.key) == Some(id), "an unknown key")?;
                sure(self.by_use.get(&entry.used) == Some(id), "an unknown use")?;
            }
            let named = match &entry.what {
                What::Token { token, .. } => self.by_token.get(&TokenId::from(token)),
                What::Lease { id } => self.by_lease.get(id),
            };
            sure(named.is_some(), "an unknown name")?;
            if let Some(maker) = entry.maker {
                let parent = self.parents.get(&maker);
                sure(parent.is_some_and(|it| it.made.contains(id)), "disowned")?;
            }
            match (entry.due, entry.renewing) {
                (Some(due), None) => {
                    timers += 1;
                    let set = self.timers.contains(&(due, Timer::Entry(*id)));
                    sure(set, "a timer that is not set")?;
                }
                (None, Some(_)) => {}
                (None, None) => sure(entry.ends.is_none(), "an end without a timer")?,
                (Some(_), Some(_)) => sure(false, "renewed twice at once")?,
            }
        }
        for (token, parent) in &self.parents {
            sure(!parent.made.is_empty(), "a token that made nothing")?;
            for id in &parent.made {
                let child = self.entries.get(id);
                let ours = child.is_some_and(|it| it.maker == Some(*token));
                sure(ours, "a child of nobody's")?;
            }
            if let Some(ends) = parent.ends {
                timers += 1;
                let set = self
                    .timers
                    .contains(&(ends, Timer::Token(Box::new(*token))));
                sure(set, "a token's timer that is not set")?;
            }
        }
        sure(timers == self.timers.len(), "timers of nobody's")?;
        let mut ids = self.by_token.values().chain(self.by_accessor.values());
        sure(ids.all(|id| self.entries.contains_key(id)), "a dead token")?;
        let mut ids = self.by_lease.values();
        sure(ids.all(|id| self.entries.contains_key(id)), "a dead lease")
    }

    /// Whether a lease, by its id, is known; or a token.
    pub(crate) fn knows(&self, lease: Option<&str>, token: TokenId) -> bool {
        match lease {
            Some(lease) => self.by_lease.contains_key(lease),
            None => self.by_token.contains_key(&token),
        }
    }

    /// Whether it is known that one token made another.
    pub(crate) fn knows_child(&self, parent: TokenId, child: TokenId) -> bool {
        let entry = self
            .by_token
            .get(&child)
            .and_then(|id| self.entries.get(id));
        entry.is_some_and(|entry| entry.maker == Some(parent))
    }
}
