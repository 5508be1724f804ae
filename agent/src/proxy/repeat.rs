//! Requests that come again and again: what was found out about one, for the next that is the same.
//!
//! What the guard says of a request, whose it is, and under which key its answer is kept, follow from its head, from the
//! listener and from the agent's own token. So they need not be found out twice, and an answer as it goes out is good
//! until its numbers change, for at most a second.
//!
//! Invariant: nothing that was revoked or cleared, or has ended, is served from here: an answer is looked up in the cache
//! each time, unless the cache is as it was and the answer's numbers are. Meanwhile it is not counted as used, so that
//! which one has been unused for longest may be told a second late.
//! Invariant: two requests are the same where every byte of their heads is, and neither has a body.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Proxy;
use crate::body::Body;
use crate::cache::hit::{Fresh, Hit};
use crate::cache::policy::Decision;

/// How many requests one socket remembers. An application has few that it repeats.
const PLACES: usize = 16;
/// The longest head that is remembered.
const LONGEST: usize = 4 << 10;
/// The largest body that is kept as it goes out.
const LARGEST: usize = 16 << 10;

/// What one socket's clients have asked lately.
#[derive(Default)]
pub(super) struct Repeats(Mutex<[Option<Box<Repeat>>; PLACES]>);

/// A request whose answer is in the cache.
struct Repeat {
    head: Written,
    /// Of the agent's own token at that time.
    generation: Option<u64>,
    hit: Hit,
    rendered: Option<Rendered>,
}

/// An answer as it goes out.
struct Rendered {
    fresh: Fresh,
    until: Instant,
    response: Response<Bytes>,
}

impl Repeats {
    fn lock(&self) -> MutexGuard<'_, [Option<Box<Repeat>>; PLACES]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request that is one of those remembered, if the cache has it still.
    pub(super) fn answer<B: hyper::body::Body>(
        &self,
        proxy: &Proxy,
        request: &Request<B>,
    ) -> Option<Response<Body>> {
        let head = Head::of(request)?;
        let mut places = self.lock();
        let place = places.get_mut(head.place())?;
        let repeat = place.as_mut().filter(|repeat| repeat.head.is(&head))?;
        let response = proxy.again(repeat);
        if response.is_none() {
            *place = None;
        }
        response
    }

    /// Remembers what was found for a request.
    pub(super) fn note(&self, head: Written, generation: Option<u64>, hit: Hit) {
        let repeat = Repeat {
            generation,
            hit,
            rendered: None,
            head,
        };
        let mut places = self.lock();
        if let Some(place) = places.get_mut(repeat.head.place) {
            *place = Some(Box::new(repeat));
        }
    }
}

impl Proxy {
    fn again(&self, repeat: &mut Repeat) -> Option<Response<Body>> {
        if repeat.generation != self.generation() {
            return None;
        }
        let response = self.rendered(repeat)?;
        self.metrics.decided(Decision::Hit);
        self.metrics.answered(response.status());
        Some(response.map(Body::full))
    }

    fn rendered(&self, repeat: &mut Repeat) -> Option<Response<Bytes>> {
        let cache = self.cache.as_ref()?;
        let now = Instant::now();
        let before = repeat.rendered.as_mut();
        let before = before.filter(|before| now < before.until);
        if let Some(before) = &before
            && cache.is_unchanged(&before.fresh)
        {
            return Some(before.response.clone());
        }
        let fresh = cache.find(&repeat.hit, now)?;
        if let Some(before) = before
            && before.fresh.is(&fresh)
        {
            before.fresh = fresh;
            return Some(before.response.clone());
        }
        let rendered = Rendered {
            until: fresh.until(now),
            response: self.finish(fresh.at(now), Decision::Hit),
            fresh,
        };
        let response = rendered.response.clone();
        repeat.rendered = (response.body().len() <= LARGEST).then_some(rendered);
        Some(response)
    }
}

/// What tells a request from others, where it has no body.
struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

/// The same, to be kept.
pub(super) struct Written {
    place: usize,
    parts: Zeroizing<Vec<u8>>,
}

impl<'a> Head<'a> {
    fn of<B: hyper::body::Body>(request: &'a Request<B>) -> Option<Self> {
        let uri = request.uri();
        let usual = request.body().is_end_stream()
            && request.version() == Version::HTTP_11
            && uri.authority().is_none();
        usual.then(|| Self {
            method: request.method(),
            uri,
            headers: request.headers(),
        })
    }

    /// Calls `part` with each part in its turn, for as long as it returns true.
    fn walk(&self, mut part: impl FnMut(&[u8]) -> bool) -> bool {
        let target = self
            .uri
            .path_and_query()
            .map_or("", |target| target.as_str());
        part(self.method.as_str().as_bytes())
            && part(target.as_bytes())
            && self
                .headers
                .iter()
                .all(|(name, value)| part(name.as_str().as_bytes()) && part(value.as_bytes()))
    }

    /// Where it is remembered. Two that share a place push each other out, which costs time and nothing else; so a look
    /// at the ends of the parts will do.
    fn place(&self) -> usize {
        let mut mixed = 0u64;
        self.walk(|part| {
            let tail = part
                .last_chunk()
                .map_or(0, |tail| u64::from_le_bytes(*tail));
            mixed = (mixed.rotate_left(5) ^ tail ^ part.len() as u64).wrapping_mul(MIX);
            true
        });
        // The upper bits depend on all of the lower ones.
        usize::from(mixed.to_be_bytes()[0]) % PLACES
    }
}

/// An odd number with about as many ones as zeros.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Written {
    /// `None` of a request with a body, and of one that is too long.
    pub(super) fn of<B: hyper::body::Body>(request: &Request<B>) -> Option<Self> {
        let head = Head::of(request)?;
        let mut parts = Zeroizing::new(Vec::with_capacity(head.length()?));
        head.walk(|part| {
            parts.extend_from_slice(&frame(part));
            parts.extend_from_slice(part);
            true
        });
        Some(Self {
            place: head.place(),
            parts,
        })
    }

    fn is(&self, head: &Head<'_>) -> bool {
        let mut rest = self.parts.as_slice();
        let same = head.walk(|part| {
            let after = rest
                .strip_prefix(&frame(part))
                .and_then(|rest| rest.strip_prefix(part));
            rest = after.unwrap_or(rest);
            after.is_some()
        });
        same && rest.is_empty()
    }
}

impl Head<'_> {
    /// What it takes when it is written, unless that is too much.
    fn length(&self) -> Option<usize> {
        let mut length = 0;
        let short = self.walk(|part| {
            length += frame(part).len() + part.len();
            length <= LONGEST
        });
        short.then_some(length)
    }
}

/// Stands before a part, so that no two heads are written alike.
fn frame(part: &[u8]) -> [u8; 8] {
    (part.len() as u64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_request_is_the_same_where_every_byte_is() {
        let usual = || request("GET", "/v1/a?b=c", &[("host", "localhost"), ("x-a", "bc")]);
        let written = Written::of(&usual()).unwrap();
        assert!(written.is(&Head::of(&usual()).unwrap()));
        for other in [
            request("PUT", "/v1/a?b=c", &[("host", "localhost"), ("x-a", "bc")]),
            request("GET", "/v1/a?b=d", &[("host", "localhost"), ("x-a", "bc")]),
            request("GET", "/v1/a?b=", &[("host", "localhost"), ("x-a", "bc")]),
            request("GET", "/v1/a", &[("host", "localhost"), ("x-a", "bc")]),
            request("GET", "/v1/a?b=c", &[("x-a", "bc"), ("host", "localhost")]),
            request("GET", "/v1/a?b=c", &[("host", "localhost"), ("x-ab", "c")]),
            request("GET", "/v1/a?b=c", &[("host", "localhost"), ("x-a", "bC")]),
            request("GET", "/v1/a?b=c", &[("host", "localhost")]),
            request(
                "GET",
                "/v1/a?b=c",
                &[("host", "localhost"), ("x-a", "bc"), ("x-a", "bc")],
            ),
        ] {
            assert!(
                !written.is(&Head::of(&other).unwrap()),
                "{:?}",
                other.headers()
            );
        }
    }

    #[test]
    fn what_is_unusual_or_long_is_not_remembered() {
        let body = |body: Body| Written::of(&Request::new(body)).is_some();
        assert!(body(Body::empty()));
        assert!(!body(Body::full("{}")));
        let mut old = request("GET", "/v1/a", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert!(Written::of(&old).is_none());
        assert!(Written::of(&request("GET", "http://localhost/v1/a", &[])).is_none());
        let long = |length| Written::of(&request("GET", "/", &[("a", &"a".repeat(length))]));
        assert!(long(LONGEST / 2).is_some());
        assert!(long(LONGEST).is_none());
    }
}
