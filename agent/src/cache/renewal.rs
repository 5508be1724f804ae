//! The one task that renews what is kept, and ends it on time.
//!
//! It sleeps until the store's earliest timer. Renewals run beside it, a few at a time, each through the gate.

use http::{Method, StatusCode};
use keyside_lifecycle::shutdown::Shutdown;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use super::Cache;
use super::identity::TokenId;
use super::lease::{Outcome, Renewal};
use super::revocation::Revoked;
use super::store::Id;
use crate::token::{TokenState, Tokens};
use crate::vault::client::Client;
use crate::vault::error::{Error, Retry};
use crate::vault::gate::Reason;
use crate::vault::wire;

/// Renewals under way at once. The gate limits their rate; this limits their memory.
const AT_ONCE: usize = 8;

/// Sends one renewal. A trait only so that tests need no server.
pub(crate) trait Renew: Clone + Send + Sync + 'static {
    fn renew(self, renewal: Renewal) -> impl Future<Output = Outcome> + Send;
}

enum Event {
    Shutdown,
    Due,
    Renewed(Id, Outcome),
    Tokens,
}

/// Runs until `shutdown` is requested. Renewals under way are dropped then: the leases outlive the agent.
pub(crate) async fn run<R: Renew>(cache: Cache, renew: R, mut tokens: Tokens, shutdown: Shutdown) {
    let mut running: JoinSet<(Id, Outcome)> = JoinSet::new();
    learn(&cache, &tokens.borrow_and_update());
    loop {
        let next = cache.with(|state| state.store.next_due());
        // Cancel-safe all: a notification is kept until it is taken, a finished task stays in its set, and a change
        // of the token is seen by the next `changed`.
        let event = tokio::select! {
            () = shutdown.requested() => Event::Shutdown,
            Some(ended) = running.join_next() => match ended {
                Ok((id, outcome)) => Event::Renewed(id, outcome),
                Err(_panicked) => Event::Due,
            },
            () = sleep_until(next), if running.len() < AT_ONCE => Event::Due,
            () = cache.0.earlier.notified() => Event::Due,
            Ok(()) = tokens.changed() => Event::Tokens,
        };
        match event {
            Event::Shutdown => return,
            Event::Renewed(id, outcome) => apply(&cache, id, outcome),
            Event::Tokens => learn(&cache, &tokens.borrow_and_update()),
            Event::Due => {}
        }
        start(&cache, &renew, &mut running);
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn start<R: Renew>(cache: &Cache, renew: &R, running: &mut JoinSet<(Id, Outcome)>) {
    while running.len() < AT_ONCE {
        let Some(renewal) = cache.with(|state| state.store.due(Instant::now())) else {
            return;
        };
        let renew = renew.clone();
        running.spawn(async move { (renewal.id, renew.renew(renewal).await) });
    }
}

fn apply(cache: &Cache, id: Id, outcome: Outcome) {
    cache
        .0
        .metrics
        .renewals
        .with_label_values(&[outcome.label()])
        .inc();
    cache.with(|state| {
        let now = Instant::now();
        // What it made may be on its way.
        if let Some(dead) = state.store.renewed(id, outcome, now, fastrand::f64()) {
            state.ended.note(Revoked::Token(dead));
            state.flights.clear();
        }
    });
}

/// A renewal of auto-auth's token moves the end of everything made with it.
fn learn(cache: &Cache, token: &TokenState) {
    if let Some(live) = token.live() {
        cache.with(|state| {
            state
                .store
                .token_lives_until(TokenId::from(&live.token), live.expires);
        });
    }
}

impl Renew for Client {
    async fn renew(self, renewal: Renewal) -> Outcome {
        let increment = renewal.increment.as_secs();
        let (path, body) = match &renewal.lease {
            Some(lease) => (
                "sys/leases/renew",
                json!({"lease_id": lease, "increment": increment}),
            ),
            None => ("auth/token/renew-self", json!({"increment": increment})),
        };
        let call = wire::Call {
            method: Method::POST,
            path,
            // Empty is not absent here: absent would mean the configured namespace.
            namespace: Some(&renewal.namespace),
            token: Some(&renewal.token),
            body: Some(wire::Body(body)),
            wrap_ttl: None,
        };
        let pass = self.turn(Reason::LeaseRenew, None).await;
        let sent = Instant::now();
        match self.call_with(pass, call, Duration::MAX).await {
            Ok(secret) => renewed(&secret, sent.elapsed()),
            Err(error) => {
                let outcome = match refused(&error) {
                    Outcome::Refused if is_forbidden(&error) => look_up(&self, &renewal).await,
                    outcome => outcome,
                };
                tracing::warn!(
                    event = "lease_not_renewed",
                    kind = if renewal.lease.is_some() {
                        "lease"
                    } else {
                        "token"
                    },
                    outcome = outcome.label(),
                    error = keyside_lifecycle::error::chain(&error),
                );
                outcome
            }
        }
    }
}

/// Tells a token that may not renew from one that is dead: Vault answers both "permission denied". A token that may
/// not even look itself up is taken for dead; nothing that it made could have been renewed.
async fn look_up(client: &Client, renewal: &Renewal) -> Outcome {
    let call = wire::Call {
        method: Method::GET,
        path: "auth/token/lookup-self",
        namespace: Some(&renewal.namespace),
        token: Some(&renewal.token),
        ..wire::Call::default()
    };
    match client.call(Reason::LeaseRenew, call).await {
        Ok(_alive) => Outcome::Refused,
        Err(error) if is_forbidden(&error) => Outcome::TokenDead,
        Err(_) => Outcome::Away,
    }
}

/// Vault counts from some moment after the renewal was sent, which is so long `ago`.
pub(crate) fn renewed(secret: &wire::Secret, ago: Duration) -> Outcome {
    let seconds = secret
        .auth
        .as_ref()
        .map_or(secret.lease_duration, |auth| auth.lease_duration);
    let lasts = Duration::from_secs(seconds).saturating_sub(ago);
    Outcome::Renewed(lasts)
}

fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Status { status, .. } if *status == StatusCode::FORBIDDEN)
}

fn refused(error: &Error) -> Outcome {
    match (error, error.retry()) {
        (_, Retry::Later { .. }) => Outcome::Away,
        (Error::Status { status, errors, .. }, Retry::Never) => Outcome::refused(*status, errors),
        (_, Retry::Never) => Outcome::Refused,
    }
}

#[cfg(test)]
mod tests;
