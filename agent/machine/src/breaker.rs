//! Whether Vault is there: a circuit breaker over everything that the agent sends, by itself or for its clients.
//!
//! A request that finds Vault away begins an outage. From then on nothing goes out but one cheap probe now and then,
//! and what was to be sent waits. When a probe finds Vault back, this agent lets some more time pass, so that the
//! pods which noticed together do not return together; then one request tries, and its answer ends the outage.
//!
//! Pauses grow with the outage: short ones are over quickly, and after long ones the fleet comes back over minutes.
//!
//! What a client asked for and did not get may be the fault of one slow backend. It is a suspicion: one probe tells
//! whether it is an outage.
//!
//! Invariant: while an outage lasts, at most one probe is under way, and two begin at least [`SHORTEST_PAUSE`] × 3/4
//! apart. While none lasts, two begin at least [`SUSPICION_PAUSE`] apart.
//! Invariant: from the return of Vault to the first request pass at most [`LONGEST_PAUSE`] + [`LONGEST_SPREAD`], but for
//! what Vault asked for with `Retry-After`.

use tokio::time::{Duration, Instant};

use crate::bucket::Lane;

/// Between two probes at first.
pub const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// Between two probes of a long outage.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Over how long the agents of a fleet return after a long outage. With [`LONGEST_PAUSE`] below five minutes.
pub const LONGEST_SPREAD: Duration = Duration::from_secs(200);
/// Between two probes for the sake of a suspicion.
pub const SUSPICION_PAUSE: Duration = Duration::from_secs(10);
/// The longest `Retry-After` that is believed.
const LONGEST_QUIET: Duration = Duration::from_hours(1);
/// A pause is this part of the outage so far.
const PAUSE_PART: u32 = 24;
/// The spread is over this part of the outage.
const SPREAD_PART: u32 = 40;

/// What somebody who wants to send may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send. Where `trial` is set, the answer decides whether the outage is over.
    Go {
        /// Whether an outage is on.
        trial: bool,
    },
    /// Ask whether Vault is there, and tell [`Breaker::probed`].
    Probe,
    /// Ask again at this time; `None`: when something has been found.
    Wait(Option<Instant>),
}

/// What the breaker knows.
#[derive(Clone, Debug)]
pub struct Breaker {
    outage: Option<Outage>,
    /// When a suspicion is to be looked into.
    suspected: Option<Instant>,
    /// When the last one was.
    looked: Option<Instant>,
    random: fastrand::Rng,
}

#[derive(Clone, Debug)]
struct Outage {
    began: Instant,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// No probe before then.
    Quiet { until: Instant },
    /// A probe is under way.
    Probing,
    /// Vault is back; this agent's turn comes then.
    Spread { until: Instant },
    /// Requests may try. Those about the token are few and go as they come; of the leases' one at a time.
    Trial { lease: bool },
}

impl Breaker {
    /// Vault counts as there until a request finds otherwise.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            outage: None,
            suspected: None,
            looked: None,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Since when Vault has been away; `None` while it is there.
    #[must_use]
    pub fn away_since(&self) -> Option<Instant> {
        self.outage.as_ref().map(|outage| outage.began)
    }

    /// After how long to come back; `None` while Vault is there. Never less than a second, and not the same for all.
    pub fn retry_after(&mut self, now: Instant) -> Option<Duration> {
        let until = match self.outage.as_ref()?.stage {
            Stage::Quiet { until } | Stage::Spread { until } => until,
            Stage::Probing | Stage::Trial { .. } => now,
        };
        let left = until.saturating_duration_since(now);
        let spread = (left / 4).max(SHORTEST_PAUSE).mul_f64(self.random.f64());
        Some((left + spread).max(Duration::from_secs(1)))
    }

    /// A request of a client was answered by nobody, or by something that says that Vault is gone.
    pub fn suspect(&mut self, now: Instant) {
        if self.outage.is_none() && self.suspected.is_none() {
            let earliest = self.looked.map_or(now, |looked| looked + SUSPICION_PAUSE);
            self.suspected = Some(earliest.max(now));
        }
    }

    /// What may be done now about a suspicion. Whoever probes tells [`Breaker::away`] where that is so.
    pub fn suspicion(&mut self, now: Instant) -> Turn {
        match self.suspected.filter(|_| self.outage.is_none()) {
            None => Turn::Wait(None),
            Some(due) if due > now => Turn::Wait(Some(due)),
            Some(_) => {
                self.suspected = None;
                self.looked = Some(now);
                Turn::Probe
            }
        }
    }

    /// What may be done now. What has to be done `by` a time, because a token ends then, does not wait longer for
    /// others' sake.
    pub fn turn(&mut self, lane: Lane, by: Option<Instant>, now: Instant) -> Turn {
        let Some(outage) = &mut self.outage else {
            return Turn::Go { trial: false };
        };
        match outage.stage {
            Stage::Quiet { until } if until > now => Turn::Wait(Some(until)),
            Stage::Quiet { .. } => {
                outage.stage = Stage::Probing;
                Turn::Probe
            }
            Stage::Probing => Turn::Wait(None),
            Stage::Trial { lease: true } if lane == Lane::Lease => Turn::Wait(None),
            Stage::Spread { until } => {
                let until = by.map_or(until, |by| until.min(by));
                if until > now {
                    return Turn::Wait(Some(until));
                }
                outage.stage = Stage::Trial {
                    lease: lane == Lane::Lease,
                };
                Turn::Go { trial: true }
            }
            Stage::Trial { lease } => {
                outage.stage = Stage::Trial {
                    lease: lease || lane == Lane::Lease,
                };
                Turn::Go { trial: true }
            }
        }
    }

    /// What a probe found. Where Vault said for how long to stay away, not before that.
    pub fn probed(&mut self, found: Found, now: Instant) {
        let Some(outage) = &mut self.outage else {
            return;
        };
        if !matches!(outage.stage, Stage::Probing) {
            return;
        }
        let lasted = now.saturating_duration_since(outage.began);
        match found {
            Found::There => {
                let over = (lasted / SPREAD_PART).min(LONGEST_SPREAD);
                let until = now + over.mul_f64(self.random.f64());
                outage.stage = Stage::Spread { until };
            }
            Found::Away { after } => self.quiet(after, now),
        }
    }

    /// A request found Vault away.
    pub fn away(&mut self, after: Option<Duration>, now: Instant) {
        self.suspected = None;
        let Some(outage) = &self.outage else {
            self.outage = Some(Outage {
                began: now,
                stage: Stage::Probing,
            });
            return self.quiet(after, now);
        };
        // One that was under way when the outage began says nothing new; one that tried does.
        if matches!(outage.stage, Stage::Trial { .. }) {
            self.quiet(after, now);
        }
    }

    /// A request was answered by a Vault in service.
    pub fn there(&mut self) {
        self.outage = None;
    }

    /// A request that was let out for a trial will not be answered: another may try.
    pub fn dropped(&mut self, lane: Lane) {
        if let Some(Outage {
            stage: Stage::Trial { lease },
            ..
        }) = &mut self.outage
            && lane == Lane::Lease
        {
            *lease = false;
        }
    }

    fn quiet(&mut self, after: Option<Duration>, now: Instant) {
        let Some(outage) = &mut self.outage else {
            return;
        };
        let lasted = now.saturating_duration_since(outage.began);
        let pause = (lasted / PAUSE_PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let pause = pause.mul_f64(0.75 + self.random.f64() / 4.0);
        let told = after.unwrap_or_default().min(LONGEST_QUIET);
        let until = now + told + pause;
        outage.stage = Stage::Quiet { until };
    }
}

/// What a probe, or a request, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Vault is in service, whatever it answered.
    There,
    /// It cannot be reached, is sealed, or something on the way says that it is gone.
    Away {
        /// For how long it asked to be left alone.
        after: Option<Duration>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const AWAY: Found = Found::Away { after: None };

    fn away() -> (Breaker, Instant) {
        let now = Instant::now();
        let mut breaker = Breaker::new(3);
        breaker.away(None, now);
        (breaker, now)
    }

    /// Lets the time pass until a probe is due.
    fn probe_due(breaker: &mut Breaker, mut now: Instant) -> Instant {
        loop {
            match breaker.turn(Lane::Token, None, now) {
                Turn::Probe => return now,
                Turn::Wait(Some(until)) => now = until,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn all_goes_out_while_vault_is_there() {
        let mut breaker = Breaker::new(1);
        let now = Instant::now();
        for lane in [Lane::Token, Lane::Lease] {
            assert_eq!(breaker.turn(lane, None, now), Turn::Go { trial: false });
        }
        assert_eq!(breaker.away_since(), None);
    }

    #[test]
    fn one_probe_at_a_time_while_it_is_away() {
        let (mut breaker, began) = away();
        let Turn::Wait(Some(until)) = breaker.turn(Lane::Token, None, began) else {
            panic!("a probe at once");
        };
        assert!((SHORTEST_PAUSE.mul_f64(0.75)..=SHORTEST_PAUSE).contains(&(until - began)));
        assert_eq!(breaker.turn(Lane::Lease, None, until), Turn::Probe);
        assert_eq!(breaker.turn(Lane::Token, None, until), Turn::Wait(None));
        breaker.probed(AWAY, until + SECOND);
        assert!(matches!(
            breaker.turn(Lane::Token, None, until + SECOND),
            Turn::Wait(Some(_))
        ));
        assert_eq!(breaker.away_since(), Some(began));
    }

    #[test]
    fn pauses_grow_with_the_outage_up_to_a_minute() {
        let (mut breaker, began) = away();
        let mut probes = Vec::new();
        let mut now = began;
        while now < began + Duration::from_hours(8) {
            now = probe_due(&mut breaker, now);
            probes.push(now - began);
            breaker.probed(AWAY, now);
        }
        for pair in probes.windows(2) {
            let [one, other] = pair else { unreachable!() };
            let most = (*one / PAUSE_PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            let gap = other.saturating_sub(*one);
            assert!(gap <= most && gap >= most.mul_f64(0.74), "{gap:?}");
        }
        let first_minute = probes.iter().filter(|at| **at < 60 * SECOND).count();
        assert!((25..=40).contains(&first_minute), "{first_minute}");
        assert!(probes.len() < 900, "{}", probes.len());
    }

    #[test]
    fn a_minutes_outage_is_over_within_five_seconds_of_its_end() {
        for seed in 0..200 {
            let began = Instant::now();
            let mut breaker = Breaker::new(seed);
            breaker.away(None, began);
            let back = began + 60 * SECOND;
            let mut now = began;
            loop {
                now = probe_due(&mut breaker, now);
                if now >= back {
                    break;
                }
                breaker.probed(AWAY, now);
            }
            breaker.probed(Found::There, now);
            while let Turn::Wait(Some(until)) = breaker.turn(Lane::Token, None, now) {
                now = until;
            }
            assert!(now - back < 5 * SECOND, "{seed}: {:?}", now - back);
        }
    }

    #[test]
    fn a_long_outage_is_over_within_five_minutes_and_not_at_once() {
        let mut returns: Vec<Duration> = (0..1000)
            .map(|seed| {
                let began = Instant::now();
                let mut breaker = Breaker::new(seed);
                breaker.away(None, began);
                let now = probe_due(&mut breaker, began + Duration::from_hours(8));
                breaker.probed(Found::There, now);
                match breaker.turn(Lane::Token, None, now) {
                    Turn::Wait(Some(until)) => until - now,
                    _ => Duration::ZERO,
                }
            })
            .collect();
        returns.sort();
        assert!(returns[999] + LONGEST_PAUSE < Duration::from_mins(5));
        assert!(
            (80..120).contains(&returns[500].as_secs()),
            "{:?}",
            returns[500]
        );
    }

    #[test]
    fn what_must_be_done_by_a_time_does_not_wait_for_others() {
        let (mut breaker, began) = away();
        let now = probe_due(&mut breaker, began + Duration::from_hours(8));
        breaker.probed(Found::There, now);
        let by = now + SECOND;
        assert_eq!(
            breaker.turn(Lane::Token, Some(by), now),
            Turn::Wait(Some(by))
        );
        assert_eq!(
            breaker.turn(Lane::Token, Some(by), by),
            Turn::Go { trial: true }
        );
    }

    #[test]
    fn a_request_decides_after_the_probe() {
        let (mut breaker, began) = away();
        let now = probe_due(&mut breaker, began);
        breaker.probed(Found::There, now);
        let later = now + SECOND;
        assert_eq!(
            breaker.turn(Lane::Lease, None, later),
            Turn::Go { trial: true }
        );
        assert_eq!(
            breaker.turn(Lane::Lease, None, later),
            Turn::Wait(None),
            "one lease"
        );
        assert_eq!(
            breaker.turn(Lane::Token, None, later),
            Turn::Go { trial: true }
        );
        breaker.dropped(Lane::Lease);
        assert_eq!(
            breaker.turn(Lane::Lease, None, later),
            Turn::Go { trial: true }
        );
        breaker.away(None, later);
        assert_eq!(breaker.away_since(), Some(began), "the outage goes on");
        let now = probe_due(&mut breaker, later);
        breaker.probed(Found::There, now);
        assert_eq!(
            breaker.turn(Lane::Token, None, now + SECOND),
            Turn::Go { trial: true }
        );
        breaker.there();
        assert_eq!(
            breaker.turn(Lane::Lease, None, now),
            Turn::Go { trial: false }
        );
    }

    #[test]
    fn a_suspicion_is_looked_into_once_in_a_while() {
        let now = Instant::now();
        let mut breaker = Breaker::new(7);
        assert_eq!(breaker.suspicion(now), Turn::Wait(None));
        for _ in 0..3 {
            breaker.suspect(now);
        }
        assert_eq!(breaker.suspicion(now), Turn::Probe);
        assert_eq!(breaker.suspicion(now), Turn::Wait(None));
        assert_eq!(breaker.away_since(), None);
        breaker.suspect(now + SECOND);
        let due = now + SUSPICION_PAUSE;
        assert_eq!(breaker.suspicion(now + SECOND), Turn::Wait(Some(due)));
        assert_eq!(breaker.suspicion(due), Turn::Probe);
        breaker.suspect(due + SECOND);
        breaker.away(None, due + SECOND);
        breaker.suspect(due + SECOND);
        breaker.there();
        assert_eq!(
            breaker.suspicion(due + 60 * SECOND),
            Turn::Wait(None),
            "the outage was the answer"
        );
    }

    #[test]
    fn clients_are_told_to_come_back_when_it_is_known_more() {
        let (mut breaker, began) = away();
        let Turn::Wait(Some(until)) = breaker.turn(Lane::Token, None, began) else {
            panic!("a probe at once");
        };
        let told: Vec<_> = (0..50)
            .map(|_| breaker.retry_after(began).unwrap())
            .collect();
        let first = until - began;
        for told in &told {
            assert!((first..=first + SHORTEST_PAUSE).contains(told), "{told:?}");
        }
        assert!(told.iter().any(|other| *other != told[0]));
        breaker.turn(Lane::Token, None, until);
        assert!(breaker.retry_after(until).unwrap() >= SECOND);
        let later = began + Duration::from_hours(8);
        breaker.probed(Found::There, later);
        let Turn::Wait(Some(turn)) = breaker.turn(Lane::Token, None, later) else {
            panic!("a fleet that returns at once");
        };
        assert!(breaker.retry_after(later).unwrap() >= turn - later);
        breaker.there();
        assert_eq!(breaker.retry_after(until), None);
    }

    #[test]
    fn what_vault_asks_for_is_kept() {
        let now = Instant::now();
        let mut breaker = Breaker::new(5);
        breaker.away(Some(100 * SECOND), now);
        let due = probe_due(&mut breaker, now);
        assert!(due - now > 100 * SECOND && due - now < 103 * SECOND);
        let after = Some(Duration::from_hours(1000));
        breaker.probed(Found::Away { after }, due);
        let due = probe_due(&mut breaker, due) - due;
        assert!(due > LONGEST_QUIET && due < LONGEST_QUIET + LONGEST_PAUSE);
    }
}
