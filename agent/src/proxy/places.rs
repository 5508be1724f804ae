//! The places of a listener: how many connections it has open at once, and who has to go for the next one.
//!
//! Invariant: a connection with a request under way keeps its place. When nobody is idle, whoever comes waits.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::connection::Leave;

/// All places of one listener, which its sockets share.
pub(super) struct Places {
    limit: usize,
    /// Counts requests, so that what was used last can be told without a clock.
    uses: AtomicU64,
    taken: Mutex<Taken>,
    /// Somebody waits for a place.
    wanted: AtomicBool,
    /// A place was given back, or somebody has become idle.
    changed: Notify,
}

#[derive(Default)]
struct Taken {
    places: Vec<Option<Arc<State>>>,
    /// Which of them are free.
    free: Vec<usize>,
}

/// What is known of a connection.
#[derive(Default)]
struct State {
    used: AtomicU64,
    under_way: AtomicUsize,
    served: AtomicBool,
    asked_to_go: AtomicBool,
    go: Notify,
}

/// One connection's place, which it holds until this is dropped.
pub(super) struct Place {
    all: Arc<Places>,
    index: usize,
    state: Arc<State>,
}

/// A request under way.
pub(super) struct Busy {
    all: Arc<Places>,
    state: Arc<State>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            uses: AtomicU64::new(0),
            taken: Mutex::default(),
            wanted: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// A place for one more connection. Where there is none, whoever has been idle longest is asked to go; try again
    /// after [`Places::changed`].
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.lock();
        let index = taken.free.pop().unwrap_or(taken.places.len());
        if index == self.limit {
            self.wanted.store(true, Ordering::Relaxed);
            if let Some(idlest) = taken.idlest() {
                idlest.ask_to_go();
            }
            return None;
        }
        self.wanted.store(false, Ordering::Relaxed);
        let state = Arc::new(State::default());
        state.touch(self);
        if index == taken.places.len() {
            taken.places.push(None);
        }
        if let Some(place) = taken.places.get_mut(index) {
            *place = Some(Arc::clone(&state));
        }
        Some(Place {
            all: Arc::clone(self),
            index,
            state,
        })
    }

    /// Resolves when [`Places::take`] may find something. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The connection without a request whose last one is longest ago. One that was asked already will go.
    fn idlest(&self) -> Option<&State> {
        let idle = |state: &&State| {
            state.under_way.load(Ordering::Relaxed) == 0
                && !state.asked_to_go.load(Ordering::Relaxed)
        };
        let states = self.places.iter().flatten().map(Arc::as_ref);
        let idle = states.filter(idle);
        idle.min_by_key(|state| state.used.load(Ordering::Relaxed))
    }
}

impl State {
    fn touch(&self, all: &Places) {
        let now = all.uses.fetch_add(1, Ordering::Relaxed);
        self.used.store(now, Ordering::Relaxed);
    }

    fn ask_to_go(&self) {
        self.asked_to_go.store(true, Ordering::Relaxed);
        self.go.notify_one();
    }
}

impl Place {
    /// A request came.
    pub(super) fn used(&self) {
        self.state.touch(&self.all);
        self.state.served.store(true, Ordering::Relaxed);
    }

    /// A request begins.
    pub(super) fn busy(&self) -> Busy {
        self.used();
        self.state.under_way.fetch_add(1, Ordering::Relaxed);
        Busy {
            all: Arc::clone(&self.all),
            state: Arc::clone(&self.state),
        }
    }

    /// Resolves when the connection has to go. A streamed answer may still be under way, which only the connection
    /// itself knows; not so before the first request.
    pub(super) fn asked_to_go(&self) -> impl Future<Output = Leave> + Send + 'static + use<> {
        let state = Arc::clone(&self.state);
        async move {
            state.go.notified().await;
            if state.served.load(Ordering::Relaxed) {
                Leave::Gently
            } else {
                Leave::AtOnce
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.all.lock();
        if let Some(place) = taken.places.get_mut(self.index) {
            *place = None;
        }
        taken.free.push(self.index);
        drop(taken);
        self.all.changed.notify_one();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.under_way.fetch_sub(1, Ordering::Relaxed);
        if self.all.wanted.load(Ordering::Relaxed) {
            self.all.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn goes(place: &Place) -> Option<Leave> {
        let now = std::time::Duration::ZERO;
        tokio::time::timeout(now, place.asked_to_go()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_been_idle_longest_makes_room() {
        let places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| places.take().unwrap());
        let busy = first.busy();
        drop(second.busy());
        assert!(places.take().is_none());
        assert_eq!(
            goes(&third).await,
            Some(Leave::AtOnce),
            "never asked anything"
        );
        assert!(places.take().is_none());
        assert_eq!(goes(&second).await, Some(Leave::Gently), "idle");
        assert!(places.take().is_none());
        assert_eq!(goes(&first).await, None, "busy");

        drop(busy);
        tokio::time::timeout(std::time::Duration::ZERO, places.changed())
            .await
            .expect("somebody is idle now");
        assert!(places.take().is_none());
        assert_eq!(goes(&first).await, Some(Leave::Gently));
        drop(first);
        let fourth = places.take().expect("a place");
        assert!(places.take().is_none());
        assert_eq!(goes(&fourth).await, Some(Leave::AtOnce));
    }
}
