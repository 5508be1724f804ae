//! Answers that are there: found by their key alone, by one who has nothing to ask Vault with yet, and told whether they
//! are still what was found.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

use super::Cache;
use super::answer::Answer;
use super::identity::TokenId;
use super::key::Key;
use super::store::Found;

/// Under which key an answer is kept, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) key: Key,
    pub(crate) asker: Option<TokenId>,
}

/// A kept answer that need not be asked for anew.
pub(crate) struct Fresh {
    answer: Arc<Answer>,
    ends: Option<Instant>,
    /// From when on a new one is asked for.
    ending: Option<Instant>,
    /// Of the cache, when this was found in it.
    version: u64,
}

impl Fresh {
    /// As it is now.
    pub(crate) fn at(&self, now: Instant) -> Response<Bytes> {
        self.answer.at(now, self.ends)
    }

    /// For how long it stays like that, if the cache does.
    pub(crate) fn until(&self, now: Instant) -> Instant {
        let until = self.answer.until(now, self.ends);
        self.ending.map_or(until, |ending| until.min(ending))
    }

    /// Whether the other one is the same answer with the same end.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.answer, &other.answer) && self.ends == other.ends
    }
}

impl Cache {
    /// What is kept and need not be asked for anew. For one who has nothing to ask with yet.
    pub(crate) fn find(&self, hit: &Hit, now: Instant) -> Option<Fresh> {
        // Being used changes nothing that anybody waits for.
        let mut state = self.lock();
        if hit.asker.is_some_and(|asker| state.limited.holds(asker)) {
            return None;
        }
        match state.store.find(&hit.key, now) {
            Found::Fresh(answer, ends) => Some(Fresh {
                answer,
                ends,
                ending: state.store.ending(&hit.key),
                version: self.version(),
            }),
            Found::Ending(..) | Found::Nothing => None,
        }
    }

    /// Whether nothing has changed since this was found, except for what was used.
    pub(crate) fn is_unchanged(&self, since: &Fresh) -> bool {
        self.version() == since.version
    }

    fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }
}
