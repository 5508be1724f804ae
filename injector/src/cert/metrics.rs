//! What is counted about certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounter, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub rotations: IntCounter,
    pub failures: IntCounter,
    expiry: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            rotations: IntCounter::new(
                "keyside_injector_certificate_rotations_total",
                "Certificates that this replica made or loaded anew.",
            )?,
            failures: IntCounter::new(
                "keyside_injector_certificate_failures_total",
                "Looks at certificate and caBundle that failed.",
            )?,
            expiry: Gauge::new(
                "keyside_injector_certificate_expiry_timestamp_seconds",
                "When the certificate that is served ends; 0 while there is none.",
            )?,
        };
        registry.register(Box::new(metrics.rotations.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.expiry.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn expires(&self, at: SystemTime) {
        self.expiry.set(
            at.duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
        );
    }
}
