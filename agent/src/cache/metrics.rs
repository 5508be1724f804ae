//! What the cache counts.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::Cache;
use crate::metrics;

/// What renewals bring.
const OUTCOMES: [&str; 5] = ["renewed", "gone", "token_dead", "refused", "away"];

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(super) answers: IntGauge,
    pub(super) records: IntGauge,
    pub(super) bytes: IntGauge,
    pub(super) renewals: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| metrics::gauge(registry, name, help);
        let renewals = metrics::counters(
            registry,
            (
                "keyside_agent_cache_renewals_total",
                "Renewals of cached leases and tokens, by what they brought.",
            ),
            "outcome",
            &OUTCOMES,
        )?;
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

/// Leases and tokens by what happens to them next, counted when it is asked for.
pub(crate) struct Leases {
    cache: Cache,
    gauge: IntGaugeVec,
}

impl Leases {
    pub(crate) fn register(cache: Cache, registry: &Registry) -> Result<(), prometheus::Error> {
        let gauge = IntGaugeVec::new(
            Opts::new(
                "keyside_agent_cache_leases",
                "Leases and tokens that the cache looks after, by what happens to them next: a renewal, their end, \
                 or nothing.",
            ),
            &["next"],
        )?;
        registry.register(Box::new(Self { cache, gauge }))
    }
}

impl Collector for Leases {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (next, count) in self.cache.next() {
            let gauge = self.gauge.with_label_values(&[next.label()]);
            gauge.set(super::gauge(count));
        }
        self.gauge.collect()
    }
}
