//! What ended and when anybody was told so, and what nobody may see after that.

use http::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::client::Request;
use super::{World, serial, token_text};
use crate::body::Body;
use crate::cache::Cache;
use crate::cache::clear::Clear;
use crate::cache::identity::TokenId;
use crate::cache::policy::Decision;
use crate::cache::revocation::Revoked;
use crate::cache::schedules::op::{Cleared, Who};

impl World {
    /// What nobody may ever see.
    pub(super) async fn judge(
        &self,
        request: &Request,
        start: u64,
        decision: Decision,
        response: Response<Body>,
    ) {
        let (now, status) = (Instant::now(), response.status());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let asked = &request.call.asked;
        let served = value["data"]["serial"].as_u64();
        self.tell(|| {
            format!(
                "{:?} {:?} {asked}: {} {served:?}",
                request.who,
                request.own,
                decision.label()
            )
        });
        let pod = request.own.is_none() && !matches!(request.who, Who::Nobody);
        if status == 403 && pod {
            let dead = request.call.token.as_deref().and_then(serial);
            if dead.is_some_and(|dead| !self.vault.lock().unwrap().lives(dead)) {
                let token = request.call.token.as_deref().unwrap_or_default();
                self.cache().revoke(&[Revoked::Token(TokenId::of(token))]);
                self.dead.notify_one();
            }
        }
        let Some(served) = served.and_then(|it| usize::try_from(it).ok()) else {
            return;
        };
        let token = value["auth"]["client_token"].as_str().and_then(serial);
        if let Some(token) = token {
            self.state.lock().unwrap().pool.push(token);
        }
        let state = self.state.lock().unwrap();
        let vault = self.vault.lock().unwrap();
        let made = &vault.made[served];
        let is_auto = |serial: Option<usize>| serial.is_some_and(|it| state.autos.contains(&it));
        let by = request.call.token.as_deref().and_then(serial);
        let ours = made.maker == by || (is_auto(by) && is_auto(made.maker));
        let kept = matches!(
            decision,
            Decision::Hit | Decision::Shared | Decision::Rescued
        );
        let cache = self.cache();
        let knows = |parent: usize| {
            let id = TokenId::of(&token_text(parent));
            state.autos.contains(&parent) || cache.with(|state| state.store.knows(None, id))
        };
        let ends = vault.natural_end(served, &knows);
        let claimed = value["auth"]["lease_duration"]
            .as_u64()
            .filter(|_| token.is_some());
        let claimed = claimed
            .or_else(|| value["lease_duration"].as_u64())
            .unwrap_or_default();
        let left = ends.map(|ends| ends.saturating_duration_since(now));
        let wrong = if made.asked != *asked {
            "an answer to another request"
        } else if !ours {
            "an answer for another identity"
        } else if kept && ends.is_some_and(|ends| ends < now) {
            "an answer that has ended"
        } else if kept && left.is_some_and(|left| Duration::from_secs(claimed) > left) {
            "an answer that claims more than is left"
        } else if made.told.is_some_and(|told| told < start) {
            "an answer that was revoked or cleared before it was asked for"
        } else if kept && made.found.is_some_and(|found| found < now) {
            "an answer that was found gone"
        } else {
            return;
        };
        let what =
            format!("{wrong}: {asked} by {by:?} was given {served}, {made:?}, left {left:?}");
        drop((state, vault));
        self.wrong(what);
    }

    /// What ends with these, as far as the cache saw it being made.
    pub(super) fn known(&self, cache: &Cache, targets: &[(usize, bool)]) -> Vec<usize> {
        let vault = self.vault.lock().unwrap();
        let mut known = Vec::new();
        let mut left: Vec<(usize, bool)> = targets.to_vec();
        while let Some((serial, orphaning)) = left.pop() {
            known.push(serial);
            let id = TokenId::of(&token_text(serial));
            for child in vault.children(serial) {
                let is_token = vault.made[child].lease.is_none();
                let child_id = TokenId::of(&token_text(child));
                let seen = cache.with(|state| state.store.knows_child(id, child_id));
                if !is_token || (seen && !orphaning) {
                    left.push((child, false));
                }
            }
        }
        known
    }

    pub(super) fn mark_told(&self, serials: &[usize], why: &str) {
        let event = self.event();
        let mut vault = self.vault.lock().unwrap();
        for serial in serials {
            let made = &mut vault.made[*serial];
            made.told = Some(event);
            made.told_at = Some(Instant::now());
        }
        self.tell(|| format!("{why}: ended {serials:?} (event {event})"));
    }

    pub(super) fn clear(&self, cleared: Cleared) {
        let cache = self.cache();
        let vault = self.vault.lock().unwrap();
        let young = |young: usize| vault.youngest(young, false);
        let (clear, targets) = match cleared {
            Cleared::All => {
                let all = (0..vault.made.len()).map(|it| (it, false)).collect();
                (Clear::All, all)
            }
            Cleared::Path(role) => {
                let path = format!("database/creds/r{role}");
                let made = vault.made.iter().enumerate();
                let under = made.filter(|(_, it)| it.namespace.is_empty() && it.path == path);
                let under = under.map(|(it, _)| (it, false)).collect();
                (Clear::Place(path), under)
            }
            Cleared::Token(of) => {
                let Some(of) = young(of) else { return };
                (Clear::Token(token_text(of)), vec![(of, false)])
            }
            Cleared::Accessor(of) => {
                let Some(of) = young(of) else { return };
                (Clear::Accessor(format!("a.{of}")), vec![(of, false)])
            }
            Cleared::Lease(of) => {
                let Some(of) = vault.youngest(of, true) else {
                    return;
                };
                let id = vault.made[of].lease.clone().unwrap();
                (Clear::Lease(id), vec![(of, false)])
            }
        };
        drop(vault);
        let known = self.known(&cache, &targets);
        cache.clear(&clear);
        self.mark_told(&known, "cleared");
    }
}
