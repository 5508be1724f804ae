//! The loop that keeps a certificate and what the API publishes of it right: look, wait until something may have
//! changed, look again.
//!
//! Invariant: a look that failed is followed by another one within [`LONGEST_PAUSE`], and keeps what is served.

use std::time::Duration;

use keyside_lifecycle::backoff::Backoff;
use keyside_lifecycle::error;
use keyside_lifecycle::shutdown::Shutdown;
use tokio::time;

use super::metrics::Metrics;
use super::own::now;
use super::serving::Serving;
use super::trust::Trust;
use super::{given, kept, store, trust};

/// Whatever keeps a certificate right.
pub(crate) trait Keeper: Send {
    /// One look, and the change that it calls for.
    fn round(&mut self) -> impl Future<Output = Result<Round, Error>> + Send;
    fn serving(&mut self) -> &mut Serving;
    fn trust(&self) -> &Trust;
}

/// What a round did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Something was changed and has to be looked at again at once.
    Changed,
    /// All is as it should be, with the webhook configuration at this version.
    Settled(String),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Trust(#[from] trust::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Given(#[from] given::Error),
    #[error("making certificates")]
    Make { source: kept::Error },
    #[error("the API server would not accept the certificate")]
    Untrusted { source: rustls::Error },
    #[error("the API server did not answer within {} s", LONGEST_ROUND.as_secs())]
    Late,
    #[error("the Secret or the webhook configuration was changed by others again and again")]
    Outrun,
}

const LONGEST_ROUND: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two looks, also where someone else changes the configuration without end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// Rounds without a pause; each changes one thing, and the longest story (make, publish, see) has three.
const MOST_ROUNDS: usize = 8;

/// Looks at least as often as `pace`, and where somebody else has changed the webhook configuration.
pub(crate) async fn run(
    mut keeper: impl Keeper,
    metrics: Metrics,
    pace: Duration,
    shutdown: Shutdown,
) {
    let least = SHORTEST_PAUSE.min(pace);
    let mut backoff = Backoff::new(least, LONGEST_PAUSE);
    let mut failures = 0_u32;
    let end = shutdown.requested();
    tokio::pin!(end);
    loop {
        // Cancel-safe both: a request to the API takes effect wholly or not at all, and the next replica that looks
        // goes on from there.
        let outcome = tokio::select! {
            () = &mut end => return,
            outcome = rounds(&mut keeper) => outcome,
        };
        failures = report(&metrics, &outcome, failures);
        let failure = outcome.as_ref().err();
        let failure = failure.map(|failure| failure as &dyn std::error::Error);
        keeper.serving().judge(failure, now());
        let pause = async {
            let Ok(version) = &outcome else {
                time::sleep(backoff.next(fastrand::f64()).min(pace)).await;
                return;
            };
            backoff.reset();
            time::sleep(least).await;
            let rest = pace.saturating_sub(least);
            // Cancel-safe: a watch that is given up is a connection that is closed.
            tokio::select! {
                () = time::sleep(rest) => {}
                () = keeper.trust().changes(version, rest) => {}
            }
        };
        // Cancel-safe both: nothing is lost when the other one is first.
        tokio::select! {
            () = &mut end => return,
            () = pause => {}
        }
    }
}

async fn rounds(keeper: &mut impl Keeper) -> Result<String, Error> {
    for _ in 0..MOST_ROUNDS {
        let round = time::timeout(LONGEST_ROUND, keeper.round());
        if let Round::Settled(version) = round.await.map_err(|_elapsed| Error::Late)?? {
            return Ok(version);
        }
    }
    Err(Error::Outrun)
}

/// Logs the first of several failures, and the recovery.
fn report(metrics: &Metrics, outcome: &Result<String, Error>, failures: u32) -> u32 {
    match outcome {
        Ok(_) if failures > 0 => {
            tracing::info!(event = "certificate_recovered", failures);
            0
        }
        Ok(_) => 0,
        Err(cause) => {
            metrics.failures.inc();
            let error = error::chain(cause);
            if failures == 0 {
                tracing::warn!(event = "certificate_failed", error);
            } else {
                tracing::debug!(event = "certificate_failed", error, failures);
            }
            failures.saturating_add(1)
        }
    }
}
