//! Metrics that are made and registered in one step. Each part of the agent names its own; the code for that is here
//! once.

use prometheus::{Error, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

pub(crate) fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

pub(crate) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

/// Counters by a label. Those `values` of it are there from the start: so they can be told from what never was.
pub(crate) fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    label: &str,
    values: &[&str],
) -> Result<IntCounterVec, Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
    for value in values {
        counters.with_label_values(&[value]);
    }
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}
