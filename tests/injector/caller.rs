//! What an API server is to a webhook: an HTTPS client that trusts one `caBundle`, wants one name, and keeps its
//! connection. Blocking, on the standard library's sockets, so that it shares no code with the server under test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::pki;
use rustls::client::WantsClientCert;
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

pub(crate) struct Caller {
    address: String,
    name: String,
    config: Arc<ClientConfig>,
}

/// One connection; several requests.
pub(crate) struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    name: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Caller {
    /// `bundle` is PEM; `name` is what the certificate has to be for.
    pub(crate) fn new(address: &str, bundle: &[u8], name: &str) -> anyhow::Result<Self> {
        Self::with_versions(address, bundle, name, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn with_versions(
        address: &str,
        bundle: &[u8],
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> anyhow::Result<Self> {
        let config = trusting(bundle, versions)?.with_no_client_auth();
        Ok(Self::over(address, name, config))
    }

    /// One with a certificate of its own.
    pub(crate) fn presenting(
        address: &str,
        bundle: &[u8],
        name: &str,
        leaf: &pki::Leaf,
    ) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes())?;
        let config = trusting(bundle, rustls::DEFAULT_VERSIONS)?;
        let config = config.with_client_auth_cert(chain, key)?;
        Ok(Self::over(address, name, config))
    }

    fn over(address: &str, name: &str, mut config: ClientConfig) -> Self {
        // As Go's client offers it.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            address: address.to_owned(),
            name: name.to_owned(),
            config: Arc::new(config),
        }
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        let mut socket = TcpStream::connect(&self.address).context("connect")?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(self.name.clone())?;
        let mut session = ClientConnection::new(Arc::clone(&self.config), name)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).context("handshake")?;
        }
        anyhow::ensure!(session.alpn_protocol() == Some(b"http/1.1"), "not HTTP/1.1");
        Ok(Connection {
            stream: BufReader::new(StreamOwned::new(session, socket)),
            name: self.name.clone(),
        })
    }

    /// Posts a review on a connection of its own, with the headers of a real API server.
    pub(crate) fn review(&self, review: &[u8]) -> anyhow::Result<Answer> {
        self.connect()?.review(review)
    }
}

fn trusting(
    bundle: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle) {
        roots.add(authority?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_root_certificates(roots))
}

impl Connection {
    pub(crate) fn review(&mut self, review: &[u8]) -> anyhow::Result<Answer> {
        self.send(
            "POST",
            "/mutate?timeout=5s",
            Some("application/json"),
            review,
        )
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let kind = content_type.map_or(String::new(), |kind| format!("Content-Type: {kind}\r\n"));
        let head = format!(
            "Host: {}\r\nUser-Agent: kube-apiserver-admission\r\nAccept: application/json, */*\r\n{kind}\
             Content-Length: {}\r\n",
            self.name,
            body.len()
        );
        self.start(&format!("{method} {path} HTTP/1.1\r\n{head}\r\n"), body)?;
        self.finish()
    }

    /// Writes raw bytes; the answer is read by [`Connection::finish`].
    pub(crate) fn start(&mut self, head: &str, body: &[u8]) -> anyhow::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes()).context("send head")?;
        stream.write_all(body).context("send body")?;
        stream.flush().context("send")
    }

    pub(crate) fn finish(&mut self) -> anyhow::Result<Answer> {
        let status = self.line().context("read status")?;
        let status = status.split(' ').nth(1).context("no status")?.parse()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .context("no length")?
            .parse()?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).context("read body")?;
        answer.body = String::from_utf8(body)?;
        Ok(answer)
    }

    /// Whether the server has closed; blocks until it does or says something.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.stream.read_line(&mut line)? > 0, "closed");
        Ok(line.trim_end().to_owned())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The `response` of a review.
    pub(crate) fn response(&self) -> anyhow::Result<Value> {
        anyhow::ensure!(self.status == 200, "{self:?}");
        let mut review: Value = serde_json::from_str(&self.body)?;
        anyhow::ensure!(
            review["apiVersion"] == "admission.k8s.io/v1" && review["kind"] == "AdmissionReview"
        );
        Ok(review["response"].take())
    }
}
