//! SIGHUP: reads the configuration again and takes over what can change while running.
//!
//! Certificates, towards Vault and of listeners, are also read again when their files change: they are replaced on disk
//! before they end, and nobody is there to send a signal to every pod.
//!
//! Invariant: a configuration with mistakes changes nothing.

use std::io;
use std::time::Duration;

use keyside_config::model::Config;
use keyside_config::model::listener::Listener;
use keyside_config::model::vault::Vault;
use keyside_lifecycle::logging::Level;
use keyside_lifecycle::shutdown::Shutdown;
use keyside_lifecycle::{error, logging};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use crate::proxy::tls::{self as listener, Acceptor};
use crate::settings::Place;
use crate::tls::Fingerprint;
use crate::vault::client::Client;
use crate::vault::{self, tls as upstream};

type Cause = Box<dyn std::error::Error>;

/// How often the files of certificates are looked at. The kubelet itself takes up to a minute to replace them.
const LOOK: Duration = Duration::from_secs(10);

/// What a reload starts from.
pub(crate) struct Reload {
    hangups: Signal,
    place: Place,
    running: Config,
    level: Level,
    upstream: Files,
    /// In the order of the configuration.
    listeners: Vec<Files>,
}

/// Both ends of TLS.
pub(crate) struct Ends {
    pub(crate) client: Client,
    /// Of each listener in the order of the configuration; absent where it speaks plain HTTP.
    pub(crate) acceptors: Vec<Option<Acceptor>>,
}

/// What certificates are read from.
#[derive(Default)]
struct Files {
    /// Of the certificates in use.
    fingerprint: Fingerprint,
    /// Of certificates that cannot be used, so that each is told once.
    refused: Option<Fingerprint>,
}

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
            upstream: Files::of(upstream::fingerprint(&running.vault)),
            listeners: running.listeners.iter().map(Files::of_listener).collect(),
            running,
            level,
        })
    }

    /// Reloads on every SIGHUP, and what has changed on disk, until `shutdown` is requested.
    pub(crate) async fn run(mut self, ends: Ends, shutdown: Shutdown) {
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
                Some(Event::Hangup) => self.apply(&ends),
                Some(Event::Look) => self.look(&ends),
                None => return,
            }
        }
    }

    fn apply(&mut self, ends: &Ends) {
        if let Err(error) = self.take_over(ends) {
            let error = error::chain(error.as_ref());
            tracing::warn!(
                event = "reload_failed",
                error,
                "what it concerns stays as it was"
            );
        }
    }

    fn take_over(&mut self, ends: &Ends) -> Result<(), Cause> {
        let wanted = self.place.load()?.config;
        self.trust(&ends.client, trusting(&self.running.vault, &wanted.vault))?;
        self.present(&ends.acceptors, &wanted.listeners)?;
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

    /// Reads the certificates towards Vault, the present ones or others.
    fn trust(&mut self, client: &Client, vault: Vault) -> Result<(), vault::error::Error> {
        // Before they are read: what changes in between is read again then.
        let fingerprint = upstream::fingerprint(&vault);
        client.reload(&vault)?;
        (self.running.vault, self.upstream.fingerprint) = (vault, fingerprint);
        Ok(())
    }

    /// Reads the certificates of listeners: those that the listener at the same address has now.
    fn present(
        &mut self,
        acceptors: &[Option<Acceptor>],
        wanted: &[Listener],
    ) -> Result<(), listener::Error> {
        let running = self.running.listeners.iter_mut().zip(&mut self.listeners);
        for ((listener, files), acceptor) in running.zip(acceptors) {
            let same = wanted.iter().find(|other| other.bind == listener.bind);
            let tls = same.and_then(Listener::tls).or(listener.tls()).cloned();
            if let (Some(acceptor), Some(tls)) = (acceptor, tls) {
                let fingerprint = listener::fingerprint(&tls);
                acceptor.replace(&tls)?;
                (listener.tls, files.fingerprint) = (Some(tls), fingerprint);
            }
        }
        Ok(())
    }

    /// A certificate and its key are two files: while only one of them is new, the old pair is kept.
    fn look(&mut self, ends: &Ends) {
        let vault = &self.running.vault;
        let now = upstream::fingerprint(vault);
        self.upstream.look(now, || Ok(ends.client.reload(vault)?));
        let running = self.running.listeners.iter().zip(&mut self.listeners);
        for ((listener, files), acceptor) in running.zip(&ends.acceptors) {
            if let (Some(acceptor), Some(tls)) = (acceptor, listener.tls()) {
                let now = listener::fingerprint(tls);
                files.look(now, || Ok(acceptor.replace(tls)?));
            }
        }
    }
}

impl Files {
    fn of(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            refused: None,
        }
    }

    fn of_listener(listener: &Listener) -> Self {
        listener
            .tls()
            .map_or_else(Self::default, |tls| Self::of(listener::fingerprint(tls)))
    }

    /// Reads again what is not as it was.
    fn look(&mut self, now: Fingerprint, read: impl FnOnce() -> Result<(), Cause>) {
        if now == self.fingerprint {
            return;
        }
        match read() {
            Ok(()) => {
                tracing::info!(event = "certificates_reloaded");
                self.fingerprint = now;
            }
            Err(_) if self.refused.as_ref() == Some(&now) => {}
            Err(error) => {
                let error = error::chain(error.as_ref());
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
            "api_proxy",
            (running.attach_token, running.prepend_namespace)
                != (wanted.attach_token, wanted.prepend_namespace),
        ),
        ("listener", running.listeners != wanted.listeners),
        (
            "limits",
            (&running.limits, &running.client_limits) != (&wanted.limits, &wanted.client_limits),
        ),
        ("admin", running.admin != wanted.admin),
        ("resume", running.resume != wanted.resume),
        ("log_format", running.log_format != wanted.log_format),
        ("pid_file", running.pid_file != wanted.pid_file),
        (
            "exit_after_auth",
            running.exit_after_auth != wanted.exit_after_auth,
        ),
        (
            "start_timeout",
            running.start_timeout != wanted.start_timeout,
        ),
        (
            "shutdown_delay",
            running.shutdown_delay != wanted.shutdown_delay,
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
