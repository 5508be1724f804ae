//! What is counted about pods that were not injected.

use std::collections::BTreeMap;

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub leading: IntGauge,
    uninjected: IntGaugeVec,
    asking: IntGauge,
    looks: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            leading: IntGauge::new(
                "keyside_injector_watch_leading",
                "1 for the replica that looks, 0 for those that wait.",
            )?,
            uninjected: IntGaugeVec::new(
                Opts::new(
                    "keyside_injector_uninjected_pods",
                    "Pods that ask for the agent and run without it, by the replica that looks.",
                ),
                &["namespace"],
            )?,
            asking: IntGauge::new(
                "keyside_injector_asking_pods",
                "Pods that ask for the agent, by the replica that looks.",
            )?,
            looks: IntCounterVec::new(
                Opts::new(
                    "keyside_injector_watch_looks_total",
                    "Looks at all pods, by outcome.",
                ),
                &["outcome"],
            )?,
        };
        registry.register(Box::new(metrics.leading.clone()))?;
        registry.register(Box::new(metrics.uninjected.clone()))?;
        registry.register(Box::new(metrics.asking.clone()))?;
        registry.register(Box::new(metrics.looks.clone()))?;
        for outcome in ["done", "failed"] {
            metrics.looks.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    pub(crate) fn found(&self, asking: i64, uninjected: &BTreeMap<&str, i64>) {
        self.looks.with_label_values(&["done"]).inc();
        self.asking.set(asking);
        self.uninjected.reset();
        for (namespace, count) in uninjected {
            self.uninjected.with_label_values(&[*namespace]).set(*count);
        }
    }

    pub(crate) fn failed(&self) {
        self.looks.with_label_values(&["failed"]).inc();
    }

    /// Another replica tells now.
    pub(crate) fn silent(&self) {
        self.asking.set(0);
        self.uninjected.reset();
    }
}
