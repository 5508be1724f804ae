//! Metrics of the process itself: which build it is, how long it runs, how much memory it holds.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;

/// Reads the process's state whenever metrics are gathered.
pub(crate) struct Process {
    started: Instant,
    uptime: Gauge,
    resident: IntGauge,
}

/// Registers the process's metrics.
pub(crate) fn register(registry: &Registry, started: Instant) -> Result<(), prometheus::Error> {
    let build = IntGaugeVec::new(
        Opts::new(
            "keyside_agent_build_info",
            "The agent's version; the value is always 1.",
        ),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(Process {
        started,
        uptime: Gauge::new("keyside_agent_uptime_seconds", "Since the process started.")?,
        resident: IntGauge::new(
            "keyside_agent_resident_memory_bytes",
            "Memory that the process holds, its program's text included.",
        )?,
    }))
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        [self.uptime.desc(), self.resident.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.uptime.set(self.started.elapsed().as_secs_f64());
        let mut families = self.uptime.collect();
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
            families.extend(self.resident.collect());
        }
        families
    }
}

/// The second number of `statm` counts resident pages (proc(5)).
fn resident_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split(' ').nth(1)?.parse().ok()?;
    let page = i64::try_from(rustix::param::page_size()).ok()?;
    pages.checked_mul(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_running_process_holds_some_memory_and_less_than_all() {
        let bytes = resident_bytes().unwrap();
        assert!((100_000..10_000_000_000).contains(&bytes), "{bytes}");
    }

    #[tokio::test]
    async fn each_metric_is_gathered_once() {
        let registry = Registry::new();
        register(&registry, Instant::now()).unwrap();
        let families = registry.gather();
        let names: Vec<&str> = families.iter().map(MetricFamily::name).collect();
        assert_eq!(
            names,
            [
                "keyside_agent_build_info",
                "keyside_agent_resident_memory_bytes",
                "keyside_agent_uptime_seconds"
            ]
        );
    }
}
