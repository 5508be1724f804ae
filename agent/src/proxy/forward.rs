//! From a client's request to the one that Vault gets: which headers go on, whose token, which namespace.
//!
//! Invariant: of other protocols only `WebSocket` passes: it is one request of one client for good, while HTTP/2 would
//! carry others past the guard.
//! Invariant: the auto-auth token goes to no login, and to no request that brings a credential of its own (except
//! under `force`, where it replaces every one of them).

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use keyside_config::model::AttachToken;

use crate::cache::identity::{Identity, TokenId};
use crate::cache::store::Maker;
use crate::cache::{path, policy};
use crate::token::{Live, Token};

pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
pub(super) const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");

/// The credential that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Own {
    None,
    Token(Token),
    /// One that is no token: inline authentication, a foreign scheme, text that no token can be.
    Other,
}

/// Whose request it is, once its headers are as Vault will get them.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Absent: no answer of it may be kept.
    pub(super) identity: Option<Identity>,
    /// The token that it is made with.
    pub(super) maker: Option<Maker>,
    /// Of that token, where it is the agent's own.
    pub(super) generation: Option<u64>,
    /// Whether the agent put it there.
    pub(super) attached: bool,
}

/// Makes the headers of a request those of the next connection.
pub(super) fn next_hop(headers: &mut HeaderMap) {
    let upgrades = is_listed(headers, &CONNECTION, "upgrade")
        && headers.get_all(UPGRADE).iter().count() == 1
        && is_listed(headers, &UPGRADE, "websocket");
    let trailers = is_listed(headers, &TE, "trailers");
    strip_hop_by_hop(headers);
    if upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Makes the headers of an answer those of the client's connection.
pub(super) fn last_hop<B>(response: &mut Response<B>) {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let protocol = headers.get(UPGRADE).filter(|_| switches).cloned();
    strip_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

fn is_listed(headers: &HeaderMap, list: &HeaderName, word: &str) -> bool {
    headers
        .get_all(list)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|values| values.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}

/// Removes what is for one connection only, and what `Connection` declares to be.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let declared: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    // One look at each header that is there is cheaper than to search for each that may be.
    let there = headers.keys().filter(|name| is_hop_by_hop(name.as_str()));
    let there: Vec<HeaderName> = there.cloned().collect();
    for name in declared.iter().chain(&there) {
        headers.remove(name);
    }
}

/// Gives a request that names no namespace the configured one; with `prepend`, one that does means one below that.
pub(super) fn enter(headers: &mut HeaderMap, configured: &HeaderValue, prepend: bool) {
    let below = match headers.get(NAMESPACE) {
        None => Some(configured.clone()),
        Some(_) if !prepend => return,
        Some(named) => {
            let [outer, inner] = [configured, named].map(|part| part.to_str().map(path::namespace));
            match (outer, inner) {
                (Ok(outer), Ok(inner)) => HeaderValue::try_from(path::join(outer, inner)).ok(),
                // What is no text names no namespace, and is refused when it is read.
                _ => None,
            }
        }
    };
    if let Some(below) = below {
        headers.insert(NAMESPACE, below);
    }
}

/// Whether a header is for one connection (RFC 9110 §7.6.1, and two that predate it). `Expect` is taken for one: this
/// server has answered it when the body is read.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
    )
}

/// What the client sent. An empty token counts as none, as it does for Vault.
pub(super) fn own(headers: &HeaderMap) -> Own {
    if headers
        .keys()
        .any(|name| policy::is_inline_auth(name.as_str()))
    {
        return Own::Other;
    }
    let sent = headers
        .get(TOKEN)
        .map(HeaderValue::as_bytes)
        .filter(|token| !token.is_empty());
    let text = match (sent, headers.get(AUTHORIZATION)) {
        (Some(token), _) => Some(token),
        (None, Some(value)) => policy::bearer(value.as_bytes()),
        (None, None) => return Own::None,
    };
    text.and_then(|text| std::str::from_utf8(text).ok())
        .and_then(Token::new)
        .map_or(Own::Other, Own::Token)
}

/// Whether the agent's own token is to be attached.
pub(super) fn attaches(attach: AttachToken, own: &Own, login: bool) -> bool {
    match attach {
        _ if login => false,
        AttachToken::Never => false,
        AttachToken::WhereAbsent => *own == Own::None,
        AttachToken::Force => true,
    }
}

/// Makes the request one with the agent's own token, and with no other credential.
pub(super) fn attach(headers: &mut HeaderMap, live: &Live) -> Caller {
    let inline: Vec<HeaderName> = headers
        .keys()
        .filter(|name| policy::is_inline_auth(name.as_str()))
        .cloned()
        .collect();
    for name in inline {
        headers.remove(name);
    }
    headers.remove(AUTHORIZATION);
    headers.insert(TOKEN, live.token.header());
    Caller {
        attached: true,
        ..pod(live)
    }
}

/// Leaves the request with what its client sent. A client that sent the very token which auto-auth holds is the pod
/// itself, like one to whom it was attached: both find the same answers, also after the next login.
pub(super) fn keep(
    headers: &mut HeaderMap,
    own: Own,
    live: Option<&Arc<Live>>,
    login: bool,
) -> Caller {
    if headers.get(TOKEN).is_some_and(HeaderValue::is_empty) {
        headers.remove(TOKEN);
    }
    let bearer = |value: &HeaderValue| policy::bearer(value.as_bytes()).is_some();
    if headers.contains_key(TOKEN) && headers.get(AUTHORIZATION).is_some_and(bearer) {
        // Vault reads `X-Vault-Token`; an auth plugin might be shown the other one.
        headers.remove(AUTHORIZATION);
    }
    match own {
        Own::None => Caller {
            identity: login.then_some(Identity::Nobody),
            maker: None,
            generation: None,
            attached: false,
        },
        Own::Other => Caller {
            identity: None,
            maker: None,
            generation: None,
            attached: false,
        },
        Own::Token(token) => match live.filter(|live| live.token == token) {
            Some(live) => pod(live),
            None => Caller {
                identity: Some(Identity::Token(TokenId::from(&token))),
                maker: Some(Maker {
                    token,
                    accessor: None,
                    ends: None,
                }),
                generation: None,
                attached: false,
            },
        },
    }
}

/// Whoever uses the agent's own token.
fn pod(live: &Live) -> Caller {
    Caller {
        identity: Some(Identity::AutoAuth),
        maker: Some(Maker {
            token: live.token.clone(),
            accessor: Some(live.accessor.clone()),
            ends: live.expires,
        }),
        generation: Some(live.generation),
        attached: false,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn live(token: &str) -> Arc<Live> {
        Arc::new(Live {
            token: Token::new(token).unwrap(),
            wrapped: false,
            accessor: String::new(),
            policies: Vec::new(),
            generation: 1,
            obtained: tokio::time::Instant::now(),
            expires: None,
        })
    }

    fn token(text: &str) -> Own {
        Own::Token(Token::new(text).unwrap())
    }

    #[test]
    fn hop_by_hop_headers_end_here() {
        let mut map = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "a"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
            ("x-vault-token", "a"),
            ("content-length", "3"),
        ]);
        strip_hop_by_hop(&mut map);
        let left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-vault-token", "content-length"]);
    }

    #[test]
    fn a_websocket_and_trailers_are_asked_for_anew() {
        for (pairs, left) in [
            (
                &[
                    ("connection", "keep-alive, Upgrade"),
                    ("upgrade", "WebSocket"),
                ][..],
                "connection: upgrade; upgrade: websocket; ",
            ),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], ""),
            (
                &[("connection", "upgrade"), ("upgrade", "h2c, websocket")],
                "connection: upgrade; upgrade: websocket; ",
            ),
            (&[("upgrade", "websocket")], ""),
            (
                &[("connection", "TE"), ("te", "gzip, trailers")],
                "connection: te; te: trailers; ",
            ),
            (&[("connection", "te"), ("te", "gzip")], ""),
            (&[("trailer", "x-sum")], "trailer: x-sum; "),
        ] {
            let mut map = headers(pairs);
            next_hop(&mut map);
            let mut text = String::new();
            for (name, value) in &map {
                write!(text, "{name}: {}; ", value.to_str().unwrap()).unwrap();
            }
            assert_eq!(text, left, "{pairs:?}");
        }
    }

    #[test]
    fn a_namespace_is_the_configured_one_or_below_it() {
        let configured = HeaderValue::from_static("team/");
        for (named, prepend, expected) in [
            (None, false, "team/"),
            (None, true, "team/"),
            (Some("ns1"), false, "ns1"),
            (Some("ns1"), true, "team/ns1"),
            (Some("/ns1/a/"), true, "team/ns1/a"),
            (Some("root"), true, "team/"),
            (Some(""), true, "team/"),
        ] {
            let mut map = HeaderMap::new();
            map.extend(named.map(|named| (NAMESPACE, HeaderValue::from_static(named))));
            enter(&mut map, &configured, prepend);
            assert_eq!(map[NAMESPACE], expected, "{named:?} {prepend}");
        }
    }

    #[test]
    fn finds_the_credential_that_vault_would_use() {
        for (pairs, expected) in [
            (&[][..], Own::None),
            (&[("x-vault-token", "")], Own::None),
            (&[("x-vault-token", "a")], token("a")),
            (&[("authorization", "Bearer b")], token("b")),
            (
                &[("x-vault-token", "a"), ("authorization", "Bearer b")],
                token("a"),
            ),
            (
                &[("x-vault-token", ""), ("authorization", "Bearer b")],
                token("b"),
            ),
            (&[("authorization", "Negotiate b")], Own::Other),
            (&[("authorization", "Bearer ")], Own::Other),
            (&[("x-vault-inline-auth-path", "auth/a")], Own::Other),
            (
                &[
                    ("x-vault-token", "a"),
                    ("x-vault-inline-auth-path", "auth/a"),
                ],
                Own::Other,
            ),
        ] {
            assert_eq!(own(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_agents_token_goes_only_where_it_may() {
        use AttachToken::{Force, Never, WhereAbsent};
        for (mode, own, login, expected) in [
            (Never, Own::None, false, false),
            (WhereAbsent, Own::None, false, true),
            (WhereAbsent, Own::None, true, false),
            (WhereAbsent, token("a"), false, false),
            (WhereAbsent, Own::Other, false, false),
            (Force, Own::None, false, true),
            (Force, token("a"), false, true),
            (Force, Own::Other, false, true),
            (Force, token("a"), true, false),
        ] {
            assert_eq!(
                attaches(mode, &own, login),
                expected,
                "{mode:?} {own:?} {login}"
            );
        }
    }

    #[test]
    fn attaching_replaces_every_credential() {
        let mut map = headers(&[
            ("x-vault-token", "a"),
            ("authorization", "Bearer b"),
            ("x-vault-inline-auth-path", "auth/a"),
            ("x-vault-inline-auth-operation", "update"),
        ]);
        let caller = attach(&mut map, &live("mine"));
        assert_eq!(map.len(), 1);
        assert_eq!(map[TOKEN], "mine");
        assert_eq!(caller.identity, Some(Identity::AutoAuth));
    }

    #[test]
    fn a_client_is_its_token_and_the_pods_own_token_is_the_pod() {
        let mut map = headers(&[("x-vault-token", "a"), ("authorization", "Bearer b")]);
        let caller = keep(&mut map, token("a"), Some(&live("mine")), false);
        assert_eq!(caller.identity, Some(Identity::Token(TokenId::of("a"))));
        assert!(!map.contains_key(AUTHORIZATION));
        let caller = keep(
            &mut HeaderMap::new(),
            token("mine"),
            Some(&live("mine")),
            false,
        );
        assert_eq!(caller.identity, Some(Identity::AutoAuth));
        let nobody = keep(&mut HeaderMap::new(), Own::None, None, true);
        assert_eq!(nobody.identity, Some(Identity::Nobody));
        let anonymous = keep(&mut HeaderMap::new(), Own::None, None, false);
        assert_eq!(anonymous.identity, None);
        let other = keep(&mut HeaderMap::new(), Own::Other, None, true);
        assert_eq!(other.identity, None);
    }
}
