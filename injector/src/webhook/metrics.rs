//! What is counted about admissions.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::admission::reason::Reason;

#[derive(Clone)]
pub(crate) struct Metrics {
    decisions: IntCounterVec,
    pub duration: Histogram,
    pub connections: IntGauge,
    pub handshake_failures: IntCounter,
}

/// In seconds. A decision takes tens of microseconds; what takes longer than the last was starved of CPU.
const BUCKETS: [f64; 11] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.1, 1.0,
];

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            decisions: IntCounterVec::new(
                Opts::new(
                    "keyside_injector_admissions_total",
                    "Admission reviews answered, and requests refused, by decision and why.",
                ),
                &["decision", "reason"],
            )?,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "keyside_injector_admission_duration_seconds",
                    "From a review's last byte to its answer.",
                )
                .buckets(BUCKETS.to_vec()),
            )?,
            connections: IntGauge::new(
                "keyside_injector_connections",
                "Connections of API servers that are open.",
            )?,
            handshake_failures: IntCounter::new(
                "keyside_injector_tls_handshake_failures_total",
                "TLS handshakes that failed: a caller that does not trust the certificate shows here.",
            )?,
        };
        registry.register(Box::new(metrics.decisions.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.handshake_failures.clone()))?;
        // So that each shows as 0 before it first happens, and a rate can be taken.
        for reason in Reason::ALL {
            metrics.of(reason);
        }
        Ok(metrics)
    }

    pub(crate) fn decided(&self, reason: Reason) {
        self.of(reason).inc();
    }

    fn of(&self, reason: Reason) -> IntCounter {
        let labels = [reason.decision().name(), reason.name()];
        self.decisions.with_label_values(&labels)
    }
}
