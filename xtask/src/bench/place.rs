//! Which processor a process runs on.
//!
//! What is loaded has one of its own, and so has the load: the scheduler's choice of where to put the two would
//! otherwise be a good part of what is measured. On a machine with one processor nothing is pinned.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two places.
#[derive(Clone, Copy)]
pub(super) enum On {
    /// What is measured.
    First,
    /// Whatever loads it.
    Second,
}

/// Runs `act` on that processor. A process that it starts stays there.
pub(super) fn pinned<T>(on: On, act: impl FnOnce() -> T) -> anyhow::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|processor| before.is_set(*processor));
    let (first, second) = (allowed.next(), allowed.next());
    let chosen = match on {
        On::First => first,
        On::Second => second,
    };
    if let Some(processor) = chosen.filter(|_| second.is_some()) {
        let mut set = CpuSet::new();
        set.set(processor);
        sched_setaffinity(None, &set)?;
    }
    let result = act();
    sched_setaffinity(None, &before)?;
    Ok(result)
}
