//! Auto-auth and its sinks, from configuration to tasks.

use keyside_config::model::auto_auth::AutoAuth;
use keyside_lifecycle::readiness::Readiness;
use keyside_lifecycle::shutdown::Shutdown;
use keyside_lifecycle::tasks::Tasks;
use prometheus::Registry;

use super::Error;
use crate::admin::handler;
use crate::token::{Live, Tokens};
use crate::{auth, sink, vault};

/// Built, and not running yet.
pub(crate) struct Parts {
    task: auth::Task,
    sinks: Vec<sink::Sink>,
    pub(crate) tokens: Tokens,
    pub(crate) checks: auth::check::Checks,
    /// Where the token is to end with the process.
    pub(crate) farewell: Option<auth::farewell::Farewell>,
}

impl Parts {
    /// What startup waits for is the first login, and each sink's first token.
    pub(crate) fn build(
        config: &AutoAuth,
        client: &vault::client::Client,
        registry: &Registry,
        readiness: &Readiness,
    ) -> Result<Self, Error> {
        let (task, tokens) =
            auth::Task::new(config, client.clone(), registry).map_err(Error::Auth)?;
        let task = task.announcing(readiness.part("the first login"));
        let metrics = sink::Metrics::new(registry).map_err(Error::metrics)?;
        let mut sinks = Vec::new();
        let namespace = config.method.namespace.as_deref();
        for config in &config.sinks {
            let sink = sink::Sink::new(config, namespace, client, &tokens, &metrics);
            let sink = sink.map_err(Error::Sink)?;
            let part = readiness.part(format!("sink {}", sink.path().display()));
            sinks.push(sink.announcing(part));
        }
        Ok(Self {
            checks: task.checks(),
            farewell: config.revoke_on_exit.then(|| task.farewell()),
            task,
            sinks,
            tokens,
        })
    }

    /// Goes on with a token that an earlier process left.
    pub(crate) fn resuming(self, live: Live, leases: usize) -> Self {
        let task = self.task.resuming(live, leases);
        Self { task, ..self }
    }

    /// For the admin endpoints.
    pub(crate) fn token(&self) -> handler::Token {
        handler::Token {
            state: self.tokens.clone(),
            trouble: self.task.trouble(),
            plan: self.task.plan(),
        }
    }

    /// For the admin endpoints.
    pub(crate) fn sinks(&self) -> Vec<handler::Sink> {
        let sink = |sink: &sink::Sink| handler::Sink {
            path: sink.path().to_owned(),
            written: sink.written(),
        };
        self.sinks.iter().map(sink).collect()
    }

    pub(crate) fn spawn(self, tasks: &mut Tasks, shutdown: &Shutdown) {
        for sink in self.sinks {
            let name = format!("sink {}", sink.path().display());
            tasks.spawn(name, sink.run(shutdown.clone()));
        }
        tasks.spawn("auto-auth", self.task.run(shutdown.clone()));
    }
}
