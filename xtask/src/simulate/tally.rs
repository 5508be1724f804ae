//! What is counted while a scenario is played, and what is made of it.

use tokio::time::Duration;

use super::scenario::Scenario;
use super::server::Kind;

/// The worst second may take so much of what the server bears in one.
pub(super) const MOST: f64 = 0.7;
/// And all have to be well so long after the server's return.
pub(super) const SOON: Duration = Duration::from_mins(5);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// By [`Kind::index`].
    pub(super) requests: [u64; Kind::COUNT],
    /// Of the agents' own requests, those that brought neither what was asked for nor a refusal; probes apart.
    pub(super) lost: u64,
    pub(super) seconds: Vec<Second>,
    /// When the pods were looked at, and how many were not well.
    pub(super) unwell: Vec<(Duration, usize)>,
}

/// The agents' own requests of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Second {
    pub(super) requests: u32,
    /// Of what the server bears in a second.
    pub(super) load: f64,
}

impl Tally {
    pub(super) fn sent(&mut self, kind: Kind, share: f64, after: Duration) {
        if let Some(count) = self.requests.get_mut(kind.index()) {
            *count += 1;
        }
        if !Kind::OWN.contains(&kind) {
            return;
        }
        let index = usize::try_from(after.as_secs()).unwrap_or(usize::MAX);
        if index >= self.seconds.len() {
            self.seconds.resize(index + 1, Second::default());
        }
        if let Some(second) = self.seconds.get_mut(index) {
            second.requests += 1;
            second.load += share;
        }
    }

    pub(super) fn looked(&mut self, unwell: usize, after: Duration) {
        self.unwell.push((after, unwell));
    }

    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.requests.get(kind.index()).copied().unwrap_or(0)
    }

    /// The second that took most of the server.
    pub(super) fn worst(&self) -> Second {
        let worst = self.seconds.iter().copied();
        worst
            .max_by(|one, other| one.load.total_cmp(&other.load))
            .unwrap_or_default()
    }

    /// How long after the return all were well for the first time.
    pub(super) fn recovery(&self, scenario: &Scenario) -> Option<Duration> {
        let mut since = self.unwell.iter().filter(|(at, _)| *at >= scenario.back);
        let (at, _) = since.find(|(_, unwell)| *unwell == 0)?;
        at.checked_sub(scenario.back)
    }

    pub(super) fn unwell_at_the_end(&self) -> usize {
        self.unwell.last().map_or(0, |(_, unwell)| *unwell)
    }

    /// What was promised and is not kept.
    pub(super) fn broken(&self, scenario: &Scenario) -> Vec<String> {
        let mut broken = Vec::new();
        let load = self.worst().load;
        if scenario.bounded && load > MOST {
            broken.push(format!(
                "the worst second took {:.0} % of the server",
                load * 100.0
            ));
        }
        match self.recovery(scenario) {
            Some(after) if after <= SOON => {}
            Some(after) => broken.push(format!("all were well only {} s after", after.as_secs())),
            None => broken.push("they were never all well again".to_owned()),
        }
        if self.unwell_at_the_end() > 0 {
            broken.push(format!(
                "{} pods were not well at the end",
                self.unwell_at_the_end()
            ));
        }
        broken
    }
}
