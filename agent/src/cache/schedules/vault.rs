//! A Vault in memory: tokens with parents, lengths and rights, leases, their ends, and weather on the way to it.

use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::body::Body;
use crate::cache::path;
use crate::vault::error::Error;

/// What the client of Vault waits for an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a standby may not know what was just made.
const LAG: Duration = Duration::from_millis(300);

pub(super) const ROLES: u64 = 4;

/// A token or a lease that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) lease: Option<String>,
    /// The token that asked for it; absent: a login, or made behind the agent's back.
    pub(super) maker: Option<usize>,
    /// The token with which it ends.
    pub(super) parent: Option<usize>,
    /// What was asked for, in one spelling.
    pub(super) asked: String,
    pub(super) namespace: String,
    pub(super) path: String,
    pub(super) at: Instant,
    pub(super) ends: Option<Instant>,
    most: Option<Instant>,
    step: u64,
    renewable: bool,
    /// Whether it may renew what it made.
    rights: bool,
    uses: Option<u64>,
    revoked: bool,
    /// When its answer came: nobody can name it before that.
    known: Option<Instant>,
    /// Ends before renewals that made it end sooner, which the agent has not heard of yet: number, time and end.
    pending: Vec<(u64, Instant, Instant)>,
    /// When a client was told through the agent that it is revoked, or cleared, on the clock of events.
    pub(super) told: Option<u64>,
    pub(super) told_at: Option<Instant>,
    /// When the agent's own renewal found it gone.
    pub(super) found: Option<Instant>,
}

/// What a request is made of, for the model.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Of a client's renewal.
    pub(super) number: u64,
    pub(super) token: Option<String>,
    pub(super) namespace: String,
    pub(super) path: String,
    pub(super) body: Value,
    pub(super) asked: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Fine,
    Slow,
    Away,
    /// Answers are lost on the way back, and servers in between fail.
    Lossy,
    Lagging,
}

pub(super) struct Vault {
    pub(super) made: Vec<Made>,
    pub(super) weather: Weather,
    rng: fastrand::Rng,
    /// What the last revocation named, whatever its answer.
    pub(super) calls: u64,
}

/// What happens to one call.
struct Fate {
    before: Duration,
    after: Duration,
    done: bool,
    answered: bool,
    status: Option<StatusCode>,
}

pub(super) fn token_text(serial: usize) -> String {
    format!("t.{serial}")
}

pub(super) fn serial(text: &str) -> Option<usize> {
    text.rsplit(['.', '/']).next()?.parse().ok()
}

impl Vault {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            made: Vec::new(),
            weather: Weather::Fine,
            rng: fastrand::Rng::with_seed(seed ^ 0x5eed),
            calls: 0,
        }
    }

    fn fate(&mut self) -> Fate {
        self.calls += 1;
        let mut millis = |most: u64| Duration::from_millis(self.rng.u64(0..=most));
        let (before, after) = match self.weather {
            Weather::Slow => (millis(40_000), millis(40_000)),
            Weather::Away => (millis(3000), millis(10)),
            _ => (millis(30), millis(30)),
        };
        let mut fate = Fate {
            before,
            after,
            done: true,
            answered: true,
            status: None,
        };
        match self.weather {
            Weather::Away => {
                fate.done = false;
                fate.answered = self.rng.bool();
                fate.status = Some(StatusCode::SERVICE_UNAVAILABLE);
            }
            Weather::Lossy => match self.rng.u8(0..6) {
                0 => fate.answered = false,
                1 => fate.status = Some(StatusCode::INTERNAL_SERVER_ERROR),
                2 => fate.status = Some(StatusCode::BAD_GATEWAY),
                _ => {}
            },
            _ => {}
        }
        fate
    }

    pub(super) fn add_token(&mut self, ttl: u64, most: u64, rights: bool) -> usize {
        let serial = self.add(None, None, ("", "operator", "operator"), (ttl, most, true));
        if let Some(made) = self.made.get_mut(serial) {
            made.rights = rights;
            made.known = Some(made.at);
        }
        serial
    }

    fn add(
        &mut self,
        maker: Option<usize>,
        parent: Option<usize>,
        (namespace, path, asked): (&str, &str, &str),
        (ttl, most, renewable): (u64, u64, bool),
    ) -> usize {
        let now = Instant::now();
        let end = |seconds: u64| (seconds != 0).then(|| now + Duration::from_secs(seconds));
        self.made.push(Made {
            lease: None,
            maker,
            parent,
            asked: asked.to_owned(),
            namespace: namespace.to_owned(),
            path: path.to_owned(),
            at: now,
            ends: end(ttl),
            most: end(most),
            step: ttl,
            renewable,
            rights: true,
            uses: None,
            revoked: false,
            known: None,
            pending: Vec::new(),
            told: None,
            told_at: None,
            found: None,
        });
        self.made.len() - 1
    }

    /// When it ends if nobody revokes it: with the first of those tokens above it whose end the agent knows.
    pub(super) fn natural_end(
        &self,
        serial: usize,
        knows: &impl Fn(usize) -> bool,
    ) -> Option<Instant> {
        let made = self.made.get(serial)?;
        let parent = made.parent.filter(|parent| knows(*parent));
        let above = parent.and_then(|parent| self.natural_end(parent, knows));
        let mut own = made.ends;
        for (_, _, before) in &made.pending {
            own = own.max(Some(*before));
        }
        own.into_iter().chain(above).min()
    }

    pub(super) fn lives(&self, serial: usize) -> bool {
        self.made.get(serial).is_some_and(|made| {
            !made.revoked
                && made.ends.is_none_or(|ends| ends > Instant::now())
                && made.parent.is_none_or(|parent| self.lives(parent))
        })
    }

    pub(super) fn revoke(&mut self, serial: usize) {
        if let Some(made) = self.made.get_mut(serial) {
            made.revoked = true;
        }
        for child in self.children(serial) {
            self.revoke(child);
        }
    }

    pub(super) fn children(&self, serial: usize) -> Vec<usize> {
        let made = self.made.iter().enumerate();
        made.filter_map(|(child, made)| (made.parent == Some(serial)).then_some(child))
            .collect()
    }

    /// The so-manieth youngest token, or lease.
    pub(super) fn youngest(&self, place: usize, lease: bool) -> Option<usize> {
        let made = self.made.iter().enumerate().rev();
        let known = |made: &Made| made.known.is_some_and(|known| known < Instant::now());
        let mut ours = made.filter(|(_, made)| made.lease.is_some() == lease && known(made));
        ours.nth(place).map(|(serial, _)| serial)
    }

    fn orphan(&mut self, serial: usize) {
        for child in self.children(serial) {
            if let Some(made) = self.made.get_mut(child)
                && made.lease.is_none()
            {
                made.parent = None;
            }
        }
        self.revoke(serial);
    }

    fn answer(&mut self, call: &Call) -> (StatusCode, Value) {
        let refused = |text: &str| (StatusCode::FORBIDDEN, json!({ "errors": [text] }));
        if call.path == "auth/approle/login" {
            let serial = self.add(
                None,
                None,
                (&call.namespace, &call.path, &call.asked),
                (600, 2400, true),
            );
            return self.token_answer(serial);
        }
        let asker = call.token.as_deref().and_then(serial);
        let Some(asker) = asker.filter(|asker| self.lives(*asker)) else {
            return if self.rng.bool() {
                refused("permission denied")
            } else {
                refused("bad token")
            };
        };
        let lags = self.weather == Weather::Lagging;
        let young = self
            .made
            .get(asker)
            .is_some_and(|it| it.at + LAG > Instant::now());
        if lags && young {
            return refused("permission denied");
        }
        if let Some(uses) = self.made.get_mut(asker).and_then(|it| it.uses.as_mut()) {
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                self.revoke(asker);
                return refused("permission denied");
            }
        }
        self.act(call, asker)
    }

    fn act(&mut self, call: &Call, asker: usize) -> (StatusCode, Value) {
        let seconds = |name: &str| call.body[name].as_u64().unwrap_or_default();
        let place = (&*call.namespace, &*call.path, &*call.asked);
        match path::segments(&call.path).as_slice() {
            ["database", "creds", role] => {
                let lengths = match *role {
                    "r0" => (60, 300, true),
                    "r1" => (3600, 0, true),
                    "r2" => (600, 600, false),
                    _ => (8, 20, true),
                };
                let serial = self.add(Some(asker), Some(asker), place, lengths);
                let id = format!("{}/{serial}", call.path);
                self.made[serial].lease = Some(id.clone());
                let data = json!({ "serial": serial, "lease_duration": 3 });
                let answer = json!({ "lease_id": id, "lease_duration": lengths.0,
                    "renewable": lengths.2, "data": data, "auth": null });
                (StatusCode::OK, answer)
            }
            ["secret", _] => {
                let data = json!({ "lease_id": "x/1", "lease_duration": 60 });
                let answer = json!({ "lease_id": "", "lease_duration": 60, "data": data });
                (StatusCode::OK, answer)
            }
            ["auth", "token", "create" | "create-orphan"] => {
                let orphan = call.path.ends_with("orphan");
                let parent = (!orphan).then_some(asker);
                let ttl = seconds("ttl");
                let lengths = (ttl, ttl * 3, true);
                let serial = self.add(Some(asker), parent, place, lengths);
                self.made[serial].uses = Some(seconds("num_uses")).filter(|uses| *uses != 0);
                self.token_answer(serial)
            }
            ["auth", "token", "renew-self"] => self.renew(Some(asker), call),
            ["auth", "token", "renew"] => self.renew(named(&call.body, "token"), call),
            ["auth", "token", "renew-accessor"] => self.renew(named(&call.body, "accessor"), call),
            ["sys", "leases", "renew", rest @ ..] => {
                let in_url = rest.last().and_then(|last| serial(last));
                let rights = self.made[asker].rights;
                let target = named(&call.body, "lease_id").or(in_url);
                if rights {
                    self.renew(target, call)
                } else {
                    let refused = json!({ "errors": ["permission denied"] });
                    (StatusCode::FORBIDDEN, refused)
                }
            }
            _ => {
                for (serial, orphaning) in self.targets(call) {
                    if orphaning {
                        self.orphan(serial);
                    } else {
                        self.revoke(serial);
                    }
                }
                (StatusCode::NO_CONTENT, Value::Null)
            }
        }
    }

    /// What a revocation names, and whether tokens below it go on.
    pub(super) fn targets(&self, call: &Call) -> Vec<(usize, bool)> {
        let asker = call.token.as_deref().and_then(serial);
        let one = |target: Option<usize>| target.map(|it| (it, false)).into_iter().collect();
        let known = |name: &str| named(&call.body, name).filter(|it| *it < self.made.len());
        match path::segments(&call.path).as_slice() {
            ["auth", "token", "revoke-self"] => one(asker),
            ["auth", "token", "revoke"] => one(known("token")),
            ["auth", "token", "revoke-accessor"] => one(known("accessor")),
            ["auth", "token", "revoke-orphan"] => {
                known("token").map(|it| (it, true)).into_iter().collect()
            }
            ["sys", "leases", "revoke"] => one(known("lease_id")),
            ["sys", "leases", "revoke", rest @ ..] => {
                let in_url = rest.last().and_then(|last| serial(last));
                one(in_url.filter(|it| *it < self.made.len()))
            }
            ["sys", "leases", "revoke-prefix", rest @ ..] => {
                let prefix = rest.join("/");
                let made = self.made.iter().enumerate();
                made.filter(|(_, made)| {
                    made.namespace == call.namespace && path::is_under(&made.path, &prefix)
                })
                .map(|(serial, _)| (serial, false))
                .collect()
            }
            _ => Vec::new(),
        }
    }

    fn renew(&mut self, target: Option<usize>, call: &Call) -> (StatusCode, Value) {
        let gone = (
            StatusCode::BAD_REQUEST,
            json!({ "errors": ["lease not found"] }),
        );
        let Some(target) = target.filter(|target| self.lives(*target)) else {
            return gone;
        };
        let now = Instant::now();
        let made = &mut self.made[target];
        if !made.renewable || made.ends.is_none() {
            let refused = json!({ "errors": ["lease is not renewable"] });
            return (StatusCode::BAD_REQUEST, refused);
        }
        let asked = call.body["increment"].as_u64().filter(|asked| *asked != 0);
        let wanted = Duration::from_secs(asked.unwrap_or(made.step));
        let left = made.most.map(|most| most - now);
        let granted = left.map_or(wanted, |left| left.min(wanted));
        let before = made.ends.replace(now + granted);
        if let Some(before) = before.filter(|before| *before > now + granted) {
            made.pending.push((call.number, now, before));
        }
        match made.lease.clone() {
            Some(id) => {
                let answer = json!({ "lease_id": id, "renewable": true,
                    "lease_duration": granted.as_secs() });
                (StatusCode::OK, answer)
            }
            None => self.token_answer(target),
        }
    }

    /// The agent has heard of a client's renewal.
    pub(super) fn heard(&mut self, number: u64) {
        for made in &mut self.made {
            made.pending.retain(|(of, ..)| *of != number);
        }
    }

    /// The agent has renewed it by itself.
    pub(super) fn renewed(&mut self, serial: usize, sent: Instant) {
        self.made[serial].pending.retain(|(_, at, _)| *at >= sent);
    }

    fn token_answer(&self, serial: usize) -> (StatusCode, Value) {
        let made = &self.made[serial];
        let left = made.ends.map(|ends| (ends - Instant::now()).as_secs());
        let auth = json!({ "client_token": token_text(serial), "accessor": format!("a.{serial}"),
            "lease_duration": left.unwrap_or_default(), "renewable": made.renewable,
            "orphan": made.parent.is_none(), "num_uses": made.uses.unwrap_or_default() });
        let answer = json!({ "auth": auth, "data": { "serial": serial }, "lease_duration": 0 });
        (StatusCode::OK, answer)
    }
}

fn named(body: &Value, field: &str) -> Option<usize> {
    serial(body[field].as_str()?)
}

/// One call, with what the weather does to it.
pub(super) async fn call(
    vault: &std::sync::Mutex<Vault>,
    call: &Call,
) -> Result<Response<Body>, Error> {
    let fate = vault.lock().unwrap().fate();
    let sending = async {
        tokio::time::sleep(fate.before).await;
        let (answer, made) = {
            let mut vault = vault.lock().unwrap();
            let before = vault.made.len();
            let answer = fate.done.then(|| vault.answer(call));
            (answer, before..vault.made.len())
        };
        tokio::time::sleep(fate.after).await;
        if !fate.answered {
            return Err(Error::Transport {
                target: "vault".to_owned(),
                source: "lost".into(),
            });
        }
        for serial in made {
            vault.lock().unwrap().made[serial].known = Some(Instant::now());
        }
        let (status, value) = answer.unwrap_or_default();
        let status = fate.status.unwrap_or(status);
        let text = if status.is_success() || fate.status.is_none() {
            value.to_string()
        } else {
            json!({ "errors": ["away"] }).to_string()
        };
        let response = Response::builder().status(status);
        let response = response.header(CONTENT_TYPE, "application/json; charset=utf-8");
        Ok(response.body(Body::full(text)).unwrap())
    };
    match tokio::time::timeout(PATIENCE, sending).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(Error::Timeout {
            target: "vault".to_owned(),
            after: PATIENCE,
        }),
    }
}
