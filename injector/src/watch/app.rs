//! The wiring of `keyside-injector watch`.

use std::time::Duration;

use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::{self, Shutdown};
use keyside_lifecycle::tasks::{End, Tasks};

use super::lease::Lease;
use super::look::Task;
use super::metrics::Metrics;
use crate::app::{Api, Error, HEALTH_CONNECTIONS, registry};
use crate::cert::serving::Remark;
use crate::events;
use crate::settings::Watch;
use crate::webhook::connections::Socket;
use crate::webhook::health;

/// For the Lease to be given back.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn run(settings: Watch, shutdown: Shutdown) -> Result<End, Error> {
    let registry = registry()?;
    let metrics = Metrics::new(&registry).and_then(|metrics| {
        let events = events::Metrics::new(&registry)?;
        Ok((metrics, events))
    });
    let (metrics, events) = metrics.map_err(|source| Error::Metrics { source })?;
    let client = Api(settings.kubeconfig.as_deref()).client().await?;
    let readiness = Readiness::default();
    let (lease, leading) = Lease::new(&client, &settings, &readiness, metrics.clone());
    let task = Task::new(client, &settings, leading, (metrics, events));
    let socket = Socket::bind("health", settings.health, HEALTH_CONNECTIONS).await?;
    let parts = (readiness, Remark::default());
    let health = health::Server::new(socket, parts, registry, shutdown.clone());
    let health = health.map_err(|source| Error::Metrics { source })?;

    let mut tasks = Tasks::default();
    let (given_back, health_ends) = shutdown::channel();
    let asked = shutdown.clone();
    tasks.spawn("lease", async move {
        lease.run(asked).await;
        given_back.request();
    });
    tasks.spawn("look", task.run(shutdown.clone()));
    tasks.spawn("health", health.run(health_ends));
    Ok(tasks.run(&shutdown, DEADLINE).await?)
}
