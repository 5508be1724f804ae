//! A fake Kubernetes API server, in process, with as much of the API as the injector may use: Secrets, and webhook
//! configurations. All else is forbidden, as the injector's RBAC has it, and recorded like the rest.
//!
//! Invariant: an object's resource version changes with every write, and a write that names an older one conflicts.

mod store;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use self::store::{Failure, Store};
use crate::background;
use crate::tap::Recorded;

/// The bearer token in the kubeconfig file.
pub const TOKEN: &str = "a-service-account-token";

/// The webhook configurations' path.
pub const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

pub struct ApiServer {
    shared: Arc<Shared>,
    address: String,
    kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
    server: AbortHandle,
}

#[derive(Default)]
struct Shared {
    store: Mutex<Store>,
    recorded: Mutex<Vec<Recorded>>,
    fault: Mutex<Option<Fault>>,
}

struct Fault {
    method: Method,
    part: String,
    status: StatusCode,
}

impl ApiServer {
    /// Starts an empty one, and writes a kubeconfig file for it.
    ///
    /// # Errors
    /// When no port can be bound or no file be written.
    pub fn start() -> anyhow::Result<Self> {
        let shared = Arc::<Shared>::default();
        let listener = background::block_on(TcpListener::bind("127.0.0.1:0"))??;
        let address = format!("http://{}", listener.local_addr()?);
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig.yaml");
        std::fs::write(
            &kubeconfig,
            serde_yaml::to_string(&configuration(&address))?,
        )?;
        let server = background::spawn(accept(listener, Arc::clone(&shared)))?.abort_handle();
        Ok(Self {
            shared,
            address,
            kubeconfig,
            _folder: folder,
            server,
        })
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Makes or replaces an object by the test's own hand; gives it as stored.
    #[must_use = "the stored object has the resource version"]
    pub fn put(&self, path: &str, object: Value) -> Value {
        lock(&self.shared.store).put(path, object)
    }

    /// The object at this path.
    #[must_use]
    pub fn object(&self, path: &str) -> Option<Value> {
        lock(&self.shared.store).read(path).ok()
    }

    /// Removes an object by the test's own hand.
    pub fn delete(&self, path: &str) {
        lock(&self.shared.store).delete(path);
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.recorded).clone()
    }

    /// From now on, until [`ApiServer::heal`], requests with this method and this part in their path fail.
    pub fn fail(&self, method: Method, part: &str, status: StatusCode) {
        *lock(&self.shared.fault) = Some(Fault {
            method,
            part: part.to_owned(),
            status,
        });
    }

    pub fn heal(&self) {
        *lock(&self.shared.fault) = None;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The path of a Secret.
#[must_use]
pub fn secret(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}

/// The path of a webhook configuration.
#[must_use]
pub fn webhook(name: &str) -> String {
    format!("{WEBHOOKS}/{name}")
}

fn configuration(address: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "fake", "cluster": { "server": address } }],
        "users": [{ "name": "injector", "user": { "token": TOKEN } }],
        "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "injector" } }],
        "current-context": "fake",
    })
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Cancel-safe: a connection is either accepted or still in the queue.
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            // Cancel-safe: a task that ended stays in the set until it is taken.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    // A client may go whenever it likes.
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let recorded = Recorded {
        method: head.method,
        path: head
            .uri
            .path_and_query()
            .context("a request without a path")?
            .as_str()
            .to_owned(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
        connection: 0,
    };
    lock(&shared.recorded).push(recorded.clone());
    let (status, body) = shared
        .handle(&recorded)
        .unwrap_or_else(|failure| (failure.status, failure.object()));
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::from(body.to_string()))?)
}

impl Shared {
    fn handle(&self, request: &Recorded) -> Result<(StatusCode, Value), Failure> {
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(fault) = &*lock(&self.fault)
            && fault.method == request.method
            && path.contains(&fault.part)
        {
            return Err(Failure {
                status: fault.status,
                reason: "InternalError",
                message: "failed on demand".to_owned(),
            });
        }
        let mut store = lock(&self.store);
        match (&request.method, kind(path)) {
            (&Method::GET, Kind::Secret | Kind::Webhook) => Ok((StatusCode::OK, store.read(path)?)),
            (&Method::POST, Kind::Secrets) => {
                Ok((StatusCode::CREATED, store.create(path, read(request)?)?))
            }
            (&Method::PUT, Kind::Secret) => {
                Ok((StatusCode::OK, store.replace(path, read(request)?)?))
            }
            (&Method::PATCH, Kind::Webhook) => {
                let form = request.header("content-type").unwrap_or_default();
                Ok((StatusCode::OK, store.patch(path, form, read(request)?)?))
            }
            (method, _) => Err(Failure {
                status: StatusCode::FORBIDDEN,
                reason: "Forbidden",
                message: format!("the injector may not {method} {path}"),
            }),
        }
    }
}

enum Kind {
    Secrets,
    Secret,
    Webhook,
    Other,
}

fn kind(path: &str) -> Kind {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", "v1", "namespaces", _, "secrets"] => Kind::Secrets,
        ["api", "v1", "namespaces", _, "secrets", _] => Kind::Secret,
        [
            "apis",
            "admissionregistration.k8s.io",
            "v1",
            "mutatingwebhookconfigurations",
            _,
        ] => Kind::Webhook,
        _ => Kind::Other,
    }
}

fn read(request: &Recorded) -> Result<Value, Failure> {
    serde_json::from_slice(&request.body).map_err(|error| Failure {
        status: StatusCode::BAD_REQUEST,
        reason: "BadRequest",
        message: error.to_string(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web;

    #[test]
    fn an_old_resource_version_conflicts() {
        let server = ApiServer::start().unwrap();
        let client = web::Client::new(server.address(), None).unwrap();
        let path = secret("keyside", "certificate");
        let named = json!({ "metadata": { "name": "certificate" }, "data": { "a": "1" } });
        let (folder, _) = path.rsplit_once('/').unwrap();
        let first = client.post(folder, &named).unwrap();
        assert_eq!(first.status(), 201);
        assert_eq!(client.post(folder, &named).unwrap().status(), 409);

        let first = web::json(&first).unwrap();
        let put = |body| {
            client
                .send(web::request(Method::PUT, &path, Some(body)).unwrap())
                .unwrap()
                .status()
        };
        assert_eq!(put(&first), 200);
        assert_eq!(put(&first), 409);
    }

    #[test]
    fn a_failing_test_operation_changes_nothing() {
        let server = ApiServer::start().unwrap();
        let client = web::Client::new(server.address(), None).unwrap();
        let path = webhook("keyside");
        let stored = server.put(
            &path,
            json!({ "metadata": {}, "webhooks": [{ "clientConfig": {} }] }),
        );
        let send = |version: &Value| {
            let change = json!([
                { "op": "test", "path": "/metadata/resourceVersion", "value": version },
                { "op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "Yg==" },
            ]);
            let mut request = web::request(Method::PATCH, &path, Some(&change)).unwrap();
            let form = header::HeaderValue::from_static("application/json-patch+json");
            request.headers_mut().insert(header::CONTENT_TYPE, form);
            client.send(request).unwrap().status()
        };
        let version = stored.pointer("/metadata/resourceVersion").unwrap();
        assert_eq!(send(&json!("0")), 422);
        assert_eq!(server.object(&path), Some(stored.clone()));
        assert_eq!(send(version), 200);
        assert_eq!(send(version), 422);
        assert_eq!(
            server
                .object(&path)
                .unwrap()
                .pointer("/webhooks/0/clientConfig/caBundle"),
            Some(&json!("Yg=="))
        );
    }

    #[test]
    fn what_the_injector_may_not_do_is_forbidden_and_recorded() {
        let server = ApiServer::start().unwrap();
        let client = web::Client::new(server.address(), None).unwrap();
        assert_eq!(client.get("/api/v1/pods").unwrap().status(), 403);
        assert!(
            server
                .requests()
                .iter()
                .any(|request| request.is(&Method::GET, "/api/v1/pods"))
        );
    }
}
