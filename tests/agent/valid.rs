//! The promise itself: whoever takes the token from a sink, whenever and in whatever form, holds one that Vault takes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::openbao::{Options, Role};
use keyside_harness::poll;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sealed::Reader;
use crate::world::{ROLE, World};

/// Ten a second for two hundred seconds.
const LOOKS: u32 = 2_000;
const PACE: Duration = Duration::from_millis(100);
/// Where more than this passes between a sink and Vault, the machine is too busy for a token of three seconds, and the
/// look says nothing about the sink: it is taken again.
const PROMPT: Duration = Duration::from_millis(400);
const LATE: usize = 20;

type Opening<'a> = Box<dyn Fn(&str) -> anyhow::Result<String> + 'a>;

/// Somebody who takes the token from one sink, and makes of its text what that sink needs.
struct User<'a> {
    name: &'static str,
    read: Box<dyn Fn() -> anyhow::Result<String> + 'a>,
    open: Opening<'a>,
    /// The last text, and the token in it: a wrapping token can be unwrapped only once.
    known: (String, String),
    tokens: usize,
}

impl<'a> User<'a> {
    fn new(
        name: &'static str,
        read: impl Fn() -> anyhow::Result<String> + 'a,
        open: impl Fn(&str) -> anyhow::Result<String> + 'a,
    ) -> Self {
        Self {
            name,
            read: Box::new(read),
            open: Box::new(open),
            known: Default::default(),
            tokens: 0,
        }
    }

    fn token(&mut self) -> anyhow::Result<&str> {
        let text = (self.read)()?;
        if text != self.known.0 {
            let token = (self.open)(&text)?;
            self.known = (text, token);
            self.tokens += 1;
        }
        Ok(&self.known.1)
    }
}

/// The wrapping token stands when its user comes, and the token in it is used from then on, until the next is there.
fn unwrap(world: &World, text: &str) -> anyhow::Result<String> {
    let info: Value = serde_json::from_str(text)?;
    let wrapping = info.get("token").and_then(Value::as_str);
    let wrapping = wrapping.context("no wrapping token")?;
    let root = world.server.root();
    let found = root.write("sys/wrapping/lookup", &json!({ "token": wrapping }))?;
    let path = found.pointer("/data/creation_path");
    anyhow::ensure!(path == Some(&json!("sys/wrapping/wrap")), "{found}");
    let client = world.server.client(wrapping)?;
    let inside = client.write("sys/wrapping/unwrap", &json!({}))?;
    let token = inside.pointer("/data/token").and_then(Value::as_str);
    Ok(token.context("no token inside")?.to_owned())
}

/// Connects anew each time.
fn ask(socket: &std::path::Path) -> anyhow::Result<String> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(poll::LIMIT))?;
    stream.shutdown(Shutdown::Write)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// One look at each sink: the token there is valid at this moment. Counts what was too late to say.
fn look(world: &World, users: &mut [User<'_>], late: &mut usize) -> anyhow::Result<()> {
    let mut valid = BTreeSet::new();
    for user in users {
        loop {
            let (start, name) = (Instant::now(), user.name);
            let token = user.token().context(name)?;
            if valid.contains(token) {
                break;
            }
            if world.server.client(token)?.look_up_self()?.is_some() {
                valid.insert(token.to_owned());
                break;
            }
            let (took, number) = (start.elapsed(), user.tokens);
            anyhow::ensure!(
                took > PROMPT && *late < LATE,
                "{name}: Vault refuses token number {number} after {took:?}"
            );
            *late += 1;
        }
    }
    Ok(())
}

#[test]
fn the_token_in_each_of_four_sinks_is_valid_at_each_of_two_thousand_looks() -> anyhow::Result<()> {
    let role = Role {
        name: ROLE,
        ttl: 3,
        max_ttl: 10,
        ..Role::default()
    };
    let world = World::with(Options::default(), &role)?;
    let reader = Reader::new(&world, "reader")?;
    let path = |name: &str| world.path(name);
    let mut config = world.config();
    config["auto_auth"]["sink"] = json!([
        { "type": "file", "config": { "path": path("token") } },
        { "type": "file", "wrap_ttl": "1m", "config": { "path": path("wrapped") } },
        {
            "type": "file", "dh_type": "curve25519", "dh_path": reader.public(), "derive_key": true,
            "config": { "path": path("sealed") },
        },
        { "type": "socket", "config": { "path": path("token.sock") } },
    ]);
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;

    let file = |name: &str| {
        let path = path(name);
        move || Ok(fs::read_to_string(&path)?)
    };
    let bare = |text: &str| Ok(text.to_owned());
    let sealed = path("sealed");
    let socket = path("token.sock");
    let mut users = [
        User::new("file", file("token"), bare),
        User::new("wrapped", file("wrapped"), |text| unwrap(&world, text)),
        User::new("sealed", file("sealed"), |_| {
            reader.open(&sealed, &["--derive-key"])
        }),
        User::new("socket", move || ask(&socket), bare),
    ];
    let mut late = 0;
    poll::looks("a valid token in each sink", LOOKS, PACE, || {
        look(&world, &mut users, &mut late)
    })?;

    for user in &users {
        let (name, tokens) = (user.name, user.tokens);
        // A life of ten seconds at most, and no new login but for its end.
        assert!((20..=60).contains(&tokens), "{name}: {tokens} tokens");
    }
    for event in ["login_failed", "token_ended", "sink_failed"] {
        assert_eq!(agent.child.events(event), Vec::<Value>::new());
    }
    Ok(())
}
