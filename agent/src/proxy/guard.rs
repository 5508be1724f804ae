//! Who may ask: what stands between the proxy and whatever else can reach the loopback address.
//!
//! A browser on the host can be made to send requests to 127.0.0.1 (by a page, or by a name that is rebound to it),
//! and so can a service that fetches URLs for others. Such requests bear marks that an application's own do not: a
//! foreign `Host`, an `Origin`, a `Sec-Fetch-Site`, a `Forwarded`. A listener for other hosts cannot tell by these, and does not try.
//!
//! Invariant: a refused request reaches neither Vault nor the cache, and control endpoints are behind the same guard.

use std::net::IpAddr;

use http::header::{HOST, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version};
use keyside_config::model::listener::Listener;

const VAULT_REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// All header fields of a request together. A batch token of Vault is a few KiB.
const HEADER_LIMIT: usize = 32 << 10;

/// Headers of which two would let Vault read another one than we do.
const SINGLE: [HeaderName; 4] = [
    HOST,
    HeaderName::from_static("x-vault-token"),
    HeaderName::from_static("x-vault-namespace"),
    http::header::AUTHORIZATION,
];

/// One listener's rules.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    loopback: bool,
    require_header: bool,
    allowed_hosts: Vec<String>,
    allow_forwarded: bool,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("missing \"X-Vault-Request\" header: this listener wants it once, with the value true")]
    NoRequestHeader,
    #[error(
        "\"Host\" names another host than this one; allowed_hosts of the listener can allow it"
    )]
    ForeignHost,
    #[error("\"Host\" is missing")]
    NoHost,
    #[error(
        "\"{0}\" shows that this request was not made here; allow_forwarded of the listener can allow it"
    )]
    Forwarded(HeaderName),
    #[error("\"{0}\" is there more than once")]
    Repeated(HeaderName),
    #[error("the header fields are larger than {HEADER_LIMIT} bytes")]
    HeadersTooLarge,
}

/// The labels of all refusals.
pub(super) const REASONS: [&str; 6] = [
    "no_request_header",
    "foreign_host",
    "no_host",
    "forwarded",
    "repeated_header",
    "headers_too_large",
];

impl Refusal {
    /// In the metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::NoRequestHeader => "no_request_header",
            Self::ForeignHost => "foreign_host",
            Self::NoHost => "no_host",
            Self::Forwarded(_) => "forwarded",
            Self::Repeated(_) => "repeated_header",
            Self::HeadersTooLarge => "headers_too_large",
        }
    }
}

impl Guard {
    /// The rules of a listener that is bound to a loopback address, or not.
    pub(crate) fn new(listener: &Listener, loopback: bool) -> Self {
        Self {
            loopback,
            require_header: listener.require_request_header,
            allowed_hosts: listener.allowed_hosts.clone(),
            allow_forwarded: listener.allow_forwarded,
        }
    }

    pub(crate) fn check(&self, head: &Parts) -> Result<(), Refusal> {
        let headers = &head.headers;
        let size: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if size > HEADER_LIMIT {
            return Err(Refusal::HeadersTooLarge);
        }
        // Most requests repeat nothing at all.
        if headers.len() > headers.keys_len()
            && let Some(name) = SINGLE.into_iter().find(|name| is_repeated(headers, name))
        {
            return Err(Refusal::Repeated(name));
        }
        if self.loopback {
            self.check_host(head)?;
            self.check_origin(headers)?;
        }
        if self.require_header {
            require_header(headers)?;
        }
        Ok(())
    }

    /// Both names count where the target is absolute (`GET http://host/…`): readers disagree on which one rules.
    fn check_host(&self, head: &Parts) -> Result<(), Refusal> {
        let header = head.headers.get(HOST);
        if header.is_none() && head.version >= Version::HTTP_11 {
            return Err(Refusal::NoHost);
        }
        let target = head
            .uri
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        let named = [header.map(HeaderValue::as_bytes), target];
        if named.into_iter().flatten().all(|host| self.is_ours(host)) {
            Ok(())
        } else {
            Err(Refusal::ForeignHost)
        }
    }

    fn is_ours(&self, authority: &[u8]) -> bool {
        let Ok(authority) = std::str::from_utf8(authority) else {
            return false;
        };
        let host = host(authority).to_ascii_lowercase();
        let name = host.strip_suffix('.').unwrap_or(&host);
        name == "localhost"
            || name.ends_with(".localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            || self.allowed_hosts.iter().any(|allowed| {
                allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(authority)
            })
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mark = headers.iter().find(|(name, value)| is_mark(name, value));
        match mark {
            Some((name, _)) if !self.allow_forwarded => Err(Refusal::Forwarded(name.clone())),
            _ => Ok(()),
        }
    }
}

fn is_repeated(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

/// Whether a header shows that the request was made for somebody elsewhere. What browsers say of who asks is there
/// also where they send no `Origin`: with images, frames and forms.
fn is_mark(name: &HeaderName, value: &HeaderValue) -> bool {
    match name.as_str() {
        "origin" | "forwarded" | "x-forwarded-for" => true,
        "sec-fetch-site" => value != "none" && value != "same-origin",
        _ => false,
    }
}

/// An authority without its port, and an IPv6 address without its brackets.
fn host(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(host, _)| host);
    }
    authority
        .split_once(':')
        .map_or(authority, |(host, _)| host)
}

fn require_header(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(VAULT_REQUEST).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value == "true" => Ok(()),
        _ => Err(Refusal::NoRequestHeader),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn guard() -> Guard {
        Guard {
            loopback: true,
            require_header: false,
            allowed_hosts: vec!["agent.test".to_owned()],
            allow_forwarded: false,
        }
    }

    fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn hosts(guard: &Guard, host: &str) -> Result<(), Refusal> {
        guard.check(&head("/v1/a", &[("host", host)]))
    }

    #[test]
    fn loopback_names_are_ours_and_no_others() {
        for host in [
            "localhost",
            "LocalHost:8200",
            "localhost.:8200",
            "127.0.0.1:8200",
            "127.1.2.3",
            "[::1]:8200",
            "[::1]",
            "app.localhost",
            "agent.test:8200",
        ] {
            assert_eq!(hosts(&guard(), host), Ok(()), "{host}");
        }
        for host in [
            "evil.test",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "evil.test:127.0.0.1",
            "10.0.0.1:8200",
            "[fe80::1]:8200",
            "2130706433",
            "0x7f.1",
            "agent.test.evil.test",
            "",
            "[::1",
        ] {
            assert_eq!(hosts(&guard(), host), Err(Refusal::ForeignHost), "{host}");
        }
    }

    #[test]
    fn a_host_must_be_there_and_the_target_counts_as_one() {
        assert_eq!(guard().check(&head("/v1/a", &[])), Err(Refusal::NoHost));
        let absolute = head("http://evil.test/v1/a", &[("host", "localhost")]);
        assert_eq!(guard().check(&absolute), Err(Refusal::ForeignHost));
    }

    #[test]
    fn marks_of_other_places_are_refused_unless_allowed() {
        for (name, value) in [
            ("origin", "http://localhost"),
            ("origin", "null"),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let head = head("/v1/a", &[("host", "localhost"), (name, value)]);
            let refused = Refusal::Forwarded(HeaderName::from_static(name));
            assert_eq!(guard().check(&head), Err(refused), "{name}");
            let open = Guard {
                allow_forwarded: true,
                ..guard()
            };
            assert_eq!(open.check(&head), Ok(()), "{name}");
            let remote = Guard {
                loopback: false,
                ..guard()
            };
            assert_eq!(remote.check(&head), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_somebody_typed_into_a_browser_is_no_page_of_another() {
        for site in ["none", "same-origin"] {
            let typed = head("/v1/a", &[("host", "localhost"), ("sec-fetch-site", site)]);
            assert_eq!(guard().check(&typed), Ok(()), "{site}");
        }
    }

    #[test]
    fn what_vault_could_read_differently_is_refused() {
        for name in ["x-vault-token", "x-vault-namespace", "authorization"] {
            let twice = head("/v1/a", &[("host", "localhost"), (name, "a"), (name, "a")]);
            assert_eq!(
                guard().check(&twice),
                Err(Refusal::Repeated(HeaderName::from_static(name))),
                "{name}"
            );
        }
        let long = "a".repeat(HEADER_LIMIT);
        let large = head("/v1/a", &[("host", "localhost"), ("x-a", &long)]);
        assert_eq!(guard().check(&large), Err(Refusal::HeadersTooLarge));
    }

    #[test]
    fn the_request_header_is_wanted_exactly_once_and_true() {
        let strict = Guard {
            require_header: true,
            loopback: false,
            ..guard()
        };
        let with = |values: &[&str]| {
            let pairs: Vec<_> = values
                .iter()
                .map(|value| ("x-vault-request", *value))
                .collect();
            strict.check(&head("/v1/a", &pairs))
        };
        assert_eq!(with(&["true"]), Ok(()));
        for values in [&[][..], &["True"], &["1"], &[""], &["true", "true"]] {
            assert_eq!(with(values), Err(Refusal::NoRequestHeader), "{values:?}");
        }
    }
}
