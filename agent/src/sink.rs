//! Where the token goes: one task per sink, so that a slow or broken one holds nothing up.

pub(crate) mod file;
pub(crate) mod owner;

use prometheus::{IntCounterVec, Opts, Registry};

/// What all sinks count together; cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    writes: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let writes = IntCounterVec::new(
            Opts::new(
                "keyside_agent_sink_write_total",
                "Writes of the token to a sink, by result",
            ),
            &["result"],
        )?;
        registry.register(Box::new(writes.clone()))?;
        Ok(Self { writes })
    }

    fn count(&self, result: &str) {
        self.writes.with_label_values(&[result]).inc();
    }
}
