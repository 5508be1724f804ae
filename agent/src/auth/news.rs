//! What happens to a credential besides Vault's answers: a new one in its file, and a host that slept.
//!
//! Both are looked for by asking now and then: that is right on every file system, for a link that is swapped above the
//! file as for a file that is written over, and it costs next to nothing.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(5);
/// Less is the difference between two readings of two clocks.
const NAP: Duration = Duration::from_secs(1);

/// When to look next, and what was seen last.
pub(super) struct News {
    due: Instant,
    slept: Duration,
}

impl News {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now + PERIOD,
            slept: slept(),
        }
    }

    /// Waits until it is time to look. Cancel-safe.
    pub(super) async fn due(&mut self) {
        tokio::time::sleep_until(self.due).await;
        self.due = Instant::now() + PERIOD;
    }

    /// For how long the host has slept since the last look, if it has.
    pub(super) fn nap(&mut self) -> Option<Duration> {
        let slept = slept();
        let nap = slept.saturating_sub(self.slept);
        self.slept = slept;
        (nap >= NAP).then_some(nap)
    }
}

/// For how long the host has slept since it started. Timers stand still meanwhile, and tokens do not
/// (`clock_gettime(2)`: `CLOCK_BOOTTIME` counts it, `CLOCK_MONOTONIC` does not).
fn slept() -> Duration {
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_nap_is_told_once() {
        let start = Instant::now();
        let mut news = News::new(start);
        assert_eq!(news.nap(), None, "awake all the time");
        news.slept = news.slept.saturating_sub(Duration::from_hours(1));
        let told = news.nap();
        // A host that has never slept has nothing to take off.
        assert!(told.is_none_or(|nap| nap >= NAP), "{told:?}");
        assert_eq!(news.nap(), None);
        news.due().await;
        news.due().await;
        assert_eq!(start.elapsed(), 2 * PERIOD);
    }
}
