//! How long a connection may wait for a request's head.
//!
//! hyper has one time limit for it, which begins when the last answer is out. A client may keep an idle connection long,
//! but one that has begun a head has no reason to dawdle. hyper takes its clock from outside, and asks it exactly while
//! a head is wanted and not all there; so the clock is what knows the difference.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt;
use tokio::time::{Instant, Sleep};

/// hyper's clock for one connection, on which all sleeps wait for a head.
pub(super) struct Timer {
    /// How often something has arrived.
    reads: Arc<AtomicUsize>,
    /// For a head that has begun.
    limit: Duration,
}

impl Timer {
    pub(super) const fn new(reads: Arc<AtomicUsize>, limit: Duration) -> Self {
        Self { reads, limit }
    }
}

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until((Instant::now() + duration).into_std())
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Waiting {
            sleep: tokio::time::sleep_until(deadline.into()),
            before: self.reads.load(Ordering::Relaxed),
            reads: Arc::clone(&self.reads),
            limit: Some(self.limit),
        })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

pin_project_lite::pin_project! {
    struct Waiting {
        #[pin]
        sleep: Sleep,
        reads: Arc<AtomicUsize>,
        // When the wait began.
        before: usize,
        // `None` once it has been applied.
        limit: Option<Duration>,
    }
}

impl rt::Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.reads.load(Ordering::Relaxed) != *this.before
            && let Some(limit) = this.limit.take()
        {
            let sooner = (Instant::now() + limit).min(this.sleep.deadline());
            this.sleep.as_mut().reset(sooner);
        }
        this.sleep.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    const IDLE: Duration = Duration::from_mins(2);
    const HEAD: Duration = Duration::from_secs(10);

    async fn waited(reads: &Arc<AtomicUsize>, first_byte: Option<Duration>) -> Duration {
        let began = Instant::now();
        let mut sleep = Timer::new(Arc::clone(reads), HEAD).sleep(IDLE);
        if let Some(after) = first_byte {
            tokio::select! {
                () = sleep.as_mut() => return began.elapsed(),
                () = tokio::time::sleep(after) => {}
            }
            reads.fetch_add(1, Ordering::Relaxed);
        }
        sleep.await;
        began
            .elapsed()
            .saturating_sub(first_byte.unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_waits_long_and_a_head_that_has_begun_does_not() {
        let reads = Arc::new(AtomicUsize::new(7));
        let about = |waited: Duration, expected: Duration| {
            assert!(
                waited.abs_diff(expected) < Duration::from_millis(10),
                "{waited:?}"
            );
        };
        about(waited(&reads, None).await, IDLE);
        about(waited(&reads, Some(Duration::from_secs(1))).await, HEAD);
        about(waited(&reads, Some(Duration::from_secs(100))).await, HEAD);
        // Whatever trickles in, the head does not get longer than an idle wait would have been.
        about(
            waited(&reads, Some(Duration::from_secs(115))).await,
            Duration::from_secs(5),
        );
    }
}
