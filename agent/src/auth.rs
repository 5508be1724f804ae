//! Auto-auth: logs in, keeps the token alive, and replaces it before it ends.
//!
//! What to do when is decided by [`keyside_machine::login`], which is pure. The task here does it: one thing at a time, for there
//! is one token. What it has goes out on a watch, so a slow sink or a busy proxy never holds a renewal up.
//!
//! Invariant: the token on the watch is only ever replaced by one that Vault has just granted.

use std::sync::{Arc, OnceLock};

use keyside_config::model::auto_auth::AutoAuth;
use keyside_lifecycle::backoff::Backoff;
use keyside_lifecycle::readiness::Part;
use keyside_lifecycle::shutdown::Shutdown;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::time::{self, Duration, Instant};

use crate::token::{Live, TokenState, Tokens};
use crate::vault;
use ask::Obtained;
use check::{Checker, Checks};
use error::{Error, is_about_audience};
use farewell::Farewell;
use keyside_machine::login::{Event, Failure, Grant, Machine, Step};
use metrics::Metrics;
use news::News;
use plan::Plan;
use story::Story;

mod ask;
#[cfg(test)]
mod behaviours;
pub(crate) mod check;
pub(crate) mod error;
pub(crate) mod farewell;
mod method;
mod metrics;
mod news;
pub(crate) mod plan;
mod story;

/// Drives one `auto_auth` block.
pub(crate) struct Task {
    client: vault::client::Client,
    method: method::Method,
    login_path: String,
    namespace: Option<String>,
    wrap_ttl: Option<Duration>,
    exit_on_err: bool,
    backoff: Backoff,
    tokens: watch::Sender<TokenState>,
    metrics: Metrics,
    story: Story,
    trouble: watch::Sender<Option<String>>,
    plan: watch::Sender<Plan>,
    checks: Checks,
    /// The generation of the last token that was found dead.
    buried: u64,
    first: Option<Part>,
    /// What an earlier process left, until Vault was asked about it.
    resumed: Option<Arc<Live>>,
    /// How many leases came with it.
    leases: usize,
    outside: News,
    login_on_new: bool,
    /// A new credential has been seen, and not tried yet.
    untried: bool,
    /// For [`Farewell`].
    last: Arc<OnceLock<vault::client::Client>>,
}

/// A request that was answered, or a wait that is over.
enum Outcome {
    LoggedIn(Grant, Obtained),
    LoginFailed(Error),
    Renewed(Grant),
    RenewalFailed(Error),
    LookedUp(Grant),
    LookUpFailed(Error),
    FoundDead(u64),
    NewCredential,
    Slept(Duration),
    Due,
}

impl Task {
    /// The task, and where its token is to be watched.
    pub(crate) fn new(
        config: &AutoAuth,
        client: vault::client::Client,
        registry: &Registry,
    ) -> Result<(Self, Tokens), Error> {
        let (sender, tokens) = watch::channel(TokenState::Pending);
        let settings = &config.method;
        let method = method::Method::new(&settings.login);
        let task = Self {
            client,
            login_path: method.path(&settings.mount_path),
            method,
            namespace: settings.namespace.clone(),
            wrap_ttl: settings.wrap_ttl,
            exit_on_err: settings.exit_on_err,
            backoff: Backoff::new(settings.min_backoff, settings.max_backoff),
            tokens: sender,
            checks: Checks::new(tokens.clone()),
            buried: 0,
            metrics: Metrics::new(registry, tokens.clone()).map_err(Error::Metrics)?,
            story: Story::default(),
            trouble: watch::Sender::new(None),
            plan: watch::Sender::new(Plan::default()),
            first: None,
            resumed: None,
            leases: 0,
            outside: News::new(Instant::now()),
            login_on_new: config.login_on_new_credential,
            untried: false,
            last: Arc::default(),
        };
        Ok((task, tokens))
    }

    /// Tells `first` what the first login waits for, and when it is done.
    pub(crate) fn announcing(self, first: Part) -> Self {
        Self {
            first: Some(first),
            ..self
        }
    }

    /// Goes on with a token that an earlier process left, and with which it had `leases`.
    pub(crate) fn resuming(mut self, live: Live, leases: usize) -> Self {
        let ended = live.expires.is_some_and(|ends| ends <= Instant::now());
        let reason = if ended {
            "it has ended"
        } else if !self.method.agrees(&live.token, &self.client) {
            "there is another one in the file"
        } else {
            self.resumed = Some(Arc::new(live));
            self.leases = leases;
            return self;
        };
        tracing::info!(
            event = "resume_refused",
            accessor = live.accessor,
            reason,
            "the token of an earlier process is not used; logging in"
        );
        self
    }

    /// Why the last attempt failed, in one line without a secret; `None` after a success.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// What comes next, for people to read.
    pub(crate) fn plan(&self) -> watch::Receiver<Plan> {
        self.plan.subscribe()
    }

    /// For those who use the token: to tell that Vault refused it.
    pub(crate) fn checks(&self) -> Checks {
        self.checks.clone()
    }

    /// For the time after this task, where the token is to end with the process.
    pub(crate) fn farewell(&self) -> Farewell {
        Farewell {
            client: Arc::clone(&self.last),
            namespace: self.namespace.clone(),
            tokens: self.tokens.subscribe(),
        }
    }

    /// Runs until `shutdown` is requested. The token is left as it is then: the next process may want it.
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), Error> {
        let mut ending = std::pin::pin!(shutdown.requested());
        let checker = Checker {
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            checks: self.checks(),
        };
        let mut checking = std::pin::pin!(checker.run());
        let (backoff, seed, now) = (self.backoff.clone(), fastrand::u64(..), Instant::now());
        let (mut machine, mut step) = match &self.resumed {
            Some(live) => Machine::resume(self.exit_on_err, backoff, seed, live.expires, now),
            None => Machine::start(self.exit_on_err, backoff, seed, now),
        };
        loop {
            // Dropping a request half-way is fine: nothing is asked after it.
            let outcome = tokio::select! {
                biased;
                () = &mut ending => {
                    self.last.get_or_init(|| self.client().clone());
                    return Ok(());
                }
                never = &mut checking => match never {},
                outcome = self.next(step) => outcome,
            };
            step = self.apply(&mut machine, outcome, Instant::now())?;
            self.plan.send_replace(Plan::of(step, machine.next()));
        }
    }

    /// Waits, and asks Vault; decides nothing.
    async fn next(&mut self, step: Step) -> Outcome {
        match step {
            Step::Login { within } => {
                self.untried = false;
                match self.login(within).await {
                    Ok((grant, obtained)) => Outcome::LoggedIn(grant, obtained),
                    Err(error) => Outcome::LoginFailed(error),
                }
            }
            Step::Renew { within } => match self.renew(within).await {
                Ok(grant) => Outcome::Renewed(grant),
                Err(error) => Outcome::RenewalFailed(error),
            },
            Step::LookUp { within } => match self.look_up(within).await {
                Ok(grant) => Outcome::LookedUp(grant),
                Err(error) => Outcome::LookUpFailed(error),
            },
            Step::Wait { until } => self.wait(Some(until)).await,
            Step::Rest => self.wait(None).await,
            // `apply` has turned it into an error.
            Step::GiveUp => std::future::pending().await,
        }
    }

    /// Until the time comes, or something happens before that. All of it is cancel-safe.
    async fn wait(&mut self, until: Option<Instant>) -> Outcome {
        loop {
            let time = async {
                match until {
                    Some(until) => time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            // Borrowed apart, for both wait at once.
            let death = death(&self.checks, &self.tokens, self.buried);
            tokio::select! {
                biased;
                generation = death => return Outcome::FoundDead(generation),
                () = time => return Outcome::Due,
                () = self.outside.due() => {}
            }
            if let Some(nap) = self.outside.nap() {
                return Outcome::Slept(nap);
            }
            let wanted =
                self.is_in_trouble() || (self.login_on_new && self.method.follows_its_file());
            if wanted && !self.untried && self.method.has_news(&self.client) {
                return Outcome::NewCredential;
            }
        }
    }

    /// What the token is obtained and renewed through.
    fn client(&self) -> &vault::client::Client {
        self.method.client().unwrap_or(&self.client)
    }

    fn is_in_trouble(&self) -> bool {
        self.trouble.borrow().is_some() || self.tokens.borrow().live().is_none()
    }

    fn apply(
        &mut self,
        machine: &mut Machine,
        outcome: Outcome,
        now: Instant,
    ) -> Result<Step, Error> {
        match outcome {
            Outcome::Due => Ok(machine.apply(Event::Due, now)),
            Outcome::NewCredential => {
                self.untried = true;
                story::new_credential();
                Ok(machine.apply(Event::NewCredential, now))
            }
            Outcome::Slept(slept) => {
                story::slept(slept);
                let step = machine.apply(Event::Suspended(slept), now);
                self.extend(machine.ends());
                Ok(step)
            }
            Outcome::FoundDead(generation) => {
                self.buried = generation;
                Ok(machine.apply(Event::FoundDead, now))
            }
            Outcome::LoggedIn(grant, obtained) => {
                self.metrics.login("success");
                self.trouble.send_replace(None);
                self.method.logged_in();
                let step = machine.apply(Event::LoggedIn(grant), now);
                let live = self.publish(obtained, machine.ends());
                self.story.logged_in(&live, &grant);
                (self.first, self.resumed) = (None, None);
                Ok(step)
            }
            Outcome::Renewed(grant) => {
                self.metrics.renewal("success");
                self.trouble.send_replace(None);
                let step = machine.apply(Event::Renewed(grant), now);
                self.extend(machine.ends());
                self.story.renewed(&grant);
                Ok(step)
            }
            // Why Vault is away has been said already.
            Outcome::LoginFailed(Error::Held { .. }) => {
                self.story.ended(machine.ends(), now);
                Ok(machine.apply(Event::LoginFailed(Failure::Held), now))
            }
            Outcome::RenewalFailed(Error::Held { .. }) => {
                self.story.ended(machine.ends(), now);
                Ok(machine.apply(Event::RenewalFailed(Failure::Held), now))
            }
            Outcome::LookedUp(grant) => {
                self.metrics.resumed("verified");
                self.trouble.send_replace(None);
                let step = machine.apply(Event::LookedUp(grant), now);
                self.go_on(machine.ends(), true, now);
                self.resumed = None;
                Ok(step)
            }
            Outcome::LookUpFailed(error) => {
                let failure = error.look_up_failure();
                if failure == Failure::Refused {
                    self.bury(&error);
                } else {
                    self.go_on(machine.ends(), false, now);
                    self.story
                        .look_up_failed(&error, failure, machine.ends(), now);
                }
                self.trouble.send_replace(Some(error.cause()));
                Ok(machine.apply(Event::LookUpFailed(failure), now))
            }
            Outcome::LoginFailed(error) => self.login_failed(machine, error, now),
            Outcome::RenewalFailed(error) => {
                let failure = error.failure();
                self.trouble.send_replace(Some(error.cause()));
                self.metrics.renewal(metrics::result(failure));
                self.story
                    .renewal_failed(&error, failure, machine.ends(), now);
                Ok(machine.apply(Event::RenewalFailed(failure), now))
            }
        }
    }

    /// Uses the token of an earlier process, `verified` by Vault or while that is away.
    fn go_on(&mut self, expires: Option<Instant>, verified: bool, now: Instant) {
        let Some(left) = &self.resumed else { return };
        if self.tokens.borrow().live().is_some() {
            if verified {
                self.extend(expires);
                self.story.verified();
            }
            return;
        }
        if !verified {
            self.metrics.resumed("unverified");
        }
        let live = Arc::new(Live {
            token: left.token.clone(),
            wrapped: false,
            accessor: left.accessor.clone(),
            policies: left.policies.clone(),
            generation: left.generation,
            obtained: left.obtained,
            expires,
        });
        self.story.resumed(&live, self.leases, verified, now);
        self.tokens.send_replace(TokenState::Live(live));
        self.first = None;
    }

    /// Vault does not know the token of an earlier process: what was made with it has ended as well.
    fn bury(&mut self, error: &Error) {
        let Some(dead) = self.resumed.take() else {
            return;
        };
        self.metrics.resumed("refused");
        self.story.resume_refused(&dead, error);
        self.buried = dead.generation;
        self.checks.bury(dead);
    }

    fn login_failed(
        &mut self,
        machine: &mut Machine,
        error: Error,
        now: Instant,
    ) -> Result<Step, Error> {
        let failure = error.failure();
        let cause = error.cause();
        if let Some(first) = &self.first {
            first.waits_for(format!("the first login: {cause}"));
        }
        self.trouble.send_replace(Some(cause));
        self.metrics.login(metrics::result(failure));
        let hint = match &error {
            Error::Vault { source, .. } if is_about_audience(source) => self.method.hint(),
            Error::Vault { source, .. } => source.hint().map(str::to_owned),
            Error::Credential(error) => error.hint().map(str::to_owned),
            _ => None,
        };
        self.story
            .login_failed(&error, failure, hint.as_deref(), machine.ends(), now);
        match machine.apply(Event::LoginFailed(failure), now) {
            Step::GiveUp => Err(Error::GivenUp(Box::new(error))),
            step => Ok(step),
        }
    }

    fn publish(&self, obtained: Obtained, expires: Option<Instant>) -> Arc<Live> {
        let state = self.tokens.borrow().clone();
        let generation = state.live().map_or(self.buried + 1, |live| {
            // The one in the file may still be the one in hand.
            live.generation + u64::from(live.token != obtained.token)
        });
        let live = Arc::new(Live {
            token: obtained.token,
            wrapped: self.wrap_ttl.is_some(),
            accessor: obtained.accessor,
            policies: obtained.policies,
            generation,
            obtained: Instant::now(),
            expires,
        });
        self.tokens
            .send_replace(TokenState::Live(Arc::clone(&live)));
        live
    }

    fn extend(&self, expires: Option<Instant>) {
        self.tokens.send_if_modified(|state| {
            let Some(live) = state.live() else {
                return false;
            };
            *state = TokenState::Live(Arc::new(Live {
                token: live.token.clone(),
                wrapped: live.wrapped,
                accessor: live.accessor.clone(),
                policies: live.policies.clone(),
                generation: live.generation,
                obtained: live.obtained,
                expires,
            }));
            true
        });
    }
}

/// Waits until the token in hand is found dead, once for each. A login that is under way replaces it anyway, and a
/// renewal will be refused: so only those who do nothing need to know.
async fn death(checks: &Checks, tokens: &watch::Sender<TokenState>, buried: u64) -> u64 {
    let held = tokens.borrow().live().map_or(0, |live| live.generation);
    let known = buried.max(held.saturating_sub(1));
    checks.death_after(known).await.generation
}

#[cfg(test)]
mod tests;
