//! One call per key: equal requests that come while one is on its way wait for what it brings.
//!
//! The call runs in a task of its own, so that the first client may leave without taking the others down. When the
//! last one has left, the call is dropped.
//!
//! Invariant: a flight ends exactly once for all who wait, also when its task panics: nobody waits for ever.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What a flight brought.
#[derive(Debug)]
pub(crate) enum Landing<K, R, E> {
    /// For all: it is kept.
    Kept(Arc<K>),
    /// For one of those who wait. The others ask by themselves, at once.
    ForOne(Arc<Mutex<Option<R>>>),
    /// For all: nothing came.
    Failed(Arc<E>),
}

impl<K, R, E> Landing<K, R, E> {
    pub(crate) fn for_one(answer: R) -> Self {
        Self::ForOne(Arc::new(Mutex::new(Some(answer))))
    }
}

// Derived, it would ask for `K: Clone` and the like.
impl<K, R, E> Clone for Landing<K, R, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Kept(answer) => Self::Kept(Arc::clone(answer)),
            Self::ForOne(answer) => Self::ForOne(Arc::clone(answer)),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
        }
    }
}

/// What one who waits is given.
#[derive(Debug)]
pub(crate) enum Share<K, R, E> {
    Kept(Arc<K>),
    Mine(R),
    /// Ask by yourself.
    Alone,
    Failed(Arc<E>),
}

type Landed<K, R, E> = Option<Landing<K, R, E>>;

/// A call under way, as the map of flights knows it.
#[derive(Debug)]
pub(crate) struct Flight<K, R, E> {
    landed: watch::Receiver<Landed<K, R, E>>,
    seats: Arc<Seats>,
}

/// Those who wait, and the task that they wait for.
#[derive(Debug, Default)]
struct Seats(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    taken: usize,
    /// All left: nobody may join any more.
    closed: bool,
    task: Option<AbortHandle>,
}

/// The task's end of a flight.
#[derive(Debug)]
pub(crate) struct Pilot<K, R, E> {
    landed: watch::Sender<Landed<K, R, E>>,
    seats: Arc<Seats>,
}

/// A place in a flight. Dropping it leaves the flight.
#[derive(Debug)]
pub(crate) struct Seat<K, R, E> {
    landed: watch::Receiver<Landed<K, R, E>>,
    seats: Arc<Seats>,
}

impl<K, R, E> Flight<K, R, E> {
    /// A flight, its first seat, and what the task holds.
    pub(crate) fn new() -> (Self, Seat<K, R, E>, Pilot<K, R, E>) {
        let (sender, receiver) = watch::channel(None);
        let seats = Arc::<Seats>::default();
        let flight = Self {
            landed: receiver.clone(),
            seats: Arc::clone(&seats),
        };
        seats.take();
        let seat = Seat {
            landed: receiver,
            seats: Arc::clone(&seats),
        };
        (
            flight,
            seat,
            Pilot {
                landed: sender,
                seats,
            },
        )
    }

    /// A further seat; `None` where the flight is being dropped because everybody had left.
    pub(crate) fn join(&self) -> Option<Seat<K, R, E>> {
        self.seats.take().then(|| Seat {
            landed: self.landed.clone(),
            seats: Arc::clone(&self.seats),
        })
    }

    /// Whether this is the flight of that pilot.
    pub(crate) fn is_flown_by(&self, pilot: &Pilot<K, R, E>) -> bool {
        Arc::ptr_eq(&self.seats, &pilot.seats)
    }

    /// Tells which task to drop when everybody has left.
    pub(crate) fn flown_by(&self, task: AbortHandle) {
        self.seats.flown_by(task);
    }
}

impl<K, R, E> Pilot<K, R, E> {
    /// Ends the flight for all who wait.
    pub(crate) fn land(&self, landing: Landing<K, R, E>) {
        self.landed.send_replace(Some(landing));
    }
}

impl<K, R, E> Seat<K, R, E> {
    /// Waits for the end of the flight. Cancel-safe: a seat that is dropped leaves the flight.
    pub(crate) async fn share(mut self) -> Share<K, R, E> {
        let landed = match self.landed.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone(),
            // The task is gone without a word: it panicked.
            Err(_gone) => None,
        };
        match landed {
            None => Share::Alone,
            Some(Landing::Kept(answer)) => Share::Kept(answer),
            Some(Landing::Failed(error)) => Share::Failed(error),
            Some(Landing::ForOne(answer)) => answer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .map_or(Share::Alone, Share::Mine),
        }
    }
}

impl<K, R, E> Drop for Seat<K, R, E> {
    fn drop(&mut self) {
        self.seats.leave();
    }
}

impl Seats {
    fn take(&self) -> bool {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if count.closed {
            return false;
        }
        count.taken += 1;
        true
    }

    fn leave(&self) {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.taken -= 1;
        if count.taken == 0 {
            count.closed = true;
            if let Some(task) = count.task.take() {
                task.abort();
            }
        }
    }

    fn flown_by(&self, task: AbortHandle) {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if count.closed {
            task.abort();
        } else {
            count.task = Some(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    type Tested = Flight<&'static str, u8, ()>;

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_for_all_and_what_is_not_for_one() {
        for kept in [true, false] {
            let (flight, first, pilot) = Tested::new();
            let mut waiting = JoinSet::new();
            for seat in [first, flight.join().unwrap(), flight.join().unwrap()] {
                waiting.spawn(seat.share());
            }
            pilot.land(if kept {
                Landing::Kept(Arc::new("for all"))
            } else {
                Landing::for_one(7)
            });
            let shares = waiting.join_all().await;
            let count = |wanted: fn(&Share<&'static str, u8, ()>) -> bool| {
                shares.iter().filter(|share| wanted(share)).count()
            };
            let found = (
                count(|share| matches!(share, Share::Kept(_))),
                count(|share| matches!(share, Share::Mine(7))),
                count(|share| matches!(share, Share::Alone)),
            );
            assert_eq!(found, if kept { (3, 0, 0) } else { (0, 1, 2) });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panicking_call_lets_everybody_go() {
        let (_flight, seat, pilot) = Tested::new();
        let mut calls = JoinSet::new();
        calls.spawn(async move {
            let _held = pilot;
            panic!("on purpose");
        });
        assert!(calls.join_next().await.unwrap().is_err());
        assert!(matches!(seat.share().await, Share::Alone));
    }

    #[tokio::test(start_paused = true)]
    async fn the_call_goes_on_while_one_waits_and_ends_with_the_last() {
        let (flight, leader, pilot) = Tested::new();
        let mut calls = JoinSet::new();
        let task = calls.spawn(async move {
            let _held = pilot;
            std::future::pending::<()>().await;
        });
        flight.flown_by(task);
        let follower = flight.join().unwrap();
        drop(leader);
        tokio::task::yield_now().await;
        assert!(calls.try_join_next().is_none(), "the follower still waits");
        drop(follower);
        assert!(calls.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(
            flight.join().is_none(),
            "nobody joins what is being dropped"
        );
    }
}
