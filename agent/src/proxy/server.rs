//! The proxy's listeners: accept, serve, drain.
//!
//! Invariant: an accept error pauses the loop and never ends it; a connection's panic ends that connection alone.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use keyside_config::model::listener::Listener;
use keyside_lifecycle::shutdown::Shutdown;
use tokio::task::JoinSet;

use super::control::Offer;
use super::guard::Guard;
use super::places::{Place, Places};
use super::repeat::Repeats;
use super::socket::{self, Socket};
use super::tls::Acceptor;
use super::{Front, Proxy};
use crate::body::Body;
use crate::connection::{self, Answering, Ending, Limits, Service, Stream};

const LIMITS: Limits = Limits {
    // Longer than clients keep idle connections, so that they close first and never write into one that is going away.
    idle_time: Duration::from_mins(2),
    head_time: Duration::from_secs(10),
    buffer: 64 << 10,
};
/// After an accept error, mostly "too many open files": trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long those who were asked to make room may take before the next one is asked.
const ROOM_PAUSE: Duration = Duration::from_millis(50);

/// One configured listener, with all the sockets that its address stands for.
pub(crate) struct Server {
    sockets: Vec<Socket>,
    listener: Listener,
    /// Absent: plain HTTP.
    acceptor: Option<Acceptor>,
    proxy: Arc<Proxy>,
}

impl Server {
    /// Binds the listener's sockets, and says where.
    pub(crate) async fn bind(
        listener: &Listener,
        proxy: Arc<Proxy>,
    ) -> Result<Self, socket::Error> {
        let sockets = socket::bind(&listener.bind).await?;
        let address = |socket: &Socket| socket.address();
        let no_tls = |error| socket::Error::Tls {
            address: sockets.first().map(address).unwrap_or_default(),
            source: Box::new(error),
        };
        let acceptor = listener.tls().map(Acceptor::new).transpose();
        let acceptor = acceptor.map_err(no_tls)?;
        for socket in &sockets {
            tracing::info!(
                event = "listening",
                listener = socket.kind(),
                address = socket.address(),
                tls = acceptor.is_some()
            );
        }
        Ok(Self {
            sockets,
            listener: listener.clone(),
            acceptor,
            proxy,
        })
    }

    /// Whose certificates can be replaced.
    pub(crate) fn acceptor(&self) -> Option<Acceptor> {
        self.acceptor.clone()
    }

    /// Where it can be reached.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.sockets.iter().map(Socket::address).collect()
    }

    /// Serves until `shutdown` is requested, then closes the sockets and finishes the requests under way. Whoever
    /// runs this sets the deadline for that, by dropping it.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let places = Places::new(self.listener.max_connections);
        let mut loops = JoinSet::new();
        for socket in self.sockets {
            let accepting = Accepting {
                front: Arc::new(Front {
                    guard: Guard::new(&self.listener, socket.is_loopback()),
                    offer: Offer::from(&self.listener),
                    repeats: Repeats::default(),
                }),
                acceptor: self.acceptor.clone(),
                proxy: Arc::clone(&self.proxy),
                places: Arc::clone(&places),
                socket,
            };
            loops.spawn(accepting.run(shutdown.clone()));
        }
        while loops.join_next().await.is_some() {}
    }
}

/// One socket's loop.
struct Accepting {
    socket: Socket,
    front: Arc<Front>,
    acceptor: Option<Acceptor>,
    proxy: Arc<Proxy>,
    /// Of connections on all sockets of the listener.
    places: Arc<Places>,
}

impl Accepting {
    async fn run(self, shutdown: Shutdown) {
        let ending = Ending::new();
        let mut connections = JoinSet::new();
        let mut waiting: Option<Box<dyn Stream>> = None;
        let requested = shutdown.requested();
        tokio::pin!(requested);
        loop {
            if let Some(stream) = waiting.take() {
                match self.places.take() {
                    Some(place) => drop(connections.spawn(self.serve(stream, place, &ending))),
                    None => waiting = Some(stream),
                }
            }
            // Cancel-safe all: a watch, a set of tasks, a connection that stays in the kernel's queue, a notice and a
            // clock.
            tokio::select! {
                biased;
                () = &mut requested => break,
                Some(ended) = connections.join_next() => report(ended),
                accepted = self.socket.accept(), if waiting.is_none() => match accepted {
                    Ok(stream) => waiting = Some(stream),
                    Err(error) => {
                        tracing::warn!(event = "accept_failed", %error, "the listener accepts again shortly");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = self.room(), if waiting.is_some() => {}
            }
        }
        drop((self.socket, waiting));
        ending.run().await;
    }

    /// Resolves when it may be worth while to ask for a place again.
    async fn room(&self) {
        tokio::select! {
            () = self.places.changed() => {}
            () = tokio::time::sleep(ROOM_PAUSE) => {}
        }
    }

    fn serve(
        &self,
        stream: Box<dyn Stream>,
        place: Place,
        ending: &Ending,
    ) -> impl Future<Output = ()> + Send + use<> {
        let stream = match &self.acceptor {
            Some(acceptor) => acceptor.accept(stream),
            None => stream,
        };
        let leaving = Box::pin(place.asked_to_go());
        let connected = Connected {
            proxy: Arc::clone(&self.proxy),
            front: Arc::clone(&self.front),
            _open: Open::new(&self.proxy),
            place,
        };
        connection::serve(stream, Box::new(connected), &LIMITS, ending, leaving)
    }
}

/// What answers one connection, counts it and holds its place, until it ends.
struct Connected {
    proxy: Arc<Proxy>,
    front: Arc<Front>,
    _open: Open,
    place: Place,
}

impl Service for Connected {
    fn at_once(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        let response = self.front.repeats.answer(&self.proxy, request)?;
        self.place.used();
        Some(response)
    }

    fn answer(&self, request: Request<Body>) -> Answering {
        let (proxy, front) = (Arc::clone(&self.proxy), Arc::clone(&self.front));
        let busy = self.place.busy();
        Box::pin(async move {
            let response = proxy.handle(&front, request).await;
            drop(busy);
            response
        })
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(
            event = "connection_panicked",
            "one connection was dropped; the others go on"
        );
    }
}

/// An open connection, counted.
struct Open(prometheus::IntGauge);

impl Open {
    fn new(proxy: &Proxy) -> Self {
        let gauge = proxy.metrics.connections.clone();
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
