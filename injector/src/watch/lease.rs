//! The Lease by which one of the replicas leads: taken, renewed, and given back at the end.
//!
//! Invariant: a write says which version it replaces, so of two that take it at once one is told to wait.
//! Invariant: who could not renew for [`election::GIVE_UP`] does not lead.

use std::time::Duration;

use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use keyside_lifecycle::error;
use keyside_lifecycle::readiness::{Part, Readiness};
use keyside_lifecycle::shutdown::Shutdown;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::election::{self, Election, Said, Step};
use super::metrics::Metrics;
use crate::cert::own;
use crate::owner;
use crate::settings::Watch;

pub(crate) struct Lease {
    leases: Api<coordination::Lease>,
    namespace: String,
    name: String,
    me: String,
    /// This pod, where it was told.
    owner: Option<OwnerReference>,
    election: Election,
    leading: watch::Sender<bool>,
    renewed: Option<Instant>,
    metrics: Metrics,
    /// There until the Lease was read once.
    pending: Option<Part>,
    is_failing: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("reading Lease {namespace}/{name}")]
    Read {
        namespace: String,
        name: String,
        source: Box<kube::Error>,
    },
    #[error("writing Lease {namespace}/{name}")]
    Write {
        namespace: String,
        name: String,
        source: Box<kube::Error>,
    },
    #[error("the API server did not answer within {} s", LONGEST.as_secs())]
    Late,
}

/// Shorter than what is left of a Lease when it is looked at.
const LONGEST: Duration = Duration::from_secs(4);

impl Lease {
    /// And a flag that says whether this replica leads.
    pub(crate) fn new(
        client: &kube::Client,
        settings: &Watch,
        readiness: &Readiness,
        metrics: Metrics,
    ) -> (Self, watch::Receiver<bool>) {
        let (leading, flag) = watch::channel(false);
        let lease = Self {
            leases: Api::namespaced(client.clone(), &settings.namespace),
            namespace: settings.namespace.clone(),
            name: settings.lease.clone(),
            me: settings.identity.clone(),
            owner: settings.uid.clone().map(|uid| OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: settings.identity.clone(),
                uid,
                ..OwnerReference::default()
            }),
            election: Election::default(),
            leading,
            renewed: None,
            metrics,
            pending: Some(readiness.part("the Lease to be read")),
            is_failing: false,
        };
        (lease, flag)
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let end = shutdown.requested();
        tokio::pin!(end);
        loop {
            // Cancel-safe: a write that is given up took effect or did not; the next look tells.
            let round = tokio::select! {
                () = &mut end => break,
                round = time::timeout(LONGEST, self.round()) => round,
            };
            let outcome = round.unwrap_or(Err(Error::Late));
            self.report(outcome, Instant::now());
            // Cancel-safe both: nothing is lost when the other one is first.
            tokio::select! {
                () = &mut end => break,
                () = time::sleep(election::PACE) => {}
            }
        }
        if self.leading.send_replace(false) {
            // Who waits need not wait for the Lease to be over.
            let outcome = time::timeout(LONGEST, self.give_back()).await;
            tracing::info!(
                event = "lease_given_back",
                done = matches!(outcome, Ok(Ok(())))
            );
        }
    }

    /// Whether this replica holds the Lease now.
    async fn round(&mut self) -> Result<bool, Error> {
        let found = self.read().await?;
        let said = found.as_ref().map(said);
        let now = Instant::now();
        let is_new = match self.election.next(said, &self.me, now) {
            Step::Wait => return Ok(false),
            Step::Renew => false,
            Step::Take => true,
        };
        let is_held = self.write(found, Some(self.me.clone()), is_new).await?;
        if is_held {
            self.renewed = Some(now);
        }
        Ok(is_held)
    }

    fn report(&mut self, outcome: Result<bool, Error>, now: Instant) {
        let is_leading = match outcome {
            Ok(is_held) => {
                self.pending = None;
                self.is_failing = false;
                is_held
            }
            Err(cause) => {
                let error = error::chain(&cause);
                if let Some(pending) = &self.pending {
                    pending.waits_for(format!("the Lease to be read: {error}"));
                }
                if self.is_failing {
                    tracing::debug!(event = "lease_failed", error);
                } else {
                    tracing::warn!(event = "lease_failed", error);
                }
                self.is_failing = true;
                let renewed = self.renewed;
                *self.leading.borrow()
                    && renewed.is_some_and(|renewed| now < renewed + election::GIVE_UP)
            }
        };
        self.metrics.leading.set(i64::from(is_leading));
        if self.leading.send_replace(is_leading) != is_leading {
            tracing::info!(event = "leading", is_leading, lease = self.name);
        }
    }

    async fn give_back(&self) -> Result<(), Error> {
        let found = self.read().await?;
        let is_ours =
            |lease: &coordination::Lease| said(lease).holder.as_deref() == Some(&*self.me);
        if found.as_ref().is_some_and(is_ours) {
            self.write(found, None, false).await?;
        }
        Ok(())
    }

    async fn read(&self) -> Result<Option<coordination::Lease>, Error> {
        let found = self.leases.get_opt(&self.name).await;
        found.map_err(|source| Error::Read {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            source: Box::new(source),
        })
    }

    /// Says whether nobody else was faster. Who takes the Lease owns it, so that none is left when nobody runs.
    async fn write(
        &self,
        found: Option<coordination::Lease>,
        holder: Option<String>,
        is_new: bool,
    ) -> Result<bool, Error> {
        let is_there = found.is_some();
        let mut lease = found.unwrap_or_else(|| coordination::Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            ..coordination::Lease::default()
        });
        let now = MicroTime(Timestamp::try_from(own::now()).unwrap_or_default());
        let spec = lease.spec.get_or_insert_default();
        if is_new {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions =
                Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        spec.holder_identity = holder;
        spec.lease_duration_seconds = i32::try_from(election::LASTS.as_secs()).ok();
        spec.renew_time = Some(now);
        let orphan = lease.clone();
        let owner = self.owner.clone().filter(|_| is_new);
        let is_owned = owner.is_some_and(|owner| owner::name(&mut lease.metadata, owner));
        let written = match self.put(is_there, &lease).await {
            Err(kube::Error::Api(status)) if is_owned && owner::is_refused(&status) => {
                self.put(is_there, &orphan).await
            }
            written => written,
        };
        match written {
            Ok(_written) => Ok(true),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(source) => Err(Error::Write {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                source: Box::new(source),
            }),
        }
    }

    async fn put(
        &self,
        is_there: bool,
        lease: &coordination::Lease,
    ) -> Result<coordination::Lease, kube::Error> {
        let params = PostParams::default();
        if is_there {
            self.leases.replace(&self.name, &params, lease).await
        } else {
            self.leases.create(&params, lease).await
        }
    }
}

fn said(lease: &coordination::Lease) -> Said {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.clone());
    let renewed = spec.and_then(|spec| spec.renew_time.as_ref());
    Said {
        holder: holder.filter(|holder| !holder.is_empty()),
        renewed: renewed.map(|time| time.0.to_string()).unwrap_or_default(),
    }
}
