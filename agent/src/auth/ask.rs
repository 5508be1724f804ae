//! What auto-auth asks Vault, and what it makes of the answers: a login, or the look-up that takes its place, and a
//! renewal.
//!
//! Invariant: a grant counts from when the request left at the earliest, so it never lasts longer here than for Vault.

use std::sync::Arc;

use http::Method as Verb;
use tokio::time::{self, Duration, Instant};

use super::method::Attempt;
use super::{Error, Task, method};
use crate::token::Token;
use crate::vault::client::Client;
use crate::vault::{error, gate, wire};
use keyside_machine::login::Grant;

/// What an answer gets, however late the request was let out.
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);
/// How old a token is that every standby knows.
const LAG: Duration = Duration::from_secs(10);
/// When a younger one that was refused is asked about again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a login brought besides its lease.
pub(super) struct Obtained {
    pub(super) token: Token,
    pub(super) accessor: String,
    pub(super) policies: Vec<String>,
}

impl Task {
    pub(super) async fn login(&mut self, within: Duration) -> Result<(Grant, Obtained), Error> {
        // Blocks for a few microseconds: credentials are small files, and in a pod they are in memory.
        let vault = Asker {
            client: self.client.clone(),
            ..self.asker(within)
        };
        let attempt = self.method.attempt(&vault).await;
        let attempt = attempt.map_err(|error| match error {
            method::Error::Held { within } => Error::Held { within },
            error => Error::Credential(error),
        })?;
        let call = wire::Call {
            method: Verb::POST,
            path: &self.login_path,
            namespace: self.namespace.as_deref(),
            wrap_ttl: self.wrap_ttl,
            ..wire::Call::default()
        };
        match attempt {
            Attempt::LogIn(body) => {
                let body = Some(body);
                let call = wire::Call { body, ..call };
                let (asked, answer) = self.call(gate::Reason::Login, call, within).await?;
                match self.wrap_ttl {
                    Some(_) => wrapped(asked, answer.wrap_info, &self.login_path),
                    None => granted(asked, answer.auth, &self.login_path),
                }
            }
            Attempt::LookUp(token) => {
                let call = wire::Call {
                    method: Verb::GET,
                    token: Some(&token),
                    ..call
                };
                let (asked, answer) = self.call(gate::Reason::Login, call, within).await?;
                looked_up(asked, answer.data, token)
            }
        }
    }

    /// Renews the token in hand, in the namespace where it was issued.
    pub(super) async fn renew(&self, within: Duration) -> Result<Grant, Error> {
        let path = "auth/token/renew-self";
        let live = self.tokens.borrow().live().map(Arc::clone);
        let live = live.ok_or_else(|| Error::NoToken {
            path: path.to_owned(),
        })?;
        let call = wire::Call {
            method: Verb::POST,
            path,
            namespace: self.namespace.as_deref(),
            token: Some(&live.token),
            body: Some(wire::Body(serde_json::json!({}))),
            wrap_ttl: None,
        };
        let (asked, answer) = self.call(gate::Reason::Renew, call, within).await?;
        let auth = answer.auth.ok_or_else(|| Error::NoToken {
            path: path.to_owned(),
        })?;
        Ok(Grant {
            asked,
            lease: Duration::from_secs(auth.lease_duration),
            renewable: auth.renewable,
        })
    }

    /// Asks what Vault knows of the token that an earlier process left; and where it is so young that the standby which
    /// answered may not know it yet, once more.
    pub(super) async fn look_up(&self, within: Duration) -> Result<Grant, Error> {
        let path = "auth/token/lookup-self";
        let resumed = self.resumed.as_ref().ok_or_else(|| Error::NoToken {
            path: path.to_owned(),
        })?;
        let ask = || {
            let call = wire::Call {
                method: Verb::GET,
                path,
                namespace: self.namespace.as_deref(),
                token: Some(&resumed.token),
                ..wire::Call::default()
            };
            self.call(gate::Reason::LookUp, call, within)
        };
        let mut found = ask().await;
        if found.as_ref().is_err_and(Error::is_forbidden) && resumed.obtained.elapsed() < LAG {
            time::sleep(PAUSE).await;
            found = ask().await;
        }
        let (asked, answer) = found?;
        looked_up(asked, answer.data, resumed.token.clone()).map(|(grant, _)| grant)
    }

    /// The answer, and when the request left at the earliest.
    async fn call(
        &self,
        reason: gate::Reason,
        call: wire::Call<'_>,
        within: Duration,
    ) -> Result<(Instant, wire::Secret), Error> {
        let answered = self.asker(within).call(reason, call).await;
        answered.map_err(|unanswered| match unanswered {
            Unanswered::Held { within } => Error::Held { within },
            Unanswered::Vault(source) => Error::Vault {
                what: match reason {
                    gate::Reason::Renew => "renew the token obtained",
                    gate::Reason::LookUp => "look the token up that was obtained",
                    _ => "log in",
                },
                method: self.method.name(),
                source: Box::new(source),
            },
        })
    }

    fn asker(&self, within: Duration) -> Asker {
        Asker {
            client: self.client().clone(),
            namespace: self.namespace.clone(),
            ends: self.tokens.borrow().live().and_then(|live| live.expires),
            within,
        }
    }
}

/// Asks Vault for auto-auth.
pub(super) struct Asker {
    pub(super) client: Client,
    /// Of the login.
    pub(super) namespace: Option<String>,
    /// When the token in hand ends.
    pub(super) ends: Option<Instant>,
    /// For each request, its turn at the gate included.
    pub(super) within: Duration,
}

/// Why there is no answer, or none that helps.
pub(super) enum Unanswered {
    /// The gate did not let the request through.
    Held {
        within: Duration,
    },
    Vault(error::Error),
}

impl Asker {
    /// The answer, and when the request left at the earliest.
    pub(super) async fn call(
        &self,
        reason: gate::Reason,
        call: wire::Call<'_>,
    ) -> Result<(Instant, wire::Secret), Unanswered> {
        let (now, within) = (Instant::now(), self.within);
        let until = now + within;
        // While a token lives, its end is news, and this agent waits less for the sake of others.
        let left = self.ends.and_then(|ends| ends.checked_duration_since(now));
        let held = left.map_or(until, |left| until.min(now + left));
        let turn = self.client.turn(reason, left.map(|left| now + left / 2));
        let pass = time::timeout_at(held, turn).await;
        let pass = pass.map_err(|_elapsed| Unanswered::Held { within })?;
        let asked = Instant::now();
        let left = until.saturating_duration_since(asked).max(SHORTEST_ANSWER);
        let answer = self.client.call_with(pass, call, left).await;
        Ok((asked, answer.map_err(Unanswered::Vault)?))
    }
}

/// What a login's answer brings.
fn granted(
    asked: Instant,
    auth: Option<wire::Auth>,
    path: &str,
) -> Result<(Grant, Obtained), Error> {
    let no_token = || Error::NoToken {
        path: path.to_owned(),
    };
    let auth = auth.ok_or_else(no_token)?;
    let grant = Grant {
        asked,
        lease: Duration::from_secs(auth.lease_duration),
        renewable: auth.renewable,
    };
    let obtained = Obtained {
        token: auth.client_token.ok_or_else(no_token)?,
        accessor: auth.accessor,
        policies: auth.token_policies,
    };
    Ok((grant, obtained))
}

/// What a wrapped login's answer brings: nothing that could be renewed, in the form that Vault Agent writes.
fn wrapped(
    asked: Instant,
    info: Option<wire::WrapInfo>,
    path: &str,
) -> Result<(Grant, Obtained), Error> {
    let text = info
        .filter(|info| info.token.is_some())
        .and_then(|info| serde_json::to_string(&info).ok());
    let token = text.and_then(Token::new).ok_or_else(|| Error::NoToken {
        path: path.to_owned(),
    })?;
    let grant = Grant {
        asked,
        lease: Duration::ZERO,
        renewable: false,
    };
    let obtained = Obtained {
        token,
        accessor: String::new(),
        policies: Vec::new(),
    };
    Ok((grant, obtained))
}

/// What Vault knows of a token that was there already. A look-up cuts the seconds off, so in a token's last one it
/// says 0, which for a grant means that there is no end.
fn looked_up(asked: Instant, data: wire::LookUp, token: Token) -> Result<(Grant, Obtained), Error> {
    if data.ttl == 0 && data.expire_time.is_some() {
        return Err(Error::Ended);
    }
    let grant = Grant {
        asked,
        lease: Duration::from_secs(data.ttl),
        renewable: data.renewable,
    };
    let obtained = Obtained {
        token,
        accessor: data.accessor,
        policies: data.policies,
    };
    Ok((grant, obtained))
}
