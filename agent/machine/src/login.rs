//! The life of the agent's own token, as a machine: what happened and what time it is go in, what to do next comes
//! out. No clock, no network, no token text.
//!
//! Invariant: a login never begins less than [`FLOOR`] after the one before it, whatever Vault grants or refuses.
//! Invariant: in any minute at most [`BURST`] + 60 × [`PER_SECOND`] attempts begin, whatever Vault grants or refuses.
//! Invariant: a renewal that was refused is never repeated for the same token.
//! Invariant: only a successful login replaces a token. Nothing else takes it away.
//! Invariant: a token that an earlier process left is never renewed before Vault has said that it lives.

use keyside_lifecycle::backoff::Backoff;
use tokio::time::{Duration, Instant};

mod schedule;

/// The shortest time between the beginnings of two logins.
pub const FLOOR: Duration = Duration::from_secs(1);
/// How many attempts, logins and renewals together, may begin in a row.
pub const BURST: f64 = 5.0;
/// How many may begin in the long run: enough for a token of three seconds, which is renewed every two. With a look-up
/// every half a minute that makes less than one request a second.
pub const PER_SECOND: f64 = 0.9;
/// No attempt lasts longer, however patient the client.
pub const ATTEMPT: Duration = Duration::from_secs(30);
/// The first look at a token that an earlier process left: whoever waits for the token should not wait for a server
/// that hangs.
pub const FIRST_LOOK: Duration = Duration::from_secs(1);
/// The shortest time that an attempt gets, however late it is.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);
/// The longest `Retry-After` that is believed.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// Longer leases are counted as this long: beyond it timers overflow, and it is renewed long before.
const LONGEST_LEASE: Duration = keyside_config::model::MAX_DURATION;

/// A host that stood still did so with all its pods, and perhaps with its neighbours: what they ask then is spread
/// over this part of the time that was lost.
const SPREAD_PART: u32 = 40;
/// And over no more than this.
const LONGEST_SPREAD: Duration = Duration::from_secs(200);
/// A timer of a busy host may be as late as this.
const LATE: Duration = Duration::from_secs(5);

/// What Vault granted, in a login or in a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// When the request left. Vault counts from later on, so counting from here errs on the safe side.
    pub asked: Instant,
    /// `lease_duration`. 0 in a login: the token never ends.
    pub lease: Duration,
    pub renewable: bool,
}

/// Why a login or a renewal failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Vault understood and said no.
    Refused,
    /// Vault is away, busy or sealed. Where it said for how long, not before that.
    Away { after: Option<Duration> },
    /// There was nothing to log in with: Vault was not asked.
    NoCredential,
    /// The gate did not let it out in time, for Vault is away or others were first: Vault was not asked.
    Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    LoggedIn(Grant),
    LoginFailed(Failure),
    Renewed(Grant),
    RenewalFailed(Failure),
    /// The token of [`Machine::resume`] lives; what is left of its lease.
    LookedUp(Grant),
    LookUpFailed(Failure),
    /// Vault no longer knows the token in hand.
    FoundDead,
    /// What to log in with has changed.
    NewCredential,
    /// The host slept for so long, and no clock of this machine saw it.
    Suspended(Duration),
    /// The time of [`Step::Wait`] has come.
    Due,
}

/// What to do next: always exactly one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Log in; count it as failed after `within`.
    Login { within: Duration },
    /// Renew the token in hand; count it as failed after `within`.
    Renew { within: Duration },
    /// Ask Vault what it knows of the token of [`Machine::resume`]; count it as failed after `within`.
    LookUp { within: Duration },
    /// Do nothing until then.
    Wait { until: Instant },
    /// Do nothing any more: the token never ends.
    Rest,
    /// `exit_on_err`: end the process.
    GiveUp,
}

#[derive(Clone, Debug)]
pub struct Machine {
    exit_on_err: bool,
    backoff: Backoff,
    random: fastrand::Rng,
    pace: Pace,
    held: Option<Held>,
    /// When the last login began.
    login_began: Option<Instant>,
    /// Until when the last failure forbids the next attempt.
    quiet: Option<Instant>,
    /// Until when Vault asked not to be asked.
    told: Option<Instant>,
    /// What [`Event::Due`] leads to, and when it is expected.
    then: Next,
    due: Instant,
}

/// The token in hand.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// As granted last.
    lease: Duration,
    /// `None`: never.
    ends: Option<Instant>,
}

/// What follows a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A login, whether there is a token or not.
    Login,
    /// A renewal of the token in hand.
    Renew,
    /// A look-up of the token of [`Machine::resume`].
    LookUp,
}

impl Machine {
    /// A machine without a token, and its first step: a login.
    #[must_use]
    pub fn start(exit_on_err: bool, backoff: Backoff, seed: u64, now: Instant) -> (Self, Step) {
        let mut machine = Self::new(exit_on_err, backoff, seed, now);
        let step = machine.begin(Next::Login, now);
        (machine, step)
    }

    /// A machine with a token that an earlier process left, and its first step: to ask whether it lives. It counts as
    /// in hand until Vault says no.
    #[must_use]
    pub fn resume(
        exit_on_err: bool,
        backoff: Backoff,
        seed: u64,
        ends: Option<Instant>,
        now: Instant,
    ) -> (Self, Step) {
        let mut machine = Self::new(exit_on_err, backoff, seed, now);
        machine.pace.take(now);
        let left = ends.map(|ends| ends.saturating_duration_since(now));
        machine.held = Some(Held {
            lease: left.unwrap_or_default(),
            ends,
        });
        let step = Step::LookUp { within: FIRST_LOOK };
        (machine, step)
    }

    fn new(exit_on_err: bool, backoff: Backoff, seed: u64, now: Instant) -> Self {
        Self {
            exit_on_err,
            backoff,
            random: fastrand::Rng::with_seed(seed),
            pace: Pace {
                level: BURST,
                at: now,
            },
            held: None,
            login_began: None,
            quiet: None,
            told: None,
            then: Next::Login,
            due: now,
        }
    }

    /// When the token in hand ends unless it is renewed; `None` where it never does, or where there is none.
    #[must_use]
    pub fn ends(&self) -> Option<Instant> {
        self.held.and_then(|held| held.ends)
    }

    /// What follows the wait that is on.
    #[must_use]
    pub fn next(&self) -> Next {
        self.then
    }

    /// Tells what happened; says what to do next.
    pub fn apply(&mut self, event: Event, now: Instant) -> Step {
        match event {
            Event::LoggedIn(grant) | Event::LookedUp(grant) => self.logged_in(grant, now),
            // What was not sent costs no pause: whoever holds it back knows best how long.
            Event::LoginFailed(Failure::Held) => {
                self.pace.give_back();
                self.wait(now, Next::Login, now)
            }
            Event::RenewalFailed(Failure::Held) => self.try_at_once(Next::Renew, now),
            Event::LookUpFailed(Failure::Held) => self.try_at_once(Next::LookUp, now),
            Event::LoginFailed(_) if self.exit_on_err => Step::GiveUp,
            Event::LoginFailed(failure) => {
                let pause = self.pause(failure, now);
                let pause = match self.ends() {
                    Some(ends) => hurry(pause, failure, ends, now),
                    None => pause,
                };
                self.quiet = Some(now + pause);
                self.wait(now + pause, Next::Login, now)
            }
            Event::Renewed(grant) => self.renewed(grant, now),
            Event::RenewalFailed(Failure::Refused) => self.wait(now, Next::Login, now),
            Event::RenewalFailed(failure) => self.try_later(failure, Next::Renew, now),
            Event::FoundDead | Event::LookUpFailed(Failure::Refused) => self.found_dead(now),
            Event::LookUpFailed(failure) => self.try_later(failure, Next::LookUp, now),
            Event::NewCredential => self.wait(self.told.unwrap_or(now), Next::Login, now),
            Event::Suspended(slept) => self.suspended(slept, now),
            Event::Due => self.due(now),
        }
    }

    /// Where the clock has gone on while the host stood still, others are as late.
    fn due(&mut self, now: Instant) -> Step {
        let late = now.saturating_duration_since(self.due);
        if late <= LATE {
            return self.begin(self.then, now);
        }
        let until = self.spread(late, now);
        self.wait(until, self.then, now)
    }

    /// When to ask after so much time was lost.
    fn spread(&mut self, lost: Duration, now: Instant) -> Instant {
        let over = (lost / SPREAD_PART).min(LONGEST_SPREAD);
        now + over.mul_f64(self.random.f64())
    }

    /// The token stays in hand, ended, until a login brings another. Where attempts are failing, the pause between
    /// them goes on.
    fn found_dead(&mut self, now: Instant) -> Step {
        if let Some(held) = &mut self.held {
            held.ends = Some(now);
        }
        self.wait(self.quiet.unwrap_or(now), Next::Login, now)
    }

    /// Vault's clock went on: what is left of the token is less than it seemed.
    fn suspended(&mut self, slept: Duration, now: Instant) -> Step {
        let (quiet, until) = (self.quiet.unwrap_or(now), self.spread(slept, now));
        let Some(held) = &mut self.held else {
            return self.wait(quiet.max(until), Next::Login, now);
        };
        let Some(ends) = held.ends else {
            return Step::Rest;
        };
        let ends = ends.checked_sub(slept).unwrap_or(now).max(now);
        held.ends = Some(ends);
        match self.last_renewal() {
            // Others' sake is not worth the token.
            Some(last) if last > now => self.wait(quiet.max(until.min(last)), self.then, now),
            _ => self.wait(quiet.max(until), Next::Login, now),
        }
    }

    fn logged_in(&mut self, grant: Grant, now: Instant) -> Step {
        self.succeeded();
        if grant.lease.is_zero() {
            self.held = Some(Held {
                lease: grant.lease,
                ends: None,
            });
            return Step::Rest;
        }
        let next = if grant.renewable {
            Next::Renew
        } else {
            Next::Login
        };
        self.hold(grant, next, now)
    }

    fn renewed(&mut self, grant: Grant, now: Instant) -> Step {
        self.succeeded();
        // A renewal that grants less than the one before has met the token's maximum: no later one will grant more.
        let shrank = self.held.is_some_and(|held| grant.lease < held.lease);
        if shrank && grant.lease <= 2 * schedule::LEAD {
            self.keep(grant);
            return self.wait(now, Next::Login, now);
        }
        let next = if shrank || !grant.renewable {
            Next::Login
        } else {
            Next::Renew
        };
        self.hold(grant, next, now)
    }

    /// Keeps what was granted, and touches it again in time.
    fn hold(&mut self, grant: Grant, next: Next, now: Instant) -> Step {
        let lease = self.keep(grant);
        let due = grant.asked + schedule::touch_after(lease, self.random.f64());
        self.wait(due, next, now)
    }

    fn keep(&mut self, grant: Grant) -> Duration {
        let lease = grant.lease.min(LONGEST_LEASE);
        self.held = Some(Held {
            lease,
            ends: Some(grant.asked + lease),
        });
        lease
    }

    /// The token is good while Vault is away: it is kept, and what failed tried until only a login can be in time.
    fn try_later(&mut self, failure: Failure, what: Next, now: Instant) -> Step {
        let pause = self.pause(failure, now);
        let Some(last) = self.last_renewal() else {
            self.quiet = Some(now + pause);
            return self.wait(now + pause, what, now);
        };
        let until = now + hurry(pause, failure, last, now);
        self.quiet = Some(until);
        if until < last {
            return self.wait(until, what, now);
        }
        // Where Vault asked for quiet, that counts for the login as well.
        let until = if is_told(failure) { until } else { last };
        self.wait(until, Next::Login, now)
    }

    /// Once more without a pause, unless only a login can be in time.
    fn try_at_once(&mut self, what: Next, now: Instant) -> Step {
        self.pace.give_back();
        let late = self.last_renewal().is_some_and(|last| now >= last);
        let next = if late { Next::Login } else { what };
        self.wait(now, next, now)
    }

    /// From when on a renewal would leave no time for a login.
    fn last_renewal(&self) -> Option<Instant> {
        let held = self.held?;
        held.ends
            .map(|ends| ends - schedule::login_before_end(held.lease))
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.quiet = None;
        self.told = None;
    }

    fn pause(&mut self, failure: Failure, now: Instant) -> Duration {
        let jittered = self.backoff.next(self.random.f64());
        let Failure::Away { after: Some(after) } = failure else {
            self.told = None;
            return jittered;
        };
        let pause = after.min(LONGEST_PAUSE) + jittered;
        self.told = Some(now + pause);
        pause
    }

    /// Waits, or goes ahead where the time has come; a login not before [`FLOOR`] allows it.
    fn wait(&mut self, until: Instant, then: Next, now: Instant) -> Step {
        let floor = self.login_began.map(|began| began + FLOOR);
        let until = match (then, floor) {
            (Next::Login, Some(floor)) => until.max(floor),
            _ => until,
        };
        let until = until.max(self.pace.next(now));
        (self.then, self.due) = (then, until);
        if until > now {
            return Step::Wait { until };
        }
        self.begin(then, now)
    }

    fn begin(&mut self, next: Next, now: Instant) -> Step {
        self.pace.take(now);
        let within = self.in_time(now);
        match next {
            Next::Login => self.login(now),
            Next::Renew => Step::Renew { within },
            Next::LookUp => Step::LookUp { within },
        }
    }

    fn login(&mut self, now: Instant) -> Step {
        self.login_began = Some(now);
        Step::Login { within: ATTEMPT }
    }

    /// How long an attempt may take that should leave time for a login.
    fn in_time(&self, now: Instant) -> Duration {
        let left = self
            .last_renewal()
            .map_or(ATTEMPT, |last| last.saturating_duration_since(now));
        left.clamp(SHORTEST_ATTEMPT, ATTEMPT)
    }
}

/// How many attempts may begin at once, as of a time: a server that grants next to nothing, or grants and refuses by
/// turns, is not asked in a loop.
#[derive(Clone, Copy, Debug)]
struct Pace {
    level: f64,
    at: Instant,
}

impl Pace {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * PER_SECOND).min(BURST);
        self.at = self.at.max(now);
    }

    fn take(&mut self, now: Instant) {
        self.fill(now);
        self.level -= 1.0;
    }

    /// For one that was not sent.
    fn give_back(&mut self) {
        self.level = (self.level + 1.0).min(BURST);
    }

    /// The earliest time of the next attempt.
    fn next(&mut self, now: Instant) -> Instant {
        self.fill(now);
        let missing = (1.0 - self.level).max(0.0);
        now + Duration::from_secs_f64(missing / PER_SECOND)
    }
}

/// Shortens a pause so that half of what is left until `end` remains for further tries: an outage which ends before
/// the token does shall not cost the token. What Vault asked for is not shortened.
fn hurry(pause: Duration, failure: Failure, end: Instant, now: Instant) -> Duration {
    let left = end.saturating_duration_since(now);
    if left.is_zero() || is_told(failure) {
        return pause;
    }
    pause.min((left / 2).max(FLOOR))
}

/// Whether Vault said for how long to stay away.
fn is_told(failure: Failure) -> bool {
    matches!(failure, Failure::Away { after: Some(_) })
}

#[cfg(test)]
mod tests;
