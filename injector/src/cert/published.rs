//! A certificate that someone else makes, with its authority published here: files, and the `caBundle` kept right.
//!
//! Replicas see new files at different times, as the kubelet brings them. So what others may still serve stays
//! published for a while (see [`bundle::beside`]), and a new certificate waits until its authority has settled.
//!
//! Invariant: an authority that is newer than ours is never taken away: a replica whose files are older does not
//! undo what one with newer files published.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::Shutdown;

use super::bundle::{self, Authority};
use super::given::{self, Files};
use super::metrics::Metrics;
use super::own::now;
use super::resolver::Resolver;
use super::rounds::{self, Error, Keeper, Round};
use super::serving::{Remark, Serving};
use super::store::Written;
use super::trust::Trust;
use crate::settings;

pub(crate) struct Task {
    files: Files,
    authorities: PathBuf,
    trust: Trust,
    serving: Serving,
    settle: Duration,
    pace: Duration,
    metrics: Metrics,
    /// Our authorities, and since when every entry was seen to hold them.
    seen: Option<(Vec<Authority>, SystemTime)>,
    /// What else is published, and since when. One that comes back after it was taken away counts anew: somebody
    /// needs it.
    others: Vec<(Authority, SystemTime)>,
}

/// How many times [`settings::Service::settle`] what others may serve stays published. The kubelet takes up to two
/// minutes to bring a changed Secret to every replica.
const KEPT: u32 = 10;

impl Task {
    /// Reads the files once, so that a wrong path fails the start.
    pub(crate) async fn new(
        client: &kube::Client,
        (files, publish): (Files, settings::Publish),
        recheck: Duration,
        readiness: (&Readiness, &Remark),
        resolver: Resolver,
        metrics: Metrics,
    ) -> Result<Self, given::Error> {
        let service = publish.service;
        let names = service.names().into_iter().take(1).collect();
        let serving = Serving::new(names, service.settle, resolver, readiness, metrics.clone());
        let task = Self {
            files,
            authorities: publish.authorities,
            trust: Trust::new(client.clone(), &service.webhook),
            serving,
            settle: service.settle,
            pace: recheck,
            metrics,
            seen: None,
            others: Vec::new(),
        };
        task.files.read().await?;
        task.read().await?;
        Ok(task)
    }

    pub(crate) async fn run(self, shutdown: Shutdown) {
        let (metrics, pace) = (self.metrics.clone(), self.pace);
        rounds::run(self, metrics, pace, shutdown).await;
    }

    /// The authorities that are to be published.
    async fn read(&self) -> Result<Vec<Authority>, given::Error> {
        let file = given::read(&self.authorities).await?;
        let found = bundle::authorities([file.as_slice()], now());
        if found.is_empty() {
            return Err(given::Error::NoAuthority {
                path: self.authorities.clone(),
            });
        }
        Ok(found)
    }

    /// Since when every entry holds ours.
    fn see(
        &mut self,
        mine: &[Authority],
        entries: &[Vec<Authority>],
        now: SystemTime,
    ) -> Option<SystemTime> {
        let is_there =
            |entry: &Vec<Authority>| mine.iter().all(|authority| entry.contains(authority));
        if !entries.iter().all(is_there) {
            self.seen = None;
        } else if self.seen.as_ref().is_none_or(|(seen, _)| seen != mine) {
            self.seen = Some((mine.to_vec(), now));
        }
        self.seen.as_ref().map(|(_, since)| *since)
    }
}

impl Keeper for Task {
    async fn round(&mut self) -> Result<Round, Error> {
        let published = self.trust.read().await?;
        let (pair, mine) = (self.files.read().await?, self.read().await?);
        let now = now();
        self.serving.look(&published, now);
        let entries: Vec<_> = published
            .bundles()
            .map(|bundle| bundle::authorities([bundle], now))
            .collect();
        let since = self.see(&mine, &entries, now);
        let all = bundle::authorities(published.bundles(), now);
        self.others.retain(|(other, _)| all.contains(other));
        for other in &all {
            if !self.others.iter().any(|(known, _)| known == other) {
                self.others.push((other.clone(), now));
            }
        }
        let long_ago = |since: SystemTime| now >= since + self.settle * KEPT;
        let wanted = bundle::beside(&mine, &all, |other| {
            let mut known = self.others.iter();
            since.is_some_and(long_ago)
                && known.any(|(known, since)| known == other && long_ago(*since))
        });
        if !published.holds(&wanted) {
            if self.trust.publish(&published, &wanted).await? == Written::Done {
                tracing::info!(event = "authority_published");
            }
            return Ok(Round::Changed);
        }
        let (certificate, until) = pair;
        let offered = self
            .serving
            .offer(&published, certificate, until, since, now);
        if offered.map_err(|source| Error::Untrusted { source })? {
            self.metrics.rotations.inc();
        }
        Ok(Round::Settled(published.version()))
    }

    fn serving(&mut self) -> &mut Serving {
        &mut self.serving
    }

    fn trust(&self) -> &Trust {
        &self.trust
    }
}
