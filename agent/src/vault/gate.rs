//! The gate before all that the agent sends by itself: callers queue here for their turn at the
//! [`bucket`](keyside_machine::bucket).
//!
//! Ten thousand agents whose Vault has just come back are ten thousand times this ceiling, whatever their state
//! machines think. What clients of the proxy send does not pass here.

use std::sync::{Arc, Mutex, PoisonError};

use keyside_config::model::Limits;
use keyside_machine::bucket::{Bucket, LANES, Lane};
use prometheus::{CounterVec, IntCounterVec, Opts, Registry};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};

/// Why the agent asks Vault by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Login,
    Renew,
    Wrap,
    LookUp,
    LeaseRenew,
}

impl Reason {
    const fn lane(self) -> Lane {
        match self {
            Self::Login | Self::Renew | Self::Wrap | Self::LookUp => Lane::Token,
            Self::LeaseRenew => Lane::Lease,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Renew => "renew",
            Self::Wrap => "wrap",
            Self::LookUp => "look_up",
            Self::LeaseRenew => "lease_renew",
        }
    }
}

/// Cheap to clone; all clones are one gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    bucket: Mutex<Bucket>,
    /// One permit per lane: whoever holds it is the head of the lane's queue, which is fair.
    heads: [Semaphore; LANES],
    metrics: Metrics,
}

impl Gate {
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            bucket: Mutex::new(Bucket::new(limits, Instant::now())),
            heads: [const { Semaphore::const_new(1) }; LANES],
            metrics,
        }))
    }

    /// Returns when the caller may send one request. Dropping the future gives the place in the queue up.
    pub(crate) async fn pass(&self, reason: Reason) {
        let lane = reason.lane();
        let arrived = Instant::now();
        let waiting = Waiting::enter(&self.0.bucket, lane);
        let [token, lease] = &self.0.heads;
        let head = match lane {
            Lane::Token => token,
            Lane::Lease => lease,
        };
        let _head = head
            .acquire()
            .await
            .expect("these semaphores are never closed");
        while let Some(wait) = waiting.take(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
        self.0.metrics.passed(reason, arrived.elapsed());
    }
}

/// A caller in the bucket's count of those who wait; leaves it when dropped.
struct Waiting<'a> {
    bucket: &'a Mutex<Bucket>,
    lane: Lane,
}

impl<'a> Waiting<'a> {
    fn enter(bucket: &'a Mutex<Bucket>, lane: Lane) -> Self {
        *locked(bucket).count(lane) += 1;
        Self { bucket, lane }
    }

    fn take(&self, now: Instant) -> Option<Duration> {
        locked(self.bucket).take(self.lane, now)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *locked(self.bucket).count(self.lane) -= 1;
    }
}

/// A panic while the lock was held leaves numbers that are still numbers.
fn locked(bucket: &Mutex<Bucket>) -> std::sync::MutexGuard<'_, Bucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What went through, and what had to wait.
#[derive(Clone)]
pub(crate) struct Metrics {
    passed: IntCounterVec,
    waited: IntCounterVec,
    seconds: CounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labels = ["reason"];
        let metrics = Self {
            passed: IntCounterVec::new(
                Opts::new(
                    "keyside_agent_gate_requests_total",
                    "Requests that the agent sent by itself, by reason",
                ),
                &labels,
            )?,
            waited: IntCounterVec::new(
                Opts::new(
                    "keyside_agent_gate_waits_total",
                    "Of these, requests that the ceiling held back",
                ),
                &labels,
            )?,
            seconds: CounterVec::new(
                Opts::new(
                    "keyside_agent_gate_wait_seconds_total",
                    "For how long they were held back, together",
                ),
                &labels,
            )?,
        };
        registry.register(Box::new(metrics.passed.clone()))?;
        registry.register(Box::new(metrics.waited.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        Ok(metrics)
    }

    fn passed(&self, reason: Reason, after: Duration) {
        let label = [reason.label()];
        self.passed.with_label_values(&label).inc();
        if after >= Duration::from_millis(1) {
            self.waited.with_label_values(&label).inc();
            self.seconds
                .with_label_values(&label)
                .inc_by(after.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests;
