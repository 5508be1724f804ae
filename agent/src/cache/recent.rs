//! What the cache remembers of the last moments: ends that answers on their way may have missed, and tokens with a
//! use limit.
//!
//! Invariant: both are bounded, and what was forgotten is taken to have been there.

use std::collections::{HashSet, VecDeque};

use super::identity::TokenId;
use super::policy::Made;
use super::revocation::Revoked;
use super::store::tree;

/// How many tokens with a use limit, and how many ends, are remembered.
const REMEMBERED: usize = 256;

/// The latest revocations and clearings, for answers that were on their way meanwhile.
#[derive(Default)]
pub(super) struct Ended {
    /// Ever noted.
    pub(super) count: u64,
    /// The latest; absent: everything.
    latest: VecDeque<Option<Revoked>>,
}

impl Ended {
    pub(super) fn note(&mut self, revoked: Revoked) {
        self.push(Some(revoked));
    }

    pub(super) fn note_all(&mut self) {
        self.push(None);
    }

    fn push(&mut self, end: Option<Revoked>) {
        self.count += 1;
        self.latest.push_back(end);
        if self.latest.len() > REMEMBERED {
            self.latest.pop_front();
        }
    }

    /// Whether something noted after `since` may name what was made. Where that is forgotten or cannot be told
    /// (an accessor of the maker), it may.
    pub(super) fn concerns(
        &self,
        since: u64,
        made: &Made,
        place: &str,
        maker: Option<TokenId>,
    ) -> bool {
        let Ok(missed) = usize::try_from(self.count - since) else {
            return true;
        };
        if missed > self.latest.len() {
            return true;
        }
        self.latest.iter().rev().take(missed).any(|end| match end {
            None | Some(Revoked::Accessor(_)) => true,
            Some(revoked @ (Revoked::Token(token) | Revoked::Orphaning(token))) => {
                maker == Some(*token) || tree::revokes(revoked, &made.what, place)
            }
            Some(revoked) => tree::revokes(revoked, &made.what, place),
        })
    }
}

/// Tokens that were seen to be made with a use limit: what they ask for must reach Vault, which counts.
#[derive(Default)]
pub(super) struct Limited {
    known: HashSet<TokenId>,
    oldest: VecDeque<TokenId>,
}

impl Limited {
    pub(super) fn note(&mut self, token: TokenId) {
        if self.known.insert(token) {
            self.oldest.push_back(token);
        }
        if self.oldest.len() > REMEMBERED
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn holds(&self, token: TokenId) -> bool {
        self.known.contains(&token)
    }
}
