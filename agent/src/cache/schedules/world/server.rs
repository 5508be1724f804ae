//! The agent's own renewals, on their way to the model.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{World, serial};
use crate::cache::identity::TokenId;
use crate::cache::lease::{Outcome, Renewal};
use crate::cache::renewal::{self, Renew};
use crate::cache::schedules::vault::{self, Call};
use crate::vault::wire;

/// Renews as the client of Vault does.
#[derive(Clone)]
pub(super) struct Server(pub(super) World, pub(super) u64);

impl Renew for Server {
    async fn renew(self, renewal: Renewal) -> Outcome {
        let world = self.0;
        let cache = world.cache();
        let token = renewal.token.expose().to_owned();
        let target = renewal
            .lease
            .as_deref()
            .and_then(serial)
            .or_else(|| serial(&token));
        let target = target.unwrap();
        world.tell(|| format!("renewal of {target}"));
        {
            let knows = cache.with(|state| {
                let id = TokenId::from(&*renewal.token);
                state.store.knows(renewal.lease.as_deref(), id)
            });
            let vault = world.vault.lock().unwrap();
            let made = &vault.made[target];
            let owner = made
                .lease
                .as_ref()
                .is_none_or(|_| made.maker == serial(&token));
            let ended = made.told_at.is_some_and(|told| told < Instant::now());
            let wrong = if !knows && world.state.lock().unwrap().life == self.1 && ended {
                Some("nobody's renewal")
            } else if !owner {
                Some("a renewal by another token")
            } else if made.namespace != renewal.namespace {
                Some("a renewal in another namespace")
            } else {
                None
            };
            if let Some(wrong) = wrong {
                let what = format!("{wrong}: {target} {made:?} {renewal:?}");
                drop(vault);
                world.wrong(what);
            }
        }
        let increment = renewal.increment.as_secs();
        let (path, body) = match &renewal.lease {
            Some(lease) => (
                "sys/leases/renew",
                json!({ "lease_id": lease, "increment": increment }),
            ),
            None => ("auth/token/renew-self", json!({ "increment": increment })),
        };
        let call = Call {
            number: 0,
            token: Some(token.clone()),
            namespace: renewal.namespace.clone(),
            path: path.to_owned(),
            body,
            asked: String::new(),
        };
        let sent = Instant::now();
        let outcome = match vault::call(&world.vault, &call).await {
            Err(_) => Outcome::Away,
            Ok(answer) => {
                let status = answer.status();
                let bytes = answer.into_body().collect().await.unwrap().to_bytes();
                if status.is_success() {
                    world.vault.lock().unwrap().renewed(target, sent);
                    let secret: wire::Secret = serde_json::from_slice(&bytes).unwrap();
                    renewal::renewed(&secret, sent.elapsed())
                } else if status.is_server_error() {
                    Outcome::Away
                } else {
                    let value: Value = serde_json::from_slice(&bytes).unwrap();
                    let error = value["errors"][0].as_str().unwrap_or_default().to_owned();
                    let outcome = Outcome::refused(status, &[error]);
                    let lives =
                        serial(&token).is_some_and(|it| world.vault.lock().unwrap().lives(it));
                    match outcome {
                        Outcome::Refused if status == 403 && !lives => Outcome::TokenDead,
                        outcome => outcome,
                    }
                }
            }
        };
        world.tell(|| format!("renewal of {target}: {outcome:?}"));
        let gone = match outcome {
            Outcome::Gone => vec![(target, false)],
            Outcome::TokenDead => vec![(serial(&token).unwrap(), false)],
            _ => Vec::new(),
        };
        if world.state.lock().unwrap().life == self.1 {
            let known = world.known(&cache, &gone);
            let mut vault = world.vault.lock().unwrap();
            for serial in known {
                vault.made[serial].found = Some(Instant::now());
            }
        }
        outcome
    }
}
