//! A Unix socket that tells whoever connects the token, and each later one while the connection stays open: one line
//! each.
//!
//! A client that sends nothing more (it has shut its side down) is told one token and let go.
//!
//! Invariant: a client that does not read holds up itself alone. It may miss a token that has been replaced
//! meanwhile; the next line it is sent is the newest.
//! Invariant: a client is never told half a line and then another token.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyside_config::model::auto_auth::SocketSink;
use keyside_lifecycle::readiness::Part;
use keyside_lifecycle::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::ReadHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::{Metrics, newer};
use crate::socket::{Error, Socket};
use crate::token::Tokens;

/// More than the processes of a pod; the next one waits in the kernel's queue.
const CONNECTIONS: usize = 64;
/// After an accept error, mostly "too many open files": trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Sink {
    socket: Socket,
    path: PathBuf,
    tokens: Tokens,
    offered: watch::Sender<u64>,
    metrics: Metrics,
    free: Arc<Semaphore>,
    first: Option<Part>,
}

impl Sink {
    pub(crate) fn bind(
        config: &SocketSink,
        tokens: Tokens,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let (owner, group) = (config.owner.as_deref(), config.group.as_deref());
        let socket = Socket::bind_for(&config.path, config.mode, owner, group)?;
        let address = config.path.display();
        tracing::info!(event = "listening", listener = "sink", %address);
        Ok(Self {
            socket,
            path: config.path.clone(),
            tokens,
            offered: watch::Sender::new(0),
            metrics,
            free: Arc::new(Semaphore::new(CONNECTIONS)),
            first: None,
        })
    }

    /// Lets `first` go when there is a token to tell.
    pub(crate) fn announcing(self, first: Part) -> Self {
        Self {
            first: Some(first),
            ..self
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The generation of the token that clients are told; 0 before the first one.
    pub(crate) fn written(&self) -> watch::Receiver<u64> {
        self.offered.subscribe()
    }

    /// At the end the connections are closed, and the socket's file goes.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut ending = std::pin::pin!(shutdown.requested());
        let mut clients = JoinSet::new();
        let mut tokens = self.tokens.clone();
        loop {
            let offered = *self.offered.borrow();
            // Cancel-safe all: watches, a set of tasks, and a connection that stays in the kernel's queue.
            tokio::select! {
                biased;
                () = &mut ending => return,
                live = newer(&mut tokens, offered) => self.offer(live.generation),
                Some(ended) = clients.join_next() => self.report(ended),
                accepted = self.accept() => match accepted {
                    Ok((stream, place)) => {
                        let tokens = self.tokens.clone();
                        clients.spawn(async move {
                            let told = tell(stream, tokens).await;
                            drop(place);
                            told
                        });
                    }
                    Err(error) => {
                        tracing::warn!(event = "accept_failed", %error, "the sink accepts again shortly");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// The next connection, once there is a place for it.
    async fn accept(&self) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
        let free = Arc::clone(&self.free);
        let place = free.acquire_owned().await.map_err(io::Error::other)?;
        Ok((self.socket.listener.accept().await?.0, place))
    }

    fn offer(&mut self, generation: u64) {
        let path = self.path.display();
        tracing::info!(event = "sink_written", %path, generation, "clients are told the token");
        self.offered.send_replace(generation);
        self.first = None;
    }

    fn report(&self, ended: Result<io::Result<()>, tokio::task::JoinError>) {
        let path = self.path.display();
        match ended {
            Ok(Ok(())) => self.metrics.count("success"),
            Ok(Err(error)) => {
                self.metrics.count("failure");
                tracing::debug!(event = "sink_failed", %path, %error, "a client went away untold");
            }
            Err(error) => {
                self.metrics.count("failure");
                tracing::error!(event = "sink_failed", %path, %error, "one client was dropped; the others go on");
            }
        }
    }
}

/// Writes each token until the client goes away, or the first one to a client that sends nothing more.
async fn tell(mut stream: UnixStream, mut tokens: Tokens) -> io::Result<()> {
    let (mut reading, mut writing) = stream.split();
    let mut told = 0;
    let mut listening = true;
    loop {
        let live = tokio::select! {
            live = newer(&mut tokens, told) => live,
            () = end(&mut reading), if listening => {
                if told > 0 {
                    return Ok(());
                }
                listening = false;
                continue;
            }
        };
        let text = Zeroizing::new(format!("{}\n", live.token.expose()));
        writing.write_all(text.as_bytes()).await?;
        told = live.generation;
        if !listening {
            return Ok(());
        }
    }
}

/// Waits until the client sends nothing more; what it sends says nothing. Cancel-safe: it is thrown away.
async fn end(reading: &mut ReadHalf<'_>) {
    let mut nothing = [0; 64];
    while reading.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests;
