//! The admin endpoints' sockets.
//!
//! Invariant: an accept error pauses the loop and never ends it; a connection's panic or hang is its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use keyside_config::model::Admin;
use keyside_config::model::listener::HostPort;
use keyside_lifecycle::shutdown::Shutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::handler::{Handler, Surface};
use crate::body::Body;
use crate::connection::{self, Answering, Ending, Limits, Service, Stream};
use crate::resolver;
use crate::socket::Socket;

/// More than a kubelet, a Prometheus and a person need; the next one waits in the kernel's queue.
const CONNECTIONS: usize = 16;
const LIMITS: Limits = Limits {
    idle_time: Duration::from_secs(5),
    head_time: Duration::from_secs(5),
    buffer: 8 << 10,
};
/// After an accept error, mostly "too many open files": trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One bound socket of the admin endpoints.
pub(crate) struct Server {
    listener: Listener,
    handler: Arc<Handler>,
}

enum Listener {
    Unix(Socket),
    Tcp(TcpListener),
}

/// Why an admin endpoint cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("binding the admin socket {}", path.display())]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("binding the admin address {address}")]
    Address {
        address: HostPort,
        #[source]
        source: io::Error,
    },
}

/// Binds what `admin` names, and says where.
pub(crate) async fn bind(admin: &Admin, handler: &Arc<Handler>) -> Result<Vec<Server>, Error> {
    let socket = Socket::bind(&admin.socket).map_err(|source| Error::Socket {
        path: admin.socket.clone(),
        source,
    })?;
    tracing::info!(event = "listening", listener = "admin", address = %admin.socket.display());
    let mut listeners = vec![Listener::Unix(socket)];
    if let Some(address) = &admin.address {
        let (listener, bound) = bind_tcp(address).await.map_err(|source| Error::Address {
            address: address.clone(),
            source,
        })?;
        tracing::info!(event = "listening", listener = "health", address = %bound);
        listeners.push(Listener::Tcp(listener));
    }
    let server = |listener| Server {
        listener,
        handler: Arc::clone(handler),
    };
    Ok(listeners.into_iter().map(server).collect())
}

async fn bind_tcp(address: &HostPort) -> io::Result<(TcpListener, SocketAddr)> {
    let found = resolver::look_up(&address.host).await?;
    let found: Vec<_> = or_every_ipv4_address(found)
        .into_iter()
        .map(|ip| SocketAddr::new(ip, address.port))
        .collect();
    let listener = TcpListener::bind(found.as_slice()).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// A node without IPv6 has no `::`. There every address is every address of IPv4; elsewhere the first one has these too.
fn or_every_ipv4_address(mut found: Vec<IpAddr>) -> Vec<IpAddr> {
    if found.contains(&IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
        found.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    found
}

impl Server {
    /// For the task's name.
    pub(crate) const fn name(&self) -> &'static str {
        match self.listener {
            Listener::Unix(_) => "admin",
            Listener::Tcp(_) => "health",
        }
    }

    /// Answers until `shutdown` is requested, then finishes what is under way.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let Self { listener, handler } = self;
        let ending = Ending::new();
        let mut connections = JoinSet::new();
        let requested = shutdown.requested();
        tokio::pin!(requested);
        loop {
            // Cancel-safe all three: accepting, joining, and a watch.
            tokio::select! {
                biased;
                () = &mut requested => break,
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, surface)) => {
                        let handler = Arc::clone(&handler);
                        let service = Box::new(Connected { surface, handler });
                        // There are few places, and nobody is asked to leave one.
                        let leaving = Box::pin(std::future::pending());
                        connections.spawn(connection::serve(stream, service, &LIMITS, &ending, leaving));
                    }
                    Err(error) => {
                        tracing::warn!(event = "accept_failed", %error, "the admin endpoint accepts again shortly");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        ending.run().await;
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<(Box<dyn Stream>, Surface)> {
        Ok(match self {
            Self::Unix(socket) => (Box::new(socket.listener.accept().await?.0), Surface::Socket),
            Self::Tcp(listener) => (Box::new(listener.accept().await?.0), Surface::Address),
        })
    }
}

/// What answers one connection.
struct Connected {
    surface: Surface,
    handler: Arc<Handler>,
}

impl Service for Connected {
    fn at_once(&self, _request: &Request<Incoming>) -> Option<Response<Body>> {
        None
    }

    fn answer(&self, request: Request<Body>) -> Answering {
        let (surface, handler) = (self.surface, Arc::clone(&self.handler));
        Box::pin(async move { handler.answer(surface, request).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_is_one_on_each_kind_of_node() -> anyhow::Result<()> {
        let all = or_every_ipv4_address(vec!["::".parse()?]);
        assert_eq!(all, ["::".parse::<IpAddr>()?, "0.0.0.0".parse()?]);
        assert_eq!(or_every_ipv4_address(vec!["::1".parse()?]).len(), 1);

        let host = "::".to_owned();
        let (listener, bound) = bind_tcp(&HostPort { host, port: 0 }).await?;
        let caller = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, bound.port())).await?;
        assert_eq!(
            listener.accept().await?.1.port(),
            caller.local_addr()?.port()
        );
        Ok(())
    }
}
