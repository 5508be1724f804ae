//! Whether Vault still knows the token in hand, asked where it refused a proxied request that was made with it.
//!
//! A 403 may come of a policy, or of a token that somebody revoked: `lookup-self` tells which. Who is refused says so
//! by [`Checks`]; the look-up runs beside auto-auth, which logs in when the token is found dead.
//!
//! Invariant: look-ups begin at least [`GAP`] apart, however many requests are refused, and a token that was found
//! dead is not asked about again.
//! Invariant: nobody waits longer than [`PATIENCE`] after the look-up began, and nobody at all where none is due.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::sync::watch;
use tokio::time::{self, Duration, Instant};

use super::story;
use crate::token::{Live, TokenState, Tokens};
use crate::vault::{client::Client, error, gate, wire};

/// The shortest time between the beginnings of two look-ups.
const GAP: Duration = Duration::from_secs(30);
/// What it grows to while each of them finds a dead token. One whose policies do not let it look itself up is taken
/// for dead as well, and must not cost a login every half a minute for ever.
const LONGEST_GAP: Duration = Duration::from_hours(1);
/// How long after the beginning of a look-up requests wait for it, and for the login that may follow.
const PATIENCE: Duration = Duration::from_secs(5);
/// How old a token is that every standby knows.
const LAG: Duration = Duration::from_secs(10);
/// When a younger one is asked about again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a look-up may take, its turn at the gate included.
const ANSWER: Duration = Duration::from_secs(10);

/// What is asked about the token in hand, and what was found.
#[derive(Debug)]
pub(super) struct Doubt {
    stage: Stage,
    began: Option<Instant>,
    gap: Duration,
}

#[derive(Debug)]
enum Stage {
    /// Nothing is asked: the token lives, or Vault could not tell.
    Settled,
    /// About this token.
    Asking(Arc<Live>),
    Dead(Arc<Live>),
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Alive,
    Dead,
    /// Vault is away, or said something else.
    Unclear,
}

impl Default for Doubt {
    fn default() -> Self {
        Self {
            stage: Stage::Settled,
            began: None,
            gap: GAP,
        }
    }
}

impl Doubt {
    /// Whether a look-up is to begin.
    fn raise(&mut self, live: &Arc<Live>, now: Instant) -> bool {
        let known = match &self.stage {
            Stage::Settled => false,
            Stage::Asking(_) => true,
            Stage::Dead(dead) => dead.generation == live.generation,
        };
        if known || self.began.is_some_and(|began| now < began + self.gap) {
            return false;
        }
        self.began = Some(now);
        self.stage = Stage::Asking(Arc::clone(live));
        true
    }

    fn settle(&mut self, finding: Finding) {
        let Stage::Asking(live) = std::mem::replace(&mut self.stage, Stage::Settled) else {
            return;
        };
        match finding {
            Finding::Alive => self.gap = GAP,
            Finding::Dead => {
                self.gap = (2 * self.gap).min(LONGEST_GAP);
                self.stage = Stage::Dead(live);
            }
            Finding::Unclear => {}
        }
    }

    fn asking(&self) -> Option<&Arc<Live>> {
        match &self.stage {
            Stage::Asking(live) => Some(live),
            Stage::Settled | Stage::Dead(_) => None,
        }
    }

    fn dead(&self) -> Option<&Arc<Live>> {
        match &self.stage {
            Stage::Dead(live) => Some(live),
            Stage::Settled | Stage::Asking(_) => None,
        }
    }

    /// Until when to wait for another token than that of `generation`; `None`: none is on its way.
    fn hope(&self, generation: u64) -> Option<Instant> {
        let doubted = self.asking().or_else(|| self.dead())?;
        let until = self.began? + PATIENCE;
        (doubted.generation == generation).then_some(until)
    }
}

/// For whoever uses the token. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Checks {
    doubt: watch::Sender<Doubt>,
    tokens: Tokens,
}

impl Checks {
    pub(super) fn new(tokens: Tokens) -> Self {
        Self {
            doubt: watch::Sender::new(Doubt::default()),
            tokens,
        }
    }

    /// Tells that Vault answered 403 to a request made with the token of `generation`.
    pub(crate) fn refused(&self, generation: u64) {
        let live = self.tokens.borrow().live().cloned();
        if let Some(live) = live.filter(|live| live.generation == generation) {
            self.doubt
                .send_if_modified(|doubt| doubt.raise(&live, Instant::now()));
        }
    }

    /// The token after that of `generation`, where there is one or soon will be. Returns at once where that token is
    /// not in doubt.
    pub(crate) async fn successor(&self, generation: u64) -> Option<Arc<Live>> {
        let newer = |state: &TokenState| {
            let live = state.live().filter(|live| live.generation > generation);
            live.cloned()
        };
        let found = newer(&self.tokens.borrow());
        if found.is_some() {
            return found;
        }
        let until = self.doubt.borrow().hope(generation)?;
        let (mut tokens, mut doubt) = (self.tokens.clone(), self.doubt.subscribe());
        let replaced = async {
            tokio::select! {
                biased;
                state = tokens.wait_for(|state| newer(state).is_some()) => newer(&*state.ok()?),
                _ = doubt.wait_for(|doubt| doubt.hope(generation).is_none()) => None,
            }
        };
        time::timeout_at(until, replaced).await.ok().flatten()
    }

    /// Tells that Vault has been asked about a token already, and does not know it.
    pub(super) fn bury(&self, dead: Arc<Live>) {
        self.doubt
            .send_modify(|doubt| doubt.stage = Stage::Dead(dead));
    }

    /// Waits until a token later than that of `generation` is found dead.
    pub(crate) async fn death_after(&self, generation: u64) -> Arc<Live> {
        let mut doubt = self.doubt.subscribe();
        let later = |doubt: &Doubt| {
            doubt
                .dead()
                .filter(|dead| dead.generation > generation)
                .cloned()
        };
        let found = doubt.wait_for(|doubt| later(doubt).is_some()).await;
        // `self` holds a sender, so the wait does not fail.
        let found = found.ok().and_then(|doubt| later(&doubt));
        match found {
            Some(dead) => dead,
            None => std::future::pending().await,
        }
    }
}

/// Makes the look-ups.
pub(super) struct Checker {
    pub(super) client: Client,
    /// Where the token was issued.
    pub(super) namespace: Option<String>,
    pub(super) checks: Checks,
}

impl Checker {
    pub(super) async fn run(self) -> Infallible {
        loop {
            let live = self.doubted().await;
            let finding = self.look_up(&live).await;
            if finding == Finding::Dead {
                story::found_dead(&live);
            }
            self.checks.doubt.send_modify(|doubt| doubt.settle(finding));
        }
    }

    async fn doubted(&self) -> Arc<Live> {
        let mut doubt = self.checks.doubt.subscribe();
        let found = doubt.wait_for(|doubt| doubt.asking().is_some()).await;
        let found = found.ok().and_then(|doubt| doubt.asking().cloned());
        match found {
            Some(live) => live,
            None => std::future::pending().await,
        }
    }

    /// Asks; and where the token is so young that the standby which answered may not know it yet, once more.
    async fn look_up(&self, live: &Live) -> Finding {
        let young = live.obtained.elapsed() < LAG;
        let finding = self.ask(live).await;
        if !young || finding != Finding::Dead {
            return finding;
        }
        time::sleep(PAUSE).await;
        self.ask(live).await
    }

    async fn ask(&self, live: &Live) -> Finding {
        let call = wire::Call {
            method: Method::GET,
            path: "auth/token/lookup-self",
            namespace: self.namespace.as_deref(),
            token: Some(&live.token),
            ..wire::Call::default()
        };
        let answer = self.client.call(gate::Reason::LookUp, call);
        match time::timeout(ANSWER, answer).await {
            Ok(Ok(_)) => Finding::Alive,
            Ok(Err(error::Error::Status { status, .. })) if status == StatusCode::FORBIDDEN => {
                Finding::Dead
            }
            Ok(Err(_)) | Err(_) => Finding::Unclear,
        }
    }
}

#[cfg(test)]
mod tests;
