//! When something is to be done: an entry renewed or ended, a token ended. One timer each, in one order.
//!
//! Invariant: an entry's timer is the one that its `due` names, and a token's the one that its `ends` names.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::{Entry, Id, Store, Timer, namespace};
use crate::cache::identity::TokenId;
use crate::cache::lease::{self, Outcome, Renewal};
use crate::cache::policy::What;
use crate::cache::renewed::{Name, Renewed, Sent};

impl Entry {
    /// Takes what a renewal brought that began at one tick and is heard of at another. Where another one was heard of in
    /// between, nobody knows which of them Vault saw last: the earlier end counts. Tells whether there was none.
    fn move_end(&mut self, ends: Instant, began: u64, heard: u64) -> bool {
        let alone = self.renewed < began;
        self.ends = self
            .ends
            .map(|before| if alone { ends } else { ends.min(before) });
        self.renewed = heard;
        alone
    }
}

/// What happens to an entry next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Renewal,
    End,
    /// It lasts for ever.
    Nothing,
}

impl Next {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Renewal => "renew",
            Self::End => "end",
            Self::Nothing => "nothing",
        }
    }
}

impl Store {
    /// Counts entries by what happens to them next.
    pub(crate) fn next(&self) -> [(Next, usize); 3] {
        let (mut renewals, mut ends, mut nothing) = (0, 0, 0);
        for entry in self.entries.values() {
            match entry.ends {
                Some(_) if entry.renews => renewals += 1,
                Some(_) => ends += 1,
                None => nothing += 1,
            }
        }
        [
            (Next::Renewal, renewals),
            (Next::End, ends),
            (Next::Nothing, nothing),
        ]
    }

    /// Learns until when the newest token of auto-auth lives. Renewals move its end.
    pub(crate) fn token_lives_until(&mut self, token: TokenId, ends: Option<Instant>) {
        let tick = self.tick();
        if let Some(parent) = self.parents.get_mut(&token) {
            parent.heard = tick;
        }
        self.newest = Some((token, ends));
        self.set_token_timer(token, ends);
    }

    pub(super) fn set_token_timer(&mut self, token: TokenId, ends: Option<Instant>) {
        let Some(parent) = self.parents.get_mut(&token) else {
            return;
        };
        self.revision += u64::from(parent.ends != ends);
        if let Some(before) = std::mem::replace(&mut parent.ends, ends) {
            self.timers.remove(&(before, Timer::Token(Box::new(token))));
        }
        if let Some(ends) = ends {
            self.timers.insert((ends, Timer::Token(Box::new(token))));
        }
    }

    /// When the next thing is to be done.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Ends what has ended, and returns at most one renewal that is due; call again until there is none.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Renewal> {
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let (_, timer) = self.timers.pop_first()?;
            match timer {
                Timer::Token(token) => self.end_token(*token),
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

    /// What a renewal brought. Returns the token that it found dead.
    pub(crate) fn renewed(
        &mut self,
        id: Id,
        outcome: Outcome,
        now: Instant,
        random: f64,
    ) -> Option<TokenId> {
        let tick = self.tick();
        let entry = self.entries.get_mut(&id)?;
        self.revision += 1;
        let began = entry.renewing.take().unwrap_or(tick);
        match outcome {
            Outcome::Renewed(lasts) => {
                let before = entry.ends;
                // What never ends is not renewed: this one has an end.
                let ends = now + lasts.min(lease::LONGEST);
                if entry.move_end(ends, began, tick) {
                    // At the maximum a renewal moves the end no more.
                    entry.renews =
                        before.is_some_and(|before| ends > before + Duration::from_secs(1));
                }
            }
            Outcome::Refused => entry.renews = false,
            Outcome::Away => {
                self.plan_again(id, now, random);
                return None;
            }
            Outcome::Gone | Outcome::TokenDead => {
                let dead = match &entry.what {
                    What::Token { token, .. } => Some(TokenId::from(token)),
                    What::Lease { .. } => entry.maker.filter(|_| outcome == Outcome::TokenDead),
                };
                match dead {
                    Some(token) => self.end_token(token),
                    None => self.end(id),
                }
                return dead;
            }
        }
        self.plan(id, now, random);
        None
    }

    /// What a renewal that is sent now may be older than, when its answer comes.
    pub(crate) fn mark(&mut self) -> u64 {
        self.tick()
    }

    /// Applies a client's renewal: the entry that it names, or the token above entries, ends when Vault says.
    pub(crate) fn renewed_by_client(
        &mut self,
        renewed: &Renewed,
        sent: Sent,
        now: Instant,
        random: f64,
    ) {
        let lasts = renewed.lasts.min(lease::LONGEST);
        let ends = sent.at + lasts;
        let tick = self.tick();
        for token in self.parents_named(&renewed.names) {
            self.parent_renewed(token, ends, sent.tick, tick);
        }
        for id in self.entries_named(&renewed.names) {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            self.revision += 1;
            entry.move_end(ends, sent.tick, tick);
            entry.lasts = entry.lasts.max(lasts);
            entry.margin = entry.margin.min(lease::margin(lasts));
            entry.renews &= renewed.renewable && entry.ends.is_some();
            // Where a renewal is under way, it sets the timer when it is done.
            if entry.renewing.is_none() {
                self.plan(id, now, random);
            }
        }
    }

    /// Of a client's own token nobody tells when it is renewed elsewhere: its end is not known before either.
    fn parent_renewed(&mut self, token: TokenId, ends: Instant, sent: u64, heard: u64) {
        let newest = self.newest.filter(|(newest, _)| *newest == token);
        let parent = self.parents.get_mut(&token);
        let known = parent.as_ref().and_then(|parent| parent.ends);
        let Some(known) = known.or_else(|| newest.and_then(|(_, ends)| ends)) else {
            return;
        };
        let crossed = parent.is_some_and(|it| std::mem::replace(&mut it.heard, heard) > sent);
        let ends = Some(if crossed { ends.min(known) } else { ends });
        if newest.is_some() {
            self.newest = Some((token, ends));
        }
        self.set_token_timer(token, ends);
    }

    /// Renews at once what is renewed at all: a client may have moved its end, and nothing tells where to.
    pub(crate) fn renew_soon(&mut self, names: &[Name], now: Instant) {
        for id in self.entries_named(names) {
            let entry = self.entries.get(&id);
            if entry.is_some_and(|entry| entry.renews && entry.renewing.is_none()) {
                self.set_timer(id, Some(now));
            }
        }
    }

    fn entries_named(&self, names: &[Name]) -> BTreeSet<Id> {
        let found = names.iter().filter_map(|name| match name {
            Name::Token(token) => self.by_token.get(token),
            Name::Accessor(accessor) => self.by_accessor.get(accessor),
            Name::Lease(lease) => self.by_lease.get(lease),
        });
        found.copied().collect()
    }

    fn parents_named(&self, names: &[Name]) -> BTreeSet<TokenId> {
        let found = names.iter().filter_map(|name| match name {
            Name::Token(token) => Some(*token),
            Name::Accessor(accessor) => self.maker_with(accessor),
            Name::Lease(_) => None,
        });
        found.collect()
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
        let renewal = Renewal {
            id,
            namespace: namespace(&entry.what, &entry.place).unwrap_or_default(),
            lease,
            token,
            increment: entry.lasts,
        };
        let tick = self.tick();
        self.entries.get_mut(&id)?.renewing = Some(tick);
        Some(renewal)
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
