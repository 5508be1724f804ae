//! What is counted about certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{GaugeVec, IntCounter, IntGaugeVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub rotations: IntCounter,
    pub failures: IntCounter,
    expiry: GaugeVec,
    trusted: IntGaugeVec,
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
            expiry: GaugeVec::new(
                Opts::new(
                    "keyside_injector_certificate_expiry_timestamp_seconds",
                    "When what is served ends: the leaf, and the newest authority where it is made here.",
                ),
                &["certificate"],
            )?,
            trusted: IntGaugeVec::new(
                Opts::new(
                    "keyside_injector_certificate_trusted",
                    "1 while the webhook configuration's caBundle trusts what is served, 0 while it does not.",
                ),
                &[],
            )?,
        };
        registry.register(Box::new(metrics.rotations.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.expiry.clone()))?;
        registry.register(Box::new(metrics.trusted.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn leaf_expires(&self, at: SystemTime) {
        self.expires("leaf", at);
    }

    pub(crate) fn authority_expires(&self, at: SystemTime) {
        self.expires("authority", at);
    }

    /// Not said where somebody else publishes: then it is not known.
    pub(crate) fn trusted(&self, is_trusted: bool) {
        let none: &[&str] = &[];
        self.trusted.with_label_values(none).set(is_trusted.into());
    }

    fn expires(&self, certificate: &str, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.expiry
            .with_label_values(&[certificate])
            .set(seconds.as_secs_f64());
    }
}
