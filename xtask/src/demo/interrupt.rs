//! Ending early: signals go on to the children, the step that needs them fails, and all is cleared up on the way out.

use std::sync::atomic::{AtomicBool, Ordering};

use keyside_harness::process;
use tokio::signal::unix::{Signal, SignalKind, signal};

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Whether a person has seen enough.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::Relaxed)
}

/// Minds signals from now on.
pub(crate) fn watch() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let context = runtime.enter();
    let interrupt = signal(SignalKind::interrupt())?;
    let terminate = signal(SignalKind::terminate())?;
    drop(context);
    let name = "signals".to_owned();
    std::thread::Builder::new()
        .name(name)
        .spawn(move || runtime.block_on(pass_on(interrupt, terminate)))?;
    Ok(())
}

async fn pass_on(mut interrupt: Signal, mut terminate: Signal) {
    loop {
        tokio::select! {
            // Both cancel-safe: a signal that was not taken stays pending.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        HAPPENED.store(true, Ordering::Relaxed);
        process::interrupt_all();
    }
}
