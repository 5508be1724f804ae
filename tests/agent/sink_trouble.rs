//! Sinks that cannot be filled for a while: told once, no trouble for the token or for another sink, and healed with the
//! newest token.
//!
//! The agent of these tests may not write where its user may not, even if that is root. For a full disk it gets a tiny
//! one, mounted in a namespace of its own; where the machine allows no namespace the other troubles are tested alone.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::openbao::{Options, Role};
use keyside_harness::poll;
use keyside_harness::tap::Action;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::watch::Watch;
use crate::world::{Agent, ROLE, World};

const LOGIN: &str = "/v1/auth/kubernetes/login";

/// As `setpriv` of util-linux has it: without these, root is bound by the modes of files like everybody else.
const BOUND: [&str; 4] = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
    "--",
];

/// Mounts a disk of four pages, and stays while the agent runs: through this process the test sees the disk.
const ON_A_TINY_DISK: &str =
    r#"mount -t tmpfs -o size=16k,mode=0755 tmpfs "$0" || exit; "$@"; exit $?"#;

/// One kind of trouble: its sink writes `token` in a folder of its own.
struct Trouble {
    /// Of the folder, too.
    name: &'static str,
    /// What the log says.
    told: &'static str,
    start: fn(&Path) -> anyhow::Result<()>,
    end: fn(&Path) -> anyhow::Result<()>,
}

const TROUBLES: [Trouble; 4] = [
    Trouble {
        name: "unwritable",
        told: "Permission denied",
        start: |folder| Ok(fs::set_permissions(folder, Permissions::from_mode(0o555))?),
        end: |folder| Ok(fs::set_permissions(folder, Permissions::from_mode(0o755))?),
    },
    Trouble {
        name: "linked",
        told: "is a symbolic link",
        start: |folder| {
            fs::write(folder.join("elsewhere"), "mine")?;
            fs::remove_file(folder.join("token"))?;
            Ok(symlink(folder.join("elsewhere"), folder.join("token"))?)
        },
        end: |folder| {
            assert_eq!(fs::read_to_string(folder.join("elsewhere"))?, "mine");
            fs::remove_file(folder.join("elsewhere"))?;
            Ok(fs::remove_file(folder.join("token"))?)
        },
    },
    Trouble {
        name: "removed",
        told: "No such file or directory",
        start: |folder| Ok(fs::remove_dir_all(folder)?),
        end: |folder| Ok(fs::create_dir(folder)?),
    },
    Trouble {
        name: FULL,
        told: "No space left on device",
        start: fill,
        end: |folder| Ok(fs::remove_file(folder.join("filler"))?),
    },
];

const FULL: &str = "full";

/// Writes until nothing more fits.
fn fill(folder: &Path) -> anyhow::Result<()> {
    let mut filler = File::create(folder.join("filler"))?;
    loop {
        match filler.write_all(&[0; 1024]) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// `command`, started by another program.
fn behind<A: AsRef<OsStr>>(words: impl IntoIterator<Item = A>, command: &Command) -> Command {
    let mut words = words.into_iter();
    let mut outer = Command::new(words.next().expect("a program"));
    outer
        .args(words)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// The agent and where the test finds its folders.
struct Room {
    agent: Agent,
    /// Of its own mount namespace, if it has one.
    root: Option<PathBuf>,
}

impl Room {
    #[expect(clippy::print_stderr, reason = "what is not tested must be said")]
    fn start(world: &World, command: &Command) -> anyhow::Result<Self> {
        let disk = world.path(FULL);
        let socket = world.path("admin.sock");
        let mut refusals = Vec::new();
        for namespaces in [&["--user", "--map-root-user", "--mount"][..], &["--mount"]] {
            let words = |command: &Command| {
                let unshare = ["unshare"].iter().chain(namespaces).map(OsStr::new);
                let shell = ["sh", "-c", ON_A_TINY_DISK].map(OsStr::new);
                let words = unshare.chain(shell).chain([disk.as_os_str()]);
                behind(words, &behind(BOUND, command))
            };
            match words(&Command::new("true")).output() {
                Ok(output) if output.status.success() => {
                    let agent = Agent::start(words(command), socket)?;
                    let root = PathBuf::from(format!("/proc/{}/root", agent.child.id()));
                    return Ok(Self {
                        agent,
                        root: Some(root),
                    });
                }
                Ok(output) => refusals.push(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(error) => refusals.push(error.to_string()),
            }
        }
        eprintln!("SKIPPED: no full disk without namespaces: {refusals:?}");
        let command = if rustix::process::getuid().is_root() {
            &behind(BOUND, command)
        } else {
            command
        };
        Ok(Self {
            agent: Agent::start(behind(["env"], command), socket)?,
            root: None,
        })
    }

    fn folder(&self, world: &World, trouble: &Trouble) -> PathBuf {
        let folder = world.path(trouble.name);
        match &self.root {
            Some(root) => root.join(folder.strip_prefix("/").unwrap_or(&folder)),
            None => folder,
        }
    }
}

/// What the log said of the sink in this folder: levels and texts.
fn told(agent: &Agent, event: &str, folder: &Path) -> Vec<(String, String)> {
    let field = |event: &Value, name: &str| {
        let text = event.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let path = folder.join("token").display().to_string();
    let events = agent.child.events(event).into_iter();
    let events = events.filter(|event| field(event, "path") == path);
    events
        .map(|event| (field(&event, "level"), field(&event, "error")))
        .collect()
}

/// Tokens of so many seconds that cannot be renewed: each is replaced after two thirds of them.
fn short_lived(ttl: u64) -> anyhow::Result<World> {
    let role = Role {
        name: ROLE,
        ttl,
        token_type: "batch",
        ..Role::default()
    };
    World::with(Options::default(), &role)
}

/// The usual configuration with a sink per trouble beside its own.
fn troubled(world: &World) -> anyhow::Result<Value> {
    let mut config = world.config();
    let sinks = config.pointer_mut("/auto_auth/sink");
    let sinks = sinks.and_then(Value::as_array_mut).context("no sinks")?;
    for trouble in &TROUBLES {
        let folder = world.path(trouble.name);
        fs::create_dir(&folder)?;
        sinks.insert(
            0,
            json!({ "type": "file", "config": { "path": folder.join("token") } }),
        );
    }
    Ok(config)
}

#[test]
fn each_trouble_is_told_once_and_delays_nobody_and_heals_with_the_newest_token()
-> anyhow::Result<()> {
    let world = short_lived(3)?;
    let mut room = Room::start(&world, &world.command(&troubled(&world)?)?)?;
    room.agent.child.wait_for_event("started")?;
    let troubles = TROUBLES.iter();
    let troubles: Vec<&Trouble> = troubles
        .filter(|trouble| room.root.is_some() || trouble.name != FULL)
        .collect();
    for trouble in &troubles {
        let start = (trouble.start)(&room.folder(&world, trouble));
        start.with_context(|| trouble.name)?;
    }

    // The next tokens come in time, and the sink that is well gets each of them.
    let seen = Watch::new(&world).throughout(Duration::from_secs(9))?;
    assert!(seen.tokens >= 4, "{} tokens in 9 s", seen.tokens);
    for trouble in &troubles {
        let told = told(&room.agent, "sink_failed", &world.path(trouble.name));
        let (level, text) = told.first().context(trouble.name)?;
        assert!(text.contains(trouble.told), "{}: {text}", trouble.name);
        assert_eq!(level, "WARN", "{}", trouble.name);
        assert!(told.len() > 2, "{} is tried again", trouble.name);
        let repeats = told.iter().skip(1);
        assert!(
            repeats.clone().all(|(level, _)| level == "DEBUG"),
            "{told:?}"
        );
    }

    for trouble in &troubles {
        let end = (trouble.end)(&room.folder(&world, trouble));
        end.with_context(|| trouble.name)?;
    }
    for trouble in &troubles {
        let folder = room.folder(&world, trouble);
        poll::until(trouble.name, poll::LIMIT, || {
            let held = fs::read_to_string(folder.join("token"))?;
            anyhow::ensure!(held == world.sink()?, "it holds another token");
            let left = fs::read_dir(&folder)?.count();
            anyhow::ensure!(left == 1, "{left} files");
            anyhow::Ok(())
        })?;
        let told = told(&room.agent, "sink_failed", &world.path(trouble.name));
        let warned = told.iter().filter(|(level, _)| level == "WARN").count();
        assert_eq!(warned, 1, "{}: {told:?}", trouble.name);
    }
    assert!(room.agent.child.events("login_failed").is_empty());
    Ok(())
}

/// Nothing new is to be written for an hour.
#[test]
fn what_somebody_takes_away_from_a_filled_sink_is_put_back() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut room = Room::start(&world, &world.command(&troubled(&world)?)?)?;
    room.agent.child.wait_for_event("started")?;
    let taken = TROUBLES.iter();
    let taken: Vec<&Trouble> = taken
        .filter(|trouble| ["linked", "removed"].contains(&trouble.name))
        .collect();
    for trouble in &taken {
        (trouble.start)(&room.folder(&world, trouble))?;
    }
    for trouble in &taken {
        let folder = world.path(trouble.name);
        poll::until("two attempts", poll::LIMIT, || {
            let told = told(&room.agent, "sink_failed", &folder);
            anyhow::ensure!(told.len() >= 2, "{told:?}");
            let warned = told.iter().filter(|(level, _)| level == "WARN").count();
            assert_eq!(warned, 1, "{told:?}");
            anyhow::Ok(())
        })?;
        (trouble.end)(&room.folder(&world, trouble))?;
    }
    for trouble in &taken {
        poll::until("the token", poll::LIMIT, || {
            let held = fs::read_to_string(room.folder(&world, trouble).join("token"))?;
            anyhow::ensure!(held == world.sink()?, "it holds another token");
            anyhow::Ok(())
        })?;
    }
    assert_eq!(room.agent.child.events("logged_in").len(), 1);
    Ok(())
}

/// Reading the recipient's key from a pipe that nobody writes to is what a dead network file system feels like. There
/// are more of them than threads for such work, and name look-ups need those threads, too.
#[test]
fn sinks_that_hang_delay_neither_another_sink_nor_the_next_login() -> anyhow::Result<()> {
    const HANGING: usize = 6;
    let world = short_lived(12)?;
    let mut config = world.config();
    let address = world.tap.address().replace("127.0.0.1", "localhost");
    config["vault"]["address"] = json!(address);
    // Every second login costs the connection, and so another look-up.
    let logins = AtomicUsize::new(0);
    world.tap.rule(move |request| {
        if request.path == LOGIN && logins.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            Action::Reset
        } else {
            Action::Forward
        }
    });
    let sinks = config.pointer_mut("/auto_auth/sink");
    let sinks = sinks.and_then(Value::as_array_mut).context("no sinks")?;
    let pipes: Vec<PathBuf> = (0..HANGING)
        .map(|n| world.path(&format!("dh-{n}")))
        .collect();
    for (n, pipe) in pipes.iter().enumerate() {
        mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let path = world.path(&format!("sealed-{n}"));
        let sink = json!({ "type": "file", "dh_type": "curve25519", "dh_path": pipe, "config": { "path": path } });
        sinks.insert(0, sink);
    }
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("sink_written")?;
    let seen = Watch::new(&world).throughout(Duration::from_secs(14))?;
    assert!(seen.tokens >= 2, "the next login was to come");

    let key = json!({ "curve25519_public_key": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=" });
    for pipe in &pipes {
        let mut writer = OpenOptions::new().write(true).open(pipe)?;
        fs::remove_file(pipe)?;
        fs::write(pipe, key.to_string())?;
        write!(writer, "{key}")?;
    }
    agent.child.wait_for_event("started")?;
    Ok(())
}

/// The wrapping sink asks Vault for each token, and Vault does not answer.
#[test]
fn a_wrapping_that_hangs_delays_no_other_sink_and_ends_with_the_newest_token() -> anyhow::Result<()>
{
    const WRAP: &str = "/v1/sys/wrapping/wrap";
    let world = short_lived(3)?;
    world.tap.rule(|request| {
        if request.path == WRAP {
            Action::Hold
        } else {
            Action::Forward
        }
    });
    let mut config = world.config();
    let sinks = config.pointer_mut("/auto_auth/sink");
    let sinks = sinks.and_then(Value::as_array_mut).context("no sinks")?;
    let wrapped = world.path("wrapped");
    sinks.insert(
        0,
        json!({ "type": "file", "wrap_ttl": "5m", "config": { "path": wrapped } }),
    );
    let agent = world.agent(&config)?;
    poll::until("the first token", poll::LIMIT, || world.sink())?;
    let seen = Watch::new(&world).throughout(Duration::from_secs(6))?;
    assert!(seen.tokens >= 3, "{} tokens in 6 s", seen.tokens);
    assert!(!wrapped.exists());

    world.tap.heal();
    let inside = poll::until("a wrapped token that lives", poll::LIMIT, || {
        let info: Value = serde_json::from_str(&fs::read_to_string(&wrapped)?)?;
        let wrapping = info.get("token").and_then(Value::as_str).context("token")?;
        let client = world.server.client(wrapping)?;
        let inside = client.write("sys/wrapping/unwrap", &json!({}))?;
        let token = inside.pointer("/data/token").and_then(Value::as_str);
        anyhow::Ok(token.context("no token")?.to_owned())
    })?;
    let client = world.server.client(&inside)?;
    assert!(client.look_up_self()?.is_some(), "it wraps a dead token");
    assert!(!agent.child.events("sink_written").is_empty());
    Ok(())
}
