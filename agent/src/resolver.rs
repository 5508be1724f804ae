//! What addresses a name has: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! The C library's look-up blocks a thread for as long as a name server keeps silent, asks for both kinds of address
//! from one port, which loses packets behind some clusters' address translation, and in a static program still wants
//! to load modules. This one is a task like any other: it waits without a thread, and whoever drops it ends it.
//!
//! Invariant: an answer counts only if it comes from the server that was asked, under the number of the question,
//! which nobody can guess, and repeats the question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns;
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tower_service::Service;

use message::{Answer, Kind, Question};
use settings::Settings;

mod message;
mod settings;

/// The largest answer without extensions (RFC 1035, section 4.2.1); longer ones are asked for again over TCP.
const DATAGRAM: usize = 512;
/// For the second kind of address, once there is one of the first.
const PATIENCE: Duration = Duration::from_millis(250);

/// The addresses of `host`, which may be one itself.
pub(crate) async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let name = host.to_ascii_lowercase();
    // Not left to /etc/hosts: a container may have none, or only one of the two in it.
    if name.trim_end_matches('.') == "localhost"
        || name.trim_end_matches('.').ends_with(".localhost")
    {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let listed = settings::hosts(&read("/etc/hosts").await, &name);
    if !listed.is_empty() {
        return Ok(listed);
    }
    let settings = Settings::read(&read("/etc/resolv.conf").await);
    ask(&settings, &name).await
}

/// A file that is absent says nothing.
async fn read(path: &str) -> String {
    let bytes = fs::read(path).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks for each name that may be meant, until one exists.
async fn ask(settings: &Settings, name: &str) -> io::Result<Vec<IpAddr>> {
    let mut failure = None;
    for name in settings.candidates(name) {
        let mut found = Vec::new();
        for answer in both_kinds(settings, &name).await {
            match answer {
                Ok(addresses) => found.extend(addresses),
                Err(error) => failure = Some(error),
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(failure.unwrap_or_else(|| {
        let text = format!("{name} has no address, as far as the name servers know");
        io::Error::new(io::ErrorKind::NotFound, text)
    }))
}

/// IPv4 first: it works wherever there are both, and whoever connects tries the other soon.
async fn both_kinds(settings: &Settings, name: &str) -> [io::Result<Vec<IpAddr>>; 2] {
    let (four, six) = (
        settled(settings, name, Kind::A),
        settled(settings, name, Kind::Aaaa),
    );
    tokio::pin!(four, six);
    tokio::select! {
        four = &mut four => {
            let six = second(&four, six).await;
            [four, six]
        }
        six = &mut six => {
            let four = second(&six, four).await;
            [four, six]
        }
    }
}

/// Some servers never answer for the kind that they do not know: with addresses at hand, nobody waits long for them.
async fn second(
    first: &io::Result<Vec<IpAddr>>,
    other: impl Future<Output = io::Result<Vec<IpAddr>>>,
) -> io::Result<Vec<IpAddr>> {
    if first.as_ref().is_ok_and(|found| !found.is_empty()) {
        let late = timeout(PATIENCE, other).await;
        return late.unwrap_or_else(|_elapsed| Ok(Vec::new()));
    }
    other.await
}

/// What the first server says that can say anything; no addresses where the name has none of this kind.
async fn settled(settings: &Settings, name: &str, kind: Kind) -> io::Result<Vec<IpAddr>> {
    let mut failure = None;
    for _attempt in 0..settings.attempts {
        for server in &settings.servers {
            let question = Question::new(name, kind)?;
            let answered = timeout(settings.timeout, exchange(*server, &question)).await;
            failure = Some(match answered {
                Ok(Ok(Answer::Addresses(addresses))) => return Ok(addresses),
                Ok(Ok(_)) => format!("the name server {server} could not look up {name}"),
                Ok(Err(error)) => format!("the name server {server} cannot be asked: {error}"),
                Err(_elapsed) => format!("the name server {server} did not answer in time"),
            });
        }
    }
    let text = failure.unwrap_or_else(|| "there is no name server".to_owned());
    Err(io::Error::other(text))
}

async fn exchange(server: SocketAddr, question: &Question) -> io::Result<Answer> {
    let local: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own for each question: one more thing that a forger would have to guess.
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(question.bytes()).await?;
    let mut bytes = [0; DATAGRAM];
    loop {
        let length = socket.recv(&mut bytes).await?;
        match question.read(bytes.get(..length).unwrap_or_default()) {
            Some(Answer::Truncated) => return exchange_whole(server, question).await,
            Some(answer) => return Ok(answer),
            // A late answer to another question, or a forged one: ours may still come.
            None => {}
        }
    }
}

/// The same over TCP, where each message has its length in front.
async fn exchange_whole(server: SocketAddr, question: &Question) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.bytes().len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), question.bytes()].concat();
    stream.write_all(&framed).await?;
    let mut bytes = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(question.read(&bytes).unwrap_or(Answer::Failed))
}

/// The same, as hyper's connector wants it.
#[derive(Clone)]
pub(crate) struct Resolver;

type Resolving = Pin<Box<dyn Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

impl Service<dns::Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Resolving;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Resolving {
        Box::pin(async move {
            let found = look_up(name.as_str()).await?;
            // The connector puts the port in.
            let found = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(found.collect::<Vec<_>>().into_iter())
        })
    }
}

#[cfg(test)]
mod tests;
