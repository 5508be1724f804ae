//! The server of the fleet: workers that take as long for a request as a real OpenBao was measured to, and a queue
//! before them.
//!
//! Invariant: what was taken into the queue costs its time, also when nobody waits for the answer any more.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use super::agent::Caller;
use super::fleet::FULL;
use crate::bench::capacity::PerSecond;

/// Requests are answered side by side, as the cores of the machine allow on which the rates were measured.
const WORKERS: u32 = 2;
/// How many connections wait to be answered before the next is refused, for a fleet of ten thousand: what Linux lets
/// a server listen for.
const BACKLOG: u32 = 4096;
/// Of the tokens that the server makes.
pub(super) const TTL: Duration = Duration::from_hours(1);
pub(super) const MAX_TTL: Duration = Duration::from_hours(24);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Login,
    Renewal,
    LookUp,
    /// A breaker's probe.
    Health,
    /// A request of the pod's application that the cache could not answer.
    Application,
}

impl Kind {
    /// Those that an agent sends by itself.
    pub(super) const OWN: [Self; 4] = [Self::Login, Self::Renewal, Self::LookUp, Self::Health];
    pub(super) const COUNT: usize = 5;

    pub(super) fn index(self) -> usize {
        match self {
            Self::Login => 0,
            Self::Renewal => 1,
            Self::LookUp => 2,
            Self::Health => 3,
            Self::Application => 4,
        }
    }
}

/// What a token is good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    issued: Instant,
    ends: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// A login or a renewal.
    Granted { lease: Duration, token: Token },
    /// A look-up, a probe, or what an application wanted.
    Done,
    /// 403.
    Refused,
    /// 429.
    Busy { after: Option<Duration> },
    /// 503.
    Unavailable,
    /// Refused, or broken before the answer.
    NoConnection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Serving,
    Sealed,
    Down,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) pod: u32,
    pub(super) kind: Kind,
    /// Who of the agent waits for the answer, under which number.
    pub(super) by: Caller,
    pub(super) matter: u32,
}

/// A request that was taken in.
#[derive(Clone, Copy, Debug)]
struct Job {
    call: Call,
    /// Of a second of the whole server.
    share: f64,
    /// Where the server knows already.
    answer: Option<Answer>,
}

/// What a worker is busy with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) call: Call,
    answer: Option<Answer>,
    life: u32,
}

/// What the server did with a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipt {
    /// Otherwise the connection was refused at once.
    pub(super) accepted: bool,
    /// How much of what it bears in a second the request takes, or would have taken.
    pub(super) share: f64,
}

/// So many requests in each second, others are answered 429.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) per_second: f64,
    pub(super) after: Option<Duration>,
}

#[derive(Clone)]
pub(super) struct Server {
    mode: Mode,
    rates: [f64; Kind::COUNT],
    refusal: f64,
    backlog: usize,
    /// Every answer takes so many times longer.
    pub(super) slowness: f64,
    pub(super) quota: Option<Quota>,
    /// Of the second that began then.
    counted: (Instant, f64),
    /// Tokens from before are dead.
    pub(super) revoked: Option<Instant>,
    queue: VecDeque<Job>,
    busy: u32,
    /// What was taken in before the server stopped or was sealed is not answered after it.
    life: u32,
}

impl Server {
    /// A server for so many agents: `rates` are for [`FULL`].
    pub(super) fn new(rates: &PerSecond, agents: u32, now: Instant) -> Self {
        let scale = f64::from(agents) / f64::from(FULL);
        let backlog = u64::from(BACKLOG) * u64::from(agents) / u64::from(FULL);
        // An application reads something: as a look-up, which checks a token and reads what is stored.
        let own = [
            rates.login,
            rates.renewal,
            rates.look_up,
            rates.health,
            rates.look_up,
        ];
        Self {
            mode: Mode::Serving,
            rates: own.map(|rate| rate * scale),
            refusal: rates.refusal * scale,
            backlog: usize::try_from(backlog).unwrap_or(usize::MAX),
            slowness: 1.0,
            quota: None,
            counted: (now, 0.0),
            revoked: None,
            queue: VecDeque::new(),
            busy: 0,
            life: 0,
        }
    }

    /// From now on. Whatever is under way is lost.
    pub(super) fn turn(&mut self, mode: Mode) {
        self.mode = mode;
        self.life += 1;
        self.busy = 0;
        self.queue.clear();
    }

    /// A request with this token arrives.
    pub(super) fn receive(&mut self, call: Call, token: Option<&Token>, now: Instant) -> Receipt {
        let Call { kind, .. } = call;
        let share = self.share(kind);
        if self.mode == Mode::Down || self.queue.len() >= self.backlog {
            let accepted = false;
            return Receipt { accepted, share };
        }
        let refusal = 1.0 / self.refusal;
        let (share, answer) = if self.mode == Mode::Sealed {
            (self.share(Kind::Health), Some(Answer::Unavailable))
        } else if kind != Kind::Health
            && let Some(busy) = self.exceeds(now)
        {
            (refusal, Some(busy))
        } else if Self::needs_token(kind) && !self.accepts(token, now) {
            (refusal, None)
        } else {
            (share, None)
        };
        self.queue.push_back(Job {
            call,
            share,
            answer,
        });
        let accepted = true;
        Receipt { accepted, share }
    }

    /// A worker that is free takes the next request; when it will be done.
    pub(super) fn start(&mut self, now: Instant) -> Option<(Instant, Work)> {
        if self.busy == WORKERS {
            return None;
        }
        let Job {
            call,
            share,
            answer,
        } = self.queue.pop_front()?;
        self.busy += 1;
        // One of two workers takes twice the share of both.
        let takes = Duration::from_secs_f64(share * self.slowness) * WORKERS;
        let life = self.life;
        Some((now + takes, Work { call, answer, life }))
    }

    /// A worker is done: what the server says, unless the request was lost meanwhile.
    pub(super) fn finish(
        &mut self,
        work: &Work,
        token: Option<&mut Token>,
        now: Instant,
    ) -> Option<Answer> {
        if work.life != self.life {
            return None;
        }
        self.busy -= 1;
        let answer = work.answer;
        Some(answer.unwrap_or_else(|| self.answer(work.call.kind, token, now)))
    }

    /// A renewal renews the token, whether or not anyone hears of it.
    fn answer(&self, kind: Kind, token: Option<&mut Token>, now: Instant) -> Answer {
        match kind {
            Kind::Health => Answer::Done,
            Kind::Login => {
                let token = Token {
                    issued: now,
                    ends: now + TTL,
                };
                Answer::Granted { lease: TTL, token }
            }
            Kind::Renewal | Kind::LookUp | Kind::Application => match token {
                Some(token) if self.accepts(Some(token), now) => {
                    if kind != Kind::Renewal {
                        return Answer::Done;
                    }
                    token.ends = (now + TTL).min(token.issued + MAX_TTL);
                    // Vault speaks of whole seconds.
                    let lease = Duration::from_secs((token.ends - now).as_secs());
                    Answer::Granted {
                        lease,
                        token: *token,
                    }
                }
                _ => Answer::Refused,
            },
        }
    }

    pub(super) fn accepts(&self, token: Option<&Token>, now: Instant) -> bool {
        token.is_some_and(|token| {
            let revoked = self.revoked.is_some_and(|at| token.issued <= at);
            token.ends > now && !revoked
        })
    }

    fn share(&self, kind: Kind) -> f64 {
        self.rates.get(kind.index()).map_or(0.0, |rate| 1.0 / rate)
    }

    fn needs_token(kind: Kind) -> bool {
        matches!(kind, Kind::Renewal | Kind::LookUp | Kind::Application)
    }

    /// Counts one against the quota, and gives the answer where it is one too many.
    fn exceeds(&mut self, now: Instant) -> Option<Answer> {
        let Quota { per_second, after } = self.quota?;
        if now.saturating_duration_since(self.counted.0) >= Duration::from_secs(1) {
            self.counted = (now, 0.0);
        }
        self.counted.1 += 1.0;
        (self.counted.1 > per_second).then_some(Answer::Busy { after })
    }
}
