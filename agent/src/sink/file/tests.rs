use std::os::unix::fs::{MetadataExt as _, symlink};

use keyside_config::model::Mode;
use keyside_lifecycle::shutdown;
use prometheus::Registry;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::token::{Token, TokenState};
use crate::vault::fake::{Fake, Reply};

fn config(folder: &TempDir, mode: u32) -> FileSink {
    FileSink {
        path: folder.path().join("token"),
        mode: Mode(mode),
        owner: None,
        group: None,
        wrap_ttl: None,
        encryption: None,
    }
}

fn place(folder: &TempDir, mode: u32) -> Place {
    Place::new(&config(folder, mode)).unwrap()
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn replaces_the_file_whole_with_its_mode_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, text) in [(0o640, "one"), (0o604, "a longer one"), (0o666, "3")] {
        place(&folder, mode).replace(text.as_bytes()).unwrap();
        let path = folder.path().join("token");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(
            fs::metadata(&path).unwrap().mode() & 0o7777,
            mode,
            "{mode:o}"
        );
        assert_eq!(names(&folder), ["token"]);
    }
}

#[test]
fn a_reader_with_the_file_open_keeps_the_old_token() {
    use std::io::Read as _;
    let folder = tempfile::tempdir().unwrap();
    let place = place(&folder, 0o600);
    place.replace(b"one").unwrap();
    let mut open = File::open(&place.path).unwrap();
    place.replace(b"two").unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");
}

#[test]
fn refuses_what_is_no_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(&folder, 0o600);
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    symlink(&elsewhere, &place.path).unwrap();
    let error = place.replace(b"one").unwrap_err().to_string();
    assert!(error.contains("is a symbolic link"), "{error}");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    assert!(fs::symlink_metadata(&place.path).unwrap().is_symlink());

    fs::remove_file(&place.path).unwrap();
    fs::create_dir(&place.path).unwrap();
    let error = place.replace(b"one").unwrap_err().to_string();
    assert!(error.contains("is a folder"), "{error}");
    assert_eq!(names(&folder), ["elsewhere", "token"]);
}

#[test]
fn sweeps_what_a_killed_process_left() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".token.keyside-0badcafe"), "half").unwrap();
    fs::write(folder.path().join(".other.keyside-0badcafe"), "not ours").unwrap();
    place(&folder, 0o600).replace(b"one").unwrap();
    assert_eq!(names(&folder), [".other.keyside-0badcafe", "token"]);
}

#[test]
fn the_owner_is_set_or_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = place(&folder, 0o600);
    let is_root = rustix::process::getuid().is_root();
    // Nobody but root may give a file away.
    place.owner = Some(if is_root { 65_532 } else { 0 });
    let outcome = place.replace(b"one");
    if is_root {
        outcome.unwrap();
        assert_eq!(fs::metadata(&place.path).unwrap().uid(), 65_532);
        assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o600);
    } else {
        let error = outcome.unwrap_err().to_string();
        assert!(error.starts_with("change the owner of"), "{error}");
        assert!(names(&folder).is_empty(), "{:?}", names(&folder));
    }
}

#[test]
fn only_memory_is_no_disk() {
    for (path, expected) in [
        ("/proc/token", true),
        ("/dev/shm/token", false),
        ("/nonexistent/token", false),
    ] {
        let config = FileSink {
            path: PathBuf::from(path),
            mode: Mode(0o600),
            owner: None,
            group: None,
            wrap_ttl: None,
            encryption: None,
        };
        assert_eq!(
            Place::new(&config).unwrap().is_on_disk(),
            expected,
            "{path}"
        );
    }
}

#[test]
fn a_path_without_a_name_is_no_sink() {
    let config = FileSink {
        path: PathBuf::from("/"),
        mode: Mode(0o600),
        owner: None,
        group: None,
        wrap_ttl: None,
        encryption: None,
    };
    assert!(matches!(Place::new(&config), Err(Error::NoName { .. })));
}

#[test]
fn an_unknown_owner_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = FileSink {
        owner: Some("no such user".to_owned()),
        ..config(&folder, 0o600)
    };
    let error = chain(&Place::new(&config).err().unwrap());
    assert!(error.contains("no such user"), "{error}");
}

fn live(text: &str, generation: u64) -> TokenState {
    TokenState::Live(Arc::new(Live {
        token: Token::new(text).unwrap(),
        wrapped: false,
        accessor: String::new(),
        policies: Vec::new(),
        generation,
        obtained: tokio::time::Instant::now(),
        expires: None,
    }))
}

struct Running {
    tokens: watch::Sender<TokenState>,
    written: watch::Receiver<u64>,
    metrics: Metrics,
    path: PathBuf,
    _trigger: shutdown::Trigger,
    _tasks: JoinSet<()>,
}

fn run(path: PathBuf) -> Running {
    let (tokens, receiver) = watch::channel(TokenState::Pending);
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let config = FileSink {
        path: path.clone(),
        mode: Mode(0o600),
        owner: None,
        group: None,
        wrap_ttl: None,
        encryption: None,
    };
    let sink = Sink::new(&config, receiver, metrics.clone()).unwrap();
    let written = sink.written();
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(sink.run(shutdown));
    Running {
        tokens,
        written,
        metrics,
        path,
        _trigger: trigger,
        _tasks: tasks,
    }
}

impl Running {
    fn writes(&self, result: &str) -> u64 {
        self.metrics.writes.with_label_values(&[result]).get()
    }

    async fn until(&self, result: &str, times: u64) {
        while self.writes(result) < times {
            time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writes_each_new_token_once_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = run(folder.path().join("token"));
    assert_eq!(*running.written.borrow(), 0);
    running.tokens.send_replace(live("one", 1));
    running
        .written
        .wait_for(|written| *written == 1)
        .await
        .unwrap();
    // A renewal: the same token under a new end.
    running.tokens.send_replace(live("one", 1));
    running.tokens.send_replace(live("two", 2));
    running
        .written
        .wait_for(|written| *written == 2)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(&running.path).unwrap(), "two");
    assert_eq!(running.writes("success"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_folder_is_tried_again_and_gets_the_newest_token() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let mut running = run(missing.join("token"));
    let start = time::Instant::now();
    running.tokens.send_replace(live("one", 1));
    running.until("failure", 4).await;
    assert!(start.elapsed() >= 3 * MIN_BACKOFF, "{:?}", start.elapsed());
    running.tokens.send_replace(live("two", 2));
    fs::create_dir(&missing).unwrap();
    running
        .written
        .wait_for(|written| *written > 0)
        .await
        .unwrap();
    assert_eq!(*running.written.borrow(), 2, "the old one is never written");
    assert_eq!(fs::read_to_string(&running.path).unwrap(), "two");
    assert_eq!(running.writes("success"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_does_not_wrap_is_asked_again_when_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut refused = false;
    let fake = Fake::start(move |_| {
        if !std::mem::replace(&mut refused, true) {
            return Reply(429, Some(1000), json!({ "errors": ["too many"] }));
        }
        Reply(
            200,
            None,
            json!({ "wrap_info": { "token": "w", "ttl": 90, "accessor": "a" } }),
        )
    });
    let mut running = run_wrapped(&folder, &fake, Some("team"));
    running.tokens.send_replace(live("one", 1));
    running.written.wait_for(|held| *held == 1).await.unwrap();

    let asked = fake.asked();
    let [first, second] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(second.path, "/v1/sys/wrapping/wrap");
    assert_eq!(second.token.as_deref(), Some("one"));
    assert_eq!(second.namespace.as_deref(), Some("team"));
    assert_eq!(second.body, json!({ "token": "one" }));
    assert!(second.at - first.at >= Duration::from_secs(1000));
    let expected = concat!(
        r#"{"token":"w","accessor":"a","ttl":90,"creation_time":"","creation_path":"","#,
        "\"wrapped_accessor\":\"\"}\n"
    );
    assert_eq!(fs::read_to_string(&running.path).unwrap(), expected);
}

/// A sink that asks `fake` to wrap, and what it says of itself.
fn run_wrapped(folder: &TempDir, fake: &Fake, namespace: Option<&str>) -> Running {
    let (tokens, receiver) = watch::channel(TokenState::Pending);
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let config = config(folder, 0o600);
    let wrapping = Wrapping::new(fake.client(), namespace, Duration::from_secs(90));
    let sink = Sink::new(&config, receiver, metrics.clone()).unwrap();
    let sink = sink.wrapping(wrapping);
    let written = sink.written();
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(sink.run(shutdown));
    Running {
        tokens,
        written,
        metrics,
        path: config.path,
        _trigger: trigger,
        _tasks: tasks,
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_does_not_wait_until_the_older_one_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(|asked| match asked.token.as_deref() {
        Some("one") => crate::vault::fake::error(403, "permission denied"),
        _ => Reply(200, None, json!({ "wrap_info": { "token": "w" } })),
    });
    let mut running = run_wrapped(&folder, &fake, None);
    running.tokens.send_replace(live("one", 1));
    // By now a pause is two and a half minutes on the average.
    running.until("failure", 12).await;
    let start = time::Instant::now();
    running.tokens.send_replace(live("two", 2));
    running.written.wait_for(|held| *held == 2).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_waits_as_long_as_vault_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(|asked| match asked.token.as_deref() {
        Some("one") => Reply(429, Some(1000), json!({ "errors": ["too many"] })),
        _ => Reply(200, None, json!({ "wrap_info": { "token": "w" } })),
    });
    let mut running = run_wrapped(&folder, &fake, None);
    let start = time::Instant::now();
    running.tokens.send_replace(live("one", 1));
    running.until("failure", 1).await;
    running.tokens.send_replace(live("two", 2));
    running.written.wait_for(|held| *held == 2).await.unwrap();
    let waited = start.elapsed();
    assert!(
        (1000..1010).contains(&waited.as_secs()),
        "as soon as it may: {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_that_somebody_removes_is_written_again_and_another_ones_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let mut running = run(inside.join("token"));
    running.tokens.send_replace(live("one", 1));
    running.written.wait_for(|held| *held == 1).await.unwrap();

    fs::write(&running.path, "somebody else's").unwrap();
    time::sleep(3 * LOOK).await;
    assert_eq!(
        fs::read_to_string(&running.path).unwrap(),
        "somebody else's"
    );

    fs::remove_file(&running.path).unwrap();
    running.until("success", 2).await;
    assert_eq!(fs::read_to_string(&running.path).unwrap(), "one");

    fs::remove_dir_all(&inside).unwrap();
    running.until("failure", 3).await;
    assert_eq!(*running.written.borrow(), 0, "it holds nothing");
    fs::create_dir(&inside).unwrap();
    running.until("success", 3).await;
    assert_eq!(fs::read_to_string(&running.path).unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_wrapping_token_may_be_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(|_| Reply(200, None, json!({ "wrap_info": { "token": "w" } })));
    let mut running = run_wrapped(&folder, &fake, None);
    running.tokens.send_replace(live("one", 1));
    running.written.wait_for(|held| *held == 1).await.unwrap();
    fs::remove_file(&running.path).unwrap();
    time::sleep(3 * LOOK).await;
    assert!(!running.path.exists());
    assert_eq!(fake.asked().len(), 1);
}
