//! The wiring: reads and binds everything, then runs every task.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::{self, Shutdown};
use keyside_lifecycle::tasks::{self, End, Tasks};
use kube::config::{KubeConfigOptions, Kubeconfig};
use prometheus::{IntGauge, Opts, Registry};

use crate::cert::{self, given, own, published, resolver::Resolver, serving::Remark};
use crate::profile::{self, task::Current};
use crate::settings::{Certificate, Settings};
use crate::webhook::{self, callers, connections, connections::Socket, health, server};
use crate::{events, settings};

/// Everything bound and nothing started.
pub(crate) struct App {
    health: health::Server,
    webhook: server::Server,
    certificate: Task,
    profiles: Option<profile::task::Task>,
    callers: Option<callers::Task>,
    events: Option<events::Task>,
    /// How long the tasks have to end once they were asked to.
    deadline: Duration,
}

enum Task {
    Own(Box<own::Task>),
    Given(given::Task),
    Published(Box<published::Task>),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Bind(#[from] connections::Error),
    #[error("preparing TLS")]
    Tls { source: rustls::Error },
    #[error("preparing metrics")]
    Metrics { source: prometheus::Error },
    #[error(transparent)]
    Given(#[from] given::Error),
    #[error("looking for profiles")]
    Profiles { source: profile::files::Error },
    #[error(transparent)]
    Callers(#[from] callers::Error),
    #[error("reading {path}")]
    Kubeconfig {
        path: String,
        source: Box<kube::config::KubeconfigError>,
    },
    #[error("finding the Kubernetes API: outside a cluster, name a --kubeconfig")]
    Cluster {
        source: kube::config::InClusterError,
    },
    #[error("preparing the client of the Kubernetes API")]
    Client { source: Box<kube::Error> },
    #[error(transparent)]
    Task(#[from] tasks::Error),
}

/// Probes and Prometheus open one or two connections each.
pub(crate) const HEALTH_CONNECTIONS: usize = 32;

impl App {
    pub(crate) async fn build(settings: Settings, leaving: &Shutdown) -> Result<Self, Error> {
        let registry = registry()?;
        let metrics = |source| Error::Metrics { source };
        let readiness = Readiness::default();
        let (resolver, remark) = (Resolver::default(), Remark::default());
        let api = Api(settings.kubeconfig.as_deref());
        let certificate = certificate(
            settings.certificate,
            settings.recheck,
            &api,
            &resolver,
            (&readiness, &remark),
            cert::metrics::Metrics::new(&registry).map_err(metrics)?,
        )
        .await?;
        let current = Current::new(ArcSwap::from_pointee(settings.defaults));
        let profiles = settings.profiles.map(|path| {
            let metrics = profile::metrics::Metrics::new(&registry).map_err(metrics)?;
            let current = Arc::clone(&current);
            profile::task::Task::new(path, settings.recheck, current, &readiness, metrics)
                .map_err(|source| Error::Profiles { source })
        });
        let profiles = profiles.transpose()?;
        let (callers, reread) = callers(settings.callers, settings.recheck).await?.unzip();
        let (speaker, events) = if settings.denial_events {
            let metrics = events::Metrics::new(&registry).map_err(metrics)?;
            Some(events::queue(api.client().await?, metrics))
        } else {
            None
        }
        .unzip();
        let socket = Socket::bind("webhook", settings.listen, settings.max_connections).await?;
        let webhook = server::Server::new(
            socket,
            settings.drain,
            (resolver, callers),
            (current, speaker),
            webhook::metrics::Metrics::new(&registry).map_err(metrics)?,
        )
        .map_err(|source| Error::Tls { source })?;
        let socket = Socket::bind("health", settings.health, HEALTH_CONNECTIONS).await?;
        let parts = (readiness, remark);
        let health = health::Server::new(socket, parts, registry, leaving.clone());
        Ok(Self {
            health: health.map_err(metrics)?,
            webhook,
            certificate,
            profiles,
            callers: reread,
            events,
            deadline: settings.drain + Duration::from_secs(15),
        })
    }

    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<End, Error> {
        let mut tasks = Tasks::default();
        let (webhook_ended, health_ends) = shutdown::channel();
        let asked = shutdown.clone();
        tasks.spawn("webhook", async move {
            self.webhook.run(asked).await;
            webhook_ended.request();
        });
        tasks.spawn("health", self.health.run(health_ends.clone()));
        if let Some(profiles) = self.profiles {
            tasks.spawn("profiles", profiles.run(health_ends.clone()));
        }
        // Certificates are kept right for as long as the webhook answers.
        if let Some(task) = self.callers {
            tasks.spawn("callers", task.run(health_ends.clone()));
        }
        if let Some(task) = self.events {
            tasks.spawn("events", task.run(health_ends.clone()));
        }
        match self.certificate {
            Task::Own(task) => tasks.spawn("certificate", task.run(health_ends)),
            Task::Given(task) => tasks.spawn("certificate", task.run(health_ends)),
            Task::Published(task) => tasks.spawn("certificate", task.run(health_ends)),
        }
        Ok(tasks.run(&shutdown, self.deadline).await?)
    }
}

/// With what every program of ours says of itself.
pub(crate) fn registry() -> Result<Registry, Error> {
    let registry = Registry::new();
    let opts = Opts::new("keyside_injector_build_info", "Always 1.")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    let register = || {
        let gauge = IntGauge::with_opts(opts)?;
        gauge.set(1);
        registry.register(Box::new(gauge))
    };
    register().map_err(|source| Error::Metrics { source })?;
    Ok(registry)
}

async fn certificate(
    certificate: Certificate,
    recheck: Duration,
    api: &Api<'_>,
    resolver: &Resolver,
    readiness: (&Readiness, &Remark),
    metrics: cert::metrics::Metrics,
) -> Result<Task, Error> {
    match certificate {
        Certificate::Own(own) => {
            let client = api.client().await?;
            let task = own::Task::new(&client, &own, recheck, resolver.clone(), readiness, metrics);
            Ok(Task::Own(Box::new(task)))
        }
        Certificate::Given {
            files,
            publish: None,
        } => {
            let task = given::Task::new(files, recheck, resolver.clone(), readiness.0, metrics);
            Ok(Task::Given(task.await?))
        }
        Certificate::Given {
            files,
            publish: Some(publish),
        } => {
            let client = api.client().await?;
            let task = published::Task::new(
                &client,
                (files, publish),
                recheck,
                readiness,
                resolver.clone(),
                metrics,
            );
            Ok(Task::Published(Box::new(task.await?)))
        }
    }
}

async fn callers(
    settings: Option<settings::Callers>,
    recheck: Duration,
) -> Result<Option<(callers::Callers, callers::Task)>, Error> {
    match settings {
        None => Ok(None),
        Some(settings) => Ok(Some(callers::Callers::new(settings, recheck).await?)),
    }
}

/// The API of the cluster that this pod runs in, or the one that a kubeconfig names.
pub(crate) struct Api<'a>(pub Option<&'a Path>);

impl Api<'_> {
    pub(crate) async fn client(&self) -> Result<kube::Client, Error> {
        let mut config = match self.0 {
            None => kube::Config::incluster().map_err(|source| Error::Cluster { source })?,
            Some(path) => {
                let error = |source| Error::Kubeconfig {
                    path: path.display().to_string(),
                    source: Box::new(source),
                };
                let file = Kubeconfig::read_from(path).map_err(error)?;
                let options = KubeConfigOptions::default();
                kube::Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(error)?
            }
        };
        // Whoever asks has a limit on the answer as a whole; a watch may be silent for long.
        config.connect_timeout = Some(Duration::from_secs(5));
        config.write_timeout = Some(Duration::from_secs(10));
        // Our loops know when to ask again, and what a failure means until then.
        config.default_retry = false;
        kube::Client::try_from(config).map_err(|source| Error::Client {
            source: Box::new(source),
        })
    }
}
