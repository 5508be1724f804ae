//! The wiring: binds every socket and makes every part, then starts the tasks and owns them.
//!
//! Invariant: nothing is started before everything is bound and built, so a port in use or a missing certificate fails
//! the start and leaves nothing behind.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyside_config::model::Config;
use keyside_lifecycle::logging::Level;
use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::{self, Shutdown, Trigger};
use keyside_lifecycle::tasks::{self, End, Tasks};
use prometheus::Registry;
use tokio::time::{Instant, sleep};

use crate::settings::Place;
use crate::{admin, auth, resume, sink, vault};
use reload::Reload;

mod auto_auth;
pub(crate) mod confine;
mod pid_file;
mod proxy;
mod reload;

/// For requests under way after the first signal: a pod has 30 s by default, the kubelet's own work included.
const DRAIN: Duration = Duration::from_secs(20);

/// Everything built and bound, and nothing running yet.
pub(crate) struct App {
    admin: Vec<admin::server::Server>,
    auto_auth: Option<auto_auth::Parts>,
    proxy: proxy::Parts,
    resume: Option<resume::Keeper>,
    reload: Reload,
    client: vault::client::Client,
    pid_file: Option<pid_file::PidFile>,
    readiness: Readiness,
    exit_after_auth: bool,
    start_timeout: Option<Duration>,
    drain: Duration,
    trigger: Trigger,
    shutdown: Shutdown,
}

/// Why the agent did not start, or ended unasked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("listening for signals")]
    Signals {
        #[source]
        source: io::Error,
    },
    #[error("registering metrics")]
    Metrics {
        #[source]
        source: prometheus::Error,
    },
    #[error(transparent)]
    Vault(vault::error::Error),
    #[error(transparent)]
    Auth(auth::error::Error),
    #[error(transparent)]
    Sink(sink::Error),
    #[error("vault.namespace cannot be sent as a header")]
    Namespace {
        #[source]
        source: http::header::InvalidHeaderValue,
    },
    #[error(transparent)]
    Listener(crate::proxy::socket::Error),
    #[error(transparent)]
    Admin(admin::server::Error),
    #[error("writing the pid file {}", path.display())]
    PidFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Task(tasks::Error),
    #[error("asked to end before every sink was filled, which `exit_after_auth` is for")]
    Unfilled,
}

impl Error {
    const fn metrics(source: prometheus::Error) -> Self {
        Self::Metrics { source }
    }
}

impl App {
    /// Builds and binds all that `config` names.
    pub(crate) async fn build(config: Config, place: Place, level: Level) -> Result<Self, Error> {
        let started = Instant::now();
        let (trigger, shutdown) = shutdown::channel();
        let signals = |source| Error::Signals { source };
        let delay = config.shutdown_delay;
        trigger
            .follow_signals(delay.unwrap_or_default())
            .map_err(signals)?;
        let reload = Reload::new(place, config.clone(), level).map_err(signals)?;
        let registry = Registry::new();
        admin::process::register(&registry, started).map_err(Error::metrics)?;
        let readiness = Readiness::default();
        let gate = vault::gate::metrics::Metrics::new(&registry).map_err(Error::metrics)?;
        let gate = vault::gate::Gate::new(&config.limits, gate);
        if let Some(limits) = &config.client_limits {
            gate.limit_clients(limits);
        }
        let client =
            vault::client::Client::new(&config.vault, gate.clone()).map_err(Error::Vault)?;
        // The environment outdoes the files, so the server may be another than the reader of these expects.
        tracing::info!(
            event = "starting",
            version = env!("CARGO_PKG_VERSION"),
            vault = client.target()
        );
        let upstream = admin::handler::Upstream {
            address: client.target().to_owned(),
            gate,
        };
        let mut auto_auth = config
            .auto_auth
            .as_ref()
            .map(|config| auto_auth::Parts::build(config, &client, &registry, &readiness))
            .transpose()?;
        let mut resume = config
            .resume
            .as_ref()
            .and_then(|resume| resume::Resume::open(resume, &config));
        let left = resume.as_mut().map(resume::Resume::found);
        let left = left.unwrap_or_default();
        if let Some(live) = left.token {
            auto_auth = auto_auth.map(|parts| parts.resuming(live, left.saved.len()));
        }
        let tokens = auto_auth.as_ref().map(|parts| parts.tokens.clone());
        let checks = auto_auth.as_ref().map(|parts| parts.checks.clone());
        let quit = (trigger.clone(), shutdown.clone());
        let proxy = proxy::Parts::build(
            &config,
            client.clone(),
            tokens.clone(),
            checks,
            &registry,
            quit,
        )
        .await?;
        if let Some(cache) = proxy.cache() {
            cache.restore(left.saved);
        }
        let resume = resume.map(|resume| resume.keeper(tokens, proxy.cache()));
        let handler = Arc::new(admin::handler::Handler {
            readiness: readiness.clone(),
            upstream,
            token: auto_auth.as_ref().map(auto_auth::Parts::token),
            sinks: auto_auth
                .as_ref()
                .map_or_else(Vec::new, auto_auth::Parts::sinks),
            control: proxy.control(),
            started,
        });
        let admin = match &config.admin {
            Some(admin) => admin::server::bind(admin, &handler)
                .await
                .map_err(Error::Admin)?,
            None => Vec::new(),
        };
        let pid_file = config.pid_file.map(pid_file::PidFile::create).transpose()?;
        Ok(Self {
            admin,
            auto_auth,
            proxy,
            resume,
            reload,
            client,
            pid_file,
            readiness,
            exit_after_auth: config.exit_after_auth,
            start_timeout: config.start_timeout,
            // Whoever delayed the end has used up the time for it.
            drain: delay.map_or(DRAIN, |_used| auth::farewell::WITHIN),
            trigger,
            shutdown,
        })
    }

    /// Serves until a signal asks for the end, or until a task ends unasked.
    pub(crate) async fn run(self) -> Result<End, Error> {
        let Self {
            admin,
            auto_auth,
            proxy,
            resume,
            reload,
            client,
            pid_file,
            readiness,
            exit_after_auth,
            start_timeout,
            drain,
            trigger,
            shutdown,
        } = self;
        let mut tasks = Tasks::default();
        for server in admin {
            tasks.spawn(server.name(), server.run(shutdown.clone()));
        }
        let kept = resume.as_ref().map(|resume| resume.path().to_owned());
        let mut farewell = None;
        if let Some(mut auto_auth) = auto_auth {
            farewell = auto_auth.farewell.take();
            auto_auth.spawn(&mut tasks, &shutdown);
        }
        let ends = reload::Ends {
            client,
            acceptors: proxy.acceptors(),
        };
        proxy.spawn(&mut tasks, &shutdown);
        if let Some(resume) = resume {
            tasks.spawn("resume", resume.run(shutdown.clone()));
        }
        tasks.spawn("reload", reload.run(ends, shutdown.clone()));
        let up = Arc::new(AtomicBool::new(false));
        let (watched, seen) = (shutdown.clone(), Arc::clone(&up));
        tasks.spawn("readiness", async move {
            if is_up(&readiness, &watched, start_timeout).await? {
                seen.store(true, Ordering::Relaxed);
                if exit_after_auth {
                    tracing::info!(
                        event = "exit_after_auth",
                        "the sinks are filled; nothing is left to do"
                    );
                    trigger.request();
                }
            }
            watched.requested().await;
            Ok::<_, String>(())
        });
        let end = tasks.run(&shutdown, drain).await.map_err(Error::Task);
        if let (Some(farewell), Ok(End::Drained | End::Late(_))) = (farewell, &end)
            && shutdown.is_signalled()
        {
            farewell.revoke(kept.as_deref()).await;
        }
        drop(pid_file);
        if let Ok(End::Late(left) | End::Aborted(left)) = &end {
            tracing::warn!(
                event = "cut_short",
                tasks = left.join(", "),
                "some work was dropped"
            );
        }
        tracing::info!(event = "stopped");
        if exit_after_auth && !up.load(Ordering::Relaxed) {
            return end.and(Err(Error::Unfilled));
        }
        end
    }
}

/// Says when every part is up, which is also all that `exit_after_auth` waits for; `false` where the end comes first. An
/// error where it takes longer than that, with what was waited for.
async fn is_up(
    readiness: &Readiness,
    shutdown: &Shutdown,
    within: Option<Duration>,
) -> Result<bool, String> {
    tokio::select! {
        // Parts that are dropped at the end are no longer waited for, yet they have not come up.
        biased;
        () = shutdown.requested() => Ok(false),
        () = readiness.ready() => {
            tracing::info!(event = "started", "every part is up");
            Ok(true)
        }
        () = sleep(within.unwrap_or_default()), if within.is_some() => {
            let (within, pending) = (within.unwrap_or_default(), readiness.pending().join("; "));
            Err(format!("not up within {within:?} (`start_timeout`), waiting for {pending}"))
        }
    }
}
