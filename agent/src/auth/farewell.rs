//! `revoke_on_exit`: the last thing that the agent asks Vault for is the end of its own token.
//!
//! Invariant: nothing is revoked because Vault is away: then nothing is asked, and what an earlier process may leave to
//! the next one stays.
//! Invariant: whatever Vault does, the process ends within [`WITHIN`] of here, and as it would have ended.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use http::Method;
use keyside_lifecycle::error::chain;
use tokio::time::{Duration, Instant};

use super::ask::{Asker, Unanswered};
use crate::token::{Live, Tokens};
use crate::vault::client::Client;
use crate::vault::gate::Reason;
use crate::vault::wire::Call;

/// Of the 2 s that the kubelet leaves a native sidecar even where the pod's grace period is over.
pub(crate) const WITHIN: Duration = Duration::from_millis(1500);
/// Of that, for its turn at the gate: the shortest time that an answer gets is what is left then.
const TURN: Duration = Duration::from_secs(1);

/// What it takes to revoke the token in hand. Those that were replaced are left to end, as always.
pub(crate) struct Farewell {
    /// What the token was obtained through; there when auto-auth has ended.
    pub(super) client: Arc<OnceLock<Client>>,
    /// Of the login.
    pub(super) namespace: Option<String>,
    pub(super) tokens: Tokens,
}

impl Farewell {
    /// Revokes the token. First goes what is `kept` for the next process, which must not go on with a revoked one.
    pub(crate) async fn revoke(self, kept: Option<&Path>) {
        let live = self.tokens.borrow().live().cloned();
        let (Some(live), Some(client)) = (live, self.client.get()) else {
            return;
        };
        let error = match self.ask(client, &live, kept).await {
            Ok(()) => {
                tracing::info!(
                    event = "token_revoked",
                    accessor = live.accessor,
                    "and with it what it had leased"
                );
                return;
            }
            Err(Unanswered::Held { within }) => format!("not sent within {within:?}"),
            Err(Unanswered::Vault(error)) => chain(&error),
        };
        tracing::warn!(
            event = "token_not_revoked",
            accessor = live.accessor,
            error,
            "the token is left to end by itself"
        );
    }

    async fn ask(
        &self,
        client: &Client,
        live: &Live,
        kept: Option<&Path>,
    ) -> Result<(), Unanswered> {
        client.admit().map_err(Unanswered::Vault)?;
        // Where it cannot be removed, the next process will ask Vault about it.
        kept.map(std::fs::remove_file);
        let asker = Asker {
            client: client.clone(),
            namespace: self.namespace.clone(),
            ends: Some(Instant::now() + TURN),
            within: WITHIN,
        };
        let call = Call {
            method: Method::POST,
            path: "auth/token/revoke-self",
            namespace: self.namespace.as_deref(),
            token: Some(&live.token),
            ..Call::default()
        };
        asker.call(Reason::Revoke, call).await.map(drop)
    }
}
