//! A metadata service for tests: plain HTTP on loopback, behind which a closure answers.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) type Asked = Request<Bytes>;
/// Status and body.
pub(crate) type Reply = (u16, String);

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

pub(crate) struct Fake {
    /// `http://127.0.0.1:port`.
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&asked), Arc::new(answer)));
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    /// Method and path of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let lines = asked
            .iter()
            .map(|asked| format!("{} {}", asked.method(), asked.uri()));
        lines.collect()
    }
}

/// A header's text, empty where it is absent.
pub(crate) fn header<'a>(asked: &'a Asked, name: &str) -> &'a str {
    let value = asked.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

async fn serve(listener: TcpListener, log: Arc<Mutex<Vec<Asked>>>, answer: Arc<Answer>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
        let service =
            service_fn(move |request| reply(request, Arc::clone(&log), Arc::clone(&answer)));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move { drop(connection.await) });
    }
}

async fn reply(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Answer>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let asked = Request::from_parts(head, body.collect().await?.to_bytes());
    let (status, body) = answer(&asked);
    log.lock().unwrap().push(asked);
    let response = Response::builder().status(status);
    Ok(response.body(Full::from(body)).unwrap())
}
