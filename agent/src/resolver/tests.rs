use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// What a name server answers: flags, and the last bytes of `10.0.0.x` or `fd00::x`.
type Zone = fn(&Asked<'_>) -> Option<([u8; 2], &'static [u8])>;

struct Asked<'a> {
    name: &'a str,
    kind: Kind,
    over_tcp: bool,
}

const FOUND: [u8; 2] = [0x81, 0x80];
const NO_SUCH_NAME: [u8; 2] = [0x81, 0x83];
const BROKEN: [u8; 2] = [0x81, 0x82];
const TRUNCATED: [u8; 2] = [0x83, 0x80];

/// A name server on a port of its own, for UDP and TCP.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(zone: Zone) -> Self {
        // A port that is free for both.
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut bytes = [0; DATAGRAM];
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                seen.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(zone, &bytes[..length], false) {
                    // Noise from elsewhere comes first.
                    socket.send_to(b"noise", from).await.unwrap();
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut bytes).await.unwrap();
                let answer = answer(zone, &bytes, true).unwrap();
                stream
                    .write_u16(answer.len().try_into().unwrap())
                    .await
                    .unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }
}

fn answer(zone: Zone, question: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
    let (mut labels, mut rest) = (Vec::new(), &question[12..]);
    while rest[0] != 0 {
        let (label, after) = rest[1..].split_at(rest[0].into());
        labels.push(std::str::from_utf8(label).unwrap());
        rest = after;
    }
    let kind = if rest[2] == 28 { Kind::Aaaa } else { Kind::A };
    let (flags, last) = zone(&Asked {
        name: &labels.join("."),
        kind,
        over_tcp,
    })?;
    let mut bytes = question.to_vec();
    bytes[2..4].copy_from_slice(&flags);
    bytes[6..8].copy_from_slice(&u16::try_from(last.len()).unwrap().to_be_bytes());
    for last in last {
        bytes.extend([0xc0, 12, 0, rest[2], 0, 1, 0, 0, 0, 60]);
        if kind == Kind::Aaaa {
            bytes.extend([0, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, *last]);
        } else {
            bytes.extend([0, 4, 10, 0, 0, *last]);
        }
    }
    Some(bytes)
}

fn settings(servers: &[&Server]) -> Settings {
    Settings {
        servers: servers.iter().map(|server| server.address).collect(),
        search: vec!["ns.svc".to_owned(), "svc".to_owned()],
        dots: 2,
        timeout: Duration::from_millis(200),
        attempts: 1,
    }
}

fn both(last: &[u8]) -> Vec<IpAddr> {
    let four = last
        .iter()
        .map(|last| Ipv4Addr::new(10, 0, 0, *last).into());
    let six = last
        .iter()
        .map(|last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, (*last).into()).into());
    four.chain(six).collect()
}

#[tokio::test]
async fn a_short_name_is_found_under_the_names_that_it_may_mean() {
    let server = Server::start(|asked| match asked.name {
        "vault.svc" => Some((FOUND, &[1, 2])),
        _ => Some((NO_SUCH_NAME, &[])),
    })
    .await;
    let found = ask(&settings(&[&server]), "vault").await.unwrap();
    assert_eq!(found, both(&[1, 2]));
    assert_eq!(
        server.asked.load(Ordering::Relaxed),
        4,
        "two names, two kinds"
    );

    let error = ask(&settings(&[&server]), "bank").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_long_answer_is_read_over_tcp() {
    let many: &[u8] = &[7; 60];
    let server = Server::start(|asked| {
        Some(if asked.over_tcp {
            (FOUND, &[7; 60])
        } else {
            (TRUNCATED, &[])
        })
    })
    .await;
    let found = ask(&settings(&[&server]), "a.b.c").await.unwrap();
    assert_eq!(found, both(many));
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_is_silent_or_broken() {
    let silent = Server::start(|_| None).await;
    let broken = Server::start(|_| Some((BROKEN, &[]))).await;
    let right = Server::start(|_| Some((FOUND, &[9]))).await;
    let found = ask(&settings(&[&silent, &broken, &right]), "a.b.c").await;
    assert_eq!(found.unwrap(), both(&[9]));

    let error = ask(&settings(&[&broken]), "a.b.c.").await.unwrap_err();
    assert!(
        error.to_string().contains("could not look up a.b.c"),
        "{error}"
    );
    let error = ask(&settings(&[&silent]), "a.b.c.").await.unwrap_err();
    assert!(
        error.to_string().contains("did not answer in time"),
        "{error}"
    );
}

#[tokio::test]
async fn addresses_of_one_kind_are_enough_where_the_other_is_never_answered() {
    let server = Server::start(|asked| (asked.kind == Kind::A).then_some((FOUND, &[9]))).await;
    let mut settings = settings(&[&server]);
    settings.timeout = Duration::from_hours(1);
    let found = ask(&settings, "a.b.c").await.unwrap();
    assert_eq!(found, [IpAddr::from(Ipv4Addr::new(10, 0, 0, 9))]);
}

#[tokio::test]
async fn an_address_and_the_host_itself_need_no_server() {
    assert_eq!(
        look_up("fd00::1").await.unwrap(),
        ["fd00::1".parse::<IpAddr>().unwrap()]
    );
    let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for name in ["localhost", "LocalHost.", "a.localhost"] {
        assert_eq!(look_up(name).await.unwrap(), local, "{name}");
    }
}
