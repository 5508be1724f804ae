//! Where the token goes: one task per sink, so that a slow or broken one holds nothing up.

pub(crate) mod encryption;
pub(crate) mod file;
pub(crate) mod owner;
pub(crate) mod socket;
pub(crate) mod wrapping;

use std::path::Path;
use std::sync::Arc;

use keyside_config::model::auto_auth;
use keyside_lifecycle::readiness::Part;
use keyside_lifecycle::shutdown::Shutdown;
use prometheus::{IntCounterVec, Registry};
use tokio::sync::watch;

use crate::metrics;
use crate::token::{Live, Tokens};
use crate::vault::client::Client;
use wrapping::Wrapping;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    File(file::Error),
    #[error(transparent)]
    Socket(crate::socket::Error),
}

/// A sink of either kind, not running yet.
pub(crate) enum Sink {
    File(file::Sink),
    Socket(socket::Sink),
}

impl Sink {
    /// The login's `namespace` is the token's.
    pub(crate) fn new(
        config: &auto_auth::Sink,
        namespace: Option<&str>,
        client: &Client,
        tokens: &Tokens,
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        let (tokens, metrics) = (tokens.clone(), metrics.clone());
        match config {
            auto_auth::Sink::File(config) => {
                let sink = file::Sink::new(config, tokens, metrics).map_err(Error::File)?;
                let wrapping = config
                    .wrap_ttl
                    .map(|ttl| Wrapping::new(client.clone(), namespace, ttl));
                Ok(Self::File(match wrapping {
                    Some(wrapping) => sink.wrapping(wrapping),
                    None => sink,
                }))
            }
            auto_auth::Sink::Socket(config) => socket::Sink::bind(config, tokens, metrics)
                .map(Self::Socket)
                .map_err(Error::Socket),
        }
    }

    /// Tells `first` what the first token waits for, and when it is there.
    pub(crate) fn announcing(self, first: Part) -> Self {
        match self {
            Self::File(sink) => Self::File(sink.announcing(first)),
            Self::Socket(sink) => Self::Socket(sink.announcing(first)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(sink) => sink.path(),
            Self::Socket(sink) => sink.path(),
        }
    }

    /// The generation of the token that it holds; 0 before the first one.
    pub(crate) fn written(&self) -> watch::Receiver<u64> {
        match self {
            Self::File(sink) => sink.written(),
            Self::Socket(sink) => sink.written(),
        }
    }

    pub(crate) async fn run(self, shutdown: Shutdown) {
        match self {
            Self::File(sink) => sink.run(shutdown).await,
            Self::Socket(sink) => sink.run(shutdown).await,
        }
    }
}

/// Waits for a token of a later login than `held`; for ever where auto-auth, and the process with it, has ended.
/// Cancel-safe: nothing is taken.
async fn newer(tokens: &mut Tokens, held: u64) -> Arc<Live> {
    let newer = |live: &Arc<Live>| live.generation > held;
    let found = tokens
        .wait_for(|state| state.live().is_some_and(newer))
        .await
        .ok()
        .and_then(|state| state.live().map(Arc::clone));
    match found {
        Some(live) => live,
        None => std::future::pending().await,
    }
}

/// What all sinks count together; cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    writes: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let writes = metrics::counters(
            registry,
            (
                "keyside_agent_sink_write_total",
                "Writes of the token to a sink, by result",
            ),
            "result",
            &[],
        )?;
        Ok(Self { writes })
    }

    fn count(&self, result: &str) {
        self.writes.with_label_values(&[result]).inc();
    }
}
