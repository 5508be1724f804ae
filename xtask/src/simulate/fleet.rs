//! Agents and a server on virtual time: a heap of what happens when.
//!
//! Invariant: the same seed, scenario and rates give the same run, event by event.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use tokio::time::{Duration, Instant};

use super::agent::{Action, Agent, Caller, Timer};
use super::scenario::{Change, Clock, Pods, QUIET, Scenario};
use super::server::{Answer, Call, Kind, MAX_TTL, Mode, Quota, Server, TTL, Work};
use super::tally::Tally;
use crate::bench::capacity::PerSecond;

/// The fleet that rates and scenarios are for. A smaller one gets a smaller server.
pub(super) const FULL: u32 = 10_000;
/// How long a refused connection takes to be noticed.
const REFUSAL: Duration = Duration::from_millis(1);
/// How often the pods are looked at while nothing is expected, and while they recover.
const GLANCE: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_secs(1);
/// How often an agent looks whether its node has slept.
const NOTICE: Duration = Duration::from_secs(5);
/// One pod of so many sleeps.
const SLEEPERS: usize = 3;
/// How long the recovery is watched closely.
const RECOVERY: Duration = Duration::from_mins(10);

#[derive(Clone)]
pub(super) struct Fleet {
    origin: Instant,
    now: Instant,
    scale: f64,
    random: fastrand::Rng,
    pods: Vec<Pod>,
    server: Server,
    happenings: BinaryHeap<Reverse<Happening>>,
    /// So that what happens at the same time happens in the order in which it was foreseen.
    foreseen: u64,
    application: Option<Duration>,
    tally: Tally,
    /// One buffer for what agents want done.
    actions: Vec<Action>,
}

#[derive(Clone)]
struct Pod {
    agent: Agent,
    /// How much of the time its node has slept.
    slept: Duration,
    /// Until when it sleeps.
    wakes: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Happening {
    at: Instant,
    order: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Start(u32),
    Timer(u32, Timer),
    /// A worker of the server is done.
    Done(Work),
    Answer(Call, Answer),
    Application(u32),
    /// The pod's agent notices that its node has slept.
    Slept(u32, Duration),
    Change(Change),
    Look,
}

impl Fleet {
    /// No pod has started.
    pub(super) fn new(agents: u32, rates: &PerSecond, seed: u64) -> Self {
        let origin = Instant::now();
        let mut random = fastrand::Rng::with_seed(seed);
        let scale = f64::from(agents) / f64::from(FULL);
        let pods = (0..agents).map(|_| Pod {
            agent: Agent::new(random.u64(..), origin),
            slept: Duration::ZERO,
            wakes: None,
        });
        Self {
            origin,
            now: origin,
            scale,
            pods: pods.collect(),
            random,
            server: Server::new(rates, agents, origin),
            happenings: BinaryHeap::new(),
            foreseen: 0,
            application: None,
            tally: Tally::default(),
            actions: Vec::new(),
        }
    }

    /// Every pod started at some time of a day, and then an hour passed: tokens of all ages are there.
    pub(super) fn steady(agents: u32, rates: &PerSecond, seed: u64) -> Self {
        let mut fleet = Self::new(agents, rates, seed);
        for pod in 0..agents {
            let at = fleet.origin + MAX_TTL.mul_f64(fleet.random.f64());
            fleet.foresee(at, What::Start(pod));
        }
        fleet.run_until(fleet.origin + MAX_TTL + TTL);
        fleet.origin = fleet.now;
        fleet.tally = Tally::default();
        fleet
    }

    /// Plays a scenario on a fleet of the kind that it asks for.
    pub(super) fn play(mut self, scenario: &Scenario) -> Tally {
        for pod in 0..self.count() {
            let after = match scenario.pods {
                Pods::Steady => break,
                Pods::AtOnce => QUIET,
                Pods::Rollout { per_second } => {
                    QUIET + Duration::from_secs_f64(f64::from(pod) / (per_second * self.scale))
                }
            };
            self.foresee(self.origin + after, What::Start(pod));
        }
        for (after, change) in &scenario.changes {
            self.foresee(self.origin + *after, What::Change(*change));
        }
        self.application = scenario.application;
        if let Some(every) = scenario.application {
            for pod in 0..self.count() {
                let first = self.origin + every.mul_f64(self.random.f64());
                self.foresee(first, What::Application(pod));
            }
        }
        for after in looks(scenario) {
            self.foresee(self.origin + after, What::Look);
        }
        self.run_until(self.origin + scenario.length);
        self.tally
    }

    fn count(&self) -> u32 {
        u32::try_from(self.pods.len()).unwrap_or(u32::MAX)
    }

    fn foresee(&mut self, at: Instant, what: What) {
        self.foreseen += 1;
        let order = self.foreseen;
        self.happenings.push(Reverse(Happening { at, order, what }));
    }

    fn run_until(&mut self, end: Instant) {
        while let Some(Reverse(next)) = self.happenings.peek()
            && next.at <= end
        {
            let Happening { at, what, .. } = *next;
            self.happenings.pop();
            self.now = at;
            self.happen(what);
        }
        self.now = end;
    }

    fn happen(&mut self, what: What) {
        if let Some(wakes) = what.pod().and_then(|pod| self.asleep(pod)) {
            return self.foresee(wakes, what);
        }
        match what {
            What::Start(pod) => {
                let seed = self.random.u64(..);
                self.with(pod, |agent, now, out| agent.start(seed, now, out));
            }
            What::Timer(pod, timer) => {
                self.with(pod, |agent, now, out| agent.wake(timer, now, out));
            }
            What::Application(pod) => {
                self.send(Call {
                    pod,
                    kind: Kind::Application,
                    by: Caller::Auth,
                    matter: 0,
                });
                if let Some(every) = self.application {
                    self.foresee(self.now + every, What::Application(pod));
                }
            }
            What::Slept(pod, time) => {
                self.with(pod, |agent, now, out| agent.slept(time, now, out));
            }
            What::Done(work) => self.done(&work),
            What::Answer(call, answer) => self.deliver(call, answer),
            What::Change(change) => self.change(change),
            What::Look => self.look(),
        }
    }

    /// Until when the pod sleeps.
    fn asleep(&mut self, pod: u32) -> Option<Instant> {
        let now = self.now;
        let wakes = self.pod(pod)?.wakes;
        wakes.filter(|wakes| *wakes > now)
    }

    fn pod(&mut self, pod: u32) -> Option<&mut Pod> {
        self.pods.get_mut(usize::try_from(pod).ok()?)
    }

    /// Lets an agent do something, on its own clock, and does what it wants done.
    fn with(&mut self, pod: u32, act: impl FnOnce(&mut Agent, Instant, &mut Vec<Action>)) {
        let now = self.now;
        let mut actions = std::mem::take(&mut self.actions);
        let mut slept = Duration::ZERO;
        if let Some(pod) = self.pod(pod) {
            slept = pod.slept;
            act(&mut pod.agent, now - slept, &mut actions);
        }
        for action in actions.drain(..) {
            match action {
                Action::Wake { at, timer } => self.foresee(at + slept, What::Timer(pod, timer)),
                Action::Send { kind, by, matter } => self.send(Call {
                    pod,
                    kind,
                    by,
                    matter,
                }),
                Action::Replay => self.send(Call {
                    pod,
                    kind: Kind::Application,
                    by: Caller::Auth,
                    matter: 0,
                }),
                Action::Lost => self.tally.lost += 1,
            }
        }
        self.actions = actions;
    }

    fn send(&mut self, call: Call) {
        let now = self.now;
        let token = self.pod(call.pod).and_then(|pod| pod.agent.token);
        let receipt = self.server.receive(call, token.as_ref(), now);
        self.tally.sent(call.kind, receipt.share, now - self.origin);
        if receipt.accepted {
            self.work();
        } else {
            self.foresee(now + REFUSAL, What::Answer(call, Answer::NoConnection));
        }
    }

    fn work(&mut self) {
        while let Some((at, work)) = self.server.start(self.now) {
            self.foresee(at, What::Done(work));
        }
    }

    fn done(&mut self, work: &Work) {
        let (call, now) = (work.call, self.now);
        // As the server knows it: a renewal that the agent never hears of has renewed it all the same.
        let mut token = self.pod(call.pod).and_then(|pod| pod.agent.token);
        let answer = self.server.finish(work, token.as_mut(), now);
        if let Some(pod) = self.pod(call.pod) {
            pod.agent.token = token;
        }
        if let Some(answer) = answer {
            self.happen(What::Answer(call, answer));
        }
        self.work();
    }

    /// Brings an answer to whoever still waits for it.
    fn deliver(&mut self, call: Call, answer: Answer) {
        let Call {
            kind, by, matter, ..
        } = call;
        self.with(call.pod, |agent, now, out| match (kind, answer) {
            (Kind::Application, Answer::Refused) => agent.refused(now, out),
            (Kind::Application, _) => {}
            _ if agent.awaits(by) == Some(matter) => agent.answered(by, answer, now, out),
            _ => {}
        });
    }

    fn change(&mut self, change: Change) {
        let now = self.now;
        match change {
            Change::Slowness(times) => self.server.slowness = times,
            Change::Revocation => self.server.revoked = Some(now),
            Change::Quota(quota) => {
                self.server.quota = quota.map(|(per_second, after)| Quota {
                    per_second: per_second * self.scale,
                    after,
                });
            }
            Change::Sleep { time, clock } => self.sleep(time, clock),
            Change::Server(mode) => {
                self.server.turn(mode);
                let answer = match mode {
                    Mode::Sealed => Answer::Unavailable,
                    Mode::Serving | Mode::Down => Answer::NoConnection,
                };
                for pod in 0..self.count() {
                    self.cut_off(pod, answer);
                }
            }
        }
    }

    /// What the pod's agent has under way ends so.
    fn cut_off(&mut self, pod: u32, answer: Answer) {
        self.with(pod, |agent, now, out| {
            for by in [Caller::Auth, Caller::Check] {
                if agent.awaits(by).is_some() {
                    agent.answered(by, answer, now, out);
                }
            }
        });
    }

    /// A third of the pods stand still.
    fn sleep(&mut self, time: Duration, clock: Clock) {
        let now = self.now;
        for pod in self.pods.iter_mut().step_by(SLEEPERS) {
            pod.wakes = Some(now + time);
            if clock == Clock::Stands {
                pod.slept += time;
            }
        }
        if clock == Clock::Stands {
            let foreseen = std::mem::take(&mut self.happenings).into_iter();
            self.happenings = foreseen
                .map(|Reverse(next)| Reverse(shifted(next, time)))
                .collect();
            for pod in (0..self.count()).step_by(SLEEPERS) {
                let noticed = now + time + NOTICE.mul_f64(self.random.f64());
                self.foresee(noticed, What::Slept(pod, time));
            }
        }
    }

    /// Counts the pods that are not well: without a token that the server accepts, or in an outage as far as they know.
    fn look(&mut self) {
        let unwell = |pod: &&Pod| {
            let asleep = pod.wakes.is_some_and(|wakes| wakes > self.now);
            let token = pod.agent.token.as_ref();
            let well = self.server.accepts(token, self.now) && !pod.agent.is_cut_off();
            pod.agent.is_running() && !asleep && !well
        };
        let count = self.pods.iter().filter(unwell).count();
        self.tally.looked(count, self.now - self.origin);
    }
}

/// What a pod that sleeps is to do comes later by that.
fn shifted(happening: Happening, time: Duration) -> Happening {
    let sleeps = |pod: u32| usize::try_from(pod).is_ok_and(|pod| pod % SLEEPERS == 0);
    let later = happening.what.pod().is_some_and(sleeps);
    let at = if later {
        happening.at + time
    } else {
        happening.at
    };
    Happening { at, ..happening }
}

/// When the pods are looked at.
fn looks(scenario: &Scenario) -> Vec<Duration> {
    let mut looks = BTreeSet::new();
    let mut at = Duration::ZERO;
    while at <= scenario.length {
        looks.insert(at);
        at += GLANCE;
    }
    let mut at = scenario.back;
    while at <= (scenario.back + RECOVERY).min(scenario.length) {
        looks.insert(at);
        at += WATCH;
    }
    looks.into_iter().collect()
}

impl What {
    /// The pod to which it happens.
    fn pod(&self) -> Option<u32> {
        match self {
            Self::Start(pod)
            | Self::Timer(pod, _)
            | Self::Application(pod)
            | Self::Slept(pod, _) => Some(*pod),
            Self::Answer(call, _) => Some(call.pod),
            Self::Done(_) | Self::Change(_) | Self::Look => None,
        }
    }
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Happening {}

impl PartialOrd for Happening {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Happening {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
