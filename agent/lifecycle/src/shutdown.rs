//! How the process is asked to end: first gently, then at once.
//!
//! Invariant: a request is never taken back, and whoever asks late sees it too.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time;

/// How far the process has been asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nobody asked.
    Running,
    /// Stop accepting, finish what is under way.
    Requested,
    /// The same, by a signal: whoever runs the process is done with it.
    Signalled,
    /// Drop what is under way.
    Aborted,
}

/// What every task watches to learn that it should end.
#[derive(Clone, Debug)]
pub struct Shutdown {
    stage: watch::Receiver<Stage>,
}

/// What asks for the end: signals, a finished job, or a test.
#[derive(Clone, Debug)]
pub struct Trigger {
    stage: watch::Sender<Stage>,
}

/// A trigger and what it triggers.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Trigger { stage: sender }, Shutdown { stage: receiver })
}

/// A shutdown that the first SIGTERM or SIGINT requests and the second one aborts.
///
/// # Errors
/// Where the handlers cannot be installed.
///
/// # Panics
/// Outside a tokio runtime with its I/O driver on.
pub fn on_signals() -> io::Result<Shutdown> {
    let (trigger, shutdown) = channel();
    trigger.follow_signals(Duration::ZERO)?;
    Ok(shutdown)
}

impl Shutdown {
    /// Resolves once the end was requested; stays pending where nobody is left to ask. Cancel-safe.
    pub fn requested(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.reached(Stage::Requested)
    }

    /// Resolves once whatever is still under way should be dropped. Cancel-safe.
    pub fn aborted(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.reached(Stage::Aborted)
    }

    /// Whether the end was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.stage.borrow() >= Stage::Requested
    }

    /// Whether a signal has requested the end.
    #[must_use]
    pub fn is_signalled(&self) -> bool {
        *self.stage.borrow() >= Stage::Signalled
    }

    fn reached(&self, stage: Stage) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut watcher = self.stage.clone();
        async move {
            if watcher.wait_for(|now| *now >= stage).await.is_err() {
                // Every trigger is gone, so nobody can ask any more: that is no request.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Trigger {
    /// Asks for a gentle end.
    pub fn request(&self) {
        self.raise(Stage::Requested);
    }

    /// Asks for an end at once.
    pub fn abort(&self) {
        self.raise(Stage::Aborted);
    }

    /// Lets SIGTERM and SIGINT pull this trigger: the first requests, the second aborts. With a `delay`, the first one
    /// requests after that only, the second one at once, and the third aborts.
    ///
    /// # Errors
    /// Where the handlers cannot be installed.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver on.
    #[expect(
        clippy::disallowed_methods,
        reason = "this task only ends with the process; nobody has to see it end"
    )]
    pub fn follow_signals(&self, delay: Duration) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let trigger = self.clone();
        tokio::spawn(async move {
            // Cancel-safe: a signal that arrives between two polls stays noted in its stream.
            let mut asked = async || {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(event = "signal", signal = name, "asked to end");
            };
            asked().await;
            if !delay.is_zero() {
                let seconds = delay.as_secs();
                tracing::info!(
                    event = "shutdown_delayed",
                    seconds,
                    "going on until then, or until asked again"
                );
                tokio::select! {
                    () = time::sleep(delay) => {}
                    () = asked() => {}
                }
            }
            trigger.raise(Stage::Signalled);
            asked().await;
            trigger.abort();
        });
        Ok(())
    }

    fn raise(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let later = stage > *now;
            *now = stage.max(*now);
            later
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn a_request_is_seen_by_every_clone_and_by_those_who_ask_late() {
        let (trigger, shutdown) = channel();
        let early = shutdown.clone().requested();
        assert!(timeout(LONG, shutdown.requested()).await.is_err());
        trigger.request();
        early.await;
        shutdown.requested().await;
        assert!(shutdown.is_requested());
        assert!(timeout(LONG, shutdown.aborted()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn aborting_is_also_a_request_and_is_never_taken_back() {
        let (trigger, shutdown) = channel();
        trigger.abort();
        trigger.request();
        shutdown.requested().await;
        shutdown.aborted().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_is_a_request_and_a_request_is_no_signal() {
        let (trigger, shutdown) = channel();
        trigger.request();
        shutdown.requested().await;
        assert!(!shutdown.is_signalled());
        trigger.raise(Stage::Signalled);
        assert!(shutdown.is_signalled());
        assert!(timeout(LONG, shutdown.aborted()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_trigger_requests_nothing() {
        let (trigger, shutdown) = channel();
        drop(trigger);
        assert!(timeout(LONG, shutdown.requested()).await.is_err());
    }
}
