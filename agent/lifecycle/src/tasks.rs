//! The tasks of a process, and the rule that none ends before it is asked to.
//!
//! Invariant: every task is either running, or its end has been reported by [`Tasks::run`].

use std::collections::HashMap;
use std::error::Error as StdError;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time;
use tracing::Instrument as _;

use crate::error;
use crate::shutdown::Shutdown;

/// What a failed task says.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What a task may end with: nothing, or a result whose error is an error.
pub trait Outcome {
    /// The same as a result.
    ///
    /// # Errors
    /// Those of the task.
    fn into_result(self) -> Result<(), Cause>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), Cause> {
        Ok(())
    }
}

impl<E: Into<Cause>> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), Cause> {
        self.map_err(Into::into)
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>>;

/// A set of named tasks that live as long as the process.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<Result<(), Cause>>,
    names: HashMap<Id, String>,
}

/// Why [`Tasks::run`] gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task ended though nobody had asked it to.
    #[error("task {name} ended unasked")]
    Ended {
        /// The task.
        name: String,
    },
    /// A task failed.
    #[error("task {name} failed")]
    Failed {
        /// The task.
        name: String,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// A task panicked; the log says where.
    #[error("task {name} panicked")]
    Panicked {
        /// The task.
        name: String,
    },
}

/// How the tasks ended once they were asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every task ended by itself.
    Drained,
    /// The deadline passed first; these were dropped.
    Late(Vec<String>),
    /// A second request came first; these were dropped.
    Aborted(Vec<String>),
}

impl Tasks {
    /// Starts a task under a name that logs and errors call it by.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&mut self, name: impl Into<String>, future: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let task = async move { future.await.into_result() };
        self.start(name.into(), Box::pin(task));
    }

    /// All tasks are of one type: the runtime is compiled anew for each, and once more for each kind of runtime.
    fn start(&mut self, name: String, task: Running) {
        let span = tracing::info_span!("running", task = name);
        let id = self.set.spawn(task.instrument(span)).id();
        self.names.insert(id, name);
    }

    /// Runs until `shutdown` is requested, then gives the tasks `drain` to end. Whatever is left is dropped.
    ///
    /// # Errors
    /// Where a task ends, fails or panics before `shutdown` is requested; the others are dropped then.
    pub async fn run(mut self, shutdown: &Shutdown, drain: Duration) -> Result<End, Error> {
        // Cancel-safe both: a task that has ended stays in the set until it is joined.
        tokio::select! {
            biased;
            () = shutdown.requested() => {}
            Some((name, outcome)) = self.join() => return Err(unasked(name, outcome)),
        }
        tokio::select! {
            biased;
            () = self.drained() => Ok(End::Drained),
            () = shutdown.aborted() => Ok(End::Aborted(self.left())),
            () = time::sleep(drain) => Ok(End::Late(self.left())),
        }
    }

    /// Joins tasks until none is left. After a request an error is worth a log line and no more.
    async fn drained(&mut self) {
        while let Some((task, outcome)) = self.join().await {
            match outcome {
                Ok(Ok(())) => tracing::debug!(event = "task_ended", task),
                Ok(Err(cause)) => {
                    tracing::warn!(
                        event = "task_failed",
                        task,
                        error = error::chain(&*cause),
                        "while shutting down"
                    );
                }
                Err(_panicked) => {
                    tracing::warn!(event = "task_failed", task, "panicked while shutting down");
                }
            }
        }
    }

    /// The next task that has ended; `None` when there are none.
    async fn join(&mut self) -> Option<(String, Result<Result<(), Cause>, JoinError>)> {
        let (id, outcome) = match self.set.join_next_with_id().await? {
            Ok((id, outcome)) => (id, Ok(outcome)),
            Err(error) => (error.id(), Err(error)),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        Some((name, outcome))
    }

    fn left(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.values().cloned().collect();
        names.sort_unstable();
        names
    }
}

fn unasked(name: String, outcome: Result<Result<(), Cause>, JoinError>) -> Error {
    match outcome {
        Ok(Ok(())) => Error::Ended { name },
        Ok(Err(source)) => Error::Failed { name, source },
        Err(_panicked) => Error::Panicked { name },
    }
}

#[cfg(test)]
mod tests;
