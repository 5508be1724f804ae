//! The certificate that TLS handshakes get, changed without touching a connection.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Clones share one certificate. Until there is one, handshakes are refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver(Arc<ArcSwapOption<CertifiedKey>>);

impl Resolver {
    pub(crate) fn serve(&self, certificate: Arc<CertifiedKey>) {
        self.0.store(Some(certificate));
    }
}

impl ResolvesServerCert for Resolver {
    /// Whatever name is asked for: a client that wants another one refuses by itself.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}
