//! What is counted about Events.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics(IntCounterVec);

#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Sent,
    /// Said lately, beyond what may be said, or the queue was full.
    Dropped,
    /// The API did not take it.
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Sent, Self::Dropped, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "keyside_injector_events_total",
            "Kubernetes Events, by what became of them.",
        );
        let counter = IntCounterVec::new(opts, &["outcome"])?;
        registry.register(Box::new(counter.clone()))?;
        let metrics = Self(counter);
        for outcome in Outcome::ALL {
            metrics.of(outcome);
        }
        Ok(metrics)
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.of(outcome).inc();
    }

    fn of(&self, outcome: Outcome) -> IntCounter {
        self.0.with_label_values(&[outcome.name()])
    }
}
