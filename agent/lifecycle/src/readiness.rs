//! Which parts of the process are not up yet, in words that an operator can act on.
//!
//! Invariant: a part that exists and is not up is named; nothing is "ready" because it was forgotten, as each part is
//! made before its work starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// All parts that must be up. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    pending: Arc<watch::Sender<Pending>>,
}

/// What each part that is not up waits for, by the order in which the parts were made.
#[derive(Debug, Default)]
struct Pending {
    made: u64,
    parts: BTreeMap<u64, String>,
}

impl Readiness {
    /// One more part that has to be up; `waits_for` continues the sentence "waiting for …".
    #[must_use = "dropping the part says that it is up"]
    pub fn part(&self, waits_for: impl Into<String>) -> Part {
        let mut number = 0;
        self.pending.send_modify(|pending| {
            number = pending.made;
            pending.made += 1;
            pending.parts.insert(number, waits_for.into());
        });
        Part {
            number,
            pending: Arc::clone(&self.pending),
        }
    }

    /// What the parts that are not up wait for; empty when all are up.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        self.pending.borrow().parts.values().cloned().collect()
    }

    /// Resolves once every part is up. Cancel-safe.
    pub async fn ready(&self) {
        let mut watcher = self.pending.subscribe();
        let seen = watcher.wait_for(|pending| pending.parts.is_empty()).await;
        // `self` holds the sender, so the channel cannot close while this waits.
        debug_assert!(seen.is_ok(), "the sender lives as long as `self`");
    }
}

/// A part that is not up yet. Say `ready`, or drop it, when it is.
#[derive(Debug)]
pub struct Part {
    number: u64,
    pending: Arc<watch::Sender<Pending>>,
}

impl Part {
    /// Says anew what this part waits for, such as the last failure.
    pub fn waits_for(&self, text: impl Into<String>) {
        self.pending.send_modify(|pending| {
            pending.parts.insert(self.number, text.into());
        });
    }

    /// The part is up.
    pub fn ready(self) {
        drop(self);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.pending.send_modify(|pending| {
            pending.parts.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_parts_that_are_not_up_in_the_order_they_were_made() {
        let readiness = Readiness::default();
        let login = readiness.part("the first login");
        let sink = readiness.part("sink /keyside/token");
        assert_eq!(
            readiness.pending(),
            ["the first login", "sink /keyside/token"]
        );
        login.waits_for("the first login: connection refused");
        assert_eq!(
            readiness.pending(),
            ["the first login: connection refused", "sink /keyside/token"]
        );
        login.ready();
        assert_eq!(readiness.pending(), ["sink /keyside/token"]);
        drop(sink);
        assert!(readiness.pending().is_empty());
    }

    #[tokio::test]
    async fn resolves_when_the_last_part_is_up_and_not_before() {
        let readiness = Readiness::default();
        let (first, second) = (readiness.part("first"), readiness.part("second"));
        let ready = readiness.ready();
        tokio::pin!(ready);
        first.ready();
        assert!(poll_once(ready.as_mut()).await.is_pending());
        second.ready();
        ready.await;
    }

    /// Polls once, as part of the test's own task.
    async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
    }
}
