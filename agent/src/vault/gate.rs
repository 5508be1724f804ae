//! The gate before all that the agent sends by itself: callers queue here for their turn at the
//! [`bucket`](keyside_machine::bucket), and wait here while the [`breaker`](keyside_machine::breaker) knows that Vault is
//! away.
//!
//! Ten thousand agents whose Vault has just come back are ten thousand times this ceiling, whatever their state
//! machines think. What clients of the proxy send does not queue here: during an outage it is refused, and what becomes
//! of it otherwise is told here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyside_config::model::Limits;
use keyside_lifecycle::error::chain;
use keyside_machine::breaker::{self, Breaker, Found};
use keyside_machine::bucket::{Bucket, LANES, Lane};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Duration, Instant};

use super::error::{Absence, Error};

pub(crate) mod metrics;

use metrics::{Caller, Metrics};

/// Why the agent asks Vault by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Login,
    Renew,
    Wrap,
    Unwrap,
    LookUp,
    LeaseRenew,
    /// Whether Vault is there at all.
    Probe,
    Revoke,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Login,
        Self::Renew,
        Self::Wrap,
        Self::Unwrap,
        Self::LookUp,
        Self::LeaseRenew,
        Self::Probe,
        Self::Revoke,
    ];

    const fn lane(self) -> Lane {
        match self {
            Self::LeaseRenew => Lane::Lease,
            _ => Lane::Token,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Renew => "renew",
            Self::Wrap => "wrap",
            Self::Unwrap => "unwrap",
            Self::LookUp => "look_up",
            Self::LeaseRenew => "lease_renew",
            Self::Probe => "probe",
            Self::Revoke => "revoke",
        }
    }
}

/// Cheap to clone; all clones are one gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// One permit per lane: whoever holds it is the head of the lane's queue, which is fair.
    heads: [Semaphore; LANES],
    /// Rung whenever the breaker has been told something.
    found: Notify,
    metrics: Metrics,
}

struct State {
    bucket: Bucket,
    /// Of what clients of the proxy send, where that has a ceiling.
    clients: Option<Bucket>,
    breaker: Breaker,
    /// What was found last, while an outage is on.
    absence: Option<Absence>,
    /// When the last one ended.
    over: Option<Instant>,
}

/// What a caller whose turn has come is to do.
pub(super) enum Turn {
    Send(Pass),
    /// See whether Vault is there, and come again.
    Probe(Probe),
}

impl Gate {
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Self {
        metrics.up.set(1);
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                bucket: Bucket::new(limits, Instant::now()),
                clients: None,
                breaker: Breaker::new(fastrand::u64(..)),
                absence: None,
                over: None,
            }),
            heads: [const { Semaphore::const_new(1) }; LANES],
            found: Notify::new(),
            metrics,
        }))
    }

    /// From now on clients of the proxy have a ceiling of their own.
    pub(crate) fn limit_clients(&self, limits: &Limits) {
        self.0.locked().clients = Some(Bucket::new(limits, Instant::now()));
    }

    /// Takes a client's request under their ceiling; tells whether there was room.
    pub(super) fn ration(&self) -> bool {
        let mut state = self.0.locked();
        let bucket = state.clients.as_mut();
        let fits = bucket.is_none_or(|bucket| bucket.take(Lane::Token, Instant::now()).is_none());
        if !fits {
            self.0.metrics.limited.inc();
        }
        fits
    }

    /// Counts how long Vault took.
    pub(super) fn took(&self, caller: Caller, time: Duration) {
        self.0.metrics.took(caller, time);
    }

    /// Since when Vault has been away; `None` while it is there.
    pub(crate) fn away_since(&self) -> Option<Instant> {
        self.0.locked().breaker.away_since()
    }

    /// Returns when the caller may send one request, or has to probe first. What ends `by` a time waits no longer for
    /// the sake of other agents. Dropping the future gives the place in the queue up.
    pub(super) async fn turn(&self, reason: Reason, by: Option<Instant>) -> Turn {
        let lane = reason.lane();
        let arrived = Instant::now();
        let waiting = Waiting::enter(&self.0, lane);
        let [token, lease] = &self.0.heads;
        let head = match lane {
            Lane::Token => token,
            Lane::Lease => lease,
        };
        let _head = head
            .acquire()
            .await
            .expect("these semaphores are never closed");
        let turn = self.unbroken(reason, by).await;
        while let Some(wait) = waiting.take(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
        let sent = match &turn {
            Turn::Send(_) => reason,
            Turn::Probe(_) => Reason::Probe,
        };
        self.0.metrics.passed(sent, arrived.elapsed());
        turn
    }

    /// Waits while the breaker forbids all that might be sent.
    async fn unbroken(&self, reason: Reason, by: Option<Instant>) -> Turn {
        loop {
            // Made before the breaker is asked, so that what it is told in between is not missed.
            let found = self.0.found.notified();
            let lane = reason.lane();
            let turn = self.0.locked().breaker.turn(lane, by, Instant::now());
            match turn {
                breaker::Turn::Go { trial } => {
                    return Turn::Send(Pass {
                        reason,
                        gate: self.clone(),
                        trial: trial.then_some(lane),
                    });
                }
                breaker::Turn::Probe => return Turn::Probe(self.probe()),
                breaker::Turn::Wait(until) => wait(found, until).await,
            }
        }
    }

    /// Returns when there is a probe to send that nobody else will: a suspicion is to be looked into, or an outage is
    /// on and nothing of the agent's own waits for its end. One at a time may call this.
    pub(super) async fn duty(&self) -> Probe {
        loop {
            let found = self.0.found.notified();
            let now = Instant::now();
            let turn = self.0.locked().duty(now);
            match turn {
                breaker::Turn::Probe => {
                    self.0.metrics.passed(Reason::Probe, Duration::ZERO);
                    return self.probe();
                }
                // The probe before has found it. Nothing waits that could try.
                breaker::Turn::Go { .. } => self.there(),
                breaker::Turn::Wait(until) => wait(found, until).await,
            }
        }
    }

    /// While an outage is on, what is known of it, and after how long to come back.
    pub(super) fn absence(&self) -> Option<(Absence, Duration)> {
        let mut state = self.0.locked();
        let after = state.breaker.retry_after(Instant::now())?;
        Some((state.absence.clone()?, after))
    }

    /// A client's request found no connection. One from before the end of an outage says little of what comes after.
    pub(super) fn unreachable(&self, error: &Error, asked: Instant) {
        let over = self.0.locked().over;
        if over.is_some_and(|over| over > asked) {
            self.suspect();
        } else {
            self.away(None, error);
        }
    }

    /// A client's request had trouble, which may be its own.
    pub(super) fn suspect(&self) {
        self.0.locked().breaker.suspect(Instant::now());
        self.0.found.notify_waiters();
    }

    fn probe(&self) -> Probe {
        Probe(Some(self.clone()))
    }

    /// Outside of an outage, a probe was sent on a suspicion.
    fn probed(&self, found: Found, error: Option<&Error>) {
        match (found, error) {
            (Found::Away { after }, Some(error)) if self.away_since().is_none() => {
                return self.away(after, error);
            }
            _ => {}
        }
        let mut state = self.0.locked();
        state.breaker.probed(found, Instant::now());
        if let Some(error) = error {
            state.absence = Some(Absence::of(error));
        }
        drop(state);
        self.0.found.notify_waiters();
    }

    fn there(&self) {
        let mut state = self.0.locked();
        let Some(since) = state.breaker.away_since() else {
            return;
        };
        state.breaker.there();
        state.absence = None;
        state.over = Some(Instant::now());
        drop(state);
        self.0.metrics.up.set(1);
        self.0.found.notify_waiters();
        tracing::info!(
            event = "outage_over",
            seconds = since.elapsed().as_secs(),
            "Vault is back"
        );
    }

    fn away(&self, after: Option<Duration>, error: &Error) {
        let mut state = self.0.locked();
        let known = state.breaker.away_since().is_some();
        state.breaker.away(after, Instant::now());
        state.absence = Some(Absence::of(error));
        drop(state);
        self.0.found.notify_waiters();
        if !known {
            self.0.metrics.up.set(0);
            self.0.metrics.outages.inc();
            tracing::warn!(
                event = "outage_began",
                error = chain(error),
                "Vault is away; it is probed now and then, and nothing is dropped"
            );
        }
    }
}

/// The right to send one request.
pub(crate) struct Pass {
    pub(super) reason: Reason,
    gate: Gate,
    /// The lane, where an outage is on and the answer decides whether it is over.
    trial: Option<Lane>,
}

impl Pass {
    /// Tells what became of the request.
    pub(super) fn close<T>(mut self, result: &Result<T, Error>) {
        match result {
            Ok(_) => self.gate.there(),
            Err(error) => match error.found() {
                Some(Found::There) => self.gate.there(),
                Some(Found::Away { after }) => self.gate.away(after, error),
                None => return,
            },
        }
        self.trial = None;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(lane) = self.trial {
            self.gate.0.locked().breaker.dropped(lane);
            self.gate.0.found.notify_waiters();
        }
    }
}

/// The duty to see whether Vault is there. Given up, it counts as if it were not.
pub(super) struct Probe(Option<Gate>);

impl Probe {
    pub(super) fn found(mut self, answer: &Result<(), Error>) {
        if let Some(gate) = self.0.take() {
            let error = answer.as_ref().err();
            gate.probed(error.map_or(Found::There, Error::probed), error);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.probed(Found::Away { after: None }, None);
        }
    }
}

/// A caller in the bucket's count of those who wait; leaves it when dropped.
struct Waiting<'a> {
    inner: &'a Inner,
    lane: Lane,
}

impl<'a> Waiting<'a> {
    fn enter(inner: &'a Inner, lane: Lane) -> Self {
        *inner.locked().bucket.count(lane) += 1;
        Self { inner, lane }
    }

    fn take(&self, now: Instant) -> Option<Duration> {
        self.inner.locked().bucket.take(self.lane, now)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.inner.locked().bucket.count(self.lane) -= 1;
        self.inner.found.notify_waiters();
    }
}

impl State {
    fn duty(&mut self, now: Instant) -> breaker::Turn {
        if self.breaker.away_since().is_none() {
            return self.breaker.suspicion(now);
        }
        let waiting = [Lane::Token, Lane::Lease]
            .into_iter()
            .any(|lane| *self.bucket.count(lane) > 0);
        if waiting {
            return breaker::Turn::Wait(None);
        }
        self.breaker.turn(Lane::Token, None, now)
    }
}

/// Until the breaker is told something, or until then.
async fn wait(found: Notified<'_>, until: Option<Instant>) {
    match until {
        None => found.await,
        Some(until) => tokio::select! {
            () = found => {}
            () = tokio::time::sleep_until(until) => {}
        },
    }
}

impl Inner {
    /// A panic while the lock was held leaves numbers that are still numbers.
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
