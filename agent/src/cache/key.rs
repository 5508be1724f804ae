//! Which requests are equal.
//!
//! Invariant: every part is framed with its length, and every list with its count, so two requests share a key only
//! where all parts are equal (or SHA-256 collides). A collision would hand one client another's credential.
//!
//! Headers take no part but for those in `HEADERS`: what tracing, clients and languages add must not make a new
//! lease. A header that makes Vault answer differently either is in that list or keeps the answer out of the cache
//! ([`super::policy`]).
//!
//! Keys are handed on to the next process: whoever changes what they are made of raises the version in
//! [`form`](crate::resume::form).

use http::{HeaderMap, Method};
use ring::digest::{SHA256, digest};

use super::identity::{Identity, hash};
use super::{json, path};

/// Headers that may change the answer's content and are not reason enough to keep it out of the cache.
const HEADERS: [&str; 1] = ["x-vault-policy-override"];

/// What all but the body takes, mostly.
const FRAMED: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key([u8; 32]);

/// Everything that tells requests apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) identity: Identity,
    pub(crate) method: &'a Method,
    /// Namespace and normal path as one ([`path::join`]).
    pub(crate) place: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Key {
    pub(crate) fn of(parts: &Parts<'_>) -> Self {
        // Most requests are small, and one call to hash them is cheaper than a dozen.
        let mut framed = Vec::with_capacity(FRAMED + parts.body.len());
        parts.write(&mut |bytes| framed.extend_from_slice(bytes));
        Self(hash(&digest(&SHA256, &framed)))
    }

    /// One that was made before.
    pub(crate) fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Parts<'_> {
    /// What is hashed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn written(&self) -> Vec<u8> {
        let mut written = Vec::new();
        self.write(&mut |bytes| written.extend_from_slice(bytes));
        written
    }

    fn write(&self, out: &mut impl FnMut(&[u8])) {
        match self.identity {
            Identity::AutoAuth => frame(out, b"auto-auth"),
            Identity::Token(id) => {
                frame(out, b"token");
                frame(out, id.bytes());
            }
            Identity::Nobody => frame(out, b"nobody"),
        }
        frame(out, self.method.as_str().as_bytes());
        frame(out, self.place.as_bytes());
        self.write_query(out);
        self.write_headers(out);
        self.write_body(out);
    }

    /// Pairs sorted by name. Equal names keep their order: Vault may take the first or the last.
    fn write_query(&self, out: &mut impl FnMut(&[u8])) {
        let normal = path::normalise(self.query.unwrap_or_default());
        let mut pairs: Vec<&str> = normal.split('&').filter(|pair| !pair.is_empty()).collect();
        pairs.sort_by_key(|pair| pair.split('=').next());
        count(out, pairs.len());
        for pair in pairs {
            frame(out, pair.as_bytes());
        }
    }

    fn write_headers(&self, out: &mut impl FnMut(&[u8])) {
        for name in HEADERS {
            let values: Vec<_> = self.headers.get_all(name).iter().collect();
            count(out, values.len());
            for value in values {
                frame(out, value.as_bytes());
            }
        }
    }

    fn write_body(&self, out: &mut impl FnMut(&[u8])) {
        if is_form(self.headers) {
            frame(out, b"form");
            frame(out, self.body);
        } else if let Some(text) = json::canonical(self.body) {
            frame(out, b"json");
            frame(out, text.as_bytes());
        } else {
            frame(out, b"bytes");
            frame(out, self.body);
        }
    }
}

/// Whether Vault reads the body as a form: then JSON's rules do not apply to it.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"application/x-www-form-urlencoded")
    })
}

fn frame(out: &mut impl FnMut(&[u8]), bytes: &[u8]) {
    count(out, bytes.len());
    out(bytes);
}

fn count(out: &mut impl FnMut(&[u8]), number: usize) {
    out(&(number as u64).to_le_bytes());
}

#[cfg(test)]
mod tests;
