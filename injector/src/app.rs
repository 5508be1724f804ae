//! The wiring: reads and binds everything, then runs every task.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::{self, Shutdown};
use keyside_lifecycle::tasks::{self, End, Tasks};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::cert::{self, given, own, resolver::Resolver};
use crate::profile::{self, task::Current};
use crate::settings::{Certificate, Own, Settings};
use crate::webhook::{self, connections, connections::Socket, health, server};

/// Everything bound and nothing started.
pub(crate) struct App {
    health: health::Server,
    webhook: server::Server,
    certificate: Task,
    profiles: Option<profile::task::Task>,
    /// How long the tasks have to end once they were asked to.
    deadline: Duration,
}

enum Task {
    Own(Box<own::Task>),
    Given(given::Task),
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
const HEALTH_CONNECTIONS: usize = 32;

impl App {
    pub(crate) async fn build(settings: Settings, leaving: &Shutdown) -> Result<Self, Error> {
        let registry = prometheus::Registry::new();
        let metrics = |source| Error::Metrics { source };
        let readiness = Readiness::default();
        let resolver = Resolver::default();
        let certificate = certificate(
            settings.certificate,
            settings.recheck,
            &resolver,
            &readiness,
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
        let socket = Socket::bind("webhook", settings.listen, settings.max_connections).await?;
        let webhook = server::Server::new(
            socket,
            settings.drain,
            resolver,
            current,
            webhook::metrics::Metrics::new(&registry).map_err(metrics)?,
        )
        .map_err(|source| Error::Tls { source })?;
        let socket = Socket::bind("health", settings.health, HEALTH_CONNECTIONS).await?;
        Ok(Self {
            health: health::Server::new(socket, readiness, registry, leaving.clone()),
            webhook,
            certificate,
            profiles,
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
        match self.certificate {
            Task::Own(task) => tasks.spawn("certificate", task.run(health_ends)),
            Task::Given(task) => tasks.spawn("certificate", task.run(health_ends)),
        }
        Ok(tasks.run(&shutdown, self.deadline).await?)
    }
}

async fn certificate(
    certificate: Certificate,
    recheck: Duration,
    resolver: &Resolver,
    readiness: &Readiness,
    metrics: cert::metrics::Metrics,
) -> Result<Task, Error> {
    match certificate {
        Certificate::Own(own) => {
            let client = client(&own).await?;
            let task = own::Task::new(&client, &own, recheck, resolver.clone(), readiness, metrics);
            Ok(Task::Own(Box::new(task)))
        }
        Certificate::Given { cert, key } => {
            let task = given::Task::new((cert, key), recheck, resolver.clone(), readiness, metrics)
                .await?;
            Ok(Task::Given(task))
        }
    }
}

/// The API of the cluster that this pod runs in, or the one that a kubeconfig names.
async fn client(own: &Own) -> Result<kube::Client, Error> {
    let mut config = match &own.kubeconfig {
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
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(10));
    config.write_timeout = Some(Duration::from_secs(10));
    kube::Client::try_from(config).map_err(|source| Error::Client {
        source: Box::new(source),
    })
}
