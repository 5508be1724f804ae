//! Which requests end tokens or leases, and which ones: every form that Vault's and OpenBao's API has.
//!
//! A request is read before it is sent, and what it says is applied unless Vault is known to have refused it.
//!
//! Invariant: where it cannot be known which segments of a path are namespaces, every reading counts. To end an
//! entry too many costs one request; to end one too few would hand out what Vault has revoked.

use http::{Method, StatusCode};
use serde_json::Value;

use super::identity::TokenId;
use super::path;
use crate::vault;

/// What a revocation names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// A token, all tokens made with it, and their leases.
    Token(TokenId),
    /// The same, named by its accessor.
    Accessor(String),
    /// A token and its leases; tokens made with it go on by themselves.
    Orphaning(TokenId),
    Lease(String),
    /// Everything made at a path or below it, in a namespace.
    Prefix {
        namespace: String,
        prefix: String,
    },
    /// Everything in a namespace and below it.
    Namespace(String),
}

impl Revoked {
    /// Whether it may end tokens by where they logged in, which is known only of those that did so here.
    pub(crate) fn may_end_logins(&self) -> bool {
        matches!(self, Self::Prefix { prefix, .. } if path::segments(prefix).contains(&"auth"))
    }
}

/// A request, read far enough to tell what it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    /// Namespace and decoded path as one.
    pub(crate) place: &'a str,
    /// The token that it is made with.
    pub(crate) asker: Option<TokenId>,
}

/// Whether the body must be read to know.
pub(crate) fn may_revoke(method: &Method, place: &str) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::DELETE)
        && !readings(method, place).is_empty()
}

/// Vault reads on where we cannot: two JSON values, half of a surrogate pair, a form that is no UTF-8. It would end
/// what we would go on serving.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is neither one JSON text nor a form, so what it revokes could not be told")]
pub(crate) struct Unreadable;

/// What the request ends if Vault does what it asks.
pub(crate) fn read(request: &Request<'_>, body: &[u8]) -> Result<Vec<Revoked>, Unreadable> {
    let fields = Fields::of(body)?;
    Ok(readings(request.method, request.place)
        .into_iter()
        .flat_map(|reading| reading.revoked(&fields, request.asker))
        .collect())
}

/// One way to read a path: what stands before the API's own part is a namespace.
struct Reading {
    namespace: String,
    act: Act,
    rest: String,
}

#[derive(Clone, Copy)]
enum Act {
    Token,
    TokenSelf,
    TokenAccessor,
    TokenOrphan,
    Lease,
    Prefix,
    /// A mount goes away, and its leases with it.
    Unmount,
    /// An auth mount goes away, and the tokens that it issued.
    UnmountAuth,
    Remount,
    Namespace,
}

fn readings(method: &Method, place: &str) -> Vec<Reading> {
    let segments = path::segments(place);
    (0..segments.len())
        .filter_map(|at| {
            let (namespace, api) = segments.split_at_checked(at)?;
            let (act, words) = act(method, api)?;
            Some(Reading {
                namespace: namespace.join("/"),
                act,
                rest: api.get(words..)?.join("/"),
            })
        })
        .collect()
}

/// What a path without namespaces asks for, and how many of its segments say so.
fn act(method: &Method, api: &[&str]) -> Option<(Act, usize)> {
    let writes = matches!(*method, Method::POST | Method::PUT);
    let deletes = *method == Method::DELETE;
    let known = match api {
        ["auth", "token", "revoke", ..] if writes => (Act::Token, 3),
        ["auth", "token", "revoke-self"] if writes => (Act::TokenSelf, 3),
        ["auth", "token", "revoke-accessor", ..] if writes => (Act::TokenAccessor, 3),
        ["auth", "token", "revoke-orphan", ..] if writes => (Act::TokenOrphan, 3),
        ["sys", "leases", "revoke", ..] if writes => (Act::Lease, 3),
        ["sys", "revoke", ..] if writes => (Act::Lease, 2),
        ["sys", "leases", "revoke-prefix" | "revoke-force", _, ..] if writes => (Act::Prefix, 3),
        ["sys", "revoke-prefix" | "revoke-force", _, ..] if writes => (Act::Prefix, 2),
        ["sys", "remount"] if writes => (Act::Remount, 2),
        ["sys", "mounts", _, ..] if deletes => (Act::Unmount, 2),
        ["sys", "auth", _, ..] if deletes => (Act::UnmountAuth, 2),
        ["sys", "namespaces", _, ..] if deletes => (Act::Namespace, 2),
        _ => return None,
    };
    Some(known)
}

impl Reading {
    fn revoked(&self, fields: &Fields, asker: Option<TokenId>) -> Vec<Revoked> {
        // The value may be in the URL as well as in the body; both count.
        let named = |names: &[&str]| -> Vec<String> {
            let in_url = Some(self.rest.clone()).filter(|rest| !rest.is_empty());
            let in_body = names.iter().filter_map(|name| fields.text(name));
            in_url.into_iter().chain(in_body).collect()
        };
        let prefix = |prefix: &str| Revoked::Prefix {
            namespace: self.namespace.clone(),
            prefix: prefix.trim_matches('/').to_owned(),
        };
        match self.act {
            Act::Token => each(named(&["token"]), |text| Revoked::Token(TokenId::of(&text))),
            Act::TokenOrphan => each(named(&["token"]), |text| {
                Revoked::Orphaning(TokenId::of(&text))
            }),
            Act::TokenAccessor => each(named(&["accessor"]), Revoked::Accessor),
            Act::TokenSelf => asker.map(Revoked::Token).into_iter().collect(),
            Act::Lease => each(named(&["lease_id", "url_lease_id"]), Revoked::Lease),
            Act::Prefix | Act::Unmount => vec![prefix(&self.rest)],
            Act::UnmountAuth => vec![prefix(&format!("auth/{}", self.rest))],
            Act::Remount => each(fields.text("from").into_iter().collect(), |from| {
                prefix(&from)
            }),
            Act::Namespace => vec![Revoked::Namespace(path::join(&self.namespace, &self.rest))],
        }
    }
}

fn each(values: Vec<String>, revoked: impl Fn(String) -> Revoked) -> Vec<Revoked> {
    values.into_iter().map(revoked).collect()
}

/// A body's fields, as JSON or as a form: Vault reads both.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// As Vault does it: what starts like JSON is JSON, whatever its type is said to be.
    pub(super) fn of(body: &[u8]) -> Result<Self, Unreadable> {
        if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return form(body).map(Self).ok_or(Unreadable);
        }
        match serde_json::from_slice(body).map_err(|_odd| Unreadable)? {
            Value::Object(fields) => Ok(Self(
                fields
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                    .collect(),
            )),
            _ => Ok(Self(Vec::new())),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(field, _)| field == name)?;
        Some(value.clone()).filter(|value| !value.is_empty())
    }
}

fn form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    text.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((path::form_value(name)?, path::form_value(value)?))
        })
        .collect()
}

/// What has ended, as far as Vault's answer tells. One that broke off or came from a gateway tells nothing, and one of many
/// leases may be what failed: then it counts as done. But a token that may still have its children is ended with them,
/// for as orphans they would be taken to outlive it.
pub(crate) fn done(
    revoked: Vec<Revoked>,
    told: Result<StatusCode, &vault::error::Error>,
) -> Vec<Revoked> {
    let in_doubt = match told {
        Ok(status) if status.is_success() => return revoked,
        Ok(status) => matches!(status.as_u16(), 500 | 502 | 504),
        Err(error) => matches!(
            error,
            vault::error::Error::Timeout { .. } | vault::error::Error::Transport { .. }
        ),
    };
    let ended = |revoked| match revoked {
        Revoked::Orphaning(token) => Revoked::Token(token),
        other => other,
    };
    let revoked = revoked.into_iter().filter(|_| in_doubt);
    revoked.map(ended).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, place: &str, body: &str, expected: &[Revoked]) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request {
            method: &method,
            place,
            asker: Some(TokenId::of("asker")),
        };
        assert_eq!(
            read(&request, body.as_bytes()).as_deref(),
            Ok(expected),
            "{method} {place} {body}"
        );
    }

    fn token(text: &str) -> Revoked {
        Revoked::Token(TokenId::of(text))
    }

    fn lease(id: &str) -> Revoked {
        Revoked::Lease(id.to_owned())
    }

    fn prefix(namespace: &str, prefix: &str) -> Revoked {
        Revoked::Prefix {
            namespace: namespace.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    #[test]
    fn a_body_that_vault_may_read_otherwise_is_refused() {
        let deep = format!(
            r#"{{"token":"t","x":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        let request = Request {
            method: &Method::PUT,
            place: "auth/token/revoke",
            asker: None,
        };
        for body in [
            &br#"{"token":"t"}{}"#[..],
            br#"{"token":"t"} x"#,
            br#"{"token":"t","x":"\ud800"}"#,
            b"{\"token\":\"t\",\"x\":\"\xff\"}",
            b" {\"token\"",
            b"token=t&x=\xff",
            b"token=t&x=%ff",
            b"token=t&x=%f",
            deep.as_bytes(),
        ] {
            assert_eq!(read(&request, body), Err(Unreadable), "{body:?}");
        }
        for body in [&b""[..], b"{}", b"[]", b"null", b"&a=&b"] {
            assert_eq!(read(&request, body), Ok(vec![]), "{body:?}");
        }
    }

    #[test]
    fn every_form_of_the_api_is_read() {
        let accessor = || Revoked::Accessor("acc".to_owned());
        let id = "database/creds/app/id";
        let in_body = format!(r#"{{"lease_id":"{id}"}}"#);
        for method in ["PUT", "POST"] {
            for namespace in ["", "ns1/", "ns1/ns2/"] {
                let at = |path: &str| format!("{namespace}{path}");
                let within = namespace.trim_end_matches('/');
                check(
                    method,
                    &at("auth/token/revoke"),
                    r#"{"token":"t"}"#,
                    &[token("t")],
                );
                check(
                    method,
                    &at("auth/token/revoke"),
                    "token=t%2e1",
                    &[token("t.1")],
                );
                check(method, &at("auth/token/revoke/t"), "", &[token("t")]);
                check(method, &at("auth/token/revoke-self"), "", &[token("asker")]);
                check(
                    method,
                    &at("auth/token/revoke-self/"),
                    "{}",
                    &[token("asker")],
                );
                check(
                    method,
                    &at("auth/token/revoke-accessor"),
                    r#"{"accessor":"acc"}"#,
                    &[accessor()],
                );
                check(
                    method,
                    &at("auth/token/revoke-accessor/acc"),
                    "",
                    &[accessor()],
                );
                check(
                    method,
                    &at("auth/token/revoke-orphan"),
                    r#"{"token":"t"}"#,
                    &[Revoked::Orphaning(TokenId::of("t"))],
                );
                for legacy in ["sys/leases/", "sys/"] {
                    check(
                        method,
                        &at(&format!("{legacy}revoke")),
                        &in_body,
                        &[lease(id)],
                    );
                    check(
                        method,
                        &at(&format!("{legacy}revoke/{id}")),
                        "",
                        &[lease(id)],
                    );
                    for verb in ["revoke-prefix", "revoke-force"] {
                        check(
                            method,
                            &at(&format!("{legacy}{verb}/database/creds/")),
                            "",
                            &[prefix(within, "database/creds")],
                        );
                    }
                }
                check(
                    method,
                    &at("sys/remount"),
                    r#"{"from":"database/","to":"db"}"#,
                    &[prefix(within, "database")],
                );
            }
        }
    }

    #[test]
    fn what_unmounts_revokes() {
        check(
            "DELETE",
            "sys/mounts/database",
            "",
            &[prefix("", "database")],
        );
        check(
            "DELETE",
            "ns1/sys/auth/approle",
            "",
            &[prefix("ns1", "auth/approle")],
        );
        check(
            "DELETE",
            "ns1/sys/namespaces/ns2/",
            "",
            &[Revoked::Namespace("ns1/ns2".to_owned())],
        );
    }

    #[test]
    fn both_places_of_a_lease_id_count() {
        check(
            "POST",
            "sys/leases/revoke/a/b/c",
            r#"{"lease_id":"d/e/f"}"#,
            &[lease("a/b/c"), lease("d/e/f")],
        );
    }

    #[test]
    fn other_requests_end_nothing() {
        for (method, place) in [
            ("GET", "auth/token/revoke-self"),
            ("POST", "auth/token/renew-self"),
            ("POST", "sys/leases/renew"),
            ("POST", "sys/mounts/database"),
            ("GET", "sys/mounts/database"),
            ("DELETE", "secret/data/app"),
            ("POST", "sys/leases/revoke-prefix"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(!may_revoke(&method, place), "{method} {place}");
        }
    }

    #[test]
    fn a_body_without_the_field_names_nothing() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"token":""}"#,
            r#"{"token":7}"#,
            "\u{1}",
        ] {
            check("POST", "auth/token/revoke", body, &[]);
        }
    }
}
