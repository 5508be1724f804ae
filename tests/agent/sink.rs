//! Sinks: files whole, with their mode, and never where something else is in the way; sockets that tell each token.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::Context as _;
use keyside_harness::openbao::{Options, Role};
use keyside_harness::poll;
use serde_json::{Value, json};

use crate::world::{Agent, ROLE, World};

/// The usual configuration with these sinks instead of its own.
fn config(world: &World, sinks: Value) -> Value {
    let mut config = world.config();
    let place = config.pointer_mut("/auto_auth/sink");
    *place.expect("the usual configuration has a sink") = sinks;
    config
}

fn sink(world: &World, name: &str) -> Value {
    json!({ "type": "file", "config": { "path": world.path(name) } })
}

#[test]
fn a_sink_has_the_mode_that_was_asked_for_whatever_the_umask() -> anyhow::Result<()> {
    let world = World::new()?;
    let asked = |name: &str, mode: &str| {
        let mut sink = sink(&world, name);
        sink["config"]["mode"] = json!(mode);
        sink
    };
    let sinks = json!([
        sink(&world, "token"),
        asked("wide", "0666"),
        asked("narrow", "0400")
    ]);
    let mut agent = world.agent(&config(&world, sinks))?;
    agent.child.wait_for_event("started")?;
    for (name, expected) in [("token", 0o640), ("wide", 0o666), ("narrow", 0o400)] {
        let mode = fs::metadata(world.path(name))?.mode() & 0o7777;
        assert_eq!(mode, expected, "{name}: {mode:o}");
        assert_eq!(fs::read_to_string(world.path(name))?, world.sink()?);
    }
    Ok(())
}

#[test]
fn an_existing_file_is_replaced_and_not_rewritten() -> anyhow::Result<()> {
    let world = World::new()?;
    fs::write(world.path("token"), "an older token")?;
    let before = fs::metadata(world.path("token"))?.ino();
    let link = world.path("link");
    fs::hard_link(world.path("token"), &link)?;
    let _agent = world.started()?;
    assert_ne!(fs::metadata(world.path("token"))?.ino(), before);
    assert_eq!(
        fs::read_to_string(link)?,
        "an older token",
        "whoever had it open keeps it whole"
    );
    Ok(())
}

#[test]
fn a_link_in_the_way_is_refused_and_holds_up_no_other_sink() -> anyhow::Result<()> {
    let world = World::new()?;
    let elsewhere = world.path("elsewhere");
    fs::write(&elsewhere, "mine")?;
    symlink(&elsewhere, world.path("linked"))?;
    let sinks = json!([sink(&world, "linked"), sink(&world, "token")]);
    let mut agent = world.agent(&config(&world, sinks))?;
    let told = agent.child.wait_for_event("sink_failed")?;
    assert!(told.to_string().contains("is a symbolic link"), "{told}");
    agent.child.wait_for_event("sink_written")?;
    assert!(world.sink_lives()?);
    assert_eq!(fs::read_to_string(&elsewhere)?, "mine");
    assert!(
        agent.child.events("started").is_empty(),
        "not every sink has its token"
    );

    fs::remove_file(world.path("linked"))?;
    agent.child.wait_for_event("started")?;
    assert_eq!(fs::read_to_string(world.path("linked"))?, world.sink()?);
    Ok(())
}

#[test]
fn a_sink_whose_folder_comes_late_gets_the_token_then() -> anyhow::Result<()> {
    let world = World::new()?;
    let sinks = json!([sink(&world, "late/token"), sink(&world, "token")]);
    let mut agent = world.agent(&config(&world, sinks))?;
    agent.child.wait_for_event("sink_failed")?;
    fs::create_dir(world.path("late"))?;
    agent.child.wait_for_event("started")?;
    assert_eq!(fs::read_to_string(world.path("late/token"))?, world.sink()?);
    poll::until("no temporary file", poll::LIMIT, || {
        let left = fs::read_dir(world.path("late"))?.count();
        anyhow::ensure!(left == 1, "{left} files");
        anyhow::Ok(())
    })
}

#[test]
fn a_socket_tells_the_token_and_the_one_of_the_next_login() -> anyhow::Result<()> {
    let role = Role {
        name: ROLE,
        ttl: 4,
        token_type: "batch",
        ..Role::default()
    };
    let world = World::with(Options::default(), &role)?;
    let path = world.path("token.sock");
    // What a killed agent leaves.
    drop(UnixListener::bind(&path)?);
    let socket = json!({ "type": "socket", "config": { "path": path, "mode": "0606" } });
    let sinks = json!([socket, sink(&world, "token")]);
    let mut agent = world.agent(&config(&world, sinks))?;
    agent.child.listening("sink")?;
    assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o606);
    let stream = UnixStream::connect(&path)?;
    stream.set_read_timeout(Some(poll::LIMIT))?;
    let mut lines = BufReader::new(stream).lines();
    let mut next = || {
        lines
            .next()
            .context("the connection was closed")?
            .context("read")
    };
    let first = next()?;
    assert!(world.server.client(&first)?.look_up_self()?.is_some());
    agent.child.wait_for_event("started")?;

    let second = next()?;
    assert_ne!(second, first);
    assert!(world.server.client(&second)?.look_up_self()?.is_some());

    agent.child.terminate()?;
    assert!(!path.exists());
    Ok(())
}

/// The name and number of the first entry of such a file that `fits`.
fn entry(path: &str, fits: impl Fn(u32) -> bool) -> anyhow::Result<Option<(String, u32)>> {
    let text = fs::read_to_string(path)?;
    Ok(text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = fields.get(2)?.parse().ok()?;
        fits(number).then(|| {
            (
                fields.first().map_or_else(String::new, ToString::to_string),
                number,
            )
        })
    }))
}

#[test]
fn mode_owner_and_group_are_exact_in_the_notations_of_both_peers() -> anyhow::Result<()> {
    let world = World::new()?;
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    // Only root gives files away.
    let fits = |own: u32| move |number| (user.is_root() && number > 0) || number == own;
    let (user, group) = (user.as_raw(), group.as_raw());
    let numbers = if user == 0 {
        (65_532, 65_533)
    } else {
        (user, group)
    };
    let named = |name, own| anyhow::Ok(entry(name, fits(own))?.unwrap_or((own.to_string(), own)));
    let (user, group) = (named("/etc/passwd", user)?, named("/etc/group", group)?);
    let sinks = [
        (
            "numbers",
            format!("mode = 0604, uid = {}, gid = {}", numbers.0, numbers.1),
            (0o604, numbers.0, numbers.1),
        ),
        (
            "names",
            format!(
                r#"mode = "0460", owner = "{}", group = "{}""#,
                user.0, group.0
            ),
            (0o460, user.1, group.1),
        ),
        (
            "mixed",
            format!(
                r#"mode = "777", owner = {}, gid = "{}""#,
                numbers.0, group.0
            ),
            (0o777, numbers.0, group.1),
        ),
    ];
    let mut config = world.config();
    let account = config.pointer("/auto_auth/method/config/token_path");
    let mut text = format!(
        "auto_auth {{ method \"kubernetes\" {{ config {{ role = \"{ROLE}\", token_path = {} }} }}\n",
        account.context("no token_path")?
    );
    for (name, keys, _) in &sinks {
        let path = world.path(name);
        writeln!(
            text,
            r#"sink "file" {{ config {{ path = "{}", {keys} }} }}"#,
            path.display()
        )?;
    }
    text.push('}');
    fs::write(world.path("auto-auth.hcl"), text.replace(", ", "\n"))?;
    config
        .as_object_mut()
        .context("no object")?
        .remove("auto_auth");
    let mut command = world.command(&config)?;
    command.arg(format!("-config={}", world.path("auto-auth.hcl").display()));
    let mut agent = Agent::start(command, world.path("admin.sock"))?;
    agent.child.wait_for_event("started")?;
    for (name, _, expected) in sinks {
        let found = fs::metadata(world.path(name))?;
        let found = (found.mode() & 0o7777, found.uid(), found.gid());
        assert_eq!(found, expected, "{name}: mode, owner, group");
    }
    Ok(())
}
