//! Where a redirect may lead. A standby that does not pass requests on itself answers with the address of the active
//! node.
//!
//! Invariant: a request, and with it a token, goes to no host but that of the address and those that `redirect_hosts`
//! names; and never from https to http.

use http::header::{HOST, LOCATION};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use keyside_config::model::vault::{Address, Vault};

/// From a standby to the active node, and to the next one where that has just changed.
pub(super) const MOST: usize = 2;

/// Where the answer to a request for `from` leads, if it may be followed there.
pub(super) fn target<B>(vault: &Vault, from: &Uri, answer: &Response<B>) -> Option<Uri> {
    let redirects = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !redirects || vault.disable_redirects {
        return None;
    }
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    let mut parts = location.parse::<Uri>().ok()?.into_parts();
    let path = parts.path_and_query.as_ref()?.as_str();
    match (&parts.scheme, &parts.authority) {
        (None, None) if path.starts_with('/') && !path.starts_with("//") => {
            parts.scheme = from.scheme().cloned();
            parts.authority = from.authority().cloned();
        }
        (Some(scheme), Some(authority))
            if from.scheme() == Some(scheme) && is_within(vault, scheme, authority) => {}
        _ => return None,
    }
    Uri::from_parts(parts).ok()
}

/// Makes this a request for another URI.
pub(super) fn address<B>(request: &mut Request<B>, uri: Uri) {
    let host = uri.authority().map(Authority::as_str);
    if let Some(Ok(host)) = host.map(HeaderValue::from_str) {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = uri;
}

fn is_within(vault: &Vault, scheme: &Scheme, authority: &Authority) -> bool {
    let Address::Tcp { at, .. } = &vault.address else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let host = bare(authority.host());
    let port = authority.port_u16().unwrap_or(default);
    let is_own = at.port == port && at.host.eq_ignore_ascii_case(host);
    is_own
        || vault
            .redirect_hosts
            .iter()
            .any(|allowed| allows(allowed, host, port, at.port))
}

/// Whether an entry of `redirect_hosts` names this host. Without a port it means that of the address.
fn allows(entry: &str, host: &str, port: u16, own: u16) -> bool {
    let (below, entry) = match entry.strip_prefix("*.") {
        Some(domain) => (true, domain),
        None => (false, entry),
    };
    let Ok(entry) = entry.parse::<Authority>() else {
        return false;
    };
    let name = bare(entry.host());
    let is_named = if below {
        let split = host.len().checked_sub(name.len());
        split
            .and_then(|split| host.split_at_checked(split))
            .is_some_and(|(labels, domain)| {
                labels.len() > 1 && labels.ends_with('.') && domain.eq_ignore_ascii_case(name)
            })
    } else {
        host.eq_ignore_ascii_case(name)
    };
    is_named && entry.port_u16().unwrap_or(own) == port
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(address: &str, hosts: &[&str]) -> Vault {
        Vault {
            address: address.parse().unwrap(),
            redirect_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Vault::default()
        }
    }

    fn led(vault: &Vault, location: &str) -> Option<String> {
        let answer = Response::builder().status(307).header(LOCATION, location);
        let from = Uri::from_static("https://vault.test:8200/v1/secret/a?b=c");
        let target = target(vault, &from, &answer.body(()).unwrap());
        target.map(|uri| uri.to_string())
    }

    #[test]
    fn a_redirect_leads_within_the_cluster_and_nowhere_else() {
        let hosts = [
            "vault-9.test",
            "ports.test:8300",
            "*.internal",
            "[fd00::1]:8200",
        ];
        let vault = vault("https://vault.test:8200", &hosts);
        for location in [
            "https://vault.test:8200/v1/b?c=d",
            "https://VAULT.test:8200/v1/b",
            "https://vault-9.test:8200/v1/b",
            "https://ports.test:8300/v1/b",
            "https://vault-0.internal:8200/v1/b",
            "https://a.b.internal:8200/v1/b",
            "https://[fd00::1]:8200/v1/b",
        ] {
            assert_eq!(led(&vault, location).as_deref(), Some(location));
        }
        assert_eq!(
            led(&vault, "/v1/b?c=d").as_deref(),
            Some("https://vault.test:8200/v1/b?c=d")
        );
        for location in [
            "http://vault.test:8200/v1/b",
            "https://vault.test/v1/b",
            "https://vault.test:8201/v1/b",
            "https://vault.test.evil.test:8200/v1/b",
            "https://vault.test:8200@evil.test:8200/v1/b",
            "https://user@vault.test:8200/v1/b",
            "https://vault-9.test/v1/b",
            "https://ports.test:8200/v1/b",
            "https://internal:8200/v1/b",
            "https://.internal:8200/v1/b",
            "https://evilinternal:8200/v1/b",
            "https://vault-0.internal.evil.test:8200/v1/b",
            "//vault.test:8200/v1/b",
            "vault.test:8200",
            "v1/b",
            "",
        ] {
            assert_eq!(led(&vault, location), None, "{location}");
        }
        let off = Vault {
            disable_redirects: true,
            ..vault
        };
        assert_eq!(led(&off, "/v1/b"), None);
    }

    #[test]
    fn only_what_says_that_it_leads_elsewhere_does() {
        let vault = vault("https://vault.test:8200", &[]);
        let from = Uri::from_static("https://vault.test:8200/v1/a");
        for (status, follows) in [
            (200, false),
            (201, false),
            (300, false),
            (301, true),
            (302, true),
            (303, false),
            (304, false),
            (307, true),
            (308, true),
            (503, false),
        ] {
            let answer = Response::builder().status(status).header(LOCATION, "/v1/b");
            let answer = answer.body(()).unwrap();
            let target = target(&vault, &from, &answer);
            assert_eq!(target.is_some(), follows, "{status}");
        }
    }
}
