//! One of the two: an agent with a tap of its own in front of the server that both share.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use keyside_harness::tap::{Action, Recorded, Tap};
use keyside_harness::{poll, process, tools, web};
use serde_json::{Value, json};

use super::case::{Case, Setting, Step};
use super::seen::{Answer, Names, Received, Seen};
use crate::world::{ROLE, World, keyside_agent};

/// Marks the requests of a case on their way to the server, so that the agents' own are told apart.
pub(super) const MARK: &str = "x-differs";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Peer,
    Keyside,
}

pub(super) struct Side {
    tap: Tap,
    _child: process::Child,
    clients: BTreeMap<Setting, web::Client>,
    token: String,
    root: String,
}

/// An agent's process that was started and may not be ready yet.
pub(super) struct Starting {
    tap: Tap,
    child: process::Child,
    folder: std::path::PathBuf,
    listeners: Vec<(Setting, String)>,
}

/// The configuration that settings share: one process serves the listeners of all of them.
pub(super) const SHARED: [Setting; 4] = [
    Setting::Attach,
    Setting::Demanding,
    Setting::MetricsOnly,
    Setting::Quitting,
];

impl Starting {
    pub(super) fn new(world: &World, who: Who, setting: Setting) -> anyhow::Result<Self> {
        let tap = Tap::in_front_of(&world.server)?;
        let folder = world.path(&format!("{who:?}-{setting:?}"));
        std::fs::create_dir(&folder)?;
        let settings = if setting == Setting::Attach {
            &SHARED[..]
        } else {
            std::slice::from_ref(&setting)
        };
        let listeners = settings
            .iter()
            .map(|setting| Ok((*setting, free_address()?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let config = configuration(world, &tap, &folder, setting, &listeners);
        let path = folder.join("config.json");
        std::fs::write(&path, config.to_string())?;
        let mut command = match who {
            Who::Peer => {
                let mut command = Command::new(tools::bao()?);
                command.env_clear().env("HOME", &folder).arg("agent");
                command
            }
            Who::Keyside => keyside_agent(),
        };
        command.arg(format!("-config={}", path.display()));
        let child = process::Child::spawn(&format!("{who:?} ({setting:?})"), command)?;
        Ok(Self {
            tap,
            child,
            folder,
            listeners,
        })
    }

    /// Waits until the token is in the sink and attached.
    pub(super) fn ready(self, root: &str) -> anyhow::Result<Side> {
        let path = self.folder.join("token");
        let name = self.child.name().to_owned();
        let token = poll::until(&format!("{name}: a token"), poll::LIMIT, || {
            std::fs::read_to_string(&path)
                .map_err(|error| error.to_string())
                .and_then(|text| if text.is_empty() { Err(text) } else { Ok(text) })
        })
        .with_context(|| self.child.lines().join("\n"))?;
        let mut clients = BTreeMap::new();
        for (setting, address) in &self.listeners {
            let client = web::Client::new(address, None)?;
            let path = if *setting == Setting::MetricsOnly {
                "/agent/v1/metrics"
            } else {
                "/v1/auth/token/lookup-self"
            };
            let asking = client.clone().with_header("x-vault-request", "true")?;
            let asking = if *setting == Setting::Plain {
                asking.with_token(root)?
            } else {
                asking
            };
            poll::until(&format!("{name}: {setting:?}"), poll::LIMIT, || {
                let status = asking.get(path)?.status();
                // The peer has no Prometheus form without `telemetry`, and is up all the same.
                anyhow::ensure!(status == 200 || status == 400, "{status}");
                anyhow::Ok(())
            })
            .with_context(|| self.child.lines().join("\n"))?;
            clients.insert(*setting, client);
        }
        Ok(Side {
            tap: self.tap,
            _child: self.child,
            clients,
            token,
            root: root.to_owned(),
        })
    }
}

/// A port that was free a moment ago: the peer does not tell which one it was given.
fn free_address() -> anyhow::Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// The same for both, but for folder, ports and the tap.
fn configuration(
    world: &World,
    tap: &Tap,
    folder: &Path,
    setting: Setting,
    listeners: &[(Setting, String)],
) -> Value {
    let listeners: Vec<_> = listeners
        .iter()
        .map(|(setting, address)| {
            let role = match setting {
                Setting::MetricsOnly => "metrics_only",
                _ => "default",
            };
            json!({
                "type": "tcp",
                "address": address,
                "tls_disable": true,
                "role": role,
                "require_request_header": *setting == Setting::Demanding,
                "agent_api": { "enable_quit": *setting == Setting::Quitting },
            })
        })
        .collect();
    let attach = match setting {
        Setting::Force => json!("force"),
        Setting::Plain => json!(false),
        _ => json!(true),
    };
    let mut config = json!({
        "vault": {
            "address": tap.address(),
            "ca_cert": tap.ca_path(),
            // The peer tries for a minute where the server fails; the page says so.
            "retry": { "num_retries": -1 },
        },
        "auto_auth": {
            "method": {
                "type": "kubernetes",
                "config": { "role": ROLE, "token_path": world.path("service-account-token") },
            },
            "sink": [{ "type": "file", "config": { "path": folder.join("token") } }],
        },
        "api_proxy": { "use_auto_auth_token": attach },
        "cache": {},
        "listener": listeners,
        // Unknown to the peer, which says nothing of it.
        "admin": { "socket": folder.join("admin.sock") },
    });
    if setting == Setting::Uncached
        && let Some(config) = config.as_object_mut()
    {
        config.remove("cache");
    }
    config
}

/// What was kept of a case's answers so far.
pub(super) struct Course<'s> {
    side: &'s Side,
    names: Names,
    kept: BTreeMap<&'static str, String>,
}

impl Side {
    pub(super) fn course(&self, case: &Case) -> Course<'_> {
        let played = case.played.clone();
        self.tap.clear();
        self.tap.rule(move |request| match &played {
            Some(action) if request.headers.contains_key(MARK) => action.clone(),
            _ => Action::Forward,
        });
        Course {
            side: self,
            names: Names::new([
                ("the agent's token", &*self.token),
                ("the root token", &*self.root),
            ]),
            kept: BTreeMap::from([("own", self.token.clone()), ("root", self.root.clone())]),
        }
    }
}

impl Course<'_> {
    /// One more `{name}` for the steps.
    pub(super) fn know(&mut self, name: &'static str, value: &str) {
        self.kept.insert(name, value.to_owned());
    }

    pub(super) fn start(&self, case: &Case, step: &Step) -> anyhow::Result<web::Pending> {
        let fill = |text: &str| {
            self.kept
                .iter()
                .fold(text.to_owned(), |text, (name, value)| {
                    text.replace(&format!("{{{name}}}"), value)
                })
        };
        let client = self.side.clients.get(&case.setting).context("a listener")?;
        let mut request = Request::builder()
            .method(step.method.clone())
            .uri(fill(&step.target))
            .header(MARK, "1");
        for (name, value) in &step.headers {
            request = request.header(name, fill(value));
        }
        let body = match std::str::from_utf8(&step.body) {
            Ok(text) => Bytes::from(fill(text)),
            Err(_binary) => step.body.clone(),
        };
        client.start(request.body(body)?)
    }

    /// What came back, and what the server was asked meanwhile.
    pub(super) fn finish(&mut self, step: &Step, answer: &Response<Bytes>) -> anyhow::Result<Seen> {
        for (name, pointer) in &step.keep {
            let value = web::json(answer)?;
            let value = value.pointer(pointer).and_then(Value::as_str);
            let value = value.with_context(|| format!("no {pointer} in {answer:?}"))?;
            self.kept.insert(name, value.to_owned());
        }
        let answer = Answer::read(answer, &mut self.names);
        let received = self.side.tap.requests();
        self.side.tap.clear();
        let address = self.side.tap.address();
        let received = received
            .iter()
            .filter(|request: &&Recorded| request.headers.contains_key(MARK))
            .map(|request| Received::read(request, &address, &self.names))
            .collect();
        Ok(Seen { answer, received })
    }
}
