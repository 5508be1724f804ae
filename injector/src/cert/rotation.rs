//! When to make, renew and drop certificates: pure, on facts instead of certificates, so that a simulation runs it.
//!
//! The order that loses no admission: an authority is published, then seen by the API servers for a while, and only
//! then signs the leaf that is served; the one before it stays published until all its leaves have ended.
//!
//! Invariant: the leaf in the facts is signed by a published authority or by one that is about to be published with
//! no leaf served before it.
//! Invariant: the private key of the newest authority is the only one that is kept.

use std::time::{Duration, SystemTime};

/// How many leaf lifetimes an authority lives. At half of that its successor is made.
const AUTHORITY_LEAVES: u32 = 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub leaf_lifetime: Duration,
    /// How long an authority is seen in the API before a leaf is signed by it in place of a good one.
    pub settle: Duration,
}

impl Policy {
    pub(crate) fn authority_lifetime(&self) -> Duration {
        self.leaf_lifetime * AUTHORITY_LEAVES
    }

    /// How often to look, at the least, in order not to miss the third of a lifetime in which a leaf is renewed.
    pub(crate) fn pace(&self) -> Duration {
        self.leaf_lifetime / 12
    }
}

/// What the machine has to know about the certificates in the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The newest first.
    pub authorities: Vec<Validity>,
    pub leaf: Validity,
    /// Whether the newest authority signed the leaf.
    pub signed_by_newest: bool,
    /// Whether the leaf is for the names by which the API server calls.
    pub names_fit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub from: SystemTime,
    pub until: SystemTime,
}

/// What to change in the Secret next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing usable is there: a new authority and its leaf.
    Make,
    /// A fresh leaf by the newest authority while its key is at hand, then a newer authority in front of it.
    AddAuthority,
    /// A new leaf by the newest authority.
    RenewLeaf,
    /// Only the newest authority stays.
    DropOldAuthorities,
    Rest,
}

/// The next step, where `seen` says since when every entry of the webhook configuration holds exactly the authorities
/// of the facts.
pub(crate) fn next(
    facts: Option<&Facts>,
    seen: Option<SystemTime>,
    now: SystemTime,
    policy: &Policy,
) -> Step {
    let Some((facts, newest)) = facts.and_then(|facts| Some((facts, facts.authorities.first()?)))
    else {
        return Step::Make;
    };
    let leaf_is_due = now >= facts.leaf.until - policy.leaf_lifetime / 3 || !facts.names_fit;
    let settled = seen.is_some_and(|since| now >= since + policy.settle);
    if now >= newest.until {
        Step::Make
    } else if facts.signed_by_newest && now >= newest.until - policy.authority_lifetime() / 2 {
        Step::AddAuthority
    } else if (leaf_is_due && seen.is_some()) || (!facts.signed_by_newest && settled) {
        Step::RenewLeaf
    } else if facts.authorities.len() > 1
        && facts.signed_by_newest
        && now >= newest.from + policy.leaf_lifetime * 2
    {
        Step::DropOldAuthorities
    } else {
        Step::Rest
    }
}

#[cfg(test)]
mod tests;
