//! What no block can tell alone: combinations that cannot work.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::decode::Draft;
use crate::model::AttachToken;
use crate::model::auto_auth::{FileSink, Sink};
use crate::model::listener::HostPort;
use crate::model::vault::Address;
use crate::report::{Found, Origin, Report};

#[cfg(test)]
mod tests;

/// A socket that the agent will bind, and where that was written.
pub(crate) struct Bound {
    pub(crate) socket: Socket,
    pub(crate) origin: Origin,
}

#[derive(PartialEq)]
pub(crate) enum Socket {
    Tcp(HostPort),
    Unix(PathBuf),
}

pub(crate) fn check(report: &mut Report, draft: &Draft) {
    something_to_do(report, draft);
    token_is_used(report, draft);
    token_comes_from_somewhere(report, draft);
    wrapped_login_is_for_one_file(report, draft);
    somebody_can_ask(report, draft);
    sockets_are_distinct(report, draft);
    sinks_are_distinct(report, draft);
    upstream_is_somebody_else(report, draft);
}

fn something_to_do(report: &mut Report, draft: &Draft) {
    let has_block = draft.auto_auth.is_some() || draft.cache.is_some() || draft.wrote_listener;
    if !has_block {
        report.wrong_overall("there is nothing to do: write an `auto_auth` or a `listener` block");
    }
}

/// Every written `use_auto_auth_token` that is not `false`.
fn attaching(draft: &Draft) -> impl Iterator<Item = &Found<AttachToken>> {
    let attach = [&draft.cache_attach, &draft.proxy_attach];
    let written = attach.into_iter().flatten();
    written.filter(|found| found.value != AttachToken::Never)
}

fn token_is_used(report: &mut Report, draft: &Draft) {
    let is_attached = attaching(draft).next().is_some();
    if let Some(at) = draft.auto_auth
        && !draft.wrote_sink
        && !is_attached
    {
        let what = "nobody gets the token: write a `sink` block, or `use_auto_auth_token = true` in `api_proxy`";
        report.wrong(at, "auto_auth", what);
    }
}

fn token_comes_from_somewhere(report: &mut Report, draft: &Draft) {
    if draft.auto_auth.is_none() {
        for found in attaching(draft) {
            report.wrong_at(
                &found.origin,
                "there is no token to use: write an `auto_auth` block",
            );
        }
    }
    if let (Some(found), Some(_)) = (&draft.cache_attach, &draft.proxy_attach) {
        report.wrong_at(&found.origin, "is also in `api_proxy`; leave it out here");
    }
}

/// Whoever unwraps the token has it alone: the agent never sees it.
fn wrapped_login_is_for_one_file(report: &mut Report, draft: &Draft) {
    let (Some(found), Some(auto_auth)) = (&draft.wrap_ttl, &draft.config.auto_auth) else {
        return;
    };
    match auto_auth.sinks.as_slice() {
        [Sink::File(FileSink { wrap_ttl: None, .. })] => {}
        [Sink::File(_)] => {
            let what = "is also in the sink; wrap in one place";
            report.wrong_at(&found.origin, what);
        }
        _ => {
            let what = "needs exactly one `sink`, of type \"file\": a wrapping token opens once";
            report.wrong_at(&found.origin, what);
        }
    }
    for attach in attaching(draft) {
        let what = "there is no token to use: `auto_auth.method.wrap_ttl` hides it from the agent";
        report.wrong_at(&attach.origin, what);
    }
}

fn somebody_can_ask(report: &mut Report, draft: &Draft) {
    if draft.wrote_listener {
        return;
    }
    for (block, at) in [("cache", draft.cache), ("api_proxy", draft.api_proxy)] {
        if let Some(at) = at {
            report.wrong(at, block, "nobody can reach it: write a `listener` block");
        }
    }
}

fn sockets_are_distinct(report: &mut Report, draft: &Draft) {
    for (index, later) in draft.bound.iter().enumerate() {
        let mut earlier = draft.bound.iter().take(index);
        if let Some(earlier) = earlier.find(|earlier| earlier.socket.collides(&later.socket)) {
            let what = format!(
                "is already taken by `{}` at {}",
                earlier.origin.field, earlier.origin.place
            );
            report.wrong_at(&later.origin, what);
        }
    }
}

fn sinks_are_distinct(report: &mut Report, draft: &Draft) {
    for sink in &draft.sink_paths {
        let socket = Socket::Unix(sink.value.clone());
        if let Some(bound) = draft.bound.iter().find(|bound| bound.socket == socket) {
            let what = format!(
                "is also the socket `{}` at {}",
                bound.origin.field, bound.origin.place
            );
            report.wrong_at(&sink.origin, what);
        }
    }
    for (index, later) in draft.sink_paths.iter().enumerate() {
        let mut earlier = draft.sink_paths.iter().take(index);
        if let Some(earlier) = earlier.find(|earlier| earlier.value == later.value) {
            let what = format!(
                "is already the path of the sink at {}",
                earlier.origin.place
            );
            report.wrong_at(&later.origin, what);
        }
    }
}

fn upstream_is_somebody_else(report: &mut Report, draft: &Draft) {
    let (upstream, written) = match &draft.vault.address {
        Some(found) => (found.value.clone(), Some(&found.origin)),
        None => (Address::default(), None),
    };
    let socket = match upstream {
        Address::Tcp { at, .. } => Socket::Tcp(at),
        Address::Unix(path) => Socket::Unix(path),
    };
    let Some(own) = draft
        .bound
        .iter()
        .find(|bound| bound.socket.collides(&socket))
    else {
        return;
    };
    if let Some(origin) = written {
        let own = &own.origin;
        let what = format!(
            "is the agent's own `{}` at {}; write the server's address",
            own.field, own.place
        );
        report.wrong_at(origin, what);
    } else {
        let what = "is also where the server is looked for: write `vault.address`, or another address here";
        report.wrong_at(&own.origin, what);
    }
}

impl Socket {
    /// Whether both cannot be bound, or a connection to the one could reach the other.
    fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                a.port == b.port && a.port != 0 && hosts_collide(&a.host, &b.host)
            }
            _ => self == other,
        }
    }
}

/// `0.0.0.0` holds IPv4's loopback, `[::]` both; whether they hold another address only the host knows.
fn hosts_collide(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    let (a, b) = (addresses(a), addresses(b));
    a.iter()
        .any(|a| b.iter().any(|b| a == b || holds(*a, *b) || holds(*b, *a)))
}

fn holds(wildcard: IpAddr, address: IpAddr) -> bool {
    let is_near = address.is_loopback() || address.is_unspecified();
    wildcard.is_unspecified() && is_near && (wildcard.is_ipv6() || address.is_ipv4())
}

fn addresses(host: &str) -> Vec<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
    }
    host.parse().into_iter().collect()
}
