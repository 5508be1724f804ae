//! When something is to be done: an entry renewed or ended, a token ended. One timer each, in one order.
//!
//! Invariant: an entry's timer is the one that its `due` names, and a token's the one that its `ends` names.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::{Id, Store, Timer, namespace};
use crate::cache::identity::TokenId;
use crate::cache::lease::{self, Outcome, Renewal};
use crate::cache::policy::What;

impl Store {
    /// Learns until when the newest token of auto-auth lives. Renewals move its end.
    pub(crate) fn token_lives_until(&mut self, token: TokenId, ends: Option<Instant>) {
        self.newest = Some((token, ends));
        self.set_token_timer(token, ends);
    }

    pub(super) fn set_token_timer(&mut self, token: TokenId, ends: Option<Instant>) {
        let Some(parent) = self.parents.get_mut(&token) else {
            return;
        };
        self.revision += u64::from(parent.ends != ends);
        if let Some(before) = std::mem::replace(&mut parent.ends, ends) {
            self.timers.remove(&(before, Timer::Token(token)));
        }
        if let Some(ends) = ends {
            self.timers.insert((ends, Timer::Token(token)));
        }
    }

    /// When the next thing is to be done.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Ends what has ended, and returns at most one renewal that is due; call again until there is none.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Renewal> {
        while let Some(&(due, timer)) = self.timers.first() {
            if due > now {
                return None;
            }
            self.timers.pop_first();
            match timer {
                Timer::Token(token) => self.end_token(token),
                Timer::Entry(id) => {
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.due = None;
                    }
                    if let Some(renewal) = self.entry_due(id, now) {
                        return Some(renewal);
                    }
                }
            }
        }
        None
    }

    /// What a renewal brought.
    pub(crate) fn renewed(&mut self, id: Id, outcome: Outcome, now: Instant, random: f64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        self.revision += 1;
        match outcome {
            Outcome::Renewed(lasts) => {
                let before = entry.ends;
                entry.ends = lasts.map(|lasts| now + lasts.min(lease::LONGEST));
                // At the maximum a renewal moves the end no more.
                entry.renews = match (before, entry.ends) {
                    (Some(before), Some(ends)) => ends > before + Duration::from_secs(1),
                    _ => false,
                };
            }
            Outcome::Refused => entry.renews = false,
            Outcome::Away => return self.plan_again(id, now, random),
            Outcome::Gone => return self.end(id),
            Outcome::TokenDead => {
                let token = match &entry.what {
                    What::Token { token, .. } => Some(TokenId::from(token)),
                    What::Lease { .. } => entry.maker,
                };
                return match token {
                    Some(token) => self.end_token(token),
                    None => self.end(id),
                };
            }
        }
        self.plan(id, now, random);
    }

    fn entry_due(&mut self, id: Id, now: Instant) -> Option<Renewal> {
        let entry = self.entries.get(&id)?;
        // One that is not renewed has its timer at its end.
        if !entry.renews || entry.ends.is_some_and(|ends| ends <= now) {
            self.end(id);
            return None;
        }
        let token = match &entry.what {
            What::Token { token, .. } => Arc::new(token.clone()),
            What::Lease { .. } => match entry.maker.and_then(|maker| self.parents.get(&maker)) {
                Some(parent) => Arc::clone(&parent.token),
                None => return None,
            },
        };
        let lease = match &entry.what {
            What::Token { .. } => None,
            What::Lease { id } => Some(id.clone()),
        };
        Some(Renewal {
            id,
            namespace: namespace(&entry.what, &entry.place).unwrap_or_default(),
            lease,
            token,
            increment: entry.lasts,
        })
    }

    /// Sets the timer for an entry's own sake. That of the token above it is set for the token.
    pub(super) fn plan(&mut self, id: Id, now: Instant, random: f64) {
        let due = self.entries.get(&id).and_then(|entry| match entry.ends {
            Some(ends) if entry.renews => Some(lease::next(ends, now, random)),
            ends => ends,
        });
        self.set_timer(id, due);
    }

    fn plan_again(&mut self, id: Id, now: Instant, random: f64) {
        let ends = self.entries.get(&id).and_then(|entry| entry.ends);
        self.set_timer(id, ends.map(|ends| lease::again(ends, now, random)));
    }

    /// Sets the one timer of an entry.
    fn set_timer(&mut self, id: Id, due: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.timers.remove(&(before, Timer::Entry(id)));
        }
        if let Some(due) = due {
            self.timers.insert((due, Timer::Entry(id)));
        }
    }
}
