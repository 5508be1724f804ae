//! Addresses: of the server, and of listeners.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use super::Read;
use crate::model::listener::HostPort;
use crate::model::vault::Address;

/// `http://…`, `https://…` or `unix://…`. Messages never repeat the text: it could hold a password.
pub(crate) fn vault(text: &str) -> Read<Address> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("has no scheme; write it as in \"https://vault.example:8200\"")?;
    match scheme.to_ascii_lowercase().as_str() {
        "https" => tcp(true, rest),
        "http" => tcp(false, rest),
        "unix" if rest.is_empty() => {
            Err("has no path; write it as in \"unix:///run/vault.sock\"".to_owned())
        }
        "unix" => Ok(Address::Unix(PathBuf::from(rest))),
        _ => Err("must begin with https://, http:// or unix://".to_owned()),
    }
}

fn tcp(tls: bool, rest: &str) -> Read<Address> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("must not hold a user or password".to_owned());
    }
    let visible = |b: u8| {
        b.is_ascii_graphic()
            && !matches!(
                b,
                b'?' | b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
            )
    };
    if !path.bytes().all(visible) {
        return Err("may have a path after the host, but no query, fragment or blank".to_owned());
    }
    let (host, port) = split(authority)?;
    let port = match port {
        Some(port) => port_number(port, 1)?,
        None if tls => 443,
        None => 80,
    };
    Ok(Address::Tcp {
        tls,
        at: HostPort {
            host: host_name(host)?,
            port,
        },
        prefix: path.trim_end_matches('/').to_owned(),
    })
}

pub(super) fn host_port(text: &str) -> Read<HostPort> {
    if text.contains("{{") {
        return Err(
            "is a go-sockaddr template, which is not supported; write host and port".to_owned(),
        );
    }
    if text.contains('/') {
        return Err("must be a host and a port, as in \"127.0.0.1:8200\"".to_owned());
    }
    let (host, port) = split(text)?;
    let port = port.ok_or("has no port; write it as in \"127.0.0.1:8200\"")?;
    if host.is_empty() {
        return Err(
            "names no interface; write \"127.0.0.1\" before the colon, or \"[::]\" for all of them"
                .to_owned(),
        );
    }
    Ok(HostPort {
        host: host_name(host)?,
        port: port_number(port, 0)?,
    })
}

/// Host without brackets, and port if there is one.
fn split(authority: &str) -> Read<(&str, Option<&str>)> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or("has `[` without `]`")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("has brackets around something that is not an IPv6 address".to_owned());
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("has something other than a port after `]`".to_owned()),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err("holds an IPv6 address without brackets; write it as in \"[::1]:8200\"".to_owned())
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn host_name(host: &str) -> Read<String> {
    if host.is_empty() {
        return Err("has no host".to_owned());
    }
    let is_ipv6 = host.parse::<Ipv6Addr>().is_ok();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let looks_like_ipv4 = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_like_ipv4 && host.parse::<Ipv4Addr>().is_err() {
        return Err("holds something that is almost an IPv4 address".to_owned());
    }
    if is_ipv6 || host.bytes().all(is_name) {
        Ok(host.to_owned())
    } else {
        Err("has a host with characters that no host name has".to_owned())
    }
}

fn port_number(port: &str, least: u16) -> Read<u16> {
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port >= least);
    port.ok_or_else(|| format!("must have a port from {least} to 65535"))
}
