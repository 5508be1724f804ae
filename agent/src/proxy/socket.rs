//! The sockets of a listener: bound all together, or not at all.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::task::{Context, Poll};

use keyside_config::model::Mode;
use keyside_config::model::listener::{Bind, HostPort};
use tokio::net::{TcpListener, TcpSocket};

use super::tls;
use crate::connection::Stream;
use crate::resolver;
use crate::socket;

/// A Unix socket's mode where none is configured: the agent's own user.
const MODE: Mode = Mode(0o600);

/// Connections that wait in the kernel. With the usual 128, many clients that come at once are left to try again after
/// a second.
const QUEUE: u32 = 1024;

/// Why a listener cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look up the listener's address {address}")]
    LookUp {
        address: HostPort,
        #[source]
        source: io::Error,
    },
    #[error("the listener's address {address} stands for no address here")]
    NoAddress { address: HostPort },
    #[error("bind the listener to {address}")]
    Tcp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Unix(socket::Error),
    #[error("TLS on the listener {address}")]
    Tls {
        address: String,
        #[source]
        source: Box<tls::Error>,
    },
}

/// One bound socket.
pub(super) enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(socket::Socket, PathBuf),
}

/// Binds all that `bind` stands for.
pub(super) async fn bind(bind: &Bind) -> Result<Vec<Socket>, Error> {
    match bind {
        Bind::Tcp(address) => tcp(address).await,
        Bind::Unix {
            path,
            mode,
            user,
            group,
        } => {
            let (user, group) = (user.as_deref(), group.as_deref());
            let socket = socket::Socket::bind_for(path, mode.unwrap_or(MODE), user, group)
                .map_err(Error::Unix)?;
            Ok(vec![Socket::Unix(socket, path.clone())])
        }
    }
}

/// Every address of a name, all on one port: with port 0, the port that the first one got.
async fn tcp(address: &HostPort) -> Result<Vec<Socket>, Error> {
    let mut sockets = Vec::new();
    let mut port = address.port;
    let mut absent = None;
    for ip in addresses(address).await? {
        let at = SocketAddr::new(ip, port);
        match listen(at).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((bound, listener)) => {
                port = bound.port();
                sockets.push(Socket::Tcp(listener, bound));
            }
            // A name may stand for IPv6 where the host has none.
            Err(source)
                if source.kind() == io::ErrorKind::AddrNotAvailable || is_unsupported(&source) =>
            {
                absent = Some(Error::Tcp {
                    address: at,
                    source,
                });
            }
            Err(source) => {
                return Err(Error::Tcp {
                    address: at,
                    source,
                });
            }
        }
    }
    if sockets.is_empty() {
        let address = address.clone();
        return Err(absent.unwrap_or(Error::NoAddress { address }));
    }
    Ok(sockets)
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = match at {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // What is left of the last agent's connections keeps nobody from the address.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(QUEUE)
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

async fn addresses(address: &HostPort) -> Result<Vec<IpAddr>, Error> {
    let found = resolver::look_up(&address.host).await;
    found.map_err(|source| Error::LookUp {
        address: address.clone(),
        source,
    })
}

impl Socket {
    /// Whether only this host can reach it, over the network that browsers use too.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(_, address) => address.ip().is_loopback(),
            Self::Unix(..) => false,
        }
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(..) => "tcp",
            Self::Unix(..) => "unix",
        }
    }

    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp(_, address) => address.to_string(),
            Self::Unix(_, path) => path.display().to_string(),
        }
    }

    /// The next connection. Cancel-safe: a connection not taken stays in the kernel's queue.
    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        match self {
            Self::Tcp(listener, _) => listener.poll_accept(context).map(|accepted| {
                let (stream, _peer) = accepted?;
                // Small answers must not wait for an acknowledgement.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            }),
            Self::Unix(socket, _) => socket
                .listener
                .poll_accept(context)
                .map(|accepted| Ok(Box::new(accepted?.0) as Box<dyn Stream>)),
        }
    }
}
