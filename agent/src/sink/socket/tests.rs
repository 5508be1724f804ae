use std::os::unix::fs::MetadataExt as _;

use keyside_config::model::Mode;
use keyside_lifecycle::shutdown;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{Instant, timeout};

use super::*;
use crate::token::{Live, Token, TokenState};

const SOON: Duration = Duration::from_secs(20);

struct Running {
    tokens: watch::Sender<TokenState>,
    offered: watch::Receiver<u64>,
    path: PathBuf,
    trigger: shutdown::Trigger,
    tasks: JoinSet<()>,
    _folder: TempDir,
}

fn run() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.sock");
    let (tokens, receiver) = watch::channel(TokenState::Pending);
    let config = SocketSink {
        path: path.clone(),
        mode: Mode(0o666),
        owner: None,
        group: None,
    };
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let sink = Sink::bind(&config, receiver, metrics).unwrap();
    let offered = sink.written();
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(sink.run(shutdown));
    Running {
        tokens,
        offered,
        path,
        trigger,
        tasks,
        _folder: folder,
    }
}

impl Running {
    /// Logs in.
    fn login(&self, text: &str, generation: u64) {
        self.tokens.send_replace(TokenState::Live(Arc::new(Live {
            token: Token::new(text).unwrap(),
            wrapped: false,
            accessor: String::new(),
            policies: Vec::new(),
            generation,
            obtained: tokio::time::Instant::now(),
            expires: None,
        })));
    }

    async fn connect(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(&self.path).await.unwrap())
    }
}

/// The next line, or an empty text at the end.
async fn line(client: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    let read = timeout(SOON, client.read_line(&mut line)).await;
    read.expect("a line or an end").unwrap();
    line
}

#[tokio::test]
async fn tells_each_token_once_to_all_who_stay() {
    let mut running = run();
    let mode = std::fs::metadata(&running.path).unwrap().mode();
    assert_eq!(mode & 0o777, 0o666);
    let mut early = running.connect().await;
    running.login("one", 1);
    assert_eq!(line(&mut early).await, "one\n");
    let mut late = running.connect().await;
    assert_eq!(line(&mut late).await, "one\n");
    // A renewal: the same token under a new end.
    running.login("one", 1);
    running.login("two", 2);
    assert_eq!(line(&mut early).await, "two\n");
    assert_eq!(line(&mut late).await, "two\n");
    let told = running.offered.wait_for(|offered| *offered == 2);
    timeout(SOON, told).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_sends_nothing_more_is_told_one_token_and_let_go() {
    let running = run();
    let mut client = running.connect().await;
    client.shutdown().await.unwrap();
    running.login("one", 1);
    assert_eq!(line(&mut client).await, "one\n");
    assert_eq!(line(&mut client).await, "");
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody() {
    let running = run();
    running.login("one", 1);
    let mut idle = Vec::new();
    for _ in 1..CONNECTIONS {
        idle.push(running.connect().await);
    }
    let mut reader = running.connect().await;
    assert_eq!(line(&mut reader).await, "one\n");
    // More than the kernel keeps for a socket: the tasks of the idle ones wait in a write.
    let start = Instant::now();
    for generation in 2..100 {
        let text = "t".repeat(8 << 10);
        running.login(&text, generation);
        assert_eq!(line(&mut reader).await.len(), text.len() + 1);
    }
    assert!(start.elapsed() < SOON);
    // Whoever comes next waits for a place.
    let mut next = running.connect().await;
    let mut text = String::new();
    let early = timeout(Duration::from_millis(50), next.read_line(&mut text)).await;
    assert!(early.is_err(), "{} bytes", text.len());
    idle.clear();
    assert_eq!(line(&mut next).await.len(), (8 << 10) + 1);
}

#[tokio::test]
async fn a_slow_client_is_sent_whole_lines_and_the_newest_last() {
    let running = run();
    running.login("1", 1);
    let mut slow = running.connect().await;
    let mut quick = running.connect().await;
    assert_eq!(line(&mut quick).await, "1\n");
    let text = |generation: u64| generation.to_string().repeat(8 << 10);
    for generation in 2..=9 {
        running.login(&text(generation), generation);
        assert_eq!(line(&mut quick).await.trim_end(), text(generation));
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        let line = line(&mut slow).await;
        let first = line.chars().next().expect("a line");
        assert!(line.trim_end().chars().all(|c| c == first), "{line}");
        seen.push(first.to_digit(10).unwrap());
    }
    assert!(seen.is_sorted(), "{seen:?}");
}

#[tokio::test]
async fn the_end_closes_the_connections_and_takes_the_file_along() {
    let mut running = run();
    let mut client = running.connect().await;
    running.login("one", 1);
    assert_eq!(line(&mut client).await, "one\n");
    running.trigger.request();
    assert_eq!(line(&mut client).await, "");
    let ended = timeout(SOON, running.tasks.join_next()).await;
    ended.unwrap().unwrap().unwrap();
    assert!(!running.path.exists());
}
