//! A kept answer: what the miss answered, byte for byte, except for the numbers that time changes.
//!
//! Invariant: nothing here pins a connection's read buffer: the body is a copy, by itself at first and in a block with
//! others ([`super::store::bodies`]) once it is kept.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::AGE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::time::{Duration, Instant};

use super::head::{Head, Heads};
use super::json;
use super::policy::Made;
use super::store::bodies::Bodies;
use crate::resume::form::{Reader, Writer};

/// What an entry costs beside its bytes: the maps' slots and the renewal record. Measured, and rounded up.
const OVERHEAD: usize = 1024;

#[derive(Debug)]
pub(crate) struct Answer {
    head: Head,
    body: Bytes,
    durations: Durations,
    arrived: Instant,
}

/// Where a body says how long the lease lasts, first to last: once, and once more where it is a token. Empty: nowhere.
type Durations = [Range<u32>; 2];

impl Answer {
    /// Copies a 200 of Vault.
    pub(crate) fn new(headers: &HeaderMap, body: &[u8], arrived: Instant) -> Self {
        Self {
            head: Head::new(headers),
            body: Bytes::copy_from_slice(body),
            durations: durations(&json::lease_durations(body)).unwrap_or_default(),
            arrived,
        }
    }

    /// Lets it have in common with earlier ones what is the same.
    pub(crate) fn share(&mut self, heads: &mut Heads) {
        heads.share(&mut self.head);
    }

    /// The same with its body in a block with others.
    pub(super) fn laid_in(&self, bodies: &mut Bodies) -> Self {
        Self {
            head: self.head.clone(),
            body: bodies.lay(&self.body),
            durations: self.durations.clone(),
            arrived: self.arrived,
        }
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether a hit can say how much is left of what lasts so long: the body's duration was found. A body that nests
    /// too deep, or holds half of a surrogate pair, is readable for what it says, but not for where.
    pub(crate) fn can_tell(&self, made: &Made) -> bool {
        made.lasts.is_none() || self.durations != Durations::default()
    }

    /// What it counts against `max_bytes`.
    pub(crate) fn size(&self) -> usize {
        let slot = size_of::<(HeaderName, HeaderValue)>();
        let head: usize = self.head.iter().map(|(_, value)| value.len() + slot).sum();
        OVERHEAD + head + self.body.len()
    }

    /// At least as much as [`Answer::save`] writes.
    pub(crate) fn saved_length(&self) -> usize {
        let head = self.head.iter();
        let head = head.map(|(name, value)| 16 + name.as_str().len() + value.len());
        24 + head.sum::<usize>() + self.body.len()
    }

    /// Writes it for the next process.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.time(self.arrived);
        out.number(self.head.len() as u64);
        for (name, value) in self.head.iter() {
            out.text(name.as_str());
            out.bytes(value.as_bytes());
        }
        out.bytes(&self.body);
    }

    /// Reads what [`Answer::save`] wrote.
    pub(crate) fn saved(from: &mut Reader<'_>) -> Option<Self> {
        let arrived = from.time()?;
        let mut headers = HeaderMap::new();
        for _ in 0..from.number()? {
            let name = HeaderName::from_bytes(from.bytes()?).ok()?;
            let value = HeaderValue::from_bytes(from.bytes()?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        Some(Self::new(&headers, from.bytes()?, arrived))
    }

    /// The answer as it is now: `Age`, and what is left of the lease. Without an end, the number stays.
    pub(crate) fn at(&self, now: Instant, ends: Option<Instant>) -> Response<Bytes> {
        let body = match ends {
            Some(ends) => self.with_duration(ends.saturating_duration_since(now)),
            None => self.body.clone(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.reserve(self.head.len() + 4);
        for (name, value) in self.head.iter() {
            headers.append(name.clone(), value.clone());
        }
        let age = now.saturating_duration_since(self.arrived).as_secs();
        headers.insert(AGE, HeaderValue::from(age));
        response
    }

    /// Until when [`Answer::at`] says the same as now.
    pub(crate) fn until(&self, now: Instant, ends: Option<Instant>) -> Instant {
        let age = now.saturating_duration_since(self.arrived).as_secs();
        let older = self.arrived + Duration::from_secs(age + 1);
        let shorter = ends.map(|ends| {
            let left = ends.saturating_duration_since(now).as_secs();
            ends - Duration::from_secs(left)
        });
        shorter.map_or(older, |shorter| shorter.min(older))
    }

    fn with_duration(&self, left: Duration) -> Bytes {
        let left = left.as_secs().to_string();
        let mut body = BytesMut::with_capacity(self.body.len() + left.len());
        let mut done = 0;
        let places = self.durations.iter().filter(|place| !place.is_empty());
        for place in places.map(|place| place.start as usize..place.end as usize) {
            body.put(self.body.get(done..place.start).unwrap_or_default());
            // A token without a lease has 0 at its top, and keeps it.
            let number = self.body.get(place.clone()).unwrap_or_default();
            body.put(if number == b"0" {
                number
            } else {
                left.as_bytes()
            });
            done = place.end;
        }
        body.put(self.body.get(done..).unwrap_or_default());
        body.freeze()
    }
}

/// `None` where a body has more of them than an answer of Vault, or ends further behind than one.
fn durations(found: &[Range<usize>]) -> Option<Durations> {
    let mut durations = Durations::default();
    if found.len() > durations.len() {
        return None;
    }
    for (place, found) in durations.iter_mut().zip(found) {
        *place = found.start.try_into().ok()?..found.end.try_into().ok()?;
    }
    Some(durations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::What;

    fn answer(body: &str) -> (Answer, Instant) {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("content-length", HeaderValue::from(body.len()));
        headers.append("warning", HeaderValue::from_static("a"));
        headers.append("warning", HeaderValue::from_static("b"));
        let now = Instant::now();
        (Answer::new(&headers, body.as_bytes(), now), now)
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_durations_change() {
        let (answer, now) =
            answer("{ \"lease_duration\":3600,\"data\":{\"lease_duration\":3600} }\n");
        let response = answer.at(
            now + Duration::from_secs(3595),
            Some(now + Duration::from_hours(1)),
        );
        assert_eq!(
            response.body(),
            "{ \"lease_duration\":5,\"data\":{\"lease_duration\":3600} }\n"
        );
        assert_eq!(response.headers()["age"], "3595");
        assert_eq!(response.headers().get_all("warning").iter().count(), 2);
        assert!(!response.headers().contains_key("content-length"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tokens_duration_is_below_auth() {
        let (answer, now) = answer(r#"{"lease_duration":0,"auth":{"lease_duration":60}}"#);
        let response = answer.at(now, Some(now + Duration::from_millis(59_900)));
        assert_eq!(
            response.body(),
            r#"{"lease_duration":0,"auth":{"lease_duration":59}}"#
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_names_more_durations_than_vault_does_is_not_kept() {
        let made = Made {
            what: What::Lease {
                id: "a/1".to_owned(),
            },
            lasts: Some(Duration::from_mins(1)),
            renewable: true,
        };
        let top = r#""lease_duration":60"#;
        for (count, told) in [(0, false), (1, true), (2, true), (3, false)] {
            let body = format!("{{{}}}", vec![top; count].join(","));
            assert_eq!(answer(&body).0.can_tell(&made), told, "{count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_end_every_byte_stays() {
        let (answer, now) = answer(r#"{"auth":{"lease_duration":0}}"#);
        let later = answer.at(now + Duration::from_secs(9), None);
        assert_eq!(later.body(), r#"{"auth":{"lease_duration":0}}"#);
    }
}
