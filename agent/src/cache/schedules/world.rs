//! The world of one schedule: the model Vault, the real cache, clients, and what they must never see.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use keyside_config::model;
use keyside_lifecycle::shutdown;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use super::op::Op;
use super::vault::{self, Call, Vault, serial, token_text};
use crate::cache::metrics::Metrics;
use crate::cache::store::saved::Saved;
use crate::cache::{Cache, renewal};
use crate::resume::form::{Clock, Reader, Stamp, Writer};
use crate::token::{Live, Token, TokenState, Tokens};

mod client;
mod judge;
mod server;

use server::Server;

/// The longest anybody may wait: two calls, one behind the other, and their bodies.
const BOUND: Duration = Duration::from_mins(5);
const MOST_SAVED: usize = 1 << 20;

/// What all parts of the world share.
#[derive(Clone)]
pub(super) struct World {
    vault: Arc<Mutex<Vault>>,
    cache: Arc<Mutex<Cache>>,
    tokens: Tokens,
    dead: Arc<Notify>,
    state: Arc<Mutex<State>>,
    told: Arc<Mutex<Vec<String>>>,
    config: model::Cache,
    began: Instant,
}

#[derive(Default)]
struct State {
    wrong: Option<String>,
    /// Counts events, so that of two at one instant the order is known.
    events: u64,
    autos: HashSet<usize>,
    /// Tokens that clients may use.
    pool: Vec<usize>,
    /// The agent that runs; what others still do is of the past.
    life: u64,
    /// How far the clock was set ahead.
    jumped: Duration,
}

impl World {
    pub(super) async fn live(
        seed: u64,
        ops: &[Op],
        told: Arc<Mutex<Vec<String>>>,
    ) -> Result<(), String> {
        let (sender, tokens) = watch::channel(TokenState::default());
        let small = seed.is_multiple_of(3);
        let config = model::Cache {
            max_entries: if small { 3 } else { 100 },
            max_bytes: if small { 6 << 10 } else { 1 << 20 },
            max_body: 1 << 14,
            static_secrets: None,
        };
        let world = Self {
            vault: Arc::new(Mutex::new(Vault::new(seed))),
            cache: Arc::new(Mutex::new(cache(&config))),
            tokens,
            dead: Arc::default(),
            state: Arc::default(),
            told,
            config,
            began: Instant::now(),
        };
        let mut agent = JoinSet::new();
        agent.spawn(world.clone().log_in(sender));
        let mut renewing = world.start_renewing();
        let mut clients = JoinSet::new();
        for _ in 0..2 {
            world
                .apply(
                    &Op::Token {
                        ttl: 0,
                        rights: true,
                    },
                    &mut clients,
                )
                .await;
        }
        for op in ops {
            world.tell(|| format!("  {op:?}"));
            if matches!(op, Op::Restart) {
                world.restart(&mut clients, &mut renewing).await;
            } else {
                world.apply(op, &mut clients).await;
            }
            while let Some(ended) = clients.try_join_next() {
                world.note_end(ended);
            }
            world.check_store();
            world.outcome()?;
        }
        let draining = async {
            while let Some(ended) = clients.join_next().await {
                world.note_end(ended);
            }
        };
        if tokio::time::timeout(BOUND, draining).await.is_err() {
            world.wrong("somebody waits at the end".to_owned());
        }
        world.check_idle();
        renewing.0.request();
        while let Some(ended) = renewing.1.join_next().await {
            world.note_end(ended);
        }
        world.outcome()
    }

    async fn apply(&self, op: &Op, clients: &mut JoinSet<()>) {
        match op {
            Op::Ask { leaves, .. } => {
                if let Some(request) = self.request(op) {
                    let (world, leaves) = (self.clone(), *leaves);
                    clients.spawn(async move { world.ask(request, leaves).await });
                    tokio::task::yield_now().await;
                }
            }
            Op::Revoke(young) => {
                let mut vault = self.vault.lock().unwrap();
                if let Some(target) = vault.made.len().checked_sub(1 + young) {
                    vault.revoke(target);
                    self.tell(|| format!("behind the back: {target} revoked"));
                }
            }
            Op::Lengthen(young) => {
                let mut vault = self.vault.lock().unwrap();
                if let Some(target) = vault.made.len().checked_sub(1 + young)
                    && vault.lives(target)
                    && let Some(ends) = &mut vault.made[target].ends
                {
                    *ends += Duration::from_secs(30);
                }
            }
            Op::Token { ttl, rights } => {
                let serial = self.vault.lock().unwrap().add_token(*ttl, ttl * 4, *rights);
                self.state.lock().unwrap().pool.push(serial);
            }
            Op::Clear(cleared) => self.clear(*cleared),
            Op::Wait(time) => tokio::time::sleep(*time).await,
            Op::Jump(time) => {
                self.state.lock().unwrap().jumped += *time;
                tokio::time::advance(*time).await;
            }
            Op::Weather(weather) => self.vault.lock().unwrap().weather = *weather,
            Op::Relogin => self.dead.notify_one(),
            Op::Restart => {}
        }
    }

    fn tell(&self, what: impl Fn() -> String) {
        let at = self.began.elapsed().as_secs_f64();
        self.told
            .lock()
            .unwrap()
            .push(format!("{at:>10.3} {}", what()));
    }

    fn wrong(&self, what: String) {
        self.tell(|| format!("WRONG: {what}"));
        self.state.lock().unwrap().wrong.get_or_insert(what);
    }

    fn outcome(&self) -> Result<(), String> {
        self.state.lock().unwrap().wrong.clone().map_or(Ok(()), Err)
    }

    fn note_end(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.wrong(format!("a panic: {error}"));
        }
    }

    fn event(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.events += 1;
        state.events
    }

    fn cache(&self) -> Cache {
        self.cache.lock().unwrap().clone()
    }

    fn check_store(&self) {
        let checked = self.cache().with(|state| state.store.check());
        if let Err(wrong) = checked {
            self.wrong(wrong);
        }
    }

    /// Nobody asks any more.
    fn check_idle(&self) {
        let cache = self.cache();
        let flights = cache.with(|state| state.flights.len());
        if flights > 0 || !cache.0.calls.is_empty() {
            self.wrong(format!(
                "{flights} flights are left, {} calls",
                cache.0.calls.len()
            ));
        }
        if let Err(wrong) = cache.with(|state| state.store.check()) {
            self.wrong(wrong);
        }
    }

    fn start_renewing(&self) -> (shutdown::Trigger, JoinSet<()>) {
        let (trigger, shutdown) = shutdown::channel();
        let mut tasks = JoinSet::new();
        let server = Server(self.clone(), self.state.lock().unwrap().life);
        tasks.spawn(renewal::run(
            self.cache(),
            server,
            self.tokens.clone(),
            shutdown,
        ));
        (trigger, tasks)
    }

    /// The agent is killed, and the next one goes on with what it left.
    async fn restart(
        &self,
        clients: &mut JoinSet<()>,
        renewing: &mut (shutdown::Trigger, JoinSet<()>),
    ) {
        self.state.lock().unwrap().life += 1;
        clients.shutdown().await;
        renewing.0.request();
        renewing.1.shutdown().await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.check_idle();
        let stamp = Stamp {
            boot: "boot".to_owned(),
            fingerprint: [7; 32],
        };
        let clock = |now: Instant| Clock {
            now,
            boot: u64::try_from(now.duration_since(self.began).as_nanos()).unwrap() + 1_000_000,
        };
        let mut writer = Writer::new(&stamp, clock(Instant::now()));
        self.cache().save(&mut writer, MOST_SAVED);
        let bytes = writer.seal();
        let mut reader = Reader::open(&bytes, &stamp, clock(Instant::now())).unwrap();
        let mut saved = Saved::default();
        while !reader.is_empty() {
            let letter = reader.byte().unwrap();
            saved.item(letter, &mut reader).unwrap();
        }
        let next = cache(&self.config);
        next.restore(saved);
        *self.cache.lock().unwrap() = next;
        *renewing = self.start_renewing();
    }

    /// The login machine, as far as the cache sees it.
    async fn log_in(self, sender: watch::Sender<TokenState>) {
        for generation in 1.. {
            let sent = Instant::now();
            let serial = self.vault.lock().unwrap().add_token(900, 3600, true);
            self.state.lock().unwrap().autos.insert(serial);
            let mut ends = sent + Duration::from_mins(15);
            let most = sent + Duration::from_hours(1);
            loop {
                let live = Live {
                    token: Token::new(token_text(serial)).unwrap(),
                    wrapped: false,
                    accessor: format!("a.{serial}"),
                    policies: Vec::new(),
                    generation,
                    obtained: sent,
                    expires: Some(ends),
                };
                sender.send_replace(TokenState::Live(Arc::new(live)));
                let pause = (ends - Instant::now()).mul_f64(0.6);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.dead.notified() => break,
                }
                let now = Instant::now();
                let renew = Call {
                    number: 0,
                    token: Some(token_text(serial)),
                    namespace: String::new(),
                    path: "auth/token/renew-self".to_owned(),
                    body: json!({ "increment": 900 }),
                    asked: String::new(),
                };
                match vault::call(&self.vault, &renew).await {
                    Ok(answer)
                        if answer.status().is_success() && now + Duration::from_mins(10) < most =>
                    {
                        ends = (now + Duration::from_mins(15)).min(most);
                    }
                    Err(_) if Instant::now() + Duration::from_mins(2) < ends => {}
                    _ => break,
                }
            }
        }
    }
}

fn cache(config: &model::Cache) -> Cache {
    let registry = prometheus::Registry::new();
    Cache::new(config, Metrics::new(&registry).unwrap())
}
