use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use keyside_config::model::auto_auth::Method;
use keyside_config::model::vault::Address;
use keyside_lifecycle::shutdown;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::cache::clear::Clear;
use crate::token::{Live, Token};

const HOUR: Duration = Duration::from_hours(1);

fn stamp() -> Stamp {
    Stamp {
        boot: "boot".to_owned(),
        fingerprint: [7; 32],
    }
}

fn at(seconds: u64) -> Clock {
    Clock {
        now: Instant::now(),
        boot: seconds * 1_000_000_000,
    }
}

fn live(text: &str) -> Live {
    Live {
        token: Token::new(text).unwrap(),
        wrapped: false,
        accessor: "accessor".to_owned(),
        policies: vec!["default".to_owned(), "app".to_owned()],
        generation: 4,
        obtained: Instant::now(),
        expires: Some(Instant::now() + HOUR),
    }
}

fn written(token: Option<&Live>) -> Vec<u8> {
    let mut writer = Writer::new(&stamp(), at(1000));
    contents::write(&mut writer, token, None, 0);
    writer.seal().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_read_as_it_was_written_with_what_is_left_of_it() {
    let contents = Contents::read(&written(Some(&live("t"))), &stamp(), at(1060)).unwrap();
    let left = contents.token.unwrap();
    assert_eq!(left.token.expose(), "t");
    assert_eq!(left.accessor, "accessor");
    assert_eq!(left.policies, ["default", "app"]);
    assert_eq!(left.generation, 1, "a new process counts anew");
    let now = Instant::now();
    assert_eq!(left.expires, Some(now + HOUR - Duration::from_mins(1)));

    let endless = Live {
        expires: None,
        ..live("t")
    };
    let contents = Contents::read(&written(Some(&endless)), &stamp(), at(1000)).unwrap();
    assert_eq!(contents.token.unwrap().expires, None);
    let contents = Contents::read(&written(None), &stamp(), at(1000)).unwrap();
    assert!(contents.token.is_none() && contents.saved.len() == 0);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_not_wholly_as_this_version_writes_it_is_refused() {
    let good = written(Some(&live("t")));
    let changed = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    };
    let twice = {
        let mut writer = Writer::new(&stamp(), at(1000));
        contents::write(&mut writer, Some(&live("t")), None, 0);
        contents::write(&mut writer, Some(&live("t")), None, 0);
        writer.seal().to_vec()
    };
    let strange = {
        let mut writer = Writer::new(&stamp(), at(1000));
        writer.byte(b'?');
        writer.seal().to_vec()
    };
    let other = |boot: &str, fingerprint| Stamp {
        boot: boot.to_owned(),
        fingerprint,
    };
    for (bytes, stamp, now, expected) in [
        (vec![], stamp(), 1000, Refusal::Foreign),
        (b"hvs.token\n".to_vec(), stamp(), 1000, Refusal::Foreign),
        (changed(0), stamp(), 1000, Refusal::Foreign),
        (changed(8), stamp(), 1000, Refusal::Version(0)),
        (good[..8].to_vec(), stamp(), 1000, Refusal::Damaged),
        (good[..20].to_vec(), stamp(), 1000, Refusal::Damaged),
        (changed(9), stamp(), 1000, Refusal::Damaged),
        (changed(60), stamp(), 1000, Refusal::Damaged),
        (changed(good.len() - 1), stamp(), 1000, Refusal::Damaged),
        (
            good[..good.len() - 1].to_vec(),
            stamp(),
            1000,
            Refusal::Damaged,
        ),
        ([&good[..], b"x"].concat(), stamp(), 1000, Refusal::Damaged),
        (twice, stamp(), 1000, Refusal::Damaged),
        (strange, stamp(), 1000, Refusal::Damaged),
        (good.clone(), other("reboot", [7; 32]), 1000, Refusal::Boot),
        (
            good.clone(),
            other("boot", [8; 32]),
            1000,
            Refusal::Configuration,
        ),
        (good.clone(), stamp(), 999, Refusal::Future),
    ] {
        let found = Contents::read(&bytes, &stamp, at(now));
        assert_eq!(found.err(), Some(expected), "{} bytes", bytes.len());
    }
    assert!(Contents::read(&good, &stamp(), at(1000)).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), sealed: bool) {
        let bytes = if sealed {
            let mut writer = Writer::new(&stamp(), at(1000));
            writer.raw(&bytes);
            writer.seal().to_vec()
        } else {
            bytes
        };
        drop(Contents::read(&bytes, &stamp(), at(1000)));
    }
}

type Change<'a> = &'a dyn Fn(&mut Config, &mut Method);

#[test]
fn another_server_login_or_role_is_another_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let role_id = folder.path().join("role-id");
    fs::write(&role_id, "one\n").unwrap();
    let config = |change: Change<'_>| {
        let mut method = Method {
            mount_path: "auth/approle".to_owned(),
            namespace: None,
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(2),
            wrap_ttl: None,
            exit_on_err: false,
            login: Login::AppRole {
                role_id: role_id.clone(),
                secret_id: None,
                remove_secret_id_after_reading: true,
                secret_id_wrapping_path: None,
            },
        };
        let mut config = Config::default();
        change(&mut config, &mut method);
        config.auto_auth = Some(AutoAuth {
            method,
            sinks: Vec::new(),
            login_on_new_credential: true,
            revoke_on_exit: false,
        });
        fingerprint(&config)
    };
    let same = config(&|_, _| {});
    let unlike: [Change<'_>; 5] = [
        &|config, _| config.vault.address = Address::Unix("/other".into()),
        &|config, _| config.vault.namespace = Some("ns".to_owned()),
        &|_, method| method.mount_path.push('2'),
        &|_, method| method.namespace = Some("ns".to_owned()),
        &|_, method| {
            method.login = Login::TokenFile {
                path: "/token".into(),
            };
        },
    ];
    for (number, change) in unlike.into_iter().enumerate() {
        assert_ne!(config(change), same, "{number}");
    }
    let alike: [Change<'_>; 3] = [
        &|_, method| method.max_backoff = HOUR,
        &|_, method| method.exit_on_err = true,
        &|config, _| config.worker_threads = 3,
    ];
    for (number, change) in alike.into_iter().enumerate() {
        assert_eq!(config(change), same, "{number}");
    }
    fs::write(&role_id, "one").unwrap();
    assert_eq!(
        config(&|_, _| {}),
        same,
        "the end of its line does not count"
    );
    fs::write(&role_id, "two").unwrap();
    assert_ne!(config(&|_, _| {}), same);
}

fn settings(folder: &TempDir) -> model::Resume {
    model::Resume {
        path: folder.path().to_owned(),
        max_bytes: 1000,
    }
}

fn open(folder: &TempDir) -> Resume {
    Resume::open(&settings(folder), &Config::default()).unwrap()
}

/// A file as this process would find it.
fn left(folder: &TempDir) -> PathBuf {
    let stamp = open(folder).stamp;
    let mut writer = Writer::new(&stamp, clock());
    contents::write(&mut writer, Some(&live("t")), None, 0);
    let path = folder.path().join(NAME);
    fs::write(&path, writer.seal()).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn only_a_file_of_ours_that_nobody_else_can_touch_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = left(&folder);
    let elsewhere = folder.path().join("elsewhere");
    let obstacles: [(&str, &dyn Fn()); 6] = [
        ("can be read or written by others", &|| {
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        }),
        ("can be read or written by others", &|| {
            fs::set_permissions(&path, Permissions::from_mode(0o602)).unwrap();
        }),
        ("another name", &|| {
            fs::hard_link(&path, &elsewhere).unwrap();
        }),
        ("open", &|| {
            fs::rename(&path, &elsewhere).unwrap();
            symlink(&elsewhere, &path).unwrap();
        }),
        ("no regular file", &|| {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }),
        ("larger", &|| fs::write(&path, vec![0; 70_000]).unwrap()),
    ];
    for (expected, obstruct) in obstacles {
        assert!(open(&folder).found().token.is_some(), "{expected}");
        obstruct();
        let stamp = open(&folder).stamp;
        let error = read(&path, 1000, &stamp)
            .err()
            .map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|error| error.contains(expected)),
            "{error:?}"
        );
        assert!(open(&folder).found().token.is_none(), "{expected}");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        drop(fs::remove_file(&elsewhere));
        left(&folder);
    }
}

/// A keeper of a token, which is not running yet.
fn keeper(folder: &TempDir) -> (watch::Sender<TokenState>, Keeper) {
    let (sender, tokens) = watch::channel(TokenState::Pending);
    (sender, open(folder).keeper(Some(tokens), None))
}

fn empty_cache() -> Cache {
    let metrics = crate::cache::metrics::Metrics::new(&prometheus::Registry::new()).unwrap();
    Cache::new(&model::Cache::default(), metrics)
}

fn token(folder: &TempDir) -> Option<String> {
    let left = open(folder).found().token?;
    Some(left.token.expose().to_owned())
}

async fn until(folder: &TempDir, expected: Option<&str>) {
    for _ in 0..1000 {
        if token(folder).as_deref() == expected {
            return;
        }
        time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", token(folder));
}

#[tokio::test(start_paused = true)]
async fn the_file_has_the_newest_token_and_outlives_the_task() {
    let folder = tempfile::tempdir().unwrap();
    left(&folder);
    let (sender, mut keeper) = keeper(&folder);
    let cache = empty_cache();
    keeper.cache = Some(cache.clone());
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(keeper.run(shutdown));
    cache.clear(&Clear::All);
    time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        token(&folder).as_deref(),
        Some("t"),
        "nothing better is known"
    );
    sender.send_replace(TokenState::Live(Arc::new(live("one"))));
    until(&folder, Some("one")).await;
    let mode = fs::metadata(folder.path().join(NAME)).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // Changed in the very moment in which the end is asked for.
    sender.send_replace(TokenState::Live(Arc::new(live("two"))));
    trigger.request();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(token(&folder).as_deref(), Some("two"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_cache_is_written_at_once_and_then_once_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, mut keeper) = keeper(&folder);
    let cache = empty_cache();
    keeper.cache = Some(cache.clone());
    let (_trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(keeper.run(shutdown));
    sender.send_replace(TokenState::Live(Arc::new(live("one"))));
    until(&folder, Some("one")).await;
    let file = || {
        let found = fs::metadata(folder.path().join(NAME)).unwrap();
        (found.ino(), found.ctime(), found.ctime_nsec())
    };
    let (before, mut writes) = (file(), 0);
    cache.clear(&Clear::All);
    time::sleep(Duration::from_millis(100)).await;
    assert_ne!(file(), before);
    let mut last = file();
    for _ in 0..100 {
        cache.clear(&Clear::All);
        time::sleep(Duration::from_millis(100)).await;
        let now = file();
        writes += usize::from(now != std::mem::replace(&mut last, now));
    }
    assert!((9..=11).contains(&writes), "{writes} in 10 s");
    time::sleep(HOUR).await;
    let quiet = file();
    time::sleep(HOUR).await;
    assert_eq!(file(), quiet, "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_comes_late_is_written_to_then() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, keeper) = keeper(&folder);
    fs::remove_dir(folder.path()).unwrap();
    let (_trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(keeper.run(shutdown));
    sender.send_replace(TokenState::Live(Arc::new(live("one"))));
    time::sleep(HOUR).await;
    fs::create_dir(folder.path()).unwrap();
    until(&folder, Some("one")).await;
    // A link is in the way, and goes.
    let path = folder.path().join(NAME);
    fs::remove_file(&path).unwrap();
    symlink("/nowhere", &path).unwrap();
    sender.send_replace(TokenState::Live(Arc::new(live("two"))));
    time::sleep(HOUR).await;
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    fs::remove_file(&path).unwrap();
    until(&folder, Some("two")).await;
}
