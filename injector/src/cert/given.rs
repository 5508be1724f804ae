//! A certificate that someone else makes: two files, read again when they change.
//!
//! The kubelet swaps a mounted Secret by renaming a folder, so that both files change at once; other tools write one
//! after the other. A pair that does not fit is therefore no alarm at once: the old one is kept and the next look
//! decides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keyside_lifecycle::error;
use keyside_lifecycle::readiness::{Part, Readiness};
use keyside_lifecycle::shutdown::Shutdown;
use rustls::sign::CertifiedKey;

use super::kept;
use super::metrics::Metrics;
use super::resolver::Resolver;

pub(crate) struct Task {
    files: Files,
    recheck: Duration,
    resolver: Resolver,
    readiness: Readiness,
    metrics: Metrics,
    served: Option<Served>,
    failing: bool,
    /// Pending while no valid certificate is served.
    pending: Option<Part>,
}

/// Where chain and key are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What is served, and when it ends.
struct Served {
    certificate: Arc<CertifiedKey>,
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
    #[error("there is no authority in {} that is not over", path.display())]
    NoAuthority { path: PathBuf },
}

impl Files {
    /// The pair, and when it ends.
    pub(crate) async fn read(&self) -> Result<(Arc<CertifiedKey>, SystemTime), Error> {
        let (cert, key) = (read(&self.cert).await?, read(&self.key).await?);
        let pair = kept::given(&cert, &key);
        let (certificate, until) = pair.map_err(|source| Error::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            source,
        })?;
        Ok((Arc::new(certificate), until))
    }
}

impl Task {
    /// Reads the files once, so that a wrong path fails the start.
    pub(crate) async fn new(
        files: Files,
        recheck: Duration,
        resolver: Resolver,
        readiness: &Readiness,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let pending = Some(readiness.part("the certificate"));
        let readiness = readiness.clone();
        let mut task = Self {
            files,
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
        let (certificate, until) = self.files.read().await?;
        let served = self.served.as_ref();
        if served.is_some_and(|served| served.certificate.cert == certificate.cert) {
            return Ok(());
        }
        self.resolver.serve(Arc::clone(&certificate));
        self.metrics.rotations.inc();
        self.metrics.leaf_expires(until);
        tracing::info!(event = "certificate_served", path = %self.files.cert.display());
        self.served = Some(Served { certificate, until });
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

pub(crate) async fn read(path: &Path) -> Result<Vec<u8>, Error> {
    tokio::fs::read(path).await.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
