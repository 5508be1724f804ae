//! The listeners and the cache, from configuration to tasks.

use std::sync::Arc;

use http::HeaderValue;
use keyside_config::model::Config;
use keyside_lifecycle::shutdown::{Shutdown, Trigger};
use keyside_lifecycle::tasks::Tasks;
use prometheus::Registry;
use tokio::sync::watch;

use super::Error;
use crate::admin::control::Control;
use crate::auth::check::Checks;
use crate::cache::Cache;
use crate::proxy::server::Server;
use crate::proxy::tls::Acceptor;
use crate::token;
use crate::vault::client::Client;
use crate::{cache, proxy};

/// Bound, and not serving yet.
pub(crate) struct Parts {
    servers: Vec<Server>,
    control: Control,
    client: Client,
    tokens: Option<token::Tokens>,
    checks: Option<Checks>,
}

impl Parts {
    pub(crate) async fn build(
        config: &Config,
        client: Client,
        tokens: Option<token::Tokens>,
        checks: Option<Checks>,
        registry: &Registry,
        (trigger, shutdown): (Trigger, Shutdown),
    ) -> Result<Self, Error> {
        let cache = match &config.cache {
            Some(config) => {
                let metrics = cache::metrics::Metrics::new(registry).map_err(Error::metrics)?;
                let cache = Cache::new(config, metrics);
                cache::metrics::Leases::register(cache.clone(), registry)
                    .map_err(Error::metrics)?;
                Some(cache)
            }
            None => None,
        };
        let control = Control {
            registry: registry.clone(),
            cache,
            trigger,
            shutdown,
        };
        // Left out, every request that names no namespace would go to another one.
        let namespace = config.vault.namespace.as_deref().map(HeaderValue::from_str);
        let settings = proxy::Settings {
            attach: config.attach_token,
            prepend_namespace: config.prepend_namespace,
            namespace: namespace
                .transpose()
                .map_err(|source| Error::Namespace { source })?,
        };
        let proxy = Arc::new(proxy::Proxy::new(
            client.clone(),
            tokens.clone(),
            checks.clone(),
            &settings,
            control.clone(),
            proxy::metrics::Metrics::new(registry).map_err(Error::metrics)?,
        ));
        let mut servers = Vec::new();
        for listener in &config.listeners {
            let server = Server::bind(listener, Arc::clone(&proxy)).await;
            servers.push(server.map_err(Error::Listener)?);
        }
        Ok(Self {
            servers,
            control,
            client,
            tokens,
            checks,
        })
    }

    /// For the admin endpoints.
    pub(crate) fn control(&self) -> Control {
        self.control.clone()
    }

    pub(crate) fn cache(&self) -> Option<Cache> {
        self.control.cache.clone()
    }

    /// Of the listeners, in the order of the configuration.
    pub(crate) fn acceptors(&self) -> Vec<Option<Acceptor>> {
        self.servers.iter().map(Server::acceptor).collect()
    }

    pub(crate) fn spawn(self, tasks: &mut Tasks, shutdown: &Shutdown) {
        if !self.servers.is_empty() {
            let attending = self.client.clone().attend(shutdown.clone());
            tasks.spawn("outages", attending);
        }
        for server in self.servers {
            let name = format!("listener {}", server.addresses().join(", "));
            tasks.spawn(name, server.run(shutdown.clone()));
        }
        if let Some(cache) = self.control.cache {
            if let Some(checks) = self.checks {
                let ending = cache::dead::run(cache.clone(), checks, shutdown.clone());
                tasks.spawn("dead tokens", ending);
            }
            // Without auto-auth there is no token whose end could move.
            let tokens = self
                .tokens
                .unwrap_or_else(|| watch::channel(token::TokenState::default()).1);
            let renewing = cache::renewal::run(cache, self.client, tokens, shutdown.clone());
            tasks.spawn("lease renewal", renewing);
        }
    }
}
