//! A fake Kubernetes API server, in process, with as much of the API as the injector may use: Secrets, and webhook
//! configurations. All else is forbidden, as the injector's RBAC has it, and recorded like the rest.
//!
//! Invariant: an object's resource version changes with every write, and a write that names an older one conflicts.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks a member reads as null"
)]

mod access;
mod fault;
mod later;
mod store;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use self::access::Access;
pub use self::fault::Fault;
use self::later::Later;
use self::store::{Failure, Form, Store};
use crate::background;
use crate::tap::Recorded;

/// The bearer token in the kubeconfig file.
pub const TOKEN: &str = "a-service-account-token";

/// The webhook configurations' path.
pub const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// How many requests are remembered.
const KEPT: usize = 20_000;

/// How long a watch lasts that does not say it itself.
const WATCH: Duration = Duration::from_mins(5);

pub struct ApiServer {
    shared: Arc<Shared>,
    address: String,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
    server: AbortHandle,
}

struct Shared {
    store: Mutex<Store>,
    /// How often the store was changed.
    changes: watch::Sender<u64>,
    recorded: Mutex<Vec<Recorded>>,
    accesses: Mutex<BTreeSet<Access>>,
    faults: Mutex<Vec<Fault>>,
}

impl ApiServer {
    /// Starts an empty one, and writes a kubeconfig file for it.
    ///
    /// # Errors
    /// When no port can be bound or no file be written.
    pub fn start() -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            changes: watch::Sender::new(0),
            recorded: Mutex::default(),
            accesses: Mutex::default(),
            faults: Mutex::default(),
        });
        let listener = background::block_on(TcpListener::bind("127.0.0.1:0"))??;
        let address = format!("http://{}", listener.local_addr()?);
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig.yaml");
        std::fs::write(
            &kubeconfig,
            serde_yaml::to_string(&configuration(&address, TOKEN))?,
        )?;
        let server = background::spawn(accept(listener, Arc::clone(&shared)))?.abort_handle();
        Ok(Self {
            shared,
            address,
            kubeconfig,
            folder,
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

    /// A kubeconfig file by which a client is told from others, for [`Fault::for_account`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig_of(&self, account: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(format!("{account}.yaml"));
        let text = serde_yaml::to_string(&configuration(&self.address, account))?;
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Makes or replaces an object by the test's own hand; gives it as stored.
    #[must_use = "the stored object has the resource version"]
    pub fn put(&self, path: &str, object: Value) -> Value {
        let stored = lock(&self.shared.store).put(path, object);
        self.shared.changed();
        stored
    }

    /// The object at this path.
    #[must_use]
    pub fn object(&self, path: &str) -> Option<Value> {
        lock(&self.shared.store).read(path).ok()
    }

    /// The objects below this path.
    #[must_use]
    pub fn objects(&self, folder: &str) -> Vec<Value> {
        lock(&self.shared.store).below(folder)
    }

    /// Removes an object by the test's own hand.
    pub fn delete(&self, path: &str) {
        lock(&self.shared.store).delete(path);
        self.shared.changed();
    }

    /// Every request so far, in order of arrival; of very many the newest.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.recorded).clone()
    }

    /// The rights that the requests so far made use of.
    #[must_use]
    pub fn accesses(&self) -> BTreeSet<Access> {
        lock(&self.shared.accesses).clone()
    }

    /// From now on, until [`ApiServer::heal`], requests with this method and this part in their path fail.
    pub fn fail(&self, method: Method, part: &str, status: StatusCode) {
        self.disturb(Fault::status(status).to(method).of(part));
    }

    /// From now on, until [`ApiServer::heal`], some requests go wrong.
    pub fn disturb(&self, mut fault: Fault) {
        if let fault::Answer::Stale(snapshot) = &mut fault.answer {
            *snapshot = Some(lock(&self.shared.store).clone());
        }
        lock(&self.shared.faults).push(fault);
    }

    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
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

/// The path of a pod.
#[must_use]
pub fn pod(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

/// The path below which a namespace's Events are.
#[must_use]
pub fn events(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/events")
}

/// The path of a Lease.
#[must_use]
pub fn lease(namespace: &str, name: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
}

/// The path of a webhook configuration.
#[must_use]
pub fn webhook(name: &str) -> String {
    format!("{WEBHOOKS}/{name}")
}

fn configuration(address: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "fake", "cluster": { "server": address } }],
        "users": [{ "name": "injector", "user": { "token": token } }],
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

/// An error ends the connection without an answer.
async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> anyhow::Result<Response<Later>> {
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
    let access = access::read(&recorded.method, &recorded.path);
    lock(&shared.accesses).extend(access.clone());
    shared.record(&recorded);
    let failed = |failure: Failure| (failure.status, Later::now(failure.object()));
    let (status, body) = match shared.fault(&recorded) {
        Some(fault::Answer::Cut) => anyhow::bail!("cut on demand"),
        Some(fault::Answer::Status(status)) => failed(Failure {
            status,
            reason: "InternalError",
            message: "failed on demand".to_owned(),
        }),
        Some(fault::Answer::Object(status, object)) => (status, Later::now(object)),
        Some(fault::Answer::Stale(Some(snapshot))) => {
            let snapshot = Mutex::new(snapshot);
            let found = shared.handle(&recorded, access, &snapshot);
            found.unwrap_or_else(failed)
        }
        Some(fault::Answer::Stale(None)) | None => {
            let found = shared.handle(&recorded, access, &shared.store);
            found.unwrap_or_else(failed)
        }
    };
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(body)?)
}

impl Shared {
    /// The newest: a test that runs for long must not fill the memory.
    fn record(&self, request: &Recorded) {
        let mut recorded = lock(&self.recorded);
        if recorded.len() >= KEPT {
            recorded.drain(..KEPT / 2);
        }
        recorded.push(request.clone());
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn fault(&self, request: &Recorded) -> Option<fault::Answer> {
        let mut faults = lock(&self.faults);
        let mut hits = faults.iter_mut();
        hits.find_map(|fault| fault.hits(request).then(|| fault.answer.clone()))
    }

    fn handle(
        self: &Arc<Self>,
        request: &Recorded,
        access: Option<Access>,
        store: &Mutex<Store>,
    ) -> Result<(StatusCode, Later), Failure> {
        let (path, query) = request
            .path
            .split_once('?')
            .unwrap_or((request.path.as_str(), ""));
        let forbidden = || Failure {
            status: StatusCode::FORBIDDEN,
            reason: "Forbidden",
            message: format!("the injector may not {} {path}", request.method),
        };
        let access = access.filter(is_served).ok_or_else(forbidden)?;
        if access.verb == "watch" {
            let found = lock(store).list(&access);
            return Ok((StatusCode::OK, self.watch(access, query, &found)));
        }
        let mut store = lock(store);
        let found = match access.verb {
            "get" => (StatusCode::OK, store.read(path)?),
            "list" => {
                let accept = request.header("accept").unwrap_or_default();
                let page = store.page(&access, query, accept.contains("PartialObjectMetadata"));
                (StatusCode::OK, page)
            }
            "create" => (StatusCode::CREATED, store.create(path, read(request)?)?),
            "update" => (StatusCode::OK, store.replace(path, read(request)?)?),
            "patch" => {
                let kind = request.header("content-type").unwrap_or_default();
                let manager = access::parameter(query, "fieldManager");
                let form = Form::read(kind, manager)?;
                (StatusCode::OK, store.patch(path, form, read(request)?)?)
            }
            _ => return Err(forbidden()),
        };
        drop(store);
        if access.verb != "get" && access.verb != "list" {
            self.changed();
        }
        Ok((found.0, Later::now(found.1)))
    }

    /// Tells of the first change, and ends then or when its time is over.
    fn watch(self: &Arc<Self>, access: Access, query: &str, before: &Value) -> Later {
        let seconds = access::parameter(query, "timeoutSeconds").and_then(|text| text.parse().ok());
        let limit = seconds.map_or(WATCH, Duration::from_secs);
        let since = access::parameter(query, "resourceVersion");
        let is_known = before["items"].as_array().is_some_and(|items| {
            items
                .iter()
                .all(|item| item["metadata"]["resourceVersion"].as_str() == since.as_deref())
        });
        let (shared, before) = (Arc::clone(self), is_known.then(|| before["items"].clone()));
        Later::new(async move {
            let mut changes = shared.changes.subscribe();
            let change = async {
                loop {
                    let now = lock(&shared.store).list(&access);
                    if before.as_ref() != Some(&now["items"]) {
                        let object = now["items"].get(0).cloned().unwrap_or_default();
                        let event = json!({ "type": "MODIFIED", "object": object });
                        return Some(Bytes::from(format!("{event}\n")));
                    }
                    changes.changed().await.ok()?;
                }
            };
            tokio::time::timeout(limit, change).await.ok().flatten()
        })
    }
}

/// The resources that this server has.
fn is_served(access: &Access) -> bool {
    matches!(
        (access.group.as_str(), access.resource.as_str()),
        ("", "secrets" | "events" | "pods")
            | ("coordination.k8s.io", "leases")
            | (
                "admissionregistration.k8s.io",
                "mutatingwebhookconfigurations"
            )
    )
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
        assert_eq!(client.get("/api/v1/nodes").unwrap().status(), 403);
        assert!(
            server
                .requests()
                .iter()
                .any(|request| request.is(&Method::GET, "/api/v1/nodes"))
        );
    }
}
