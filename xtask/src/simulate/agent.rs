//! An agent of the fleet: the machines of the binary, joined as its tasks join them.
//!
//! What `agent/src/auth.rs`, `auth/ask.rs`, `auth/check.rs`, `auth/news.rs` and `vault/gate.rs` do by waiting is done here by timers;
//! what they decide is decided by the same code, [`login::Machine`], [`Bucket`] and [`Breaker`].
//!
//! Invariant: all times in here are on the agent's own clock, which stands still while its node sleeps.

use std::collections::VecDeque;

use keyside_config::model::Limits;
use keyside_lifecycle::backoff::Backoff;
use keyside_machine::breaker::{Breaker, Found, Turn};
use keyside_machine::bucket::{Bucket, Lane};
use keyside_machine::login::{Event, Failure, Grant, Machine, Step};
use tokio::time::{Duration, Instant};

use super::server::{Answer, Kind, Token};

/// `vault.timeout`.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a probe waits.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// What an answer gets, however late the request was let out.
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);
/// A server that does not answer for so long counts as away.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a look-up may take, its turn at the gate included.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);
/// Between the beginnings of two look-ups, at first and at most.
const SHORTEST_GAP: Duration = Duration::from_secs(30);
const LONGEST_GAP: Duration = Duration::from_hours(1);

/// Which of the agent's tasks asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Auto-auth: logins and renewals.
    Auth,
    /// The one that looks a token up when a proxied request was refused.
    Check,
}

/// What an agent wants to be told at a time, with the number of the matter that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// [`Step::Wait`] is over.
    Due(u32),
    /// Ask breaker and bucket again.
    Turn(Caller, u32),
    /// Waiting at the gate has been long enough.
    Held(Caller, u32),
    /// The answer is not waited for any more.
    Late(Caller, u32),
}

/// What an agent does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Wake {
        at: Instant,
        timer: Timer,
    },
    Send {
        kind: Kind,
        by: Caller,
        matter: u32,
    },
    /// A request of the pod's application goes out again with the new token.
    Replay,
    /// One of the agent's own requests brought nothing.
    Lost,
}

#[derive(Clone)]
pub(super) struct Agent {
    /// `None`: the pod has not started.
    machine: Option<Machine>,
    bucket: Bucket,
    breaker: Breaker,
    auth: Attempt,
    check: Attempt,
    /// Whose turn at the gate it is, and who comes next.
    head: Option<Caller>,
    queue: VecDeque<Caller>,
    /// Numbers of matters, so that a timer or an answer that comes too late is known as such.
    matters: u32,
    /// What [`Timer::Due`] must name.
    waiting: u32,
    /// As the server knows it.
    pub(super) token: Option<Token>,
    doubt: Doubt,
    /// What the machine does not know of yet.
    slept: Duration,
}

/// A task's request, from the gate to the answer.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    stage: Stage,
    kind: Kind,
    /// The whole of it.
    matter: u32,
    /// The stage that is on.
    step: u32,
    /// When the answer has to be there.
    until: Instant,
    /// From when on it waits no longer for the sake of other agents.
    by: Option<Instant>,
    asked: Instant,
    /// Whether the answer decides over an outage.
    trial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    /// At the gate, for the breaker or others.
    Queued,
    /// At the gate, let through by the breaker, for the bucket: to send, or to probe.
    Counted {
        probe: bool,
    },
    Probing,
    Sent,
}

/// What is asked about the token in hand, as `auth/check.rs` has it.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    began: Option<Instant>,
    gap: Duration,
    /// The token in hand was found dead.
    dead: bool,
    /// And the machine knows.
    buried: bool,
    /// A request of the application waits for another token.
    replay: bool,
}

impl Agent {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        let attempt = Attempt {
            stage: Stage::Idle,
            kind: Kind::Login,
            matter: 0,
            step: 0,
            until: now,
            by: None,
            asked: now,
            trial: false,
        };
        Self {
            machine: None,
            bucket: Bucket::new(&Limits::default(), now),
            breaker: Breaker::new(seed),
            auth: attempt,
            check: attempt,
            head: None,
            queue: VecDeque::with_capacity(2),
            matters: 0,
            waiting: 0,
            token: None,
            doubt: Doubt {
                began: None,
                gap: SHORTEST_GAP,
                dead: false,
                buried: false,
                replay: false,
            },
            slept: Duration::ZERO,
        }
    }

    /// Whether the pod has started.
    pub(super) fn is_running(&self) -> bool {
        self.machine.is_some()
    }

    /// Whether it knows of an outage.
    pub(super) fn is_cut_off(&self) -> bool {
        self.breaker.away_since().is_some()
    }

    /// Whether something of it is under way to the server or there.
    pub(super) fn awaits(&self, caller: Caller) -> Option<u32> {
        let attempt = self.attempt(caller);
        matches!(attempt.stage, Stage::Sent | Stage::Probing).then_some(attempt.step)
    }

    /// The pod starts, with the defaults of `min_backoff` and `max_backoff`.
    pub(super) fn start(&mut self, seed: u64, now: Instant, out: &mut Vec<Action>) {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
        let (machine, step) = Machine::start(false, backoff, seed, now);
        self.machine = Some(machine);
        self.follow(step, now, out);
    }

    pub(super) fn wake(&mut self, timer: Timer, now: Instant, out: &mut Vec<Action>) {
        match timer {
            Timer::Due(matter) => {
                if matter == self.waiting && self.auth.stage == Stage::Idle {
                    self.apply(Event::Due, now, out);
                }
            }
            Timer::Turn(caller, step) => {
                if self.head == Some(caller) && self.attempt(caller).step == step {
                    self.advance(caller, now, out);
                }
            }
            Timer::Held(caller, matter) => {
                if self.attempt(caller).matter == matter {
                    self.held(caller, now, out);
                }
            }
            Timer::Late(caller, step) => {
                if self.awaits(caller) == Some(step) {
                    self.late(caller, now, out);
                }
            }
        }
    }

    /// A request of the pod's application was refused with the token in hand.
    pub(super) fn refused(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.doubt.replay = true;
        let early = |began: Instant| now < began + self.doubt.gap;
        let busy = self.check.stage != Stage::Idle;
        if busy || self.doubt.dead || self.doubt.began.is_some_and(early) {
            return;
        }
        self.doubt.began = Some(now);
        self.begin(Caller::Check, Kind::LookUp, LOOK_UP_LIMIT, now, out);
    }

    /// The agent notices that its node has slept.
    pub(super) fn slept(&mut self, time: Duration, now: Instant, out: &mut Vec<Action>) {
        self.slept += time;
        self.count_sleep(now, out);
    }

    fn follow(&mut self, step: Step, now: Instant, out: &mut Vec<Action>) {
        match step {
            Step::Login { within } => self.begin(Caller::Auth, Kind::Login, within, now, out),
            Step::Renew { within } => self.begin(Caller::Auth, Kind::Renewal, within, now, out),
            Step::Wait { until } => {
                self.waiting = self.matter();
                out.push(Action::Wake {
                    at: until,
                    timer: Timer::Due(self.waiting),
                });
                // What was found while something else was under way is told now.
                self.bury(now, out);
                self.count_sleep(now, out);
            }
            // No pod of the fleet goes on with an earlier one's token.
            Step::LookUp { .. } | Step::Rest | Step::GiveUp => {}
        }
    }

    fn apply(&mut self, event: Event, now: Instant, out: &mut Vec<Action>) {
        let Some(machine) = &mut self.machine else {
            return;
        };
        let step = machine.apply(event, now);
        self.follow(step, now, out);
    }

    /// Tells the machine that the token in hand is dead, once.
    fn bury(&mut self, now: Instant, out: &mut Vec<Action>) {
        let news = self.doubt.dead && !self.doubt.buried;
        if news && self.auth.stage == Stage::Idle {
            self.doubt.buried = true;
            self.waiting = self.matter();
            self.apply(Event::FoundDead, now, out);
        }
    }

    /// Tells the machine for how long the node has slept, as soon as nothing else is under way.
    fn count_sleep(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.auth.stage == Stage::Idle && !self.slept.is_zero() {
            let slept = std::mem::take(&mut self.slept);
            self.waiting = self.matter();
            self.apply(Event::Suspended(slept), now, out);
        }
    }

    // The gate: `auth/ask.rs`, `vault/client.rs` and `vault/gate.rs`.

    fn begin(
        &mut self,
        caller: Caller,
        kind: Kind,
        within: Duration,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let until = now + within;
        let ends = self.machine.as_ref().and_then(Machine::ends);
        let left = ends.and_then(|ends| ends.checked_duration_since(now));
        // A look-up waits for nothing but its own limit.
        let left = left.filter(|_| caller == Caller::Auth);
        let held = left.map_or(until, |left| until.min(now + left));
        let matter = self.matter();
        let attempt = self.attempt_mut(caller);
        attempt.kind = kind;
        attempt.matter = matter;
        attempt.until = until;
        attempt.by = left.map(|left| now + left / 2);
        attempt.trial = false;
        let timer = Timer::Held(caller, matter);
        out.push(Action::Wake { at: held, timer });
        self.queue(caller, now, out);
    }

    fn queue(&mut self, caller: Caller, now: Instant, out: &mut Vec<Action>) {
        self.enter(caller, Stage::Queued);
        self.queue.push_back(caller);
        self.promote(now, out);
    }

    fn promote(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.head.is_none() {
            self.head = self.queue.pop_front();
            if let Some(caller) = self.head {
                self.advance(caller, now, out);
            }
        }
    }

    /// The head of the queue asks the breaker, and then the bucket.
    fn advance(&mut self, caller: Caller, now: Instant, out: &mut Vec<Action>) {
        if self.attempt(caller).stage == Stage::Queued {
            let turn = self.breaker.turn(Lane::Token, self.attempt(caller).by, now);
            let probe = match turn {
                Turn::Go { trial } => {
                    self.attempt_mut(caller).trial = trial;
                    false
                }
                Turn::Probe => true,
                Turn::Wait(None) => return,
                Turn::Wait(Some(at)) => return self.look_again(caller, at, out),
            };
            self.enter(caller, Stage::Counted { probe });
        }
        if let Some(wait) = self.bucket.take(Lane::Token, now) {
            return self.look_again(caller, now + wait, out);
        }
        self.head = None;
        self.send(caller, now, out);
        self.promote(now, out);
    }

    /// Makes a new step of the stage that is on, so that only the last of several timers counts.
    fn look_again(&mut self, caller: Caller, at: Instant, out: &mut Vec<Action>) {
        self.enter(caller, self.attempt(caller).stage);
        let timer = Timer::Turn(caller, self.attempt(caller).step);
        out.push(Action::Wake { at, timer });
    }

    fn send(&mut self, caller: Caller, now: Instant, out: &mut Vec<Action>) {
        let probe = self.attempt(caller).stage == (Stage::Counted { probe: true });
        self.enter(caller, if probe { Stage::Probing } else { Stage::Sent });
        let attempt = self.attempt_mut(caller);
        attempt.asked = now;
        let left = attempt.until.saturating_duration_since(now);
        let (kind, within) = match caller {
            _ if probe => (Kind::Health, PROBE_LIMIT),
            Caller::Auth => (attempt.kind, left.max(SHORTEST_ANSWER).min(CLIENT_TIMEOUT)),
            // The limit of the whole comes first.
            Caller::Check => (attempt.kind, CLIENT_TIMEOUT),
        };
        let (by, matter) = (caller, attempt.step);
        let timer = Timer::Late(caller, matter);
        out.push(Action::Wake {
            at: now + within,
            timer,
        });
        out.push(Action::Send { kind, by, matter });
    }

    /// It waited too long to be sent; a look-up, to be answered.
    fn held(&mut self, caller: Caller, now: Instant, out: &mut Vec<Action>) {
        let attempt = *self.attempt(caller);
        match attempt.stage {
            Stage::Idle => return,
            Stage::Sent if caller == Caller::Auth => return,
            Stage::Probing => self.breaker.probed(Found::Away { after: None }, now),
            Stage::Queued | Stage::Counted { .. } | Stage::Sent => {
                if attempt.trial {
                    self.breaker.dropped(Lane::Token);
                }
                if attempt.stage == Stage::Sent {
                    out.push(Action::Lost);
                }
            }
        }
        self.queue.retain(|queued| *queued != caller);
        if self.head == Some(caller) {
            self.head = None;
        }
        self.enter(caller, Stage::Idle);
        match (caller, attempt.kind) {
            (Caller::Check, _) => {}
            (Caller::Auth, Kind::Renewal) => {
                self.apply(Event::RenewalFailed(Failure::Held), now, out);
            }
            (Caller::Auth, _) => self.apply(Event::LoginFailed(Failure::Held), now, out),
        }
        self.ring(now, out);
    }

    /// No answer within the time that the client gives it.
    fn late(&mut self, caller: Caller, now: Instant, out: &mut Vec<Action>) {
        let attempt = *self.attempt(caller);
        let within = now.saturating_duration_since(attempt.asked);
        let found = (within >= PATIENCE).then_some(Found::Away { after: None });
        self.settle(caller, found, now, out);
        if attempt.stage == Stage::Sent {
            out.push(Action::Lost);
            self.failed(
                caller,
                attempt.kind,
                Failure::Away { after: None },
                now,
                out,
            );
        }
    }

    pub(super) fn answered(
        &mut self,
        caller: Caller,
        answer: Answer,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let attempt = *self.attempt(caller);
        let found = match answer {
            Answer::Granted { .. } | Answer::Done | Answer::Refused | Answer::Busy { .. } => {
                Found::There
            }
            Answer::Unavailable | Answer::NoConnection => Found::Away { after: None },
        };
        self.settle(caller, Some(found), now, out);
        if attempt.stage != Stage::Sent {
            return;
        }
        let failure = match answer {
            Answer::Granted { lease, token } => {
                self.token = Some(token);
                return self.granted(&attempt, lease, now, out);
            }
            Answer::Done => {
                self.doubt.gap = SHORTEST_GAP;
                return;
            }
            Answer::Refused => Failure::Refused,
            Answer::Busy { after } => Failure::Away { after },
            Answer::Unavailable | Answer::NoConnection => Failure::Away { after: None },
        };
        if failure != Failure::Refused {
            out.push(Action::Lost);
        }
        self.failed(caller, attempt.kind, failure, now, out);
    }

    fn granted(&mut self, attempt: &Attempt, lease: Duration, now: Instant, out: &mut Vec<Action>) {
        let grant = Grant {
            asked: attempt.asked,
            lease,
            renewable: true,
        };
        if attempt.kind == Kind::Renewal {
            return self.apply(Event::Renewed(grant), now, out);
        }
        (self.doubt.dead, self.doubt.buried) = (false, false);
        if std::mem::take(&mut self.doubt.replay) {
            out.push(Action::Replay);
        }
        self.apply(Event::LoggedIn(grant), now, out);
    }

    fn failed(
        &mut self,
        caller: Caller,
        kind: Kind,
        failure: Failure,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        match (caller, kind) {
            (Caller::Check, _) => {
                if failure == Failure::Refused {
                    self.doubt.gap = (2 * self.doubt.gap).min(LONGEST_GAP);
                    self.doubt.dead = true;
                    self.bury(now, out);
                }
            }
            (Caller::Auth, Kind::Renewal) => self.apply(Event::RenewalFailed(failure), now, out),
            (Caller::Auth, _) => self.apply(Event::LoginFailed(failure), now, out),
        }
    }

    /// Tells the breaker what was found by a request or a probe that is over now.
    fn settle(
        &mut self,
        caller: Caller,
        found: Option<Found>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let attempt = *self.attempt(caller);
        if attempt.stage == Stage::Probing {
            self.breaker
                .probed(found.unwrap_or(Found::Away { after: None }), now);
            self.queue(caller, now, out);
        } else {
            match found {
                Some(Found::There) => self.breaker.there(),
                Some(Found::Away { after }) => self.breaker.away(after, now),
                None if attempt.trial => self.breaker.dropped(Lane::Token),
                None => {}
            }
            self.enter(caller, Stage::Idle);
        }
        self.ring(now, out);
    }

    /// The breaker knows something new: whoever waits for it looks again.
    fn ring(&mut self, now: Instant, out: &mut Vec<Action>) {
        match self.head {
            Some(caller) if self.attempt(caller).stage == Stage::Queued => {
                self.advance(caller, now, out);
            }
            Some(_) => {}
            None => self.promote(now, out),
        }
    }

    fn enter(&mut self, caller: Caller, stage: Stage) {
        let step = self.matter();
        let attempt = self.attempt_mut(caller);
        (attempt.stage, attempt.step) = (stage, step);
    }

    fn matter(&mut self) -> u32 {
        self.matters += 1;
        self.matters
    }

    fn attempt(&self, caller: Caller) -> &Attempt {
        match caller {
            Caller::Auth => &self.auth,
            Caller::Check => &self.check,
        }
    }

    fn attempt_mut(&mut self, caller: Caller) -> &mut Attempt {
        match caller {
            Caller::Auth => &mut self.auth,
            Caller::Check => &mut self.check,
        }
    }
}
