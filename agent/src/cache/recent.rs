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
    /// (an accessor, or a token that may have made the maker), it may.
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
            Some(Revoked::Token(_)) if maker.is_some() => true,
            Some(revoked) if revoked.may_end_logins() => true,
            Some(revoked @ Revoked::Orphaning(token)) => {
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

    pub(super) fn all(&self) -> impl Iterator<Item = &TokenId> {
        self.known.iter()
    }

    pub(super) fn holds(&self, token: TokenId) -> bool {
        self.known.contains(&token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::What;

    fn concerns(end: Revoked, maker: Option<&str>) -> bool {
        let mut ended = Ended::default();
        ended.note(end);
        let made = Made {
            what: What::Lease {
                id: "database/creds/app/id".to_owned(),
            },
            lasts: None,
            renewable: true,
        };
        ended.concerns(0, &made, "database/creds/app", maker.map(TokenId::of))
    }

    #[test]
    fn what_may_have_ended_the_maker_concerns_what_it_made() {
        let prefix = |prefix: &str| Revoked::Prefix {
            namespace: String::new(),
            prefix: prefix.to_owned(),
        };
        let token = |text| TokenId::of(text);
        for (end, expected) in [
            (Revoked::Token(token("mine")), true),
            (Revoked::Token(token("its maker, perhaps")), true),
            (Revoked::Accessor("any".to_owned()), true),
            (prefix("auth/approle"), true),
            (Revoked::Orphaning(token("another")), false),
            (Revoked::Lease("another".to_owned()), false),
            (prefix("pki"), false),
        ] {
            assert_eq!(concerns(end.clone(), Some("mine")), expected, "{end:?}");
        }
        assert!(!concerns(Revoked::Token(token("another")), None));
    }
}
