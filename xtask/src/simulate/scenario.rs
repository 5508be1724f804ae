//! What happens to the fleet.

use std::collections::BTreeMap;

use tokio::time::Duration;

use super::fleet::FULL;
use super::server::Mode;

/// A story of which the beginning is minute 0, and in which [`QUIET`] passes before anything happens.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// For people to read.
    pub(super) title: &'static str,
    pub(super) pods: Pods,
    pub(super) changes: BTreeMap<Duration, Change>,
    /// Between two requests of a pod's application that its cache cannot answer.
    pub(super) application: Option<Duration>,
    /// When the server is as it was, and every pod there. From then on all have to be well within five minutes.
    pub(super) back: Duration,
    pub(super) length: Duration,
    /// Whether the worst second is held against the capacity.
    pub(super) bounded: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Pods {
    /// All have been there for a day.
    Steady,
    /// They start from [`QUIET`] on, so many each second where there are ten thousand.
    Rollout { per_second: f64 },
    /// They all start at [`QUIET`].
    AtOnce,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Server(Mode),
    /// Every answer takes so many times longer.
    Slowness(f64),
    /// More than these requests in a second are answered 429, where there are ten thousand pods.
    Quota(Option<(f64, Option<Duration>)>),
    /// No token that was made so far lives any longer.
    Revocation,
    /// A third of the pods stand still so long.
    Sleep {
        time: Duration,
        clock: Clock,
    },
}

/// What the clocks of nodes do that sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// Linux' monotonic clock does not count a suspension.
    Stands,
    /// It may count the time for which a hypervisor stopped it: what fell due meanwhile is due at the wake.
    Goes,
}

pub(super) const QUIET: Duration = Duration::from_mins(5);
/// Ten thousand pods at a hundred a second.
const ROLLOUT: Duration = Duration::from_secs(100);
/// Requests a second.
const QUOTA: f64 = 50.0;
const HALF_HOUR: Duration = Duration::from_mins(30);
const HOUR: Duration = Duration::from_hours(1);
const WORKDAY: Duration = Duration::from_hours(8);

pub(super) fn all() -> Vec<Scenario> {
    let rollout = Pods::Rollout { per_second: 100.0 };
    let quota = |after| [(Duration::ZERO, Change::Quota(Some((QUOTA, after))))];
    // Sooner it lets nobody finish.
    let admitted = QUIET + Duration::from_secs_f64(f64::from(FULL) / QUOTA);
    let sleep = |clock| [(QUIET, Change::Sleep { time: HOUR, clock })];
    let minute = Some(Duration::from_mins(1));
    vec![
        Scenario::new("rollout", "Rollout at 100 pods a second").pods(rollout, QUIET + ROLLOUT),
        Scenario::new("rollout-at-once", "Rollout of all pods at once")
            .pods(Pods::AtOnce, QUIET)
            .unbounded(),
        Scenario::new("kill", "Server killed for 30 minutes").outage(Mode::Down, HALF_HOUR),
        Scenario::new("sealed", "Server sealed for 8 hours").outage(Mode::Sealed, WORKDAY),
        Scenario::new(
            "revocation",
            "All tokens revoked, a request per pod every minute",
        )
        .with([(QUIET, Change::Revocation)])
        .application(minute),
        Scenario::new(
            "revocation-busy",
            "All tokens revoked, a request per pod every 20 s",
        )
        .with([(QUIET, Change::Revocation)])
        .application(Some(Duration::from_secs(20)))
        .unbounded(),
        Scenario::new("quota", "429 above 50 a second, as pods roll out")
            .pods(rollout, admitted)
            .with(quota(None)),
        Scenario::new("quota-told", "429 above 50 a second, with Retry-After: 5")
            .pods(rollout, admitted)
            .with(quota(Some(Duration::from_secs(5)))),
        Scenario::new("slow", "Answers take 300 times as long, for 30 minutes")
            .with([
                (QUIET, Change::Slowness(300.0)),
                (QUIET + HALF_HOUR, Change::Slowness(1.0)),
            ])
            .back(QUIET + HALF_HOUR),
        Scenario::new("sleep", "A third of the nodes sleep for an hour")
            .with(sleep(Clock::Stands))
            .application(minute)
            .back(QUIET + HOUR),
        Scenario::new("jump", "A third of the nodes sleep, their clocks go on")
            .with(sleep(Clock::Goes))
            .back(QUIET + HOUR),
    ]
}

impl Scenario {
    fn new(name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            pods: Pods::Steady,
            changes: BTreeMap::new(),
            application: None,
            back: QUIET,
            length: QUIET + HOUR,
            bounded: true,
        }
    }

    fn pods(self, pods: Pods, back: Duration) -> Self {
        Self { pods, ..self }.back(back)
    }

    fn with<const N: usize>(self, changes: [(Duration, Change); N]) -> Self {
        Self {
            changes: changes.into(),
            ..self
        }
    }

    fn outage(self, mode: Mode, lasts: Duration) -> Self {
        let back = QUIET + lasts;
        let changes = [
            (QUIET, Change::Server(mode)),
            (back, Change::Server(Mode::Serving)),
        ];
        self.with(changes).back(back)
    }

    /// And so long after it that what was done together is done again.
    fn back(self, back: Duration) -> Self {
        Self {
            back,
            length: back + HOUR,
            ..self
        }
    }

    fn application(self, every: Option<Duration>) -> Self {
        Self {
            application: every,
            ..self
        }
    }

    fn unbounded(self) -> Self {
        Self {
            bounded: false,
            ..self
        }
    }
}
