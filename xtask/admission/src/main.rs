//! `keyside-admission FILE REVIEWS` decides about the review in the file so many times, as the webhook does but for
//! the network, and prints how many nanoseconds of a processor one took. `cargo xtask bench` runs it.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use keyside_injector::Admission;
use rustix::time::{ClockId, clock_gettime};

/// Of the address that a pod gets; nothing is ever sent there.
const VAULT: &str = "https://vault.example.com:8200";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || {
        arguments
            .next()
            .context("usage: keyside-admission FILE REVIEWS")
    };
    let review = std::fs::read(argument()?)?;
    let reviews: u32 = argument()?.parse()?;
    let admission = Admission::new(VAULT);
    let first = admission.answer(&review);
    anyhow::ensure!(
        String::from_utf8_lossy(&first).contains("JSONPatch"),
        "no patch: {}",
        String::from_utf8_lossy(&first)
    );
    for _ in 0..reviews / 10 {
        std::hint::black_box(admission.answer(&review));
    }
    let before = processor_time()?;
    for _ in 0..reviews {
        anyhow::ensure!(
            admission.answer(&review).len() == first.len(),
            "another answer"
        );
    }
    let spent = processor_time()?.saturating_sub(before);
    writeln!(std::io::stdout(), "{}", (spent / reviews.max(1)).as_nanos())?;
    Ok(())
}

/// Of this process, which has one thread.
fn processor_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::ProcessCPUTime).try_into()?)
}
