//! Pods as the injector makes them, run: the agent's containers one after the other, over the pod's volumes.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use keyside_harness::{jwt, poll, process, web};
use keyside_injector::Admission;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{ROLE, World, keyside_agent, run};

const LOGIN: &str = "/v1/auth/kubernetes/login";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const REVOKE: &str = "/v1/auth/token/revoke-self";

/// Of the pod, in seconds; and for how much less of it a classic sidecar serves.
const GRACE: u64 = 5;
const LAST: u64 = 2;

/// A node with one pod: a folder for each of its volumes.
struct Node<'w> {
    world: &'w World,
    pod: Value,
}

impl<'w> Node<'w> {
    /// The pod that the injector makes of one with these annotations.
    fn new(world: &'w World, annotations: &Value) -> anyhow::Result<Self> {
        let mut all = json!({
            "keyside.dev/inject": "true",
            "keyside.dev/role": ROLE,
            "keyside.dev/ca": world.tap.ca(),
            // Without a port, for there are other tests on this machine.
            "keyside.dev/proxy-port": "none",
            "keyside.dev/log-format": "json",
        });
        for (key, value) in annotations.as_object().into_iter().flatten() {
            all[format!("keyside.dev/{key}")] = value.clone();
        }
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "cart", "namespace": "shop", "annotations": all },
            "spec": {
                "containers": [{ "name": "app", "image": "app" }],
                "terminationGracePeriodSeconds": GRACE,
            },
        });
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": { "group": "", "version": "v1", "kind": "Pod" },
                "resource": { "group": "", "version": "v1", "resource": "pods" },
                "namespace": "shop",
                "operation": "CREATE",
                "object": pod,
            },
        });
        let answer = Admission::new(&world.tap.address()).answer(review.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(&answer)?;
        let patch = answer["response"]["patch"].as_str();
        let patch = patch.with_context(|| format!("not injected: {answer}"))?;
        let patch: json_patch::Patch = serde_json::from_slice(&BASE64_STANDARD.decode(patch)?)?;
        json_patch::patch(&mut pod, &patch)?;
        let node = Self { world, pod };
        for volume in node.pod["spec"]["volumes"].as_array().context("volumes")? {
            let folder = node.volume(volume["name"].as_str().context("a name")?);
            std::fs::create_dir(&folder)?;
            for source in volume["projected"]["sources"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let token = world.issuer.token(&jwt::Claims::default())?;
                let file = source["serviceAccountToken"]["path"].as_str();
                std::fs::write(folder.join(file.context("a path")?), token)?;
            }
        }
        Ok(node)
    }

    /// The folder that is a volume.
    fn volume(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    fn container(&self, list: &str, name: &str) -> anyhow::Result<&Value> {
        let mut all = self.pod["spec"][list].as_array().into_iter().flatten();
        let found = all.find(|container| container["name"] == name);
        found.with_context(|| format!("no {name} in {}", self.pod["spec"][list]))
    }

    /// A process of a container: its own, or the one that a probe starts. Paths that are mounts become those folders.
    fn command(&self, container: &Value, arguments: &[Value]) -> anyhow::Result<Command> {
        let mut command = keyside_agent();
        for argument in arguments {
            command.arg(argument.as_str().context("an argument")?);
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let mut value = variable["value"].as_str().context("a value")?.to_owned();
            for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                let path = mount["mountPath"].as_str().context("a path")?;
                let folder = self.volume(mount["name"].as_str().context("a name")?);
                anyhow::ensure!(folder.is_dir(), "no volume for {mount}");
                for end in ['"', '/'] {
                    let there = format!("\"{}{end}", folder.display());
                    value = value.replace(&format!("\"{path}{end}"), &there);
                }
            }
            command.env(variable["name"].as_str().context("a name")?, value);
        }
        Ok(command)
    }

    fn start(&self, container: &Value) -> anyhow::Result<process::Child> {
        let arguments = container["args"].as_array().cloned().unwrap_or_default();
        process::Child::spawn("keyside-agent", self.command(container, &arguments)?)
    }

    /// As the kubelet does before it starts what comes after.
    fn probe(&self, container: &Value) -> anyhow::Result<()> {
        let probe = container["startupProbe"]["exec"]["command"].as_array();
        let arguments = probe.and_then(|probe| probe.get(1..)).context("a probe")?;
        poll::until("the startup probe", poll::LIMIT, || {
            let (status, said, complaint) = run(self.command(container, arguments)?)?;
            anyhow::ensure!(status == 0, "{said}{complaint}");
            anyhow::Ok(())
        })
    }

    fn token(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(
            self.volume("keyside").join("token"),
        )?)
    }

    fn token_lives(&self) -> anyhow::Result<bool> {
        let client = self.world.server.client(&self.token()?)?;
        Ok(client.look_up_self()?.is_some())
    }

    /// The application's way to the proxy.
    fn proxy(&self) -> web::Client {
        web::Client::unix(self.volume("keyside").join("agent.sock"))
    }

    fn logins(&self) -> usize {
        self.world.tap.count(&Method::POST, LOGIN)
    }
}

#[test]
fn a_classic_pod_logs_in_once_and_is_served_until_its_grace_period_is_nearly_over()
-> anyhow::Result<()> {
    let world = World::new()?;
    let node = Node::new(&world, &json!({ "sidecar": "classic" }))?;
    let mut init = node.start(node.container("initContainers", "keyside-agent-init")?)?;
    assert_eq!(init.wait(poll::LIMIT)?.code(), Some(0));
    let token = node.token()?;

    let container = node.container("containers", "keyside-agent")?;
    let mut sidecar = node.start(container)?;
    node.probe(container)?;
    let resumed = sidecar.wait_for_event("resumed")?;
    assert_eq!(resumed["verified"], true);
    let own = web::success(&node.proxy().get(LOOK_UP)?)?;
    assert!(own["data"]["policies"].is_array(), "{own}");
    assert_eq!((node.token()?, node.logins()), (token, 1));

    // All containers of the pod are told at the same time.
    let start = Instant::now();
    sidecar.signal(Signal::TERM)?;
    let delayed = sidecar.wait_for_event("shutdown_delayed")?;
    assert_eq!(delayed["seconds"], GRACE - LAST);
    let mut last = None;
    let status = poll::until("the end", poll::LIMIT, || {
        if let Ok(response) = node.proxy().get(LOOK_UP) {
            web::success(&response)?;
            last = Some(start.elapsed());
        }
        sidecar.status()?.context("it serves")
    })?;
    let took = start.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(
        last > Some(Duration::from_secs(GRACE - LAST - 1)),
        "served last after {last:?}"
    );
    let allowed = Duration::from_secs(GRACE - LAST)..Duration::from_secs(GRACE);
    assert!(allowed.contains(&took), "{took:?}");
    assert!(node.token_lives()?, "the token ended with the sidecar");
    assert_eq!(node.logins(), 1);
    Ok(())
}

#[test]
fn a_classic_sidecar_that_is_asked_twice_ends_at_once() -> anyhow::Result<()> {
    let world = World::new()?;
    // Without a token file there is no init container, and the sidecar logs in.
    let node = Node::new(&world, &json!({ "sidecar": "classic", "token": "false" }))?;
    assert_eq!(node.pod["spec"].get("initContainers"), None);
    let container = node.container("containers", "keyside-agent")?;
    let mut sidecar = node.start(container)?;
    node.probe(container)?;
    assert_eq!(node.logins(), 1);
    let start = Instant::now();
    sidecar.signal(Signal::TERM)?;
    sidecar.wait_for_event("shutdown_delayed")?;
    sidecar.signal(Signal::TERM)?;
    assert_eq!(sidecar.wait(poll::LIMIT)?.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(GRACE - LAST));
    Ok(())
}

#[test]
fn an_init_only_pod_has_its_token_when_the_init_container_has_ended() -> anyhow::Result<()> {
    let world = World::new()?;
    let node = Node::new(&world, &json!({ "sidecar": "init-only" }))?;
    let mut init = node.start(node.container("initContainers", "keyside-agent-init")?)?;
    assert_eq!(init.wait(poll::LIMIT)?.code(), Some(0));
    assert!(node.token_lives()?);
    assert_eq!(node.logins(), 1);
    let containers = node.pod["spec"]["containers"].as_array();
    assert_eq!(containers.map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn a_native_pod_takes_its_token_along_and_keeps_its_clients_within_bounds() -> anyhow::Result<()> {
    let world = World::new()?;
    let wanted = json!({
        "revoke-on-exit": "true",
        "client-rate-limit": "1:2",
        "start-timeout": "5m",
    });
    let node = Node::new(&world, &wanted)?;
    let container = node.container("initContainers", "keyside-agent")?;
    let mut agent = node.start(container)?;
    node.probe(container)?;
    poll::until("a client that asks too much", poll::LIMIT, || {
        let status = node.proxy().get(LOOK_UP)?.status();
        anyhow::ensure!(status == StatusCode::TOO_MANY_REQUESTS, "{status}");
        anyhow::Ok(())
    })?;
    assert!(node.token_lives()?);
    agent.signal(Signal::TERM)?;
    assert_eq!(agent.wait(poll::LIMIT)?.code(), Some(0));
    assert!(!node.token_lives()?, "the token lives");
    assert_eq!(world.tap.count(&Method::POST, REVOKE), 1);
    assert!(!node.volume("keyside-run").join("resume").exists());
    Ok(())
}

#[test]
fn a_pod_that_cannot_start_in_time_says_why() -> anyhow::Result<()> {
    let world = World::new()?;
    let wanted = json!({ "role": "absent", "start-timeout": "2s" });
    let node = Node::new(&world, &wanted)?;
    let container = node.container("initContainers", "keyside-agent")?;
    let mut agent = node.start(container)?;
    assert_eq!(agent.wait(poll::LIMIT)?.code(), Some(1));
    // The kubelet shows the end of the log then.
    assert_eq!(
        container["terminationMessagePolicy"],
        "FallbackToLogsOnError"
    );
    let lines = agent.lines();
    let last = lines.last().context("no line")?;
    for part in ["start_timeout", "the first login", "400 Bad Request"] {
        assert!(last.contains(part), "{last}");
    }
    Ok(())
}
