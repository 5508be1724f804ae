//! What the proxy counts.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::guard::{self, Refusal};
use crate::cache::policy::Decision;

#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    decisions: IntCounterVec,
    /// Of the two above, what every hit counts: looked up once.
    ok: IntCounter,
    hits: IntCounter,
    refused: IntCounterVec,
    pub(super) connections: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help, label| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let connections = IntGauge::new(
            "keyside_agent_proxy_connections",
            "Open connections of clients.",
        )?;
        registry.register(Box::new(connections.clone()))?;
        let requests = counter(
            "keyside_agent_proxy_requests_total",
            "Requests to the proxy, by the status of the answer.",
            "code",
        )?;
        let decisions = counter(
            "keyside_agent_cache_total",
            "Requests for Vault that were answered, by what the cache did.",
            "decision",
        )?;
        let refused = counter(
            "keyside_agent_proxy_refused_total",
            "Requests that the guard let through to nobody, by why.",
            "reason",
        )?;
        for reason in guard::REASONS {
            refused.with_label_values(&[reason]);
        }
        Ok(Self {
            refused,
            ok: requests.with_label_values(&[StatusCode::OK.as_str()]),
            hits: decisions.with_label_values(&[Decision::Hit.label()]),
            requests,
            decisions,
            connections,
        })
    }

    pub(super) fn answered(&self, status: StatusCode) {
        match status {
            StatusCode::OK => self.ok.inc(),
            status => self.requests.with_label_values(&[status.as_str()]).inc(),
        }
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.refused.with_label_values(&[refusal.label()]).inc();
    }

    pub(super) fn decided(&self, decision: Decision) {
        match decision {
            Decision::Hit => self.hits.inc(),
            decision => self.decisions.with_label_values(&[decision.label()]).inc(),
        }
    }
}
