//! What an admission costs: the decision by itself, the answer over HTTPS, and the process that gives it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyside_harness::{kube, poll, process, tools, web};
use rustix::thread::nanosleep;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::place::{On, pinned};
use super::proc;
use super::report::{Row, Unit};
use crate::release;

const NAME: &str = "keyside-injector";
const NAMESPACE: &str = "keyside";
const HOST: &str = "keyside-injector.keyside.svc";

const RUNS: usize = 11;
const QUICK_RUNS: usize = 2;
/// In one run of the decision by itself.
const REVIEWS: u32 = 20_000;
const QUICK_REVIEWS: u32 = 500;
/// For one run over HTTPS.
const WINDOW: Duration = Duration::from_secs(6);
const QUICK_WINDOW: Duration = Duration::from_millis(400);
/// How many API servers keep connections, and how often each of them asks: five hundred times a second together.
const CONNECTIONS: u32 = 10;
const PACE: Duration = Duration::from_millis(20);

/// Which the chart sets, and which is no setting of the injector's own.
const TUNING: &str = "GLIBC_TUNABLES";
const MANIFEST: &str = "manifests/keyside.yaml";

/// The programs, as they are released, and how the C library is tuned where they are installed.
pub(super) struct Programs {
    injector: PathBuf,
    decisions: PathBuf,
    tuning: String,
}

impl Programs {
    pub(super) fn build() -> anyhow::Result<Self> {
        Ok(Self {
            injector: release::build(NAME)?.path,
            decisions: release::build("keyside-admission")?.path,
            tuning: tuning()?,
        })
    }

    /// Of a processor, for one decision.
    fn nanoseconds(&self, review: &Path, reviews: u32) -> anyhow::Result<f64> {
        let mut command = Command::new(&self.decisions);
        command.env_clear().env(TUNING, &self.tuning);
        command.arg(review).arg(reviews.to_string());
        let output = pinned(On::First, || command.output())??;
        let error = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{error}");
        Ok(std::str::from_utf8(&output.stdout)?.trim().parse()?)
    }
}

pub(super) fn rows(programs: &Programs, quick: bool) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("review.json");
    let review = review().to_string();
    std::fs::write(&file, &review)?;
    let (runs, reviews, window) = if quick {
        (QUICK_RUNS, QUICK_REVIEWS, QUICK_WINDOW)
    } else {
        (RUNS, REVIEWS, WINDOW)
    };

    let mut decided = Vec::new();
    for _ in 0..runs {
        decided.push(1e9 / programs.nanoseconds(&file, reviews)?);
    }

    let cluster = Cluster::new()?;
    // Whoever comes first makes the Secret; those who are measured find it.
    let mut first = cluster.injector(programs)?;
    first.child.terminate()?;
    let (mut starts, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let start = Instant::now();
        let injector = cluster.injector(programs)?;
        starts.push(start.elapsed().as_secs_f64() * 1e3);
        idle.push(megabytes(injector.child.id())?);
    }
    let injector = cluster.injector(programs)?;
    let caller = cluster.caller(&injector)?;
    let (mut p99, mut processor) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let before = proc::processor_time(injector.child.id())?;
        let latencies = pinned(On::Second, || caller.load(review.as_bytes(), window))??;
        let spent = proc::processor_time(injector.child.id())?.saturating_sub(before);
        let place = latencies.len() * 99 / 100;
        let slow = latencies.get(place).context("no answers")?;
        p99.push(slow.as_secs_f64() * 1e3);
        processor.push(spent.as_secs_f64() * 1e6 / count(&latencies));
    }
    let used = vec![megabytes(injector.child.id())?];
    Ok(vec![
        Row::alone(
            "admissions decided by one processor, pod of 5 KB",
            Unit::PerSecond,
            decided,
        )?
        .at_least(10_000.0),
        Row::alone(
            "99 of 100 admissions over HTTPS, 500 in a second, within",
            Unit::Milliseconds,
            p99,
        )?
        .at_most(2.0),
        Row::alone(
            "processor time for one of these",
            Unit::Microseconds,
            processor,
        )?,
        Row::alone(
            "injector: start to ready, with a certificate in its Secret",
            Unit::Milliseconds,
            starts,
        )?
        .at_most(300.0),
        Row::alone("injector: resident memory", Unit::Megabytes, idle)?.at_most(20.0),
        Row::alone("the same after these admissions", Unit::Megabytes, used)?.at_most(20.0),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "answers of a few seconds")]
fn count(latencies: &[Duration]) -> f64 {
    latencies.len() as f64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn megabytes(id: u32) -> anyhow::Result<f64> {
    Ok(proc::memory(id)?.resident as f64 / 1e6)
}

/// What the Deployment's container gets.
fn tuning() -> anyhow::Result<String> {
    let text = std::fs::read_to_string(tools::root()?.join(MANIFEST))?;
    for object in serde_yaml::Deserializer::from_str(&text) {
        let object = Value::deserialize(object)?;
        let environment = object.pointer("/spec/template/spec/containers/0/env");
        let mut variables = environment.and_then(Value::as_array).into_iter().flatten();
        let found = variables.find(|variable| variable.get("name") == Some(&TUNING.into()));
        if let Some(value) = found.and_then(|variable| variable.get("value")?.as_str()) {
            return Ok(value.to_owned());
        }
    }
    anyhow::bail!("no {TUNING} in {MANIFEST}")
}

/// What the injector finds.
struct Cluster {
    api: kube::ApiServer,
}

struct Injector {
    child: process::Child,
    webhook: String,
}

impl Cluster {
    fn new() -> anyhow::Result<Self> {
        let api = kube::ApiServer::start()?;
        drop(api.put(
            &kube::webhook(NAME),
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": NAME},
                "webhooks": [{
                    "name": "inject.keyside.dev",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"service": {"name": NAME, "namespace": NAMESPACE}},
                }],
            }),
        ));
        Ok(Self { api })
    }

    /// One that is ready.
    fn injector(&self, programs: &Programs) -> anyhow::Result<Injector> {
        let mut command = Command::new(&programs.injector);
        command.env_clear().env(TUNING, &programs.tuning);
        for (setting, value) in [
            ("LISTEN", "127.0.0.1:0"),
            ("HEALTH", "127.0.0.1:0"),
            ("NAMESPACE", NAMESPACE),
            ("VAULT_ADDRESS", "https://vault.example.com:8200"),
            ("LOG_FORMAT", "json"),
            ("DRAIN", "0s"),
        ] {
            command.env(format!("KEYSIDE_INJECTOR_{setting}"), value);
        }
        command.arg("--kubeconfig").arg(self.api.kubeconfig());
        let mut child = pinned(On::First, || process::Child::spawn(NAME, command))??;
        let webhook = child.listening("webhook")?;
        let health = web::Client::new(&child.listening("health")?, None)?;
        poll::until("readiness", poll::LIMIT, || match health.get("/readyz") {
            Ok(answer) if answer.status() == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        Ok(Injector { child, webhook })
    }

    fn caller(&self, injector: &Injector) -> anyhow::Result<Caller> {
        let configuration = self.api.object(&kube::webhook(NAME));
        let configuration = configuration.context("no configuration")?;
        let bundle = configuration.pointer("/webhooks/0/clientConfig/caBundle");
        let bundle = bundle.and_then(Value::as_str).context("no caBundle")?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&BASE64_STANDARD.decode(bundle)?) {
            roots.add(authority?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Caller {
            address: injector.webhook.clone(),
            config: Arc::new(config),
        })
    }
}

/// API servers, as far as a webhook knows them: each keeps a connection.
struct Caller {
    address: String,
    config: Arc<ClientConfig>,
}

impl Caller {
    /// How long each answer took, in ascending order.
    fn load(&self, review: &[u8], window: Duration) -> anyhow::Result<Vec<Duration>> {
        let start = Instant::now();
        let mut latencies = std::thread::scope(|scope| {
            let all: Vec<_> = (0..CONNECTIONS)
                .map(|number| {
                    let offset = PACE / CONNECTIONS * number;
                    scope.spawn(move || self.ask(review, start + offset, window))
                })
                .collect();
            let mut latencies = Vec::new();
            for one in all {
                latencies.extend(one.join().expect("no panic")?);
            }
            anyhow::Ok(latencies)
        })?;
        latencies.sort_unstable();
        Ok(latencies)
    }

    /// One question after the other, each at its time.
    fn ask(
        &self,
        review: &[u8],
        first: Instant,
        window: Duration,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut connection = self.connect()?;
        let head = format!(
            "POST /mutate HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            review.len()
        );
        let request = [head.as_bytes(), review].concat();
        let mut latencies = Vec::new();
        let mut next = first;
        while next < first + window {
            let wait = next.saturating_duration_since(Instant::now());
            // A signal would end it early, and this program has none to catch.
            drop(nanosleep(&wait.try_into()?));
            let start = Instant::now();
            connection.get_mut().write_all(&request)?;
            answer(&mut connection)?;
            latencies.push(start.elapsed());
            next += PACE;
        }
        Ok(latencies)
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        let socket = TcpStream::connect(&self.address)?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(HOST)?;
        let session = ClientConnection::new(Arc::clone(&self.config), name)?;
        Ok(BufReader::new(StreamOwned::new(session, socket)))
    }
}

type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// Reads one answer, which has to be a success.
fn answer(connection: &mut Connection) -> anyhow::Result<()> {
    let (mut line, mut length) = (String::new(), 0);
    connection.read_line(&mut line)?;
    anyhow::ensure!(line.contains(" 200 "), "answered {line:?}");
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok(())
}

/// What an API server sends for a pod of 5 KB, as a Deployment makes it.
fn review() -> Value {
    let container = |name: &str| {
        let variables = (0..12).map(|number| {
            json!({"name": format!("SETTING_{number}"), "value": format!("the value of {number} for {name}")})
        });
        json!({
            "name": name,
            "image": format!("registry.example.com/shop/{name}:1.17.3"),
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 8000 + name.len(), "protocol": "TCP"}],
            "env": variables.collect::<Vec<_>>(),
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": {"httpGet": {"path": "/livez", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10,
                "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10,
                "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "volumeMounts": [
                {"name": "data", "mountPath": "/var/lib/shop"},
                {"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
            ],
        })
    };
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "0e4f555e-30b3-408f-872f-31f3eabb43a5",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
            },
            "object": {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": {
                    "generateName": "shop-7d9c6b5f4-",
                    "namespace": "shop",
                    "labels": {"app.kubernetes.io/name": "shop", "pod-template-hash": "7d9c6b5f4"},
                    "annotations": {"keyside.dev/inject": "true", "keyside.dev/role": "shop"},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-7d9c6b5f4",
                        "uid": "5b1f8f0e-3c77-4d39-9a0e-0d3b5a2f6c11", "controller": true, "blockOwnerDeletion": true}],
                },
                "spec": {
                    "volumes": [
                        {"name": "data", "emptyDir": {}},
                        {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                            {"downwardAPI": {"items": [{"path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
                        ]}},
                    ],
                    "containers": [container("shop"), container("metrics")],
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 30,
                    "dnsPolicy": "ClusterFirst",
                    "serviceAccountName": "shop",
                    "serviceAccount": "shop",
                    "securityContext": {"runAsNonRoot": true, "fsGroup": 2000, "seccompProfile": {"type": "RuntimeDefault"}},
                    "schedulerName": "default-scheduler",
                    "tolerations": [
                        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                    ],
                    "priority": 0,
                    "enableServiceLinks": true,
                    "preemptionPolicy": "PreemptLowerPriority",
                },
                "status": {},
            },
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_as_large_as_the_table_says() {
        let pod = review().pointer("/request/object").unwrap().to_string();
        assert!((4_500..=5_500).contains(&pod.len()), "{}", pod.len());
    }
}
