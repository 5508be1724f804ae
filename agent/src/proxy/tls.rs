//! TLS of a listener.
//!
//! The handshake is made when the connection is first read, so that accepting never waits for a client; it has a time
//! limit of its own. HTTP/1.1 is all that is offered. No session is resumed: clients keep their connections, and a
//! certificate that they must have is asked for each time.
//!
//! Invariant: certificates are replaced as a whole, or not at all.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use keyside_config::model::listener::{Tls, TlsVersion};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::connection::Stream;
use crate::tls as files;
use crate::tls::provider::provider;

/// For the handshake. A client on the same host needs milliseconds.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why a listener has no TLS to offer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Files(files::Error),
    #[error("no version of TLS is left")]
    Versions(#[source] rustls::Error),
    #[error("the certificates of {} cannot be used to tell clients", path.display())]
    ClientCa {
        path: PathBuf,
        #[source]
        source: VerifierBuilderError,
    },
}

/// What one listener presents, and whose certificates it wants.
#[derive(Clone)]
pub(crate) struct Acceptor {
    current: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Acceptor {
    pub(crate) fn new(tls: &Tls) -> Result<Self, Error> {
        let current = Arc::new(Mutex::new(config(tls)?));
        Ok(Self { current })
    }

    /// Connections that are accepted from now on meet this.
    pub(crate) fn replace(&self, tls: &Tls) -> Result<(), Error> {
        let next = config(tls)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    pub(super) fn accept(&self, stream: Box<dyn Stream>) -> Box<dyn Stream> {
        let current = Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner));
        Box::new(Secured {
            state: State::Accepting(TlsAcceptor::from(current).accept(stream)),
            limit: Box::pin(tokio::time::sleep(HANDSHAKE)),
        })
    }
}

/// The files that a listener's TLS is read from.
pub(crate) fn fingerprint(tls: &Tls) -> files::Fingerprint {
    let paths = [&tls.certificate, &tls.key];
    files::fingerprint(paths.into_iter().chain(&tls.client_ca).cloned())
}

fn config(tls: &Tls) -> Result<Arc<ServerConfig>, Error> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls))
        .map_err(Error::Versions)?;
    let builder = match &tls.client_ca {
        Some(path) if tls.require_client_certificate => {
            let mut roots = RootCertStore::empty();
            files::trust_file(&mut roots, path).map_err(Error::Files)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let unusable = |source| Error::ClientCa {
                path: path.clone(),
                source,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(unusable)?)
        }
        _ => builder.with_no_client_auth(),
    };
    let (chain, key) = files::identity(&tls.certificate, &tls.key).map_err(Error::Files)?;
    let apart = |source| {
        Error::Files(files::Error::Identity {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            source,
        })
    };
    let mut config = builder.with_single_cert(chain, key).map_err(apart)?;
    config.alpn_protocols.push(HTTP_1_1.to_vec());
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn versions(tls: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
    let is_meant = |version: TlsVersion| {
        tls.min_version.is_none_or(|min| version >= min)
            && tls.max_version.is_none_or(|max| version <= max)
    };
    let meant = all.into_iter().filter(|(version, _)| is_meant(*version));
    meant.map(|(_, version)| version).collect()
}

type Session = TlsStream<Box<dyn Stream>>;

/// A connection that makes its handshake when it is first used.
struct Secured {
    state: State,
    limit: Pin<Box<Sleep>>,
}

enum State {
    Accepting(Accept<Box<dyn Stream>>),
    Open(Session),
}

impl Secured {
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut Session>>> {
        if let State::Accepting(accepting) = &mut self.state {
            match Pin::new(accepting).poll(context) {
                Poll::Ready(opened) => self.state = State::Open(opened?),
                Poll::Pending => {
                    ready!(self.limit.as_mut().poll(context));
                    let error = io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in 10 s");
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream))),
            State::Accepting(_) => Poll::Pending,
        }
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(context))?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(stream) => Pin::new(stream).poll_flush(context),
            // Nothing was written yet, and the handshake flushes its own.
            State::Accepting(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(context),
            // The socket closes when this is dropped; there is no session to take leave of.
            State::Accepting(_) => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use keyside_harness::pki::Pki;
    use tokio::io::AsyncReadExt as _;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_says_hello_is_left_after_ten_seconds() {
        let pki = Pki::new().unwrap();
        let leaf = pki.server("agent", &[]).unwrap();
        let acceptor = Acceptor::new(&Tls {
            certificate: leaf.certificate_path,
            key: leaf.key_path,
            min_version: None,
            max_version: None,
            require_client_certificate: false,
            client_ca: None,
        });
        let (_silent, stream) = tokio::io::duplex(1024);
        let started = Instant::now();
        let mut stream = acceptor.unwrap().accept(Box::new(stream));
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() < HANDSHAKE + Duration::from_secs(1));
    }
}
