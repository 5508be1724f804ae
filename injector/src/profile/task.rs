//! Keeps the profiles up to date: looks at their files again and again, and hands changed ones over.
//!
//! The kubelet replaces a mounted `ConfigMap` by renaming a link. What is compared is the content, so that no way of
//! writing is missed, and nothing happens where only the files are new.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use keyside_lifecycle::error;
use keyside_lifecycle::readiness::{Part, Readiness};
use keyside_lifecycle::shutdown::Shutdown;

use super::files;
use super::metrics::Metrics;
use super::set::{Change, Set};
use crate::admission::Defaults;
use crate::cert::own::now;

/// What each admission reads: replaced as a whole.
pub(crate) type Current = Arc<ArcSwap<Defaults>>;

pub(crate) struct Task {
    path: PathBuf,
    recheck: Duration,
    current: Current,
    metrics: Metrics,
    set: Set,
    /// Whether the last look could not read the files.
    unreadable: bool,
    /// Pending until each profile that is there has been good once. A mistake that comes later must not take an
    /// injector out of service that can still use what it has.
    pending: Option<Part>,
}

impl Task {
    /// Looks once, so that a wrong path fails the start. A profile with mistakes does not: it is waited for.
    pub(crate) fn new(
        path: PathBuf,
        recheck: Duration,
        current: Current,
        readiness: &Readiness,
        metrics: Metrics,
    ) -> Result<Self, files::Error> {
        let mut task = Self {
            path,
            recheck,
            current,
            metrics,
            set: Set::default(),
            unreadable: false,
            pending: Some(readiness.part("the profiles")),
        };
        task.look()?;
        Ok(task)
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let end = shutdown.requested();
        tokio::pin!(end);
        loop {
            // Cancel-safe both: nothing is lost when the other one is first.
            tokio::select! {
                () = &mut end => return,
                () = tokio::time::sleep(self.recheck) => {}
            }
            match self.look() {
                Ok(()) if std::mem::take(&mut self.unreadable) => {
                    tracing::info!(event = "profiles_recovered");
                }
                Ok(()) => {}
                Err(cause) => self.failed(&cause),
            }
        }
    }

    fn failed(&mut self, cause: &files::Error) {
        self.metrics.failed();
        if !std::mem::replace(&mut self.unreadable, true) {
            let error = error::chain(cause);
            tracing::warn!(
                event = "profiles_failed",
                error,
                "the profiles stay as they were"
            );
        }
    }

    fn look(&mut self) -> Result<(), files::Error> {
        let changes = self.set.update(files::read(&self.path)?);
        for (profile, change) in &changes {
            self.tell(profile, change);
        }
        if !changes.is_empty() {
            let defaults = Defaults {
                profiles: self.set.profiles(),
                ..Defaults::clone(&self.current.load())
            };
            self.current.store(Arc::new(defaults));
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.loaded.set(count(self.set.usable()));
        self.metrics.failing.set(count(self.set.wrong().count()));
        if let Some(pending) = &self.pending {
            let wrong: Vec<&str> = self.set.never_good().collect();
            if wrong.is_empty() {
                self.pending = None;
            } else {
                pending.waits_for(format!("a text without mistakes of {}", wrong.join("; ")));
            }
        }
        Ok(())
    }

    fn tell(&self, profile: &str, change: &Change) {
        match change {
            Change::Loaded => {
                self.metrics.ok(now());
                tracing::info!(event = "profile_loaded", profile);
            }
            Change::Removed => tracing::info!(event = "profile_removed", profile),
            Change::Kept(error) => {
                self.metrics.failed();
                tracing::warn!(
                    event = "profile_failed",
                    profile,
                    error,
                    "the old one is kept"
                );
            }
            Change::Broken(error) => {
                self.metrics.failed();
                tracing::warn!(
                    event = "profile_failed",
                    profile,
                    error,
                    "pods that name it are refused"
                );
            }
        }
    }
}
