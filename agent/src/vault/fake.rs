//! A Vault for tests: a Unix socket behind which a closure answers. On a paused clock its answers take no time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keyside_config::model::Limits;
use keyside_config::model::vault::{Address, Vault};
use prometheus::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use super::client::Client;
use super::gate::Gate;
use super::gate::metrics::Metrics;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) wrap_ttl: Option<String>,
    pub(crate) body: Value,
}

/// What to answer: status, `Retry-After`, body.
pub(crate) struct Reply(pub(crate) u16, pub(crate) Option<u64>, pub(crate) Value);

type Answer = Box<dyn FnMut(&Asked) -> Reply + Send>;

pub(crate) struct Fake {
    address: PathBuf,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Answer>>,
    _folder: TempDir,
    _tasks: JoinSet<()>,
}

/// An answer with a token in it.
pub(crate) fn auth(token: &str, lease: u64, renewable: bool) -> Reply {
    let auth = json!({
        "client_token": token, "accessor": format!("accessor-of-{token}"), "token_policies": ["default"],
        "lease_duration": lease, "renewable": renewable, "token_type": "service", "orphan": true,
    });
    Reply(200, None, json!({ "auth": auth }))
}

pub(crate) fn error(status: u16, text: &str) -> Reply {
    Reply(status, None, json!({ "errors": [text] }))
}

impl Fake {
    pub(crate) fn start(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("vault.sock");
        let listener = UnixListener::bind(&address).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&asked), Arc::clone(&answer)));
        Self {
            address,
            asked,
            answer,
            _folder: folder,
            _tasks: tasks,
        }
    }

    pub(crate) fn client(&self) -> Client {
        let vault = Vault {
            address: Address::Unix(self.address.clone()),
            timeout: Duration::from_secs(10),
            ..Vault::default()
        };
        let gate = Gate::new(&Limits::default(), Metrics::new(&Registry::new()).unwrap());
        Client::new(&vault, gate).unwrap()
    }

    /// From now on.
    pub(crate) fn answers(&self, answer: impl FnMut(&Asked) -> Reply + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked()
            .iter()
            .filter(|asked| asked.path == path)
            .count()
    }
}

async fn serve(listener: UnixListener, asked: Arc<Mutex<Vec<Asked>>>, answer: Arc<Mutex<Answer>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
        let service =
            service_fn(move |request| reply(request, Arc::clone(&asked), Arc::clone(&answer)));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move { drop(connection.await) });
    }
}

async fn reply(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Answer>>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let header = |name| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    let asked = Asked {
        at: Instant::now(),
        path: head.uri.path().to_owned(),
        token: header("x-vault-token"),
        namespace: header("x-vault-namespace"),
        wrap_ttl: header("x-vault-wrap-ttl"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    log.lock().unwrap().push(asked.clone());
    let Reply(status, after, body) = (answer.lock().unwrap())(&asked);
    let mut response = Response::builder().status(status);
    if let Some(after) = after {
        response = response.header("retry-after", after);
    }
    Ok(response.body(Full::from(body.to_string())).unwrap())
}
