//! The caching proxy: what a client asks on a listener, answered from the cache or by Vault.
//!
//! `request → guard → control endpoint | whose it is → cache | straight on`, unless it repeats one whose answer is at hand
//! ([`repeat`]). Bodies stream both ways unless a
//! decision needs them: a request's is read where its answer may be kept or where it revokes something.
//!
//! Invariant: a request is sent to Vault at most once, as it came, but for hop-by-hop headers, the token and the
//! namespace. One that only reads, and that was refused because the agent's own token is dead, is sent once more.
//! Invariant: a revocation is applied although the client that asked for it has left.
//!
//! What a hit does not need is in futures of their own, so that a hit's own is small: there is one for each request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AGE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Body as _;
use keyside_config::model::AttachToken;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::admin::control::Control;
use crate::auth::check::Checks;
use crate::body::{self, Body, Read};
use crate::cache::hit::Hit;
use crate::cache::identity::{Identity, TokenId};
use crate::cache::key::{Key, Parts as KeyParts};
use crate::cache::path::{self, Path};
use crate::cache::policy::{self, Decision, Skip};
use crate::cache::{Asked, Cache, Served};
use crate::cache::{renewed, revocation};
use crate::token::{Live, Tokens};
use crate::vault;
use crate::vault::client::Client;

mod conceal;
pub(crate) mod control;
mod forward;
pub(crate) mod guard;
pub(crate) mod metrics;
mod places;
mod repeat;
pub(crate) mod respond;
mod secret;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod tls;

use control::Offer;
use forward::{Caller, NAMESPACE};
use guard::Guard;
use metrics::Metrics;
use repeat::{Repeats, Written};
use respond::Error;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const X_KEYSIDE_CACHE: HeaderName = HeaderName::from_static("x-keyside-cache");

/// How long a request waits for the first login. An application that starts a moment too early is better served late
/// than refused.
const FIRST_LOGIN: Duration = Duration::from_secs(2);
/// When to come back where that was not enough.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The largest request to revoke something: a token, an accessor or a lease. It must be read, however little room
/// there is.
const REVOCATION_LIMIT: usize = 64 << 10;
/// What anybody may ask without a token and during an outage, so that nobody waits to learn that Vault is sealed.
const OPEN: [&str; 4] = ["sys/health", "sys/init", "sys/leader", "sys/seal-status"];

/// What all listeners share.
pub(crate) struct Proxy {
    client: Client,
    /// Absent where nothing logs in.
    tokens: Option<Tokens>,
    checks: Option<Checks>,
    attach: AttachToken,
    namespace: Option<HeaderValue>,
    prepend_namespace: bool,
    cache: Option<Cache>,
    control: Control,
    metrics: Metrics,
    revocations: TaskTracker,
}

/// What a proxy is made of.
pub(crate) struct Settings {
    pub(crate) attach: AttachToken,
    /// `vault.namespace`: of requests that name none.
    pub(crate) namespace: Option<HeaderValue>,
    /// Those that name one mean one below it.
    pub(crate) prepend_namespace: bool,
}

/// What all connections of one socket share.
pub(crate) struct Front {
    guard: Guard,
    offer: Offer,
    repeats: Repeats,
}

/// A request on its way, with its headers as Vault gets them.
#[derive(Clone)]
struct Passing {
    head: Parts,
    caller: Caller,
    /// Namespace and path as one, as Vault reads it.
    place: String,
    /// The same for the key.
    normal: String,
}

impl Passing {
    /// What the request says beside its body.
    fn asks(&self) -> revocation::Request<'_> {
        let maker = self.caller.maker.as_ref();
        revocation::Request {
            method: &self.head.method,
            place: &self.place,
            asker: maker.map(|maker| TokenId::from(&maker.token)),
        }
    }
}

impl Proxy {
    pub(crate) fn new(
        client: Client,
        tokens: Option<Tokens>,
        checks: Option<Checks>,
        settings: &Settings,
        control: Control,
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            tokens,
            checks,
            attach: settings.attach,
            namespace: settings.namespace.clone(),
            prepend_namespace: settings.prepend_namespace,
            cache: control.cache.clone(),
            control,
            metrics,
            revocations: TaskTracker::new(),
        }
    }

    /// Answers one request of one listener.
    pub(crate) async fn handle(&self, front: &Front, request: Request<Body>) -> Response<Body> {
        let (written, generation) = (Written::of(&request), self.generation());
        let (head, body) = request.into_parts();
        let response = match self.route(front, head, body).await {
            Ok((response, hit)) => {
                // Where another token came meanwhile, nobody knows which of them it was found with.
                if let Some((written, hit)) = written.zip(hit)
                    && generation == self.generation()
                {
                    front.repeats.note(written, generation, hit);
                }
                response
            }
            Err(error) => {
                if let Error::Refused(refusal) = &error {
                    self.metrics.refused(refusal);
                }
                if error.is_upstream() {
                    let error = keyside_lifecycle::error::chain(&error);
                    tracing::debug!(event = "proxy_failed", error, "a client was told so");
                }
                error.response()
            }
        };
        self.metrics.answered(response.status());
        response
    }

    async fn route(
        &self,
        front: &Front,
        head: Parts,
        body: Body,
    ) -> Result<(Response<Body>, Option<Hit>), Error> {
        front.guard.check(&head)?;
        let path = head.uri.path().to_owned();
        if !front.offer.serves(&path) {
            return Err(Error::NotFound);
        }
        if let Some(path) = path.strip_prefix(path::API) {
            return self.pass(head, path, body).await;
        }
        let response = Box::pin(self.control(&path, &head, body)).await?;
        Ok((response, None))
    }

    async fn pass(
        &self,
        head: Parts,
        path: &str,
        body: Body,
    ) -> Result<(Response<Body>, Option<Hit>), Error> {
        let mut passing = self.prepare(head, &Path::read(path)?).await?;
        let pod = passing.caller.generation.is_some();
        let tells = conceal::prepare(&mut passing.head.headers, &passing.place, pod)?;
        let before = self.live().filter(|_| tells);
        let served = self.serve_alive(Arc::new(passing), body).await?;
        self.metrics.decided(served.decision);
        let mut response = served.response;
        if let Some(before) = before {
            // A login in between may have led to a second attempt.
            let own = std::iter::once(before).chain(self.live());
            response = Box::pin(conceal::conceal(response, own)).await?;
        }
        Ok((self.finish(response, served.decision), served.hit))
    }

    /// Gives the request its namespace and its token.
    async fn prepare(&self, mut head: Parts, path: &Path<'_>) -> Result<Passing, Error> {
        forward::next_hop(&mut head.headers);
        if let Some(namespace) = &self.namespace {
            forward::enter(&mut head.headers, namespace, self.prepend_namespace);
        }
        let namespace = head
            .headers
            .get(NAMESPACE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let namespace = path::named(namespace)?.to_owned();
        let login = policy::is_login(&path.decoded);
        let own = forward::own(&head.headers);
        let caller = if forward::attaches(self.attach, &own, login) {
            match self.first_login(OPEN.contains(&&*path.decoded)).await? {
                Some(live) => forward::attach(&mut head.headers, &live),
                None => forward::keep(&mut head.headers, own, None, login),
            }
        } else {
            forward::keep(&mut head.headers, own, self.live().as_ref(), login)
        };
        Ok(Passing {
            caller,
            place: path::join(&namespace, &path.decoded),
            normal: path::join(&namespace, &path.normal),
            head,
        })
    }

    /// Of the agent's own token.
    fn generation(&self) -> Option<u64> {
        Some(self.tokens.as_ref()?.borrow().live()?.generation)
    }

    fn live(&self) -> Option<Arc<Live>> {
        self.tokens.as_ref()?.borrow().live().cloned()
    }

    /// The agent's own token. Where there is none yet, waits a moment for it; an open path goes up without.
    async fn first_login(&self, open: bool) -> Result<Option<Arc<Live>>, Error> {
        if let Some(live) = self.live() {
            return Ok(Some(live));
        }
        if open {
            return Ok(None);
        }
        self.client.admit().map_err(Error::Vault)?;
        let absent = Error::NoToken {
            retry_after: RETRY_AFTER,
        };
        let Some(mut tokens) = self.tokens.clone() else {
            return Err(absent);
        };
        let first = tokens.wait_for(|state| state.live().is_some());
        match Box::pin(tokio::time::timeout(FIRST_LOGIN, first)).await {
            Ok(Ok(state)) => Ok(state.live().cloned()),
            _ => Err(absent),
        }
    }

    /// Serves a request; and once more, where it only reads, when Vault refused it because the agent's own token is
    /// dead and there is another one in time. A client that sent that token by itself does not get another's answer.
    async fn serve_alive(&self, passing: Arc<Passing>, body: Body) -> Result<Served, Error> {
        let Some((checks, generation)) = self.checks.as_ref().zip(passing.caller.generation) else {
            return self.serve(passing, body).await;
        };
        let again = (passing.caller.attached && only_reads(&passing.head.method, &body))
            .then(|| Arc::clone(&passing));
        let served = self.serve(passing, body).await?;
        if served.response.status() != StatusCode::FORBIDDEN {
            return Ok(served);
        }
        checks.refused(generation);
        match again {
            Some(again) => Ok(Box::pin(self.replay(again, served, checks, generation)).await),
            None => Ok(served),
        }
    }

    /// Serves what was refused once more, with the token that follows the dead one.
    async fn replay(
        &self,
        again: Arc<Passing>,
        refused: Served,
        checks: &Checks,
        generation: u64,
    ) -> Served {
        let Some(live) = checks.successor(generation).await else {
            return refused;
        };
        let mut again = Arc::unwrap_or_clone(again);
        again.caller = forward::attach(&mut again.head.headers, &live);
        let replayed = self.serve(Arc::new(again), Body::empty()).await;
        // Vault's own answer says more than that there was none.
        replayed.unwrap_or(refused)
    }

    async fn serve(&self, passing: Arc<Passing>, body: Body) -> Result<Served, Error> {
        let Some(cache) = &self.cache else {
            return Box::pin(self.stream(passing, body, Skip::Off)).await;
        };
        let _writing = cache.writing(&passing.head.method, &passing.place);
        if revocation::may_revoke(&passing.head.method, &passing.place) {
            return Box::pin(self.revoke(cache, &passing, body)).await;
        }
        if renewed::may_renew(&passing.head.method, &passing.place) {
            return self.renew(cache, passing, body).await;
        }
        let identity = match before(cache, &passing) {
            Ok(identity) => identity,
            Err(skip) => return Box::pin(self.stream(passing, body, skip)).await,
        };
        let (bytes, _held) = match body::read(body, cache.max_body(), Some(cache.room()))
            .await
            .map_err(Error::Body)?
        {
            Read::Whole(bytes, held) => (bytes, held),
            Read::Beyond(body) => {
                let skip = Skip::RequestTooLarge;
                return Box::pin(self.stream(passing, body, skip)).await;
            }
        };
        let key = Key::of(&KeyParts {
            identity,
            method: &passing.head.method,
            place: &passing.normal,
            query: passing.head.uri.query(),
            headers: &passing.head.headers,
            body: &bytes,
        });
        // Before anything is made for asking Vault.
        let asker = passing.asks().asker;
        let hit = Hit { key, asker };
        let now = Instant::now();
        if let Some(fresh) = cache.find(&hit, now) {
            let response = fresh.at(now).map(Body::full);
            return Ok(Served {
                hit: Some(hit),
                ..Served::new(response, Decision::Hit)
            });
        }
        let client = self.client.clone();
        let is_read =
            cache.keeps_secrets() && passing.head.method == Method::GET && bytes.is_empty();
        let wanted = Asked {
            key,
            reading: is_read
                .then(|| secret::reading(&client, &passing))
                .flatten(),
            place: passing.place.clone(),
            maker: passing.caller.maker.clone(),
        };
        let fetch = move || {
            let (client, request) = (client.clone(), whole(&passing.head, &bytes));
            async move { send(&client, request, Sender::Client).await }
        };
        Box::pin(cache.answer(wanted, fetch))
            .await
            .map_err(Error::Cache)
    }

    /// Passes both bodies on as they come.
    async fn stream(&self, passing: Arc<Passing>, body: Body, skip: Skip) -> Result<Served, Error> {
        let request = Request::from_parts(own_head(passing), body);
        let response = send(&self.client, request, Sender::Client)
            .await
            .map_err(Error::Vault)?;
        Ok(Served::new(response, Decision::Skip(skip)))
    }

    /// Sends a revocation in a task of its own: what Vault has revoked must end here too, also where the client
    /// hangs up before the answer.
    async fn revoke(&self, cache: &Cache, passing: &Passing, body: Body) -> Result<Served, Error> {
        let limit = REVOCATION_LIMIT;
        let Read::Whole(bytes, _) = body::read(body, limit, None).await.map_err(Error::Body)?
        else {
            return Err(Error::BodyTooLarge { limit });
        };
        let revoked = revocation::read(&passing.asks(), &bytes)?;
        let (cache, client) = (cache.clone(), self.client.clone());
        let request = whole(&passing.head, &bytes);
        let task = self.revocations.spawn(async move {
            let response = send(&client, request, Sender::Client).await;
            let told = response.as_ref().map(Response::status);
            let done = revocation::done(revoked, told);
            if !done.is_empty() {
                cache.revoke(&done);
            }
            response
        });
        let response = task
            .await
            .map_err(|_panicked| Error::Lost)?
            .map_err(Error::Vault)?;
        Ok(Served::new(response, Decision::Skip(Skip::Path)))
    }

    /// Sends a renewal in a task of its own, for the same reason. What it renews is learnt from its answer; from its
    /// body only where that tells nothing, so one that is too long passes.
    async fn renew(
        &self,
        cache: &Cache,
        passing: Arc<Passing>,
        body: Body,
    ) -> Result<Served, Error> {
        let limit = REVOCATION_LIMIT;
        let (names, body) = match body::read(body, limit, None).await.map_err(Error::Body)? {
            Read::Whole(bytes, _) => (renewed::named(&passing.asks(), &bytes), Body::full(bytes)),
            Read::Beyond(body) => (Vec::new(), body),
        };
        let (cache, client) = (cache.clone(), self.client.clone());
        let request = Request::from_parts(own_head(passing), body);
        let task = self.revocations.spawn(async move {
            let sending = async move { send(&client, request, Sender::Client).await };
            cache.renew(names, sending).await
        });
        let answer = task.await.map_err(|_panicked| Error::Lost)?;
        let response = answer.map_err(|error| Error::Cache(Arc::new(error)))?;
        Ok(Served::new(response, Decision::Skip(Skip::Path)))
    }

    /// An answer as it goes out: for the client's connection, and with what the cache did. The peers' header is on
    /// answers that are no errors, ours on all.
    fn finish<B>(&self, mut response: Response<B>, decision: Decision) -> Response<B> {
        forward::last_hop(&mut response);
        if self.cache.is_none() {
            return response;
        }
        let success = response.status().is_success();
        let headers = response.headers_mut();
        headers.insert(X_KEYSIDE_CACHE, HeaderValue::from_static(decision.label()));
        headers.remove(X_CACHE);
        if decision == Decision::Stored {
            headers.remove(AGE);
        }
        if success {
            let word = if decision.is_hit() { "HIT" } else { "MISS" };
            headers.insert(X_CACHE, HeaderValue::from_static(word));
        }
        response
    }
}

/// Whether it can be sent twice: it changes nothing, and there is no body that is gone once it was sent.
fn only_reads(method: &Method, body: &Body) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "LIST" | "SCAN") && body.is_end_stream()
}

/// Whose answer it would be, or why none is kept.
fn before(cache: &Cache, passing: &Passing) -> Result<Identity, Skip> {
    let head = &passing.head;
    policy::before(
        &head.method,
        &passing.place,
        &head.headers,
        cache.max_body(),
    )?;
    let identity = passing
        .caller
        .identity
        .ok_or_else(|| match forward::own(&head.headers) {
            forward::Own::None => Skip::Anonymous,
            _ => Skip::Credential,
        })?;
    let maker = passing
        .caller
        .maker
        .as_ref()
        .map(|maker| TokenId::from(&maker.token));
    if maker.is_some_and(|maker| cache.is_limited(maker)) {
        return Err(Skip::LimitedAsker);
    }
    Ok(identity)
}

/// Who wants to know something of Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// A client; or the cache, instead of what a client wants to know.
    Client,
    /// The cache, once for many clients.
    Cache,
}

/// Asks Vault; while it is away, or clients ask too much, only for what tells how it is.
async fn send(
    client: &Client,
    request: Request<Body>,
    sender: Sender,
) -> Result<Response<Body>, vault::error::Error> {
    let path = request.uri().path().strip_prefix(path::API);
    if !path.is_some_and(|path| OPEN.contains(&path)) {
        client.admit()?;
        if sender == Sender::Client {
            client.ration()?;
        }
    }
    let response = client.forward(request).await?;
    Ok(response.map(Body::streamed))
}

/// The head, copied only where it is kept for a second attempt.
fn own_head(passing: Arc<Passing>) -> Parts {
    Arc::try_unwrap(passing).map_or_else(|kept| kept.head.clone(), |own| own.head)
}

/// A request whose body was read, once more.
fn whole(head: &Parts, bytes: &Bytes) -> Request<Body> {
    let mut request = Request::new(Body::full(bytes.clone()));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    request
}
