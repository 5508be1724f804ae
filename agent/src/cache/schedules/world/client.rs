//! A client: what it sends, as the proxy would treat it.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use super::{BOUND, World, serial, token_text};
use crate::cache::identity::{Identity, TokenId};
use crate::cache::key::{Key, Parts};
use crate::cache::path::{self, Path};
use crate::cache::revocation::{self, Revoked};
use crate::cache::schedules::op::{Op, Target, What, Who};
use crate::cache::schedules::vault::{self, Call, ROLES, Vault};
use crate::cache::store::Maker;
use crate::cache::{Asked, Cache, policy, renewed};
use crate::token::{Live, Token};

/// A request as a client sends it.
pub(super) struct Request {
    life: u64,
    pub(super) who: Who,
    pub(super) own: Option<usize>,
    method: Method,
    pub(super) call: Call,
    raw: String,
    header: bool,
    query: &'static str,
    bytes: Vec<u8>,
}

/// The asking token, and whose answers it may be given.
struct Caller {
    identity: Option<Identity>,
    maker: Option<Maker>,
}

impl World {
    /// What a client sends, with what there is now; `None` where there is nothing to name.
    pub(super) fn request(&self, op: &Op) -> Option<Request> {
        let Op::Ask {
            who,
            what,
            spelling,
            inside,
            ..
        } = op
        else {
            return None;
        };
        let namespace = if *inside { "ns1" } else { "" };
        let state = self.state.lock().unwrap();
        let vault = self.vault.lock().unwrap();
        let own = match who {
            Who::Own(young) => Some(
                *state
                    .pool
                    .get(state.pool.len() - 1 - young % state.pool.len())?,
            ),
            _ => None,
        };
        let (method, path, body) = wanted(what, &vault)?;
        let header = spelling & 1 == 0;
        let mut raw = path::join(if header { "" } else { namespace }, &path);
        if spelling & 2 == 0 {
            raw = raw.replacen('a', "%61", 1);
        }
        let query = if spelling & 4 == 0 {
            "b=1&a=%32"
        } else {
            "a=2&b=1"
        };
        let bytes = match (&body, spelling & 8) {
            (_, 0) => serde_json::to_vec_pretty(&body),
            _ => serde_json::to_vec(&body),
        };
        let asked = format!("{namespace} {method} {path} {body}");
        Some(Request {
            life: state.life,
            who: *who,
            own,
            method,
            call: Call {
                number: 0,
                token: None,
                namespace: namespace.to_owned(),
                path,
                body,
                asked,
            },
            raw,
            header,
            query,
            bytes: bytes.unwrap(),
        })
    }

    pub(super) async fn ask(self, mut request: Request, leaves: Option<Duration>) {
        let start = self.event();
        let began = Instant::now();
        let caller = self.identify(&mut request);
        let jumped = self.state.lock().unwrap().jumped;
        let asking = self.send(&request, caller, start);
        if let Some(time) = leaves {
            if tokio::time::timeout(time, asking).await.is_err() {
                self.tell(|| "a client left".to_owned());
            }
            return;
        }
        asking.await;
        let jumped = self.state.lock().unwrap().jumped.saturating_sub(jumped);
        if began.elapsed().saturating_sub(jumped) > BOUND {
            self.wrong(format!("{} waited since {began:?}", request.call.asked));
        }
    }

    /// As the proxy does it: see `proxy::forward`.
    fn identify(&self, request: &mut Request) -> Caller {
        let live = self.tokens.borrow().live().cloned();
        let pod = |live: &Live| Caller {
            identity: Some(Identity::AutoAuth),
            maker: Some(Maker {
                token: live.token.clone(),
                accessor: Some(live.accessor.clone()),
                ends: live.expires,
            }),
        };
        match (request.who, request.own, live) {
            (Who::Nobody, ..) | (_, None, None) => Caller {
                identity: Some(Identity::Nobody).filter(|_| policy::is_login(&request.call.path)),
                maker: None,
            },
            (_, None, Some(live)) => {
                request.call.token = Some(live.token.expose().to_owned());
                pod(&live)
            }
            (_, Some(own), live) => {
                let token = Token::new(token_text(own)).unwrap();
                request.call.token = Some(token.expose().to_owned());
                match live.filter(|live| live.token == token) {
                    Some(live) => pod(&live),
                    None => Caller {
                        identity: Some(Identity::Token(TokenId::from(&token))),
                        maker: Some(Maker {
                            token,
                            accessor: None,
                            ends: None,
                        }),
                    },
                }
            }
        }
    }

    /// As the proxy does it: see `proxy::serve`.
    async fn send(&self, request: &Request, caller: Caller, start: u64) {
        let cache = self.cache();
        let path = Path::read(&request.raw).unwrap();
        let namespace = if request.header {
            &*request.call.namespace
        } else {
            ""
        };
        let place = path::join(namespace, &path.decoded);
        let normal = path::join(namespace, &path.normal);
        let asks = revocation::Request {
            method: &request.method,
            place: &place,
            asker: caller
                .maker
                .as_ref()
                .map(|maker| TokenId::from(&maker.token)),
        };
        let call = request.call.clone();
        if revocation::may_revoke(&request.method, &place) {
            let revoked = revocation::read(&asks, &request.bytes).unwrap();
            return self.send_revocation(&cache, request, revoked).await;
        }
        if renewed::may_renew(&request.method, &place) {
            return self.send_renewal(&cache, request, renewed::named(&asks, &request.bytes));
        }
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from(start));
        if policy::before(&request.method, &place, &headers, cache.max_body()).is_err() {
            return self.wrong(format!("{} could not be kept", call.asked));
        }
        let limited = asks.asker.is_some_and(|asker| cache.is_limited(asker));
        let Some(identity) = caller.identity.filter(|_| !limited) else {
            drop(vault::call(&self.vault, &call).await);
            return;
        };
        let key = Key::of(&Parts {
            identity,
            method: &request.method,
            place: &normal,
            query: Some(request.query),
            headers: &headers,
            body: &request.bytes,
        });
        let asked = Asked {
            key,
            place,
            maker: caller.maker,
            reading: None,
        };
        let model = Arc::clone(&self.vault);
        let fetch = move || {
            let (model, call) = (Arc::clone(&model), call.clone());
            async move { vault::call(&model, &call).await }
        };
        match cache.answer(asked, fetch).await {
            Ok(served) => {
                self.judge(request, start, served.decision, served.response)
                    .await;
            }
            Err(error) => self.tell(|| format!("{}: {error}", request.call.asked)),
        }
    }

    fn send_renewal(&self, cache: &Cache, request: &Request, names: Vec<renewed::Name>) {
        let auto = {
            let state = self.state.lock().unwrap();
            let body = &request.call.body;
            let fields = ["token", "accessor"].map(|field| body[field].as_str());
            let own = request.call.token.as_deref();
            let mut all = fields.into_iter().chain([own]).flatten().filter_map(serial);
            all.any(|it| state.autos.contains(&it))
        };
        if auto && request.call.path.starts_with("auth/") {
            // The login machine does this, and is not told of others.
            return;
        }
        // In a task of its own: it goes on when the client has left.
        let (world, cache, mut call) = (self.clone(), cache.clone(), request.call.clone());
        call.number = self.event();
        let life = request.life;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let sending = async { vault::call(&world.vault, &call).await };
            let answer = cache.renew(names, sending).await;
            let status = answer
                .map(|answer| answer.status().as_u16())
                .unwrap_or_default();
            // An agent that was killed meanwhile has not heard of it.
            if status == 200 && world.state.lock().unwrap().life == life {
                world.vault.lock().unwrap().heard(call.number);
            }
            world.tell(|| format!("{}: {status}", call.asked));
        });
        task.detach_all();
    }

    async fn send_revocation(&self, cache: &Cache, request: &Request, revoked: Vec<Revoked>) {
        let (world, cache, call) = (self.clone(), cache.clone(), request.call.clone());
        let (life, (done, finished)) = (request.life, tokio::sync::oneshot::channel::<()>());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let answer = vault::call(&world.vault, &call).await;
            let told = answer.as_ref().map(http::Response::status);
            let revoked = revocation::done(revoked, told);
            let now = world.state.lock().unwrap().life;
            if !revoked.is_empty() && now == life {
                let clears = world.vault.lock().unwrap().targets(&call);
                let known = world.known(&cache, &clears);
                cache.revoke(&revoked);
                world.mark_told(&known, &call.asked);
            }
            done.send(()).unwrap_or_default();
        });
        task.detach_all();
        drop(finished.await);
    }
}

/// Method, path and body of what a client wants; `None` where there is nothing to name.
fn wanted(what: &What, vault: &Vault) -> Option<(Method, String, Value)> {
    let wanted = match what {
        What::Lease(role) => (Method::GET, format!("database/creds/r{role}"), json!({})),
        What::Plain => (Method::GET, "secret/a".to_owned(), json!({})),
        What::Login(role) => {
            let body = json!({ "role_id": role, "secret_id": "s" });
            (Method::POST, "auth/approle/login".to_owned(), body)
        }
        What::Child { ttl, orphan, uses } => {
            let orphan = if *orphan { "-orphan" } else { "" };
            let body = json!({ "num_uses": uses, "ttl": ttl });
            (Method::POST, format!("auth/token/create{orphan}"), body)
        }
        What::Renew { target, increment } => {
            let (path, mut body) = named("renew", *target, vault)?;
            body["increment"] = (*increment).into();
            (Method::PUT, path, body)
        }
        What::Revoke(target) => {
            let (path, body) = named("revoke", *target, vault)?;
            (Method::PUT, path, body)
        }
    };
    Some(wanted)
}

/// Path and body of what renews or revokes a thing.
fn named(verb: &str, target: Target, vault: &Vault) -> Option<(String, Value)> {
    let token = |young| vault.youngest(young, false);
    let lease = |young| vault.made[vault.youngest(young, true)?].lease.clone();
    let named = match target {
        Target::Itself => (format!("auth/token/{verb}-self"), json!({})),
        Target::Orphaning(young) if verb == "revoke" => {
            let body = json!({ "token": token_text(token(young)?) });
            ("auth/token/revoke-orphan".to_owned(), body)
        }
        Target::Token(young) | Target::Orphaning(young) => {
            let body = json!({ "token": token_text(token(young)?) });
            (format!("auth/token/{verb}"), body)
        }
        Target::Accessor(young) => {
            let body = json!({ "accessor": format!("a.{}", token(young)?) });
            (format!("auth/token/{verb}-accessor"), body)
        }
        Target::Lease(young) => (
            format!("sys/leases/{verb}"),
            json!({ "lease_id": lease(young)? }),
        ),
        Target::LeaseInUrl(young) => (format!("sys/leases/{verb}/{}", lease(young)?), json!({})),
        Target::Prefix(_) if verb == "renew" => return None,
        Target::Prefix(ROLES) => (
            "sys/leases/revoke-prefix/auth/approle/login".to_owned(),
            json!({}),
        ),
        Target::Prefix(role) => (
            format!("sys/leases/revoke-prefix/database/creds/r{role}"),
            json!({}),
        ),
    };
    Some(named)
}
