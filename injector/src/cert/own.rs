//! The certificate that the replicas make themselves: one round after the other looks at what the API publishes and
//! what the Secret keeps, and changes at most one of the two.
//!
//! Invariant: the webhook configuration is read before the Secret (see [`trust`]).
//! Invariant: a replica whose leaf is valid and trusted stays ready while the API is away.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keyside_lifecycle::backoff::Backoff;
use keyside_lifecycle::error;
use keyside_lifecycle::readiness::{Part, Readiness};
use keyside_lifecycle::shutdown::Shutdown;
use rustls::sign::CertifiedKey;

use super::kept::{self, Kept};
use super::metrics::Metrics;
use super::resolver::Resolver;
use super::rotation::{self, Policy, Step};
use super::store::{self, Store, Written};
use super::trust::{self, Published, Trust};
use crate::settings;

pub(crate) struct Task {
    trust: Trust,
    store: Store,
    names: Vec<String>,
    policy: Policy,
    pace: Duration,
    resolver: Resolver,
    readiness: Readiness,
    metrics: Metrics,
    /// The last certificates that were read or written well.
    held: Option<Kept>,
    /// The bundle that every entry was seen to hold, and since when.
    seen: Option<(Vec<u8>, SystemTime)>,
    served: Option<Arc<CertifiedKey>>,
    served_until: Option<SystemTime>,
    /// Whether every entry trusted what is served when the API was last read.
    trusted: bool,
    /// Pending while no trusted certificate is served.
    pending: Option<Part>,
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
        let policy = Policy {
            leaf_lifetime: own.leaf_lifetime,
            settle: own.settle,
        };
        Self {
            trust: Trust::new(client.clone(), &own.webhook),
            store: Store::new(client.clone(), namespace, &own.secret),
            names: vec![
                format!("{service}.{namespace}.svc"),
                format!("{service}.{namespace}"),
                service.clone(),
            ],
            policy,
            pace: recheck.min(policy.pace()),
            resolver,
            readiness: readiness.clone(),
            metrics,
            held: None,
            seen: None,
            served: None,
            served_until: None,
            trusted: false,
            pending: Some(readiness.part("the certificate to be made and published")),
        }
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut backoff = Backoff::new(
            Duration::from_millis(250).min(self.pace),
            Duration::from_secs(30),
        );
        let mut failures = 0_u32;
        let end = shutdown.requested();
        tokio::pin!(end);
        loop {
            let outcome = self.rounds().await;
            let pause = match &outcome {
                Ok(()) => {
                    backoff.reset();
                    self.pace
                }
                Err(_) => backoff.next(fastrand::f64()).min(self.pace),
            };
            failures = self.report(&outcome, failures);
            self.judge(outcome.err().as_ref(), now());
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
                break;
            }
        }
        Ok(())
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
            self.trust.publish(&published, kept.bundle()).await?;
            tracing::info!(
                event = "authority_published",
                "caBundle set in every entry of the webhook configuration"
            );
            self.held = Some(kept);
            return Ok(Round::Changed);
        }
        let served = self.serve(&published, &kept, now);
        let step = self.step(&kept, now);
        let next = self.after(step, Some(&kept), now)?;
        self.held = Some(kept);
        if next.is_none() {
            return served.map(|()| Round::Settled);
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
        let served = self.served.as_ref();
        self.trusted = served.is_some_and(|served| self.verify(published, served, now).is_ok());
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

    /// Serves the leaf that the Secret keeps if every entry trusts it.
    fn serve(&mut self, published: &Published, kept: &Kept, now: SystemTime) -> Result<(), Error> {
        let leaf = kept.leaf();
        self.verify(published, &leaf, now)
            .map_err(|source| Error::Untrusted { source })?;
        self.trusted = true;
        if self
            .served
            .as_ref()
            .is_none_or(|served| served.cert != leaf.cert)
        {
            self.served_until = Some(kept.facts().leaf.until);
            self.metrics.expires(kept.facts().leaf.until);
            tracing::info!(
                event = "certificate_served",
                name = self.names.first(),
                "leaf served from now on"
            );
            self.resolver.serve(Arc::clone(&leaf));
            self.served = Some(leaf);
        }
        Ok(())
    }

    /// Whether whoever reads `published` accepts `leaf` by each name, now.
    fn verify(
        &self,
        published: &Published,
        leaf: &CertifiedKey,
        now: SystemTime,
    ) -> Result<(), rustls::Error> {
        for bundle in published.bundles() {
            for name in &self.names {
                kept::verify(bundle, leaf, name, now)?;
            }
        }
        Ok(())
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

    /// Ready while what is served is valid and trusted, whatever else fails.
    fn judge(&mut self, failure: Option<&Error>, now: SystemTime) {
        let trouble = match self.served_until {
            None => "the certificate to be made and published",
            Some(until) if until <= now => "a new certificate: the one that is served has expired",
            Some(_) if !self.trusted => "the caBundle to trust the certificate that is served",
            Some(_) => {
                self.pending = None;
                return;
            }
        };
        let text = match failure {
            Some(failure) => format!("{trouble}: {}", error::chain(failure)),
            None => trouble.to_owned(),
        };
        match &self.pending {
            Some(part) => part.waits_for(text),
            None => self.pending = Some(self.readiness.part(text)),
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
