//! SIGHUP: reads the configuration again and takes over what can change while running.
//!
//! The certificates towards Vault are also read again when their files change: they are replaced on disk before they
//! end, and nobody is there to send a signal to every pod.
//!
//! Invariant: a configuration with mistakes changes nothing.

use std::io;
use std::time::Duration;

use keyside_config::model::Config;
use keyside_config::model::vault::Vault;
use keyside_lifecycle::logging::Level;
use keyside_lifecycle::shutdown::Shutdown;
use keyside_lifecycle::{error, logging};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use crate::settings::Place;
use crate::vault::client::Client;
use crate::vault::tls;

/// How often the files of certificates are looked at. The kubelet itself takes up to a minute to replace them.
const LOOK: Duration = Duration::from_secs(10);

/// What a reload starts from.
pub(crate) struct Reload {
    hangups: Signal,
    place: Place,
    running: Config,
    level: Level,
    /// Of the certificates in use.
    fingerprint: Fingerprint,
    /// Of certificates that cannot be used, so that each is told once.
    refused: Option<Fingerprint>,
}

type Fingerprint = Vec<(std::path::PathBuf, Option<[i64; 3]>)>;

enum Event {
    Hangup,
    Look,
}

impl Reload {
    /// From here on SIGHUP no longer kills the process. Call it before the certificates are read.
    pub(crate) fn new(place: Place, running: Config, level: Level) -> io::Result<Self> {
        let hangups = signal(SignalKind::hangup())?;
        Ok(Self {
            hangups,
            place,
            fingerprint: tls::fingerprint(&running.vault),
            refused: None,
            running,
            level,
        })
    }

    /// Reloads on every SIGHUP, and what has changed on disk, until `shutdown` is requested.
    pub(crate) async fn run(mut self, client: Client, shutdown: Shutdown) {
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // All are cancel-safe.
            let event = tokio::select! {
                () = shutdown.requested() => return,
                hangup = self.hangups.recv() => hangup.map(|()| Event::Hangup),
                _ = looks.tick() => Some(Event::Look),
            };
            match event {
                Some(Event::Hangup) => self.apply(&client),
                Some(Event::Look) => self.look(&client),
                None => return,
            }
        }
    }

    fn apply(&mut self, client: &Client) {
        if let Err(error) = self.take_over(client) {
            let error = error::chain(error.as_ref());
            tracing::warn!(
                event = "reload_failed",
                error,
                "what it concerns stays as it was"
            );
        }
    }

    fn take_over(&mut self, client: &Client) -> Result<(), Box<dyn std::error::Error>> {
        let wanted = self.place.load()?.config;
        self.trust(client, trusting(&self.running.vault, &wanted.vault))?;
        set_level(&self.level, &wanted)?;
        self.running.log_level = wanted.log_level;
        let kept = unlike(&self.running, &wanted).join(", ");
        if kept.is_empty() {
            tracing::info!(
                event = "reloaded",
                "the log level and the certificates are as configured"
            );
        } else {
            tracing::warn!(
                event = "reloaded",
                kept,
                "the log level and the certificates are as configured; the rest needs a restart"
            );
        }
        Ok(())
    }

    /// Reads certificates, the present ones or others.
    fn trust(&mut self, client: &Client, vault: Vault) -> Result<(), crate::vault::error::Error> {
        // Before they are read: what changes in between is read again then.
        let fingerprint = tls::fingerprint(&vault);
        client.reload(&vault)?;
        (self.running.vault, self.fingerprint) = (vault, fingerprint);
        Ok(())
    }

    /// A certificate and its key are two files: while only one of them is new, the old pair is kept.
    fn look(&mut self, client: &Client) {
        let now = tls::fingerprint(&self.running.vault);
        if now == self.fingerprint {
            return;
        }
        match self.trust(client, self.running.vault.clone()) {
            Ok(()) => tracing::info!(event = "certificates_reloaded"),
            Err(_) if self.refused.as_ref() == Some(&now) => {}
            Err(error) => {
                let error = error::chain(&error);
                tracing::warn!(
                    event = "reload_failed",
                    error,
                    "the certificates stay as they were"
                );
                self.refused = Some(now);
            }
        }
    }
}

/// The present `vault` block with the certificates of another.
fn trusting(running: &Vault, wanted: &Vault) -> Vault {
    Vault {
        address: running.address.clone(),
        namespace: running.namespace.clone(),
        timeout: running.timeout,
        single_use: running.single_use,
        ..wanted.clone()
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
