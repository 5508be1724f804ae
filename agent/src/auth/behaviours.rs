//! What a server can do to the agent, each for an hour of virtual time, to logins, to renewals, to look-ups, and to all
//! at once: it is never asked more often than the ceiling allows, and the agent recovers when it does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use keyside_config::model::Limits;
use keyside_config::model::auto_auth::{self, AutoAuth, Login};
use keyside_config::model::vault::{Address, Vault};
use keyside_lifecycle::shutdown;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{self, Duration, Instant};

use super::Task;
use crate::token::Tokens;
use crate::vault::client::Client;
use crate::vault::gate::{self, Gate};

const LOGIN: &str = "/v1/auth/kubernetes/login";
const RENEW: &str = "/v1/auth/token/renew-self";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);
/// Backoff and the return from an outage both end within five minutes; a minute is for what follows.
const RECOVERY: Duration = Duration::from_mins(6);

/// What comes back on the wire.
#[derive(Clone)]
enum Wire {
    /// These bytes.
    Says(String),
    /// These bytes, one after each pause.
    Trickles(String, Duration),
    /// These bytes, and then nothing more.
    Stops(String),
    /// The connection ends without a byte.
    Closes,
}

struct Behaviour {
    name: &'static str,
    wire: Wire,
    /// For how long the agent may stay away after it.
    quiet: Duration,
}

fn http(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

fn json(status: u16, body: &str) -> Wire {
    Wire::Says(http(status, "content-type: application/json\r\n", body))
}

fn error(status: u16) -> Wire {
    json(status, r#"{"errors":["no"]}"#)
}

fn told(status: u16, after: &str) -> Wire {
    Wire::Says(http(status, &format!("retry-after: {after}\r\n"), "{}"))
}

/// What a login, a renewal and a look-up look at, with these members.
fn grant(lease: &str, renewable: &str) -> Wire {
    let body = format!(
        r#"{{"auth":{{"client_token":"s.new","accessor":"a","lease_duration":{lease},"renewable":{renewable}}},
            "data":{{"ttl":{lease},"renewable":{renewable},"expire_time":"2030-01-01T00:00:00Z"}}}}"#
    );
    json(200, &body)
}

fn good() -> Wire {
    grant("600", "true")
}

type Row = (&'static str, Wire);

fn leases() -> Vec<Row> {
    vec![
        ("a lease of 0", grant("0", "true")),
        ("a lease of 0, not renewable", grant("0", "false")),
        ("a lease of 1 s", grant("1", "true")),
        ("a lease of 1 s, not renewable", grant("1", "false")),
        ("a lease of 2 s", grant("2", "true")),
        ("a lease of 3 s, not renewable", grant("3", "false")),
        ("a lease shorter than the last", grant("5", "true")),
        ("a renewable lease that was none", grant("60", "\"yes\"")),
        ("a huge lease", grant("9223372036854775807", "true")),
        (
            "a lease beyond 64 bits",
            grant("99999999999999999999999", "true"),
        ),
        ("a negative lease", grant("-60", "true")),
        ("a lease with a fraction", grant("60.5", "true")),
        ("a lease in words", grant("\"1h\"", "true")),
        ("a lease of null", grant("null", "null")),
    ]
}

fn statuses() -> Vec<Row> {
    let html = "<html><body><h1>502 Bad Gateway</h1></body></html>";
    let page = |status| Wire::Says(http(status, "content-type: text/html\r\n", html));
    vec![
        ("400", error(400)),
        ("401", error(401)),
        ("403", error(403)),
        ("404", error(404)),
        ("405", error(405)),
        ("408", error(408)),
        ("412, behind on replication", error(412)),
        ("418", error(418)),
        ("429 without a word", error(429)),
        ("472, a disaster standby", error(472)),
        ("473, a performance standby", error(473)),
        ("500", error(500)),
        ("501, not initialised", error(501)),
        ("502 with a page", page(502)),
        ("503, sealed", error(503)),
        ("504", error(504)),
        ("599", error(599)),
        ("403 with a page", page(403)),
        ("200 with a page", page(200)),
    ]
}

fn bodies() -> Vec<Row> {
    let text = |body: &str| json(200, body);
    let Wire::Says(whole) = good() else {
        unreachable!("it says something")
    };
    let half = whole.split_at(whole.len() / 2).0.to_owned();
    let head = whole.split("\r\n\r\n").next().unwrap_or_default();
    vec![
        (
            "204",
            Wire::Says("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        ),
        (
            "301 to itself",
            Wire::Says(http(301, "location: /v1/auth/kubernetes/login\r\n", "")),
        ),
        (
            "307 to another host",
            Wire::Says(http(307, "location: https://192.0.2.1/\r\n", "")),
        ),
        ("an empty body", text("")),
        ("an empty object", text("{}")),
        ("null", text("null")),
        ("a list", text("[]")),
        (
            "half a text of JSON",
            text(r#"{"auth":{"client_token":"s.ne"#),
        ),
        ("auth of null", text(r#"{"auth":null,"data":null}"#)),
        (
            "a token that is no header",
            text(r#"{"auth":{"client_token":"a\nb","lease_duration":60}}"#),
        ),
        ("an endless answer", text(&"x".repeat(2 << 20))),
        ("no HTTP", Wire::Says("SSH-2.0-OpenSSH_9.6\r\n".to_owned())),
        (
            "a header without end",
            Wire::Says(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20))),
        ),
        ("a connection that closes", Wire::Closes),
        ("half an answer", Wire::Says(half.clone())),
        ("half an answer, and no more", Wire::Stops(half)),
        (
            "a head, and no more",
            Wire::Stops(format!("{head}\r\n\r\n")),
        ),
        ("nothing", Wire::Stops(String::new())),
        (
            "a slow body",
            Wire::Trickles(whole.clone(), Duration::from_millis(50)),
        ),
        (
            "a body slower than anybody waits",
            Wire::Trickles(whole, Duration::from_secs(1)),
        ),
    ]
}

fn behaviours() -> Vec<Behaviour> {
    let asking = [
        ("429, 7 s", told(429, "7"), 7),
        ("429, 0 s", told(429, "0"), 0),
        ("503, 20 s", told(503, "20"), 20),
        ("503, a day", told(503, "86400"), 3600),
        ("503, a date", told(503, "Wed, 21 Oct 2026 07:28:00 GMT"), 0),
        ("429, nonsense", told(429, "-5"), 0),
    ];
    let plain = [leases(), statuses(), bodies()]
        .into_iter()
        .flatten()
        .map(|(name, wire)| {
            // A request under way when all is well again takes a minute to fail.
            let held = matches!(wire, Wire::Trickles(_, pause) if pause >= Duration::from_secs(1));
            (name, wire, if held { 60 } else { 0 })
        });
    let all = plain.chain(asking).map(|(name, wire, quiet)| Behaviour {
        name,
        wire,
        quiet: Duration::from_secs(quiet),
    });
    all.collect()
}

/// A server that misbehaves at some paths until it is healed.
struct Server {
    at: Arc<Mutex<Vec<Instant>>>,
    ill: Arc<AtomicBool>,
    folder: TempDir,
    _tasks: JoinSet<()>,
}

impl Server {
    /// `at`: the one path at which it misbehaves; all where `None`.
    fn start(wire: &Wire, target: Option<&'static str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("vault.sock")).unwrap();
        let at = Arc::new(Mutex::new(Vec::new()));
        let ill = Arc::new(AtomicBool::new(true));
        let mut tasks = JoinSet::new();
        let (log, illness, wire) = (Arc::clone(&at), Arc::clone(&ill), wire.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, ill, wire) = (Arc::clone(&log), Arc::clone(&illness), wire.clone());
                connections.spawn(async move {
                    drop(converse(stream, &log, &ill, &wire, target).await);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            at,
            ill,
            folder,
            _tasks: tasks,
        }
    }

    fn asked(&self) -> Vec<Instant> {
        self.at.lock().unwrap().clone()
    }
}

/// Answers one request after the other, until an answer that ends the connection.
async fn converse(
    mut stream: UnixStream,
    log: &Mutex<Vec<Instant>>,
    ill: &AtomicBool,
    wire: &Wire,
    target: Option<&str>,
) -> std::io::Result<()> {
    loop {
        let path = read(&mut stream).await?;
        log.lock().unwrap().push(Instant::now());
        let aimed = target.is_none_or(|target| path == target);
        if !(aimed && ill.load(Ordering::Relaxed)) {
            let Wire::Says(text) = good() else {
                return Ok(());
            };
            stream.write_all(text.as_bytes()).await?;
            continue;
        }
        match wire {
            Wire::Says(text) => {
                stream.write_all(text.as_bytes()).await?;
                // What does not say how long it is ends with the connection.
                if !text.contains("content-length") || text.len() > 1 << 20 {
                    return Ok(());
                }
            }
            Wire::Trickles(text, pause) => {
                for byte in text.bytes() {
                    time::sleep(*pause).await;
                    stream.write_all(&[byte]).await?;
                }
            }
            Wire::Stops(text) => {
                stream.write_all(text.as_bytes()).await?;
                // Until the client has had enough.
                let mut rest = [0];
                while stream.read(&mut rest).await? > 0 {}
                return Ok(());
            }
            Wire::Closes => return Ok(()),
        }
    }
}

/// One request's path.
async fn read(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    Ok(target.split('?').next().unwrap_or_default().to_owned())
}

/// An agent that logs in there, whose clients find every token refused.
struct Agent {
    tokens: Tokens,
    trouble: tokio::sync::watch::Receiver<Option<String>>,
    gate: Gate,
    _trigger: shutdown::Trigger,
    tasks: JoinSet<()>,
}

impl Agent {
    fn start(server: &Server, refused: bool) -> Self {
        let jwt = server.folder.path().join("jwt");
        std::fs::write(&jwt, "the-jwt").unwrap();
        let registry = Registry::new();
        let gate = Gate::new(
            &Limits::default(),
            gate::metrics::Metrics::new(&registry).unwrap(),
        );
        let vault = Vault {
            address: Address::Unix(server.folder.path().join("vault.sock")),
            ..Vault::default()
        };
        let client = Client::new(&vault, gate.clone()).unwrap();
        let config = AutoAuth {
            method: auto_auth::Method {
                mount_path: "auth/kubernetes".to_owned(),
                namespace: None,
                min_backoff: Duration::from_secs(1),
                max_backoff: Duration::from_mins(5),
                wrap_ttl: None,
                exit_on_err: false,
                login: Login::Kubernetes {
                    role: "app".to_owned(),
                    token_path: jwt,
                },
            },
            sinks: Vec::new(),
            login_on_new_credential: true,
            revoke_on_exit: false,
        };
        let (task, tokens) = Task::new(&config, client, &registry).unwrap();
        let (trouble, checks) = (task.trouble(), task.checks());
        let (trigger, shutdown) = shutdown::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(task.run(shutdown).await) });
        let held = tokens.clone();
        if refused {
            tasks.spawn(async move {
                loop {
                    time::sleep(Duration::from_millis(500)).await;
                    let generation = held.borrow().live().map(|live| live.generation);
                    checks.refused(generation.unwrap_or_default());
                }
            });
        }
        Self {
            tokens,
            trouble,
            gate,
            _trigger: trigger,
            tasks,
        }
    }

    /// What is wrong with it, if anything.
    fn ailment(&self) -> Option<String> {
        let state = self.tokens.borrow();
        let live = state.live();
        let alive =
            |live: &Arc<crate::token::Live>| live.expires.is_none_or(|ends| ends > Instant::now());
        if !live.is_some_and(alive) {
            return Some("no live token".to_owned());
        }
        if self.gate.away_since().is_some() {
            return Some("believes that Vault is away".to_owned());
        }
        self.trouble.borrow().clone()
    }
}

/// An hour of it, and the recovery.
async fn endure(behaviour: &Behaviour, target: Option<&'static str>) {
    let name = behaviour.name;
    let start = Instant::now();
    let server = Server::start(&behaviour.wire, target);
    let mut agent = Agent::start(&server, target == Some(LOOK_UP));
    time::sleep(HOUR).await;

    let asked = server.asked();
    assert!(!asked.is_empty(), "{name}: never asked");
    assert!(
        agent.tasks.try_join_next().is_none(),
        "{name}: the task ended"
    );
    let most = |window: Duration, after: Duration| {
        let later = asked
            .iter()
            .enumerate()
            .filter(|(_, at)| **at >= start + after);
        let counts = later.map(|(index, at)| {
            let within = asked.iter().skip(index);
            within.take_while(|other| **other < *at + window).count()
        });
        counts.max().unwrap_or_default()
    };
    let limits = Limits::default();
    let ceiling = usize::try_from(limits.burst + limits.requests_per_second).unwrap();
    let second = most(Duration::from_secs(1), Duration::ZERO);
    assert!(second <= ceiling, "{name}: {second} requests in a second");
    let minute = most(MINUTE, MINUTE);
    assert!(minute <= 60, "{name}: {minute} requests in a minute");

    server.ill.store(false, Ordering::Relaxed);
    time::sleep(RECOVERY + behaviour.quiet).await;
    assert_eq!(
        agent.ailment(),
        None,
        "{name}: {} requests so far",
        asked.len()
    );
}

async fn endure_all(target: Option<&'static str>) {
    let behaviours = behaviours();
    assert!(behaviours.len() >= 40, "{}", behaviours.len());
    for behaviour in &behaviours {
        endure(behaviour, target).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_to_a_login_makes_a_storm_and_every_one_is_recovered_from() {
    endure_all(Some(LOGIN)).await;
}

#[tokio::test(start_paused = true)]
async fn no_answer_to_a_renewal_makes_a_storm_and_every_one_is_recovered_from() {
    endure_all(Some(RENEW)).await;
}

#[tokio::test(start_paused = true)]
async fn no_answer_to_a_look_up_makes_a_storm_and_every_one_is_recovered_from() {
    endure_all(Some(LOOK_UP)).await;
}

#[tokio::test(start_paused = true)]
async fn no_server_makes_a_storm_and_every_one_is_recovered_from() {
    endure_all(None).await;
}
