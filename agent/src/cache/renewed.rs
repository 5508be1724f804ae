//! Renewals that clients ask for: which requests they are, and what they change here.
//!
//! Their answers are never kept. What they say moves the end of the entry that was renewed, so that later hits tell
//! what is left of it, and its timer, so that it is not renewed twice.
//!
//! Invariant: where it cannot be told whether Vault did it, or for how long, the entry is renewed at once by the agent
//! itself: a client may have made it end sooner.

use http::{Method, Response, StatusCode};
use tokio::time::{Duration, Instant};

use super::identity::TokenId;
use super::policy::{self, Secret};
use super::revocation::{Fields, Request};
use super::{Cache, Error, call, path};
use crate::body::{self, Body};
use crate::token::Token;
use crate::vault;

/// The largest answer that is read. A renewal's has nothing but its lease or its token.
const LIMIT: usize = 64 << 10;

/// What a renewal names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Token(TokenId),
    Accessor(String),
    Lease(String),
}

/// What an answer says was renewed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renewed {
    pub(crate) names: Vec<Name>,
    /// From the renewal on. Whole seconds: 0 in its last one.
    pub(crate) lasts: Duration,
    pub(crate) renewable: bool,
}

/// When a renewal was sent: what it brings is counted from then on, and what others brought meanwhile may be newer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) tick: u64,
}

/// Whether the request renews something.
pub(crate) fn may_renew(method: &Method, place: &str) -> bool {
    !acts(method, place).is_empty()
}

/// What the request names, as far as its body can be read.
pub(crate) fn named(request: &Request<'_>, body: &[u8]) -> Vec<Name> {
    let fields = Fields::of(body).unwrap_or_default();
    let mut names = Vec::new();
    for (act, in_url) in acts(request.method, request.place) {
        let in_url = Some(in_url).filter(|rest| !rest.is_empty());
        let both = |fields: [Option<String>; 2]| fields.into_iter().flatten().chain(in_url);
        match act {
            Act::Itself => names.extend(request.asker.map(Name::Token)),
            Act::Token => names.extend(
                both([fields.text("token"), None]).map(|text| Name::Token(TokenId::of(&text))),
            ),
            Act::Accessor => {
                names.extend(both([fields.text("accessor"), None]).map(Name::Accessor));
            }
            Act::Lease => {
                let ids = [fields.text("lease_id"), fields.text("url_lease_id")];
                names.extend(both(ids).map(Name::Lease));
            }
        }
    }
    names
}

/// What the answer to a renewal says; `None` where it is none, as a wrapped one.
pub(crate) fn read(body: &[u8]) -> Option<Renewed> {
    let secret = serde_json::from_slice::<Secret>(body).ok()?;
    let (names, seconds, renewable) = match secret.auth {
        Some(auth) => {
            let token = Token::new(auth.client_token).map(|token| Name::Token((&token).into()));
            let accessor = Some(auth.accessor).filter(|accessor| !accessor.is_empty());
            let names = token.into_iter().chain(accessor.map(Name::Accessor));
            (names.collect(), auth.lease_duration, auth.renewable)
        }
        None if secret.lease_id.is_empty() => return None,
        None => (
            vec![Name::Lease(secret.lease_id)],
            secret.lease_duration,
            secret.renewable,
        ),
    };
    Some(Renewed {
        names,
        lasts: Duration::from_secs(seconds),
        renewable,
    })
}

#[derive(Clone, Copy)]
enum Act {
    Itself,
    Token,
    Accessor,
    Lease,
}

/// Every reading of a path, with what follows it.
fn acts(method: &Method, place: &str) -> Vec<(Act, String)> {
    if !matches!(*method, Method::POST | Method::PUT) {
        return Vec::new();
    }
    let segments = path::segments(place);
    let readings = (0..segments.len()).filter_map(|at| {
        let api = segments.get(at..)?;
        let (act, words) = match api {
            ["auth", "token", "renew-self"] => (Act::Itself, 3),
            ["auth", "token", "renew", ..] => (Act::Token, 3),
            ["auth", "token", "renew-accessor", ..] => (Act::Accessor, 3),
            ["sys", "leases", "renew", ..] => (Act::Lease, 3),
            ["sys", "renew", ..] => (Act::Lease, 2),
            _ => return None,
        };
        Some((act, api.get(words..)?.join("/")))
    });
    readings.collect()
}

impl Cache {
    /// Sends a renewal, and applies what its answer says before it is given out.
    pub(crate) async fn renew<R>(
        &self,
        names: Vec<Name>,
        sending: R,
    ) -> Result<Response<Body>, Error>
    where
        R: Future<Output = Result<Response<Body>, vault::error::Error>>,
    {
        let sent = Sent {
            at: Instant::now(),
            tick: self.with(|state| state.store.mark()),
        };
        let unclear = |error| {
            self.doubt_renewal(&names);
            error
        };
        let response = match sending.await {
            Ok(response) => response,
            Err(
                error @ (vault::error::Error::Timeout { .. }
                | vault::error::Error::Transport { .. }),
            ) => return Err(unclear(Error::Ask(error))),
            Err(error) => return Err(Error::Ask(error)),
        };
        let (head, body) = response.into_parts();
        if policy::head(head.status, &head.headers, LIMIT).is_err() {
            if may_have_renewed(head.status) {
                self.doubt_renewal(&names);
            }
            return Ok(Response::from_parts(head, body));
        }
        let time = call::BODY_TIME;
        let read = match tokio::time::timeout(time, body::read(body, LIMIT, None)).await {
            Err(_elapsed) => return Err(unclear(Error::Slow(time))),
            Ok(Err(source)) => return Err(unclear(Error::Body(source))),
            Ok(Ok(read)) => read,
        };
        let body = match read {
            body::Read::Beyond(body) => {
                self.doubt_renewal(&names);
                body
            }
            body::Read::Whole(bytes, _) => {
                match self::read(&bytes) {
                    Some(renewed) => self.apply_renewal(&renewed, sent),
                    None => self.doubt_renewal(&names),
                }
                Body::full(bytes)
            }
        };
        Ok(Response::from_parts(head, body))
    }

    fn apply_renewal(&self, renewed: &Renewed, sent: Sent) {
        self.with(|state| {
            let now = Instant::now();
            state
                .store
                .renewed_by_client(renewed, sent, now, fastrand::f64());
        });
    }

    fn doubt_renewal(&self, names: &[Name]) {
        self.with(|state| state.store.renew_soon(names, Instant::now()));
    }
}

/// Whether an answer that says nothing of a lease may be that of a renewal which was done.
fn may_have_renewed(status: StatusCode) -> bool {
    status.is_success() || status.is_server_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(place: &str, body: &str, expected: &[Name]) {
        let request = Request {
            method: &Method::PUT,
            place,
            asker: Some(TokenId::of("asker")),
        };
        assert!(may_renew(request.method, place), "{place}");
        assert!(!may_renew(&Method::GET, place), "{place}");
        assert_eq!(named(&request, body.as_bytes()), expected, "{place} {body}");
    }

    #[test]
    fn every_form_of_the_api_is_read() {
        let id = "database/creds/app/id";
        let token = |text| Name::Token(TokenId::of(text));
        let accessor = || Name::Accessor("acc".to_owned());
        let lease = || Name::Lease(id.to_owned());
        for namespace in ["", "ns1/", "ns1/ns2/"] {
            let at = |path: &str| format!("{namespace}{path}");
            check(&at("auth/token/renew-self"), "{}", &[token("asker")]);
            check(&at("auth/token/renew-self/"), "", &[token("asker")]);
            check(&at("auth/token/renew"), r#"{"token":"t"}"#, &[token("t")]);
            check(&at("auth/token/renew"), "token=t", &[token("t")]);
            check(&at("auth/token/renew/t"), "", &[token("t")]);
            let body = r#"{"accessor":"acc","increment":"1h"}"#;
            check(&at("auth/token/renew-accessor"), body, &[accessor()]);
            for api in ["sys/leases/renew", "sys/renew"] {
                let body = format!(r#"{{"lease_id":"{id}","increment":60}}"#);
                check(&at(api), &body, &[lease()]);
                check(&at(&format!("{api}/{id}")), "", &[lease()]);
                check(&at(api), "not a body %zz", &[]);
            }
        }
        for place in [
            "auth/token/revoke-self",
            "sys/leases/lookup",
            "kv/renew",
            "auth/x/renew",
        ] {
            assert!(!may_renew(&Method::POST, place), "{place}");
        }
    }

    #[test]
    fn what_is_no_answer_to_a_renewal_says_nothing() {
        let lease = read(br#"{"lease_id":"a/b","renewable":true,"lease_duration":60}"#).unwrap();
        assert_eq!(lease.names, [Name::Lease("a/b".to_owned())]);
        assert_eq!(
            (lease.lasts, lease.renewable),
            (Duration::from_mins(1), true)
        );
        let auth = br#"{"auth":{"client_token":"","accessor":"acc","lease_duration":0}}"#;
        let token = read(auth).unwrap();
        assert_eq!(token.names, [Name::Accessor("acc".to_owned())]);
        assert_eq!((token.lasts, token.renewable), (Duration::ZERO, false));
        for body in [
            &b""[..],
            b"{}",
            br#"{"wrap_info":{"token":"t"},"lease_id":""}"#,
            b"[]",
        ] {
            assert_eq!(read(body), None);
        }
    }
}
