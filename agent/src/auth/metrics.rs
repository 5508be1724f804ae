//! What auto-auth counts.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounterVec, Registry};
use tokio::time::Instant;

use crate::metrics;
use crate::token::Tokens;
use keyside_machine::login::Failure;

/// What logins and renewals end in.
const ATTEMPTS: [&str; 5] = ["success", "refused", "unavailable", "no_credential", "held"];

pub(super) struct Metrics {
    logins: IntCounterVec,
    renewals: IntCounterVec,
    resumptions: IntCounterVec,
}

impl Metrics {
    pub(super) fn new(registry: &Registry, tokens: Tokens) -> Result<Self, prometheus::Error> {
        let counters = |name, help, results: &[_]| {
            metrics::counters(registry, (name, help), "result", results)
        };
        let metrics = Self {
            logins: counters(
                "keyside_agent_login_total",
                "Logins of auto-auth, by result",
                &ATTEMPTS,
            )?,
            renewals: counters(
                "keyside_agent_renewal_total",
                "Renewals of the auto-auth token, by result",
                &ATTEMPTS,
            )?,
            resumptions: counters(
                "keyside_agent_resume_total",
                "Tokens of an earlier process, by what Vault said of them: verified, unverified (it is away), refused",
                &["verified", "unverified", "refused"],
            )?,
        };
        registry.register(Box::new(Expiry::new(tokens)?))?;
        Ok(metrics)
    }

    pub(super) fn login(&self, result: &str) {
        self.logins.with_label_values(&[result]).inc();
    }

    pub(super) fn resumed(&self, result: &str) {
        self.resumptions.with_label_values(&[result]).inc();
    }

    pub(super) fn renewal(&self, result: &str) {
        self.renewals.with_label_values(&[result]).inc();
    }
}

/// The label of a failure.
pub(super) const fn result(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "refused",
        Failure::Away { .. } => "unavailable",
        Failure::NoCredential => "no_credential",
        Failure::Held => "held",
    }
}

/// The time left, counted when it is asked for: the agent's own clock says it, so clocks need not agree.
struct Expiry {
    tokens: Tokens,
    gauge: Gauge,
}

impl Expiry {
    fn new(tokens: Tokens) -> Result<Self, prometheus::Error> {
        let gauge = Gauge::new(
            "keyside_agent_token_expiry_seconds",
            "Seconds until the auto-auth token ends unless it is renewed, negative once it has ended; absent without \
             a token and for one that never ends",
        )?;
        Ok(Self { tokens, gauge })
    }
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let expires = self.tokens.borrow().live().and_then(|live| live.expires);
        let Some(expires) = expires else {
            return Vec::new();
        };
        let now = Instant::now();
        let left = expires.saturating_duration_since(now).as_secs_f64();
        let late = now.saturating_duration_since(expires).as_secs_f64();
        self.gauge.set(left - late);
        self.gauge.collect()
    }
}
