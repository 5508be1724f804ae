//! What the proxy counts.

use http::StatusCode;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use crate::cache::policy::Decision;

#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    decisions: IntCounterVec,
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
        Ok(Self {
            requests: counter(
                "keyside_agent_proxy_requests_total",
                "Requests to the proxy, by the status of the answer.",
                "code",
            )?,
            decisions: counter(
                "keyside_agent_cache_total",
                "Requests for Vault that were answered, by what the cache did.",
                "decision",
            )?,
            connections,
        })
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.requests.with_label_values(&[status.as_str()]).inc();
    }

    pub(super) fn decided(&self, decision: Decision) {
        self.decisions.with_label_values(&[decision.label()]).inc();
    }
}
