//! A certificate that someone else makes: two files, read again when they change.
//!
//! The kubelet swaps a mounted Secret by renaming a folder, so that both files change at once; other tools write one
//! after the other. A pair that does not fit is therefore no alarm at once: the old one is kept and the next look
//! decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keyside_lifecycle::error;
use keyside_lifecycle::readiness::{Part, Readiness};
use keyside_lifecycle::shutdown::Shutdown;

use super::kept;
use super::metrics::Metrics;
use super::resolver::Resolver;

pub(crate) struct Task {
    cert: PathBuf,
    key: PathBuf,
    recheck: Duration,
    resolver: Resolver,
    readiness: Readiness,
    metrics: Metrics,
    served: Option<Served>,
    failing: bool,
    /// Pending while no valid certificate is served.
    pending: Option<Part>,
}

/// The bytes of both files, and when the certificate ends.
struct Served {
    files: (Vec<u8>, Vec<u8>),
    until: SystemTime,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reading {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} and {}", cert.display(), key.display())]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        source: kept::Error,
    },
}

impl Task {
    /// Reads the files once, so that a wrong path fails the start.
    pub(crate) async fn new(
        (cert, key): (PathBuf, PathBuf),
        recheck: Duration,
        resolver: Resolver,
        readiness: &Readiness,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let pending = Some(readiness.part("the certificate"));
        let readiness = readiness.clone();
        let mut task = Self {
            cert,
            key,
            recheck,
            resolver,
            readiness,
            metrics,
            served: None,
            failing: false,
            pending,
        };
        task.look().await?;
        task.judge(super::own::now());
        Ok(task)
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let end = shutdown.requested();
        tokio::pin!(end);
        loop {
            // Cancel-safe both: nothing is lost when the other one is first.
            tokio::select! {
                () = &mut end => return,
                () = tokio::time::sleep(self.recheck) => {}
            }
            let outcome = self.look().await;
            self.report(outcome);
            self.judge(super::own::now());
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let files = (read(&self.cert).await?, read(&self.key).await?);
        if self
            .served
            .as_ref()
            .is_some_and(|served| served.files == files)
        {
            return Ok(());
        }
        let pair = kept::given(&files.0, &files.1);
        let (certificate, until) = pair.map_err(|source| Error::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            source,
        })?;
        self.resolver.serve(Arc::new(certificate));
        self.metrics.rotations.inc();
        self.metrics.leaf_expires(until);
        tracing::info!(event = "certificate_served", path = %self.cert.display());
        self.served = Some(Served { files, until });
        Ok(())
    }

    fn report(&mut self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) if self.failing => tracing::info!(event = "certificate_recovered"),
            Ok(()) => {}
            Err(cause) => {
                self.metrics.failures.inc();
                let error = error::chain(&cause);
                if !self.failing {
                    tracing::warn!(event = "certificate_failed", error, "the old one is kept");
                }
                self.failing = true;
                return;
            }
        }
        self.failing = false;
    }

    fn judge(&mut self, now: SystemTime) {
        let valid = self
            .served
            .as_ref()
            .is_some_and(|served| now < served.until);
        if valid {
            self.pending = None;
        } else if self.pending.is_none() {
            self.pending = Some(
                self.readiness
                    .part("a new certificate: the given one has expired"),
            );
        }
    }
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, Error> {
    tokio::fs::read(path).await.map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })
}
