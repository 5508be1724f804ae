//! Writes that pass through the proxy, and which secrets they concern.
//!
//! A read that was under way meanwhile, or that a standby answers which lags, may bring what the write replaced; so
//! nothing of that secret is kept from when the write is sent until [`SETTLES`] after it was answered.
//!
//! Invariant: bounded, and never too little. Places share slots, so that a write may concern more secrets than its own.

use std::hash::{BuildHasher as _, RandomState};

use http::Method;
use tokio::time::{Duration, Instant};

use crate::cache::path;

/// How long it takes until every node of Vault answers with what was written.
const SETTLES: Duration = Duration::from_secs(5);
const SLOTS: usize = 512;

#[derive(Debug)]
pub(crate) struct Writes {
    hasher: RandomState,
    slots: Box<[Slot]>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Ever begun.
    begun: u64,
    under_way: u32,
    settled: Option<Instant>,
}

impl Default for Writes {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            slots: vec![Slot::default(); SLOTS].into_boxed_slice(),
        }
    }
}

impl Writes {
    pub(crate) fn begin(&mut self, places: &[String]) {
        for place in places {
            if let Some(slot) = self.slot(place) {
                slot.begun += 1;
                slot.under_way += 1;
            }
        }
    }

    pub(crate) fn end(&mut self, places: &[String], now: Instant) {
        for place in places {
            if let Some(slot) = self.slot(place) {
                slot.under_way = slot.under_way.saturating_sub(1);
                slot.settled = Some(now + SETTLES);
            }
        }
    }

    /// For a read that begins: tells it apart from those that began before a write.
    pub(crate) fn seen(&mut self, place: &str) -> u64 {
        self.slot(place).map_or(0, |slot| slot.begun)
    }

    /// Whether what a read brings, which was sent at `began` or later and when `seen` was so much, may be what a write
    /// replaced.
    pub(crate) fn concern(&mut self, place: &str, seen: u64, began: Instant) -> bool {
        self.slot(place).is_none_or(|slot| {
            slot.begun != seen
                || slot.under_way > 0
                || slot.settled.is_some_and(|settled| began < settled)
        })
    }

    fn slot(&mut self, place: &str) -> Option<&mut Slot> {
        let slots = self.slots.len() as u64;
        let at = self.hasher.hash_one(place) % slots;
        self.slots.get_mut(usize::try_from(at).ok()?)
    }
}

/// Whether a request of this method may change a secret.
pub(crate) fn is_write(method: &Method) -> bool {
    !matches!(
        method.as_str(),
        "GET" | "HEAD" | "LIST" | "SCAN" | "OPTIONS" | "TRACE"
    )
}

/// The places of secrets that a write to this place concerns. Nothing here knows which segment is the mount's last, so
/// every reading counts.
pub(crate) fn concerned(place: &str) -> Vec<String> {
    let segments = path::segments(place);
    let acts = ["data", "metadata", "delete", "undelete", "destroy"];
    let mut places = vec![segments.join("/")];
    for (at, _) in segments
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, of)| acts.contains(of))
    {
        let mut of = segments.clone();
        if let Some(act) = of.get_mut(at) {
            *act = "data";
        }
        places.push(of.join("/"));
    }
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_on_a_secret_concerns_its_data() {
        for (place, expected) in [
            ("kv/app", &["kv/app"][..]),
            ("kv/app/", &["kv/app"]),
            ("kv/data/app", &["kv/data/app"]),
            ("kv/metadata/app", &["kv/metadata/app", "kv/data/app"]),
            ("kv/destroy/a/b", &["kv/destroy/a/b", "kv/data/a/b"]),
            ("kv/undelete/app", &["kv/undelete/app", "kv/data/app"]),
            (
                "ns1/kv/delete/app",
                &["ns1/kv/delete/app", "ns1/kv/data/app"],
            ),
            (
                "kv/delete/metadata/app",
                &[
                    "kv/delete/metadata/app",
                    "kv/data/metadata/app",
                    "kv/delete/data/app",
                ],
            ),
            ("data/app", &["data/app"]),
        ] {
            assert_eq!(concerned(place), expected, "{place}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_concerns_reads_before_it_and_a_moment_after() {
        let now = Instant::now();
        let mut writes = Writes::default();
        let place = ["kv/data/app".to_owned()];
        let before = writes.seen(&place[0]);
        assert!(!writes.concern(&place[0], before, now));
        writes.begin(&place);
        let meanwhile = writes.seen(&place[0]);
        assert!(writes.concern(&place[0], before, now));
        assert!(writes.concern(&place[0], meanwhile, now));
        writes.end(&place, now);
        assert!(writes.concern(&place[0], meanwhile, now));
        let later = now + SETTLES;
        assert!(!writes.concern(&place[0], meanwhile, later));
        assert!(writes.concern(&place[0], before, later), "it began before");
    }

    #[test]
    fn reads_are_no_writes() {
        for (method, expected) in [
            ("GET", false),
            ("LIST", false),
            ("SCAN", false),
            ("HEAD", false),
            ("POST", true),
            ("PUT", true),
            ("PATCH", true),
            ("DELETE", true),
            ("COPY", true),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(is_write(&method), expected, "{method}");
        }
    }
}
