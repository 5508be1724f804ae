//! The certificate that the replicas make themselves: one round after the other looks at what the API publishes and
//! what the Secret keeps, and moves them towards each other.
//!
//! Invariant: the webhook configuration is read before the Secret (see [`trust`]).
//! Invariant: a round changes at most one of the two; what it saw before the change is read again.

use std::time::{Duration, SystemTime};

use keyside_lifecycle::backoff::Backoff;
use keyside_lifecycle::error;
use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::Shutdown;

use super::kept::{self, Kept};
use super::metrics::Metrics;
use super::resolver::Resolver;
use super::rotation::{self, Policy, Step};
use super::serving::Serving;
use super::store::{self, Store, Written};
use super::trust::{self, Published, Trust};
use crate::settings;

pub(crate) struct Task {
    trust: Trust,
    store: Store,
    serving: Serving,
    names: Vec<String>,
    policy: Policy,
    pace: Duration,
    metrics: Metrics,
    /// The last certificates that were read or written well.
    held: Option<Kept>,
    /// The bundle that every entry was seen to hold, and since when.
    seen: Option<(Vec<u8>, SystemTime)>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Trust(#[from] trust::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("making certificates")]
    Make { source: kept::Error },
    #[error("the API server would not accept the certificate")]
    Untrusted { source: rustls::Error },
    #[error("the API server did not answer within {} s", LONGEST_ROUND.as_secs())]
    Late,
    #[error("the Secret or the webhook configuration was changed by others again and again")]
    Outrun,
}

/// What a round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Something was changed and has to be looked at again at once.
    Changed,
    Settled,
}

const LONGEST_ROUND: Duration = Duration::from_secs(15);
/// Rounds without a pause; each changes one thing, and the longest story (make, publish, see) has three.
const MOST_ROUNDS: usize = 8;

impl Task {
    pub(crate) fn new(
        client: &kube::Client,
        own: &settings::Own,
        recheck: Duration,
        resolver: Resolver,
        readiness: &Readiness,
        metrics: Metrics,
    ) -> Self {
        let (service, namespace) = (&own.service, &own.namespace);
        let names = vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}"),
            service.clone(),
        ];
        let policy = Policy {
            leaf_lifetime: own.leaf_lifetime,
            settle: own.settle,
        };
        Self {
            trust: Trust::new(client.clone(), &own.webhook),
            store: Store::new(client.clone(), namespace, &own.secret),
            serving: Serving::new(names.clone(), resolver, readiness, metrics.clone()),
            names,
            policy,
            pace: recheck.min(policy.pace()),
            metrics,
            held: None,
            seen: None,
        }
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let least = Duration::from_millis(250).min(self.pace);
        let mut backoff = Backoff::new(least, Duration::from_secs(30));
        let mut failures = 0_u32;
        let end = shutdown.requested();
        tokio::pin!(end);
        loop {
            // Cancel-safe both: a request to the API takes effect wholly or not at all, and the next replica that
            // looks goes on from there.
            let outcome = tokio::select! {
                () = &mut end => return,
                outcome = self.rounds() => outcome,
            };
            let pause = match &outcome {
                Ok(()) => {
                    backoff.reset();
                    self.pace
                }
                Err(_) => backoff.next(fastrand::f64()).min(self.pace),
            };
            failures = self.report(&outcome, failures);
            let failure = outcome.as_ref().err();
            self.serving.judge(
                failure.map(|failure| failure as &dyn std::error::Error),
                now(),
            );
            // Cancel-safe both: nothing is lost when the other one is first.
            tokio::select! {
                () = &mut end => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn rounds(&mut self) -> Result<(), Error> {
        for _ in 0..MOST_ROUNDS {
            let round = tokio::time::timeout(LONGEST_ROUND, self.round());
            if round.await.map_err(|_elapsed| Error::Late)?? == Round::Settled {
                return Ok(());
            }
        }
        Err(Error::Outrun)
    }

    async fn round(&mut self) -> Result<Round, Error> {
        let published = self.trust.read().await?;
        let stored = self.store.read().await?;
        let found = stored.as_ref().and_then(|stored| self.readable(stored));
        let now = now();
        let Some(kept) = found else {
            // Lost or spoilt: what this replica holds is written back, so that nothing changes for the API server.
            let again = self
                .held
                .clone()
                .filter(|kept| self.step(kept, now) != Step::Make);
            let kept = match again {
                Some(kept) => Some(kept),
                None => self.after(Step::Make, None, now)?,
            };
            return self.write(stored, kept).await;
        };
        self.see(&published, &kept, now);
        if !published.holds(kept.bundle()) {
            if self.trust.publish(&published, kept.bundle()).await? == Written::Done {
                tracing::info!(event = "authority_published");
            }
            self.held = Some(kept);
            return Ok(Round::Changed);
        }
        let served = self.serving.offer(&published, &kept, now);
        let step = self.step(&kept, now);
        let next = self.after(step, Some(&kept), now)?;
        self.held = Some(kept);
        if next.is_none() {
            served.map_err(|source| Error::Untrusted { source })?;
            return Ok(Round::Settled);
        }
        // A leaf that could not be served, such as an expired one, is what this step replaces.
        tracing::info!(event = "certificate_rotated", step = ?step);
        self.write(stored, next).await
    }

    fn readable(&self, stored: &store::Stored) -> Option<Kept> {
        Kept::read(stored.data(), &self.names)
            .inspect_err(|cause| {
                let error = error::chain(cause);
                tracing::warn!(
                    event = "certificate_unreadable",
                    error,
                    "the Secret is written anew"
                );
            })
            .ok()
    }

    fn step(&self, kept: &Kept, now: SystemTime) -> Step {
        rotation::next(Some(kept.facts()), self.seen_since(kept), now, &self.policy)
    }

    fn after(
        &self,
        step: Step,
        kept: Option<&Kept>,
        now: SystemTime,
    ) -> Result<Option<Kept>, Error> {
        Kept::after(step, kept, &self.names, now, &self.policy)
            .map_err(|source| Error::Make { source })
    }

    async fn write(
        &mut self,
        stored: Option<store::Stored>,
        kept: Option<Kept>,
    ) -> Result<Round, Error> {
        let Some(kept) = kept else {
            return Ok(Round::Settled);
        };
        if self.store.write(stored, kept.data()).await? == Written::Done {
            self.metrics.rotations.inc();
            self.held = Some(kept);
        }
        Ok(Round::Changed)
    }

    fn see(&mut self, published: &Published, kept: &Kept, now: SystemTime) {
        self.serving.look(published, now);
        if !published.holds(kept.bundle()) {
            self.seen = None;
        } else if self.seen_since(kept).is_none() {
            self.seen = Some((kept.bundle().to_vec(), now));
        }
    }

    fn seen_since(&self, kept: &Kept) -> Option<SystemTime> {
        self.seen
            .as_ref()
            .filter(|(bundle, _)| bundle == kept.bundle())
            .map(|(_, since)| *since)
    }

    /// Logs the first of several failures, and the recovery.
    fn report(&self, outcome: &Result<(), Error>, failures: u32) -> u32 {
        match outcome {
            Ok(()) if failures > 0 => {
                tracing::info!(event = "certificate_recovered", failures);
                0
            }
            Ok(()) => 0,
            Err(cause) => {
                self.metrics.failures.inc();
                let error = error::chain(cause);
                if failures == 0 {
                    tracing::warn!(event = "certificate_failed", error);
                } else {
                    tracing::debug!(event = "certificate_failed", error, failures);
                }
                failures.saturating_add(1)
            }
        }
    }
}

/// The only clock: certificates are about the wall's, not about the process's own.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads it"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
