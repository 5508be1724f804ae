//! What the proxy counts.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::guard::{self, Refusal};
use crate::cache::policy::Decision;
use crate::metrics;

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
        let connections = metrics::gauge(
            registry,
            "keyside_agent_proxy_connections",
            "Open connections of clients.",
        )?;
        let counters = |name, help, label, values: &[_]| {
            metrics::counters(registry, (name, help), label, values)
        };
        let requests = counters(
            "keyside_agent_proxy_requests_total",
            "Requests to the proxy, by the status of the answer.",
            "code",
            &[],
        )?;
        let decisions = counters(
            "keyside_agent_cache_total",
            "Requests for Vault that were answered, by what the cache did.",
            "decision",
            &[],
        )?;
        let refused = counters(
            "keyside_agent_proxy_refused_total",
            "Requests that the guard let through to nobody, by why.",
            "reason",
            &guard::REASONS,
        )?;
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
