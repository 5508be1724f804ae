//! What is counted about profiles.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    loads: IntCounterVec,
    pub loaded: IntGauge,
    pub failing: IntGauge,
    last_load: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            loads: IntCounterVec::new(
                Opts::new(
                    "keyside_injector_profiles_loads_total",
                    "Profiles read because their text changed, and looks at them that failed, by result.",
                ),
                &["result"],
            )?,
            loaded: IntGauge::new(
                "keyside_injector_profiles_loaded",
                "Profiles that pods can name.",
            )?,
            failing: IntGauge::new(
                "keyside_injector_profiles_failing",
                "Profiles whose text has mistakes: the last good one is used, where there was one.",
            )?,
            last_load: Gauge::new(
                "keyside_injector_profiles_last_load_timestamp_seconds",
                "When a changed profile was last taken over; 0 before.",
            )?,
        };
        registry.register(Box::new(metrics.loads.clone()))?;
        registry.register(Box::new(metrics.loaded.clone()))?;
        registry.register(Box::new(metrics.failing.clone()))?;
        registry.register(Box::new(metrics.last_load.clone()))?;
        // So that each shows as 0 before it first happens, and a rate can be taken.
        for result in [OK, FAILED] {
            metrics.loads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    pub(crate) fn ok(&self, now: SystemTime) {
        self.loads.with_label_values(&[OK]).inc();
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_load.set(now.as_secs_f64());
    }

    pub(crate) fn failed(&self) {
        self.loads.with_label_values(&[FAILED]).inc();
    }
}

const OK: &str = "ok";
const FAILED: &str = "failed";
