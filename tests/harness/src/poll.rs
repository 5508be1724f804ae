//! Waiting for a state instead of sleeping.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for something that takes milliseconds when all is well: long enough for a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

const PERIOD: Duration = Duration::from_millis(10);

/// Asks every 10 ms until `ask` answers `Ok`. After `limit` the error names what was waited for and the last state.
///
/// # Errors
/// The last `Err` that `ask` gave.
pub fn until<T, E: Display>(
    what: &str,
    limit: Duration,
    ask: impl FnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    every(PERIOD, what, limit, ask)
}

/// As [`until`], for what is too dear to ask every 10 ms.
///
/// # Errors
/// As [`until`].
pub fn every<T, E: Display>(
    period: Duration,
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(state) if start.elapsed() >= limit => {
                anyhow::bail!("waited {limit:?} for {what}; last seen: {state:#}")
            }
            Err(_) => pause(period),
        }
    }
}

/// Asks every 10 ms for the whole of `period` and fails at once when `ask` answers `Err`: for what must stay true.
///
/// # Errors
/// The first `Err` that `ask` gave.
pub fn throughout<E: Display>(
    what: &str,
    period: Duration,
    mut ask: impl FnMut() -> Result<(), E>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < period {
        if let Err(state) = ask() {
            anyhow::bail!(
                "{what} ceased to hold after {:?}: {state:#}",
                start.elapsed()
            );
        }
        pause(PERIOD);
    }
    Ok(())
}

/// Asks so many times, once per `pace`, and fails at once when `ask` answers `Err`. An answer that takes longer delays
/// the next ones, and those make up for it.
///
/// # Errors
/// The first `Err` that `ask` gave.
pub fn looks<E: Display>(
    what: &str,
    times: u32,
    pace: Duration,
    mut ask: impl FnMut() -> Result<(), E>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    for time in 0..times {
        let now = start.elapsed();
        pause((time * pace).saturating_sub(now));
        if let Err(state) = ask() {
            anyhow::bail!(
                "{what} ceased to hold at look {time} of {times}, after {:?}: {state:#}",
                start.elapsed()
            );
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the harness that polls"
)]
fn pause(period: Duration) {
    std::thread::sleep(period);
}
