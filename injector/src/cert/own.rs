//! The certificate that the replicas make themselves: one round after the other looks at what the API publishes and
//! what the Secret keeps, and moves them towards each other.
//!
//! Invariant: the webhook configuration is read before the Secret (see [`super::trust`]).
//! Invariant: a round changes at most one of the two; what it saw before the change is read again.
//! Invariant: an authority of ours that is published goes only after its successor was there for two leaf lifetimes,
//! also where the Secret was lost meanwhile: some replica may serve what it signed.

use std::time::{Duration, SystemTime};

use keyside_lifecycle::error;
use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::Shutdown;

use super::bundle;
use super::kept::Kept;
use super::metrics::Metrics;
use super::resolver::Resolver;
use super::rotation::{self, Policy, Step};
use super::rounds::{self, Error, Keeper, Round};
use super::serving::{Remark, Serving};
use super::store::{Store, Stored, Written};
use super::trust::{Published, Trust};
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

impl Task {
    pub(crate) fn new(
        client: &kube::Client,
        own: &settings::Own,
        recheck: Duration,
        resolver: Resolver,
        readiness: (&Readiness, &Remark),
        metrics: Metrics,
    ) -> Self {
        let names = own.service.names();
        let policy = Policy {
            leaf_lifetime: own.leaf_lifetime,
            settle: own.service.settle,
        };
        Self {
            trust: Trust::new(client.clone(), &own.service.webhook),
            store: Store::new(client.clone(), &own.service.namespace, &own.secret),
            serving: Serving::new(
                names.clone(),
                policy.settle,
                resolver,
                readiness,
                metrics.clone(),
            ),
            names,
            policy,
            pace: recheck.min(policy.pace()),
            metrics,
            held: None,
            seen: None,
        }
    }

    pub(crate) async fn run(self, shutdown: Shutdown) {
        let (metrics, pace) = (self.metrics.clone(), self.pace);
        rounds::run(self, metrics, pace, shutdown).await;
    }

    fn readable(&self, stored: &Stored) -> Option<Kept> {
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

    /// What to write where the Secret is lost, spoilt or older than what is published.
    fn again(
        &self,
        published: &Published,
        found: Option<&Kept>,
        now: SystemTime,
    ) -> Result<Option<Kept>, Error> {
        // What this replica holds is written back, so that nothing changes for the API server.
        let held = self.held.as_ref().filter(|held| {
            self.step(held, now) != Step::Make && !is_outdated(published, held, now)
        });
        if let Some(held) = held {
            return Ok(Some(held.clone()));
        }
        let others = published.bundles().chain(found.map(Kept::bundle));
        let others = bundle::ours(others, now);
        tracing::info!(event = "authority_made", kept_beside = others.len());
        let made = self.after(Step::Make, None, now)?;
        let joined = made.map(|made| made.beside(&others, &self.names));
        joined.transpose().map_err(|source| Error::Make { source })
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
        published: &Published,
        stored: Option<Stored>,
        kept: Kept,
    ) -> Result<Round, Error> {
        let owner = published.owner();
        if self.store.write(stored, kept.data(), owner).await? == Written::Done {
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
}

impl Keeper for Task {
    async fn round(&mut self) -> Result<Round, Error> {
        let published = self.trust.read().await?;
        let stored = self.store.read().await?;
        let found = stored.as_ref().and_then(|stored| self.readable(stored));
        let now = now();
        let found = match found {
            Some(kept) if !is_outdated(&published, &kept, now) => kept,
            lost => {
                return match self.again(&published, lost.as_ref(), now)? {
                    Some(kept) => self.write(&published, stored, kept).await,
                    None => Ok(Round::Changed),
                };
            }
        };
        let kept = found;
        self.see(&published, &kept, now);
        if !published.holds(kept.bundle()) {
            if self.trust.publish(&published, kept.bundle()).await? == Written::Done {
                tracing::info!(event = "authority_published");
            }
            self.held = Some(kept);
            return Ok(Round::Changed);
        }
        if let Some(newest) = kept.facts().authorities.first() {
            self.metrics.authority_expires(newest.until);
        }
        let until = kept.facts().leaf.until;
        let since = self.seen_since(&kept);
        let served = self
            .serving
            .offer(&published, kept.leaf(), until, since, now);
        let step = self.step(&kept, now);
        let next = self.after(step, Some(&kept), now)?;
        self.held = Some(kept);
        let Some(next) = next else {
            served.map_err(|source| Error::Untrusted { source })?;
            return Ok(Round::Settled(published.version()));
        };
        // A leaf that could not be served, such as an expired one, is what this step replaces.
        tracing::info!(event = "certificate_rotated", step = ?step);
        self.write(&published, stored, next).await
    }

    fn serving(&mut self) -> &mut Serving {
        &mut self.serving
    }

    fn trust(&self) -> &Trust {
        &self.trust
    }
}

/// Whether an authority of ours is published that is newer than what was kept: the Secret was put back from an old
/// copy. The configuration was read first, and whoever publishes has written the Secret before.
fn is_outdated(published: &Published, kept: &Kept, now: SystemTime) -> bool {
    let Some(newest) = kept.facts().authorities.first() else {
        return true;
    };
    !published.holds(kept.bundle())
        && bundle::ours(published.bundles(), now)
            .iter()
            .any(|authority| authority.from() > newest.from)
}

/// The only clock: certificates are about the wall's, not about the process's own.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads it"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
