use http::HeaderValue;
use http::header::{HeaderName, USER_AGENT};
use proptest::prelude::*;

use super::*;
use crate::cache::identity::TokenId;

/// A request with parts of its own to borrow from.
#[derive(Clone, Debug)]
struct Request {
    identity: Identity,
    method: Method,
    place: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn new(place: &str, query: &str, body: &str) -> Self {
        Self {
            identity: Identity::AutoAuth,
            method: Method::POST,
            place: place.to_owned(),
            query: Some(query.to_owned()).filter(|query| !query.is_empty()),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            identity: self.identity,
            method: &self.method,
            place: &self.place,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    fn key(&self) -> Key {
        Key::of(&self.parts())
    }

    fn encoding(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.parts()
            .write(&mut |part| bytes.extend_from_slice(part));
        bytes
    }
}

#[test]
fn spelling_does_not_matter() {
    let plain = Request::new("database/creds/app", "a=1&b=2", r#"{"x":1,"y":[true]}"#);
    let mut noisy = Request::new(
        "database/creds/app",
        "b=2&a=1",
        "{ \"y\":[ true ],\n\"x\":1 }",
    );
    noisy
        .headers
        .insert(USER_AGENT, HeaderValue::from_static("other"));
    noisy
        .headers
        .insert("traceparent", HeaderValue::from_static("00-1-2-03"));
    assert_eq!(plain.key(), noisy.key());
    let escaped = Request::new("database/creds/app", "%61=1&b=2", r#"{"x":1,"y":[true]}"#);
    assert_eq!(plain.key(), escaped.key());
}

#[test]
fn substance_does() {
    let base = Request::new("database/creds/app", "a=1", r#"{"x":1}"#);
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = base.clone();
        change(&mut request);
        request
    };
    let others = [
        with(&|r| r.identity = Identity::Nobody),
        with(&|r| r.identity = Identity::Token(TokenId::of("a"))),
        with(&|r| r.identity = Identity::Token(TokenId::of("b"))),
        with(&|r| r.method = Method::GET),
        with(&|r| r.place = "database/creds/app/".to_owned()),
        with(&|r| r.place = "ns1/database/creds/app".to_owned()),
        with(&|r| r.place = "database/creds%2Fapp".to_owned()),
        with(&|r| r.query = None),
        with(&|r| r.query = Some("a".to_owned())),
        with(&|r| r.query = Some("a=".to_owned())),
        with(&|r| r.query = Some("a=1&a=2".to_owned())),
        with(&|r| r.query = Some("a=2&a=1".to_owned())),
        with(&|r| r.body.clear()),
        with(&|r| r.body = br#"{"x":1.0}"#.to_vec()),
        with(&|r| r.body = br#"{"x":1,"x":1}"#.to_vec()),
        with(&|r| r.body = b"x=1".to_vec()),
        with(&|r| {
            r.headers
                .insert("x-vault-policy-override", HeaderValue::from_static("true"));
        }),
        with(&|r| {
            r.headers.insert(
                HeaderName::from_static("content-type"),
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
        }),
    ];
    let mut keys: Vec<Key> = others
        .iter()
        .map(Request::key)
        .chain([base.key()])
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), others.len() + 1);
}

fn requests() -> impl Strategy<Value = Request> {
    let identity = prop_oneof![
        Just(Identity::AutoAuth),
        Just(Identity::Nobody),
        "[ab]".prop_map(|text| Identity::Token(TokenId::of(&text))),
    ];
    // Few letters, so that two requests often differ only in where a part ends.
    let text = "[a/&=]{0,4}";
    (
        identity,
        "[AB]{1,2}",
        text,
        proptest::option::of(text),
        text,
    )
        .prop_map(|(identity, method, place, query, body)| Request {
            identity,
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            place,
            query,
            headers: HeaderMap::new(),
            body: body.into_bytes(),
        })
}

/// What the key may not lose: the query as a sorted list, everything else as it is.
fn substance(request: &Request) -> impl PartialEq + use<> {
    let query = request.query.clone().unwrap_or_default();
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(str::to_owned)
        .collect();
    pairs.sort_by_key(|pair| pair.split('=').next().map(str::to_owned));
    (
        format!("{:?}", request.identity),
        matches!(request.identity, Identity::Token(id) if id == TokenId::of("a")),
        request.method.clone(),
        request.place.clone(),
        pairs,
        request.body.clone(),
    )
}

proptest! {
    #[test]
    fn the_framing_tells_any_two_requests_apart(one in requests(), other in requests()) {
        let same = substance(&one) == substance(&other);
        prop_assert_eq!(one.encoding() == other.encoding(), same);
        prop_assert_eq!(one.key() == other.key(), same);
    }

    #[test]
    fn moving_a_byte_from_one_part_to_the_next_changes_the_key(place in "[a-c]{1,6}", body in "[a-c]{0,6}") {
        let one = Request::new(&place, "", &body);
        let (kept, moved) = place.split_at(place.len() - 1);
        let other = Request::new(kept, "", &format!("{moved}{body}"));
        prop_assert_ne!(one.encoding(), other.encoding());
    }

    #[test]
    fn the_order_of_distinct_query_names_does_not_matter(
        mut pairs in proptest::collection::btree_map("[a-z]{1,3}", "[a-z]{0,3}", 0..6)
            .prop_map(|pairs| pairs.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>()),
        seed in any::<u64>(),
    ) {
        let sorted = Request::new("p", &pairs.join("&"), "");
        fastrand::Rng::with_seed(seed).shuffle(&mut pairs);
        let shuffled = Request::new("p", &pairs.join("&"), "");
        prop_assert_eq!(sorted.key(), shuffled.key());
    }
}
