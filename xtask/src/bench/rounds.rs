//! Several servers under the same load, taking turns.

use std::time::Duration;

use super::load::{self, Until};
use super::place::{On, pinned};
use super::proc;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(500);
const QUICK_ROUND: Duration = Duration::from_millis(100);

/// What is loaded, and with which request.
pub(super) struct Loaded<'a> {
    process: u32,
    address: &'a str,
    request: &'a [u8],
}

/// What it did, in all rounds.
#[derive(Default)]
pub(super) struct Series {
    pub(super) per_second: Vec<f64>,
    /// Milliseconds.
    pub(super) p99: Vec<f64>,
    /// Of the server, for one request, in microseconds.
    pub(super) processor: Vec<f64>,
}

impl<'a> Loaded<'a> {
    pub(super) fn new(process: u32, address: &'a str, request: &'a [u8]) -> Self {
        Self {
            process,
            address,
            request,
        }
    }

    fn load(&self, time: Duration, series: &mut Series) -> anyhow::Result<()> {
        let before = proc::processor_time(self.process)?;
        let write = |_: u64, out: &mut Vec<u8>| out.extend_from_slice(self.request);
        let outcome = load::run(self.address, load::CLIENTS, &write, Until::time(time))?;
        let spent = proc::processor_time(self.process)?.saturating_sub(before);
        series.per_second.push(outcome.per_second());
        series.p99.push(outcome.p99().as_secs_f64() * 1e3);
        series
            .processor
            .push(spent.as_secs_f64() * 1e6 / outcome.answers());
        Ok(())
    }
}

/// Loads each in its turn, so many times.
pub(super) fn run<const N: usize>(
    all: &[Loaded<'_>; N],
    quick: bool,
) -> anyhow::Result<[Series; N]> {
    let (rounds, time) = if quick {
        (1, QUICK_ROUND)
    } else {
        (ROUNDS, ROUND)
    };
    let mut series = std::array::from_fn(|_| Series::default());
    pinned(On::Second, || {
        // What happens once, such as connections to Vault, belongs to no round.
        for loaded in all {
            loaded.load(time.min(WARM_UP), &mut Series::default())?;
        }
        for _ in 0..rounds {
            for (loaded, series) in all.iter().zip(&mut series) {
                loaded.load(time, series)?;
            }
        }
        anyhow::Ok(series)
    })?
}
