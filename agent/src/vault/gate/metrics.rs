//! What is counted of Vault: what went through the gate, what had to wait, how long answers took, and outages.

use std::time::Duration;

use prometheus::{
    CounterVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::Reason;

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
            up: IntGauge::new(
                "keyside_agent_vault_up",
                "1 while Vault is in service as far as the agent knows, 0 during an outage",
            )?,
            outages: IntCounter::new(
                "keyside_agent_vault_outages_total",
                "Outages of Vault that the agent has seen begin",
            )?,
            limited: IntCounter::new(
                "keyside_agent_proxy_limited_total",
                "Requests of clients that their ceiling kept from Vault",
            )?,
            clients: latency("client")?,
            agents: latency("agent")?,
        };
        for reason in Reason::ALL {
            let label = [reason.label()];
            metrics.passed.with_label_values(&label);
            metrics.waited.with_label_values(&label);
            metrics.seconds.with_label_values(&label);
        }
        registry.register(Box::new(metrics.passed.clone()))?;
        registry.register(Box::new(metrics.waited.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.outages.clone()))?;
        registry.register(Box::new(metrics.limited.clone()))?;
        registry.register(Box::new(metrics.clients.clone()))?;
        registry.register(Box::new(metrics.agents.clone()))?;
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

fn latency(caller: &str) -> Result<Histogram, prometheus::Error> {
    let options = HistogramOpts::new(
        "keyside_agent_vault_request_duration_seconds",
        "Until the head of Vault's answer, or an error, by who asked",
    );
    Histogram::with_opts(
        options
            .const_label("caller", caller)
            .buckets(BUCKETS.to_vec()),
    )
}
