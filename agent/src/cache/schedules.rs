//! Random schedules on virtual time: clients that come and leave, renew and revoke, a Vault that is slow, away or loses
//! answers, an agent that is restarted, and the real cache with its renewal task in between.
//!
//! After each answer: it is for whoever asked, it has not ended, it was not revoked through the agent, cleared, or found
//! gone before it was asked for, and it claims no more time than is left. All the time: the store's invariants hold, and
//! what is renewed has an owner. At the end: nobody waits, and no flight is left.
//!
//! What the agent cannot know is no fault: what was revoked behind its back, until it finds out, and what ends with a
//! token whose making it did not see.
//!
//! `SEED=7 cargo test -p keyside-agent --lib schedules` plays one and tells its steps; `SCHEDULES=100000` plays so many.

use std::sync::{Arc, Mutex};

use tokio::runtime::Builder;

mod op;
mod vault;
mod world;

use op::Op;
use world::World;

/// As many steps as a schedule has.
const STEPS: usize = 150;
/// How many schedules are played where nobody says.
const FEW: u64 = 60;

/// Plays steps; on failure says what went wrong and tells the last steps.
fn play(seed: u64, ops: &[Op]) -> Result<(), String> {
    fastrand::seed(seed);
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    let ended = runtime.block_on(World::live(seed, ops, Arc::clone(&told)));
    ended.map_err(|wrong| {
        let told = told.lock().unwrap();
        let last = told.iter().skip(told.len().saturating_sub(60));
        let last: Vec<String> = last.cloned().collect();
        format!("{wrong}\n{}", last.join("\n"))
    })
}

fn draw(seed: u64) -> Vec<Op> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..STEPS).map(|_| op::draw(&mut rng)).collect()
}

/// Leaves out what the failure does not need, in ever smaller pieces.
fn shrink(seed: u64, mut ops: Vec<Op>) -> Vec<Op> {
    let mut piece = ops.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + piece).min(ops.len()));
            if play(seed, &fewer).is_err() {
                ops = fewer;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    ops
}

fn check(seed: u64) {
    let ops = draw(seed);
    if let Err(wrong) = play(seed, &ops) {
        let fewer = shrink(seed, ops);
        let again = play(seed, &fewer);
        let again = again.err().unwrap_or_else(|| wrong.clone());
        let steps: Vec<String> = fewer.iter().map(|op| format!("{op:?}")).collect();
        panic!(
            "SEED={seed}: {wrong}\n\nshortened to {} steps:\n{}\n\n{again}",
            steps.len(),
            steps.join("\n")
        );
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_schedule_crosses_identities_or_serves_what_has_ended() {
    if let Some(seed) = number("SEED") {
        return check(seed);
    }
    let count = number("SCHEDULES").unwrap_or(FEW);
    let threads: u64 = 2;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || (thread..count).step_by(2).for_each(check));
        }
    });
}
