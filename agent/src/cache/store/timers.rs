//! When something is to be done: an entry renewed or ended, a token ended. One timer each, in one order.
//!
//! Invariant: an entry's timer is the one that its `due` names, and a parent's the one that its `ends` names.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::slab::Slot;
use super::{Entry, Id, Parent, Store, Timer, namespace};
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
        for (_, entry) in self.entries.iter() {
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
        self.newest = Some((token, ends));
        if let Some(slot) = self.parent(token) {
            if let Some(parent) = self.parents.get_mut(slot) {
                parent.heard = tick;
            }
            self.set_parent_timer(slot, ends);
        }
    }

    pub(super) fn set_parent_timer(&mut self, slot: Slot, ends: Option<Instant>) {
        let Some(parent) = self.parents.get_mut(slot) else {
            return;
        };
        self.revision += u64::from(parent.ends != ends);
        if let Some(before) = std::mem::replace(&mut parent.ends, ends) {
            self.timers.remove(&(before, Timer::Parent(slot)));
        }
        if let Some(ends) = ends {
            self.timers.insert((ends, Timer::Parent(slot)));
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
                Timer::Parent(slot) => self.end_parent(slot),
                Timer::Entry(slot) => {
                    if let Some(entry) = self.entries.get_mut(slot) {
                        entry.due = None;
                    }
                    if let Some(renewal) = self.entry_due(slot, now) {
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
        let Id { slot, began } = id;
        let entry = self.entries.get_mut(slot)?;
        entry.renewing.take_if(|since| *since == began)?;
        self.revision += 1;
        match outcome {
            Outcome::Renewed(lasts) => {
                let before = entry.ends;
                // What never ends is not renewed: this one has an end.
                let ends = now + lasts.min(lease::LONGEST);
                if entry.move_end(ends, began.get(), tick) {
                    // At the maximum a renewal moves the end no more.
                    entry.renews =
                        before.is_some_and(|before| ends > before + Duration::from_secs(1));
                }
            }
            Outcome::Refused => entry.renews = false,
            Outcome::Away => {
                self.plan_again(slot, now, random);
                return None;
            }
            Outcome::Gone | Outcome::TokenDead => {
                let maker = entry.maker.filter(|_| outcome == Outcome::TokenDead);
                let maker = maker.and_then(|maker| self.parents.get(maker));
                let dead = match &entry.what {
                    What::Token { token, .. } => Some(TokenId::from(token)),
                    What::Lease { .. } => maker.map(Parent::id),
                };
                match dead {
                    Some(token) => self.end_token(token),
                    None => self.end(slot),
                }
                return dead;
            }
        }
        self.plan(slot, now, random);
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
        for token in self.tokens_named(&renewed.names) {
            self.parent_renewed(token, ends, sent.tick, tick);
        }
        for slot in self.entries_named(&renewed.names) {
            let Some(entry) = self.entries.get_mut(slot) else {
                continue;
            };
            self.revision += 1;
            entry.move_end(ends, sent.tick, tick);
            entry.lasts = entry.lasts.max(lasts);
            entry.margin = entry.margin.min(lease::margin(lasts));
            entry.renews &= renewed.renewable && entry.ends.is_some();
            // Where a renewal is under way, it sets the timer when it is done.
            if entry.renewing.is_none() {
                self.plan(slot, now, random);
            }
        }
    }

    /// Of a client's own token nobody tells when it is renewed elsewhere: its end is not known before either.
    fn parent_renewed(&mut self, token: TokenId, ends: Instant, sent: u64, heard: u64) {
        let newest = self.newest.filter(|(newest, _)| *newest == token);
        let slot = self.parent(token);
        let parent = slot.and_then(|slot| self.parents.get_mut(slot));
        let known = parent.as_ref().and_then(|parent| parent.ends);
        let Some(known) = known.or_else(|| newest.and_then(|(_, ends)| ends)) else {
            return;
        };
        let crossed = parent.is_some_and(|it| std::mem::replace(&mut it.heard, heard) > sent);
        let ends = Some(if crossed { ends.min(known) } else { ends });
        if newest.is_some() {
            self.newest = Some((token, ends));
        }
        if let Some(slot) = slot {
            self.set_parent_timer(slot, ends);
        }
    }

    /// Renews at once what is renewed at all: a client may have moved its end, and nothing tells where to.
    pub(crate) fn renew_soon(&mut self, names: &[Name], now: Instant) {
        for slot in self.entries_named(names) {
            let entry = self.entries.get(slot);
            if entry.is_some_and(|entry| entry.renews && entry.renewing.is_none()) {
                self.set_timer(slot, Some(now));
            }
        }
    }

    fn entries_named(&self, names: &[Name]) -> BTreeSet<Slot> {
        let found = names.iter().filter_map(|name| match name {
            Name::Token(token) => self.token(*token),
            Name::Accessor(accessor) => self.accessor(accessor),
            Name::Lease(lease) => self.lease(lease),
        });
        found.collect()
    }

    fn tokens_named(&self, names: &[Name]) -> BTreeSet<TokenId> {
        let found = names.iter().filter_map(|name| match name {
            Name::Token(token) => Some(*token),
            Name::Accessor(accessor) => self.maker_with(accessor),
            Name::Lease(_) => None,
        });
        found.collect()
    }

    fn entry_due(&mut self, slot: Slot, now: Instant) -> Option<Renewal> {
        let began = NonZeroU64::new(self.tick())?;
        let entry = self.entries.get(slot)?;
        // One that is not renewed has its timer at its end.
        if !entry.renews || entry.ends.is_some_and(|ends| ends <= now) {
            self.end(slot);
            return None;
        }
        let token = match &entry.what {
            What::Token { token, .. } => Arc::new(token.clone()),
            What::Lease { .. } => match entry.maker.and_then(|maker| self.parents.get(maker)) {
                Some(parent) => Arc::clone(&parent.token),
                None => return None,
            },
        };
        let lease = match &entry.what {
            What::Token { .. } => None,
            What::Lease { id } => Some(id.clone()),
        };
        let renewal = Renewal {
            id: Id { slot, began },
            namespace: namespace(&entry.what, &entry.place).unwrap_or_default(),
            lease,
            token,
            increment: entry.lasts,
        };
        self.entries.get_mut(slot)?.renewing = Some(began);
        Some(renewal)
    }

    /// Sets the timer for an entry's own sake. That of the token above it is set for the token.
    pub(super) fn plan(&mut self, slot: Slot, now: Instant, random: f64) {
        let due = self.entries.get(slot).and_then(|entry| match entry.ends {
            Some(ends) if entry.renews => Some(lease::next(ends, now, random)),
            ends => ends,
        });
        self.set_timer(slot, due);
    }

    fn plan_again(&mut self, slot: Slot, now: Instant, random: f64) {
        let ends = self.entries.get(slot).and_then(|entry| entry.ends);
        self.set_timer(slot, ends.map(|ends| lease::again(ends, now, random)));
    }

    /// Sets the one timer of an entry.
    fn set_timer(&mut self, slot: Slot, due: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.timers.remove(&(before, Timer::Entry(slot)));
        }
        if let Some(due) = due {
            self.timers.insert((due, Timer::Entry(slot)));
        }
    }
}
