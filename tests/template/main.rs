//! The engine against the real `bao agent`: both get the same templates and the same server's answers, and must render
//! the same bytes or both refuse.
//!
//! The templates are the files beside this one, a folder for each subject; [`DIFFERENCES`] has those that differ, each
//! with its reason, and fails when a difference goes away.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::openbao::{self, Server};
use keyside_harness::{poll, process, tools};
use keyside_template::{Answer, Dependency, Limits, Now, Options, Outcome, Sources, Template};
use serde_json::{Value, json};

/// Templates that the two render differently on purpose.
const DIFFERENCES: [(&str, &str); 5] = [
    (
        "functions/030",
        "a key of YAML that is no text, here a boolean, becomes its text; the peer cannot write it as JSON",
    ),
    (
        "functions/076",
        "classes of Unicode and quoted parts of regular expressions are refused: their tables are large",
    ),
    ("language/031", "there are no complex numbers"),
    ("sprig/100", "dates are written, not read"),
    (
        "sprig/101",
        "what is not base64 is an error; the peer puts the error's text where the secret was to be",
    ),
];

/// The real server's answers.
struct Bao<'a> {
    client: &'a openbao::Client,
    answers: RefCell<BTreeMap<Dependency, Vec<u8>>>,
}

impl Bao<'_> {
    fn get(&self, dependency: &Dependency) -> anyhow::Result<()> {
        let body = |data: &[(String, String)]| {
            let pairs = data
                .iter()
                .cloned()
                .map(|(key, value)| (key, Value::String(value)));
            Value::Object(pairs.collect())
        };
        let (method, path, body) = match dependency {
            Dependency::Read { path } => ("GET", path, None),
            Dependency::List { path } => ("LIST", path, None),
            Dependency::Write { path, data } | Dependency::Certificate { path, data } => {
                ("PUT", path, Some(body(data)))
            }
            Dependency::File { .. } => anyhow::bail!("no files here"),
        };
        let path = match (method, path.as_str()) {
            ("LIST", "secret") => "secret/metadata",
            (_, path) => path,
        };
        let response = self.client.request(method.parse()?, path, body.as_ref())?;
        anyhow::ensure!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        let answer = response.into_body().to_vec();
        self.answers.borrow_mut().insert(dependency.clone(), answer);
        Ok(())
    }

    fn render(&self, name: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        let template = Template::parse(name, text, Options::default())?;
        for _ in 0..10 {
            match template.render(self, Limits::default())? {
                Outcome::Rendered(output) => return Ok(output),
                Outcome::Missing(missing) => {
                    missing
                        .iter()
                        .try_for_each(|dependency| self.get(dependency))?;
                }
            }
        }
        anyhow::bail!("always something else is missing")
    }
}

impl Sources for Bao<'_> {
    fn fetch(&self, dependency: &Dependency) -> Option<Answer<'_>> {
        let answers = self.answers.borrow();
        answers.get(dependency).map(|answer| answer.clone().into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        environment()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    }

    fn now(&self) -> Now {
        Now {
            seconds: keyside_now(),
            nanoseconds: 0,
        }
    }
}

fn environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    [("FOO", "foo env"), ("EMPTY", "")].into_iter()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the peer reads the wall clock too"
)]
fn keyside_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok()
        .and_then(|now| i64::try_from(now.as_secs()).ok())
        .unwrap_or(0)
}

fn server() -> anyhow::Result<Server> {
    let server = Server::start(openbao::Options {
        tls: false,
        ..openbao::Options::default()
    })?;
    let root = server.root();
    root.write(
        "sys/mounts/kv1",
        &json!({ "type": "kv", "options": { "version": "1" } }),
    )?;
    root.write("sys/mounts/pki", &json!({ "type": "pki" }))?;
    root.write(
        "sys/mounts/secret",
        &json!({ "type": "kv", "options": { "version": "2" } }),
    )?;
    let data: Value = serde_json::from_str(include_str!("data.json"))?;
    // A new KV engine upgrades itself for a moment.
    poll::until("the KV engine", poll::LIMIT, || {
        root.write("secret/data/app/config", &json!({ "data": data }))
    })?;
    root.write(
        "kv1/db",
        &json!({ "username": "v-app-1", "password": "A1a-xyz", "ttl": "1h" }),
    )?;
    let ca = json!({ "common_name": "example.com", "ttl": "87600h" });
    root.write("pki/root/generate/internal", &ca)?;
    let role = json!({ "allow_any_name": true, "max_ttl": "72h", "ttl": "24h" });
    root.write("pki/roles/web", &role)?;
    Ok(server)
}

/// All templates, by folder and name.
fn templates() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let root = tools::root()?.join("tests/template");
    let mut found = Vec::new();
    for folder in root.read_dir()? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in folder.read_dir()? {
            let file = file?.path();
            let name = file.strip_prefix(&root)?.with_extension("");
            found.push((name.display().to_string(), file));
        }
    }
    found.sort();
    Ok(found)
}

/// What the peer renders, or nothing where it refuses. It panics over a template that failed before once an answer
/// arrives, so it is started again for those that it has not come to.
fn peer(
    server: &Server,
    all: &[(String, PathBuf)],
) -> anyhow::Result<BTreeMap<String, Option<Vec<u8>>>> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("token"), server.root().token())?;
    let mut judged = BTreeMap::new();
    let mut first = 0;
    while judged.len() < all.len() {
        let mut pending: Vec<_> = all
            .iter()
            .filter(|(name, _)| !judged.contains_key(name))
            .collect();
        // The last one may be what the peer died of, so that another is first each time.
        first += 1;
        let turn = first % pending.len();
        pending.rotate_left(turn);
        let before = judged.len();
        run(server, folder.path(), &pending, &mut judged)?;
        anyhow::ensure!(
            judged.len() > before || first < 50,
            "the peer judges no more than {before}"
        );
    }
    Ok(judged)
}

fn run(
    server: &Server,
    folder: &Path,
    pending: &[&(String, PathBuf)],
    judged: &mut BTreeMap<String, Option<Vec<u8>>>,
) -> anyhow::Result<()> {
    let output = |name: &str| folder.join(name.replace('/', "-"));
    let stanzas: Vec<_> = pending
        .iter()
        .map(|(name, file)| {
            json!({ "source": file, "destination": output(name), "error_fatal": false })
        })
        .collect();
    let config = json!({
        "vault": { "address": server.address() },
        "auto_auth": {
            "method": { "type": "token_file", "config": { "token_file_path": folder.join("token") } },
            "sink": [{ "type": "file", "config": { "path": folder.join("sink") } }],
        },
        // Without a listener the agent wants to end after the first login.
        "listener": [{ "tcp": { "address": "127.0.0.1:0", "tls_disable": true } }],
        "template": stanzas,
    });
    let file = folder.join("agent.json");
    std::fs::write(&file, config.to_string())?;
    let mut command = Command::new(tools::bao()?);
    command.env_clear().env("HOME", folder).envs(environment());
    command
        .arg("agent")
        .arg(format!("-config={}", file.display()));
    let mut child = process::Child::spawn("bao agent", command)?;
    let mut seen = BTreeSet::new();
    poll::until("a verdict on every template", poll::LIMIT, || {
        let lines = child.lines();
        for (name, file) in pending {
            let file = format!("{}: ", file.display());
            if output(name).exists()
                || lines
                    .iter()
                    .any(|line| line.contains("[ERROR]") && line.contains(&file))
            {
                seen.insert(name.clone());
            }
        }
        let died = lines.iter().any(|line| line.starts_with("goroutine "));
        if died || seen.len() == pending.len() {
            Ok(())
        } else {
            Err(format!("{} of {}", seen.len(), pending.len()))
        }
    })?;
    child.kill();
    for name in seen {
        let path = output(&name);
        let rendered = path.exists().then(|| std::fs::read(&path)).transpose()?;
        judged.insert(name, rendered);
    }
    Ok(())
}

#[test]
fn renders_what_the_peer_renders() {
    let server = server().expect("a real OpenBao");
    let all = templates().expect("the templates");
    let theirs = peer(&server, &all).expect("the peer's results");
    let ours = Bao {
        client: server.root(),
        answers: RefCell::default(),
    };
    let mut surprises = Vec::new();
    for (name, file) in &all {
        let text = std::fs::read_to_string(file).context("a template").unwrap();
        let ours = ours.render(name, &text);
        let theirs = theirs.get(name).and_then(Option::as_deref);
        let same = ours.as_deref().ok() == theirs;
        let difference = DIFFERENCES.iter().find(|(known, _)| known == name);
        if same == difference.is_some() {
            let shown = |bytes: Option<&[u8]>| {
                bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            surprises.push(format!(
                "{name}: {text}  peer: {:?}\n  ours: {:?}",
                shown(theirs),
                ours.as_deref()
                    .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            ));
        }
    }
    let count = surprises.len();
    assert!(
        surprises.is_empty(),
        "{count} of {}:\n{}",
        all.len(),
        surprises.join("\n")
    );
}
