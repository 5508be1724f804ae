//! SIGHUP: reads the configuration again and takes over what can change while running.
//!
//! Invariant: a configuration with mistakes changes nothing.

use std::io;

use keyside_config::model::Config;
use keyside_lifecycle::logging::Level;
use keyside_lifecycle::shutdown::Shutdown;
use keyside_lifecycle::{error, logging};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::settings::Place;

/// What a reload starts from.
pub(crate) struct Reload {
    hangups: Signal,
    place: Place,
    running: Config,
    level: Level,
}

impl Reload {
    /// From here on SIGHUP no longer kills the process.
    pub(crate) fn new(place: Place, running: Config, level: Level) -> io::Result<Self> {
        let hangups = signal(SignalKind::hangup())?;
        Ok(Self {
            hangups,
            place,
            running,
            level,
        })
    }

    /// Reloads on every SIGHUP until `shutdown` is requested.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        while next(&mut self.hangups, &shutdown).await {
            self.apply();
        }
    }

    fn apply(&mut self) {
        let loaded = match self.place.load() {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = error::chain(&error);
                tracing::warn!(
                    event = "reload_failed",
                    error,
                    "the configuration stays as it was"
                );
                return;
            }
        };
        let wanted = loaded.config;
        if let Err(error) = set_level(&self.level, &wanted) {
            tracing::warn!(
                event = "reload_failed",
                error = error::chain(&error),
                "the log level stays as it was"
            );
            return;
        }
        self.running.log_level = wanted.log_level;
        let kept = unlike(&self.running, &wanted).join(", ");
        if kept.is_empty() {
            tracing::info!(event = "reloaded", "the log level is as configured");
        } else {
            tracing::warn!(
                event = "reloaded",
                kept,
                "the log level is as configured; the rest needs a restart"
            );
        }
    }
}

/// Whether a SIGHUP came before the end was requested. Both are cancel-safe.
async fn next(hangups: &mut Signal, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = shutdown.requested() => false,
        received = hangups.recv() => received.is_some(),
    }
}

fn set_level(level: &Level, wanted: &Config) -> Result<(), logging::Error> {
    level.set(crate::level(wanted.log_level))
}

/// The blocks and keys in which two configurations differ.
fn unlike(running: &Config, wanted: &Config) -> Vec<&'static str> {
    let differ = [
        ("vault", running.vault != wanted.vault),
        ("auto_auth", running.auto_auth != wanted.auto_auth),
        ("cache", running.cache != wanted.cache),
        (
            "use_auto_auth_token",
            running.attach_token != wanted.attach_token,
        ),
        ("listener", running.listeners != wanted.listeners),
        ("limits", running.limits != wanted.limits),
        ("admin", running.admin != wanted.admin),
        ("resume", running.resume != wanted.resume),
        ("log_format", running.log_format != wanted.log_format),
        ("pid_file", running.pid_file != wanted.pid_file),
        (
            "exit_after_auth",
            running.exit_after_auth != wanted.exit_after_auth,
        ),
        (
            "worker_threads",
            running.worker_threads != wanted.worker_threads,
        ),
    ];
    differ
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name)
        .collect()
}
