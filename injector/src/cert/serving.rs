//! What handshakes get, whether the API server accepts it, and what readiness says about both.
//!
//! Invariant: a leaf is served only if every entry of the webhook configuration was just seen to trust it.
//! Invariant: ready while what is served is valid and trusted, whatever else fails. It ends being ready a little before
//! the leaf does: the endpoints of a Service follow late.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use keyside_lifecycle::error;
use keyside_lifecycle::readiness::{Part, Readiness};
use rustls::sign::CertifiedKey;

use super::kept;
use super::metrics::Metrics;
use super::resolver::Resolver;
use super::trust::Published;

pub(crate) struct Serving {
    /// By which the API server calls.
    names: Vec<String>,
    /// How long what trusts a leaf is seen before the leaf replaces a good one.
    settle: Duration,
    resolver: Resolver,
    readiness: Readiness,
    metrics: Metrics,
    leaf: Option<Leaf>,
    /// There while this replica is not ready on account of its certificate.
    pending: Option<Part>,
    remark: Remark,
}

/// What is wrong although this replica is ready. Clones share one text.
#[derive(Clone, Default)]
pub(crate) struct Remark(Arc<ArcSwapOption<String>>);

impl Remark {
    pub(crate) fn text(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }

    fn note(&self, text: Option<String>) {
        self.0.store(text.map(Arc::new));
    }
}

/// Longer than a kubelet and a cluster take to notice that a replica is not ready.
const LONGEST_MARGIN: Duration = Duration::from_mins(1);

struct Leaf {
    certificate: Arc<CertifiedKey>,
    until: SystemTime,
    /// For how long before that this replica is not ready.
    margin: Duration,
    /// Whether every entry trusted it when the API was last read.
    is_trusted: bool,
}

impl Serving {
    pub(crate) fn new(
        names: Vec<String>,
        settle: Duration,
        resolver: Resolver,
        (readiness, remark): (&Readiness, &Remark),
        metrics: Metrics,
    ) -> Self {
        Self {
            names,
            settle,
            resolver,
            remark: remark.clone(),
            readiness: readiness.clone(),
            metrics,
            leaf: None,
            pending: Some(readiness.part("the certificate to be made and published")),
        }
    }

    /// Notes whether what is served is still trusted.
    pub(crate) fn look(&mut self, published: &Published, now: SystemTime) {
        if let Some(leaf) = &mut self.leaf {
            leaf.is_trusted = verify(&self.names, published, &leaf.certificate, now).is_ok();
            self.metrics.trusted(leaf.is_trusted);
        }
    }

    /// Serves this leaf if every entry trusts it, and has for long enough: `seen` says since when every entry was seen
    /// to hold the bundle that does. API servers learn of a bundle one after the other. Tells whether it is newly served.
    pub(crate) fn offer(
        &mut self,
        published: &Published,
        certificate: Arc<CertifiedKey>,
        until: SystemTime,
        seen: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<bool, rustls::Error> {
        verify(&self.names, published, &certificate, now)?;
        let is_settled = seen.is_some_and(|since| now >= since + self.settle);
        if let Some(leaf) = &self.leaf {
            let is_same = leaf.certificate.cert == certificate.cert;
            let is_good = leaf.is_trusted && now + self.settle < leaf.until;
            if is_same || (is_good && !is_settled) {
                return Ok(false);
            }
        }
        let left = until.duration_since(now).unwrap_or_default();
        self.resolver.serve(Arc::clone(&certificate));
        self.metrics.leaf_expires(until);
        self.metrics.trusted(true);
        self.leaf = Some(Leaf {
            certificate,
            until,
            margin: LONGEST_MARGIN.min(left / 6),
            is_trusted: true,
        });
        tracing::info!(event = "certificate_served", name = self.names.first());
        Ok(true)
    }

    /// Says what is missing, and what failed last.
    pub(crate) fn judge(&mut self, failure: Option<&dyn Error>, now: SystemTime) {
        let trouble = match &self.leaf {
            None => "the certificate to be made and published",
            Some(leaf) if leaf.until <= now => {
                "a new certificate: the one that is served has expired"
            }
            Some(leaf) if leaf.until <= now + leaf.margin => {
                "a new certificate: the one that is served ends in a moment"
            }
            Some(leaf) if !leaf.is_trusted => {
                "the caBundle to trust the certificate that is served"
            }
            Some(leaf) => {
                self.pending = None;
                self.remark.note(failure.map(|failure| {
                    let left = leaf.until.duration_since(now).unwrap_or_default();
                    let failure = error::chain(failure);
                    format!(
                        "the certificate is good for {} s, but: {failure}",
                        left.as_secs()
                    )
                }));
                return;
            }
        };
        self.remark.note(None);
        let text = match failure {
            Some(failure) => format!("{trouble}: {}", error::chain(failure)),
            None => trouble.to_owned(),
        };
        match &self.pending {
            Some(part) => part.waits_for(text),
            None => self.pending = Some(self.readiness.part(text)),
        }
    }
}

/// Whether whoever reads `published` accepts `certificate` by each of `names`, now.
fn verify(
    names: &[String],
    published: &Published,
    certificate: &CertifiedKey,
    now: SystemTime,
) -> Result<(), rustls::Error> {
    for bundle in published.bundles() {
        for name in names {
            kept::verify(bundle, certificate, name, now)?;
        }
    }
    Ok(())
}
