//! What the cache counts.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(super) answers: IntGauge,
    pub(super) records: IntGauge,
    pub(super) bytes: IntGauge,
    pub(super) renewals: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let renewals = IntCounterVec::new(
            Opts::new(
                "keyside_agent_cache_renewals_total",
                "Renewals of cached leases and tokens, by what they brought.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(renewals.clone()))?;
        Ok(Self {
            answers: gauge("keyside_agent_cache_entries", "Answers in the cache.")?,
            records: gauge(
                "keyside_agent_cache_records",
                "Leases and tokens that the cache looks after, with an answer or without.",
            )?,
            bytes: gauge(
                "keyside_agent_cache_bytes",
                "What the answers in the cache take.",
            )?,
            renewals,
        })
    }
}
