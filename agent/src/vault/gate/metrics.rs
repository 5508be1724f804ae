//! What is counted of Vault: what went through the gate, what had to wait, how long answers took, and outages.

use std::time::Duration;

use prometheus::{
    CounterVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::Reason;
use crate::metrics;

/// From a look-up in the same rack to the time limit of a slow login, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// Who asked Vault.
#[derive(Clone, Copy, Debug)]
pub(in crate::vault) enum Caller {
    /// A client of the proxy.
    Client,
    /// The agent by itself.
    Agent,
}

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(super) passed: IntCounterVec,
    pub(super) waited: IntCounterVec,
    pub(super) seconds: CounterVec,
    pub(super) up: IntGauge,
    pub(super) outages: IntCounter,
    pub(super) limited: IntCounter,
    clients: Histogram,
    agents: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reasons = Reason::ALL.map(Reason::label);
        let by_reason = |name, help| metrics::counters(registry, (name, help), "reason", &reasons);
        let counter = |name, help| metrics::counter(registry, name, help);
        let metrics = Self {
            passed: by_reason(
                "keyside_agent_gate_requests_total",
                "Requests that the agent sent by itself, by reason",
            )?,
            waited: by_reason(
                "keyside_agent_gate_waits_total",
                "Of these, requests that the ceiling held back",
            )?,
            seconds: CounterVec::new(
                Opts::new(
                    "keyside_agent_gate_wait_seconds_total",
                    "For how long they were held back, together",
                ),
                &["reason"],
            )?,
            up: metrics::gauge(
                registry,
                "keyside_agent_vault_up",
                "1 while Vault is in service as far as the agent knows, 0 during an outage",
            )?,
            outages: counter(
                "keyside_agent_vault_outages_total",
                "Outages of Vault that the agent has seen begin",
            )?,
            limited: counter(
                "keyside_agent_proxy_limited_total",
                "Requests of clients that their ceiling kept from Vault",
            )?,
            clients: latency(registry, "client")?,
            agents: latency(registry, "agent")?,
        };
        for reason in reasons {
            metrics.seconds.with_label_values(&[reason]);
        }
        registry.register(Box::new(metrics.seconds.clone()))?;
        Ok(metrics)
    }

    pub(super) fn passed(&self, reason: Reason, after: Duration) {
        let label = [reason.label()];
        self.passed.with_label_values(&label).inc();
        if after >= Duration::from_millis(1) {
            self.waited.with_label_values(&label).inc();
            self.seconds
                .with_label_values(&label)
                .inc_by(after.as_secs_f64());
        }
    }

    pub(super) fn took(&self, caller: Caller, time: Duration) {
        let histogram = match caller {
            Caller::Client => &self.clients,
            Caller::Agent => &self.agents,
        };
        histogram.observe(time.as_secs_f64());
    }
}

fn latency(registry: &Registry, caller: &str) -> Result<Histogram, prometheus::Error> {
    let options = HistogramOpts::new(
        "keyside_agent_vault_request_duration_seconds",
        "Until the head of Vault's answer, or an error, by who asked",
    );
    let options = options.const_label("caller", caller);
    let histogram = Histogram::with_opts(options.buckets(BUCKETS.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}
