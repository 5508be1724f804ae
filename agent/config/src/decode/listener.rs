//! `listener` blocks.

use super::{Draft, kind};
use crate::block::{self, Block, Body};
use crate::check::{Bound, Socket};
use crate::model::Mode;
use crate::model::listener::{Bind, HostPort, Listener, Role};
use crate::node::{Node, Value};
use crate::peer::Kind;
use crate::report::{Found, Report};
use crate::scalar::{self, Read};

mod tls;

pub(crate) const TYPES: &[&str] = &["tcp", "unix"];

/// How many connections a listener has open at once unless it says otherwise.
const MAX_CONNECTIONS: u64 = 1024;

pub(super) fn listeners(report: &mut Report, top: &mut Block<'_>, draft: &mut Draft) {
    for field in top.take("listener") {
        for body in block::bodies_of(report, "listener", field, TYPES) {
            draft.wrote_listener = true;
            let listener = listener(report, body, draft);
            draft.config.listeners.extend(listener);
        }
    }
}

fn listener(report: &mut Report, body: Body<'_>, draft: &mut Draft) -> Option<Listener> {
    let kind = kind::type_of(report, "listener", &body);
    let mut block = Block::new(Kind::Listener, "listener".to_owned(), body.at, body.fields);
    let type_path = block.path_of("type");
    let Some(kind) = kind else {
        report.wrong(
            block.at(),
            type_path,
            "is missing; write \"tcp\" or \"unix\"",
        );
        return None;
    };
    let _type = block.take("type");
    let bind = match kind.text.to_ascii_lowercase().as_str() {
        "tcp" => tcp(report, &mut block),
        "unix" => unix(report, &mut block),
        _ => {
            let what = format!(
                "{} is not known; write tcp or unix",
                scalar::quote(kind.text)
            );
            report.wrong(kind.at, type_path, what);
            return None;
        }
    };
    let by_name = kind.text.eq_ignore_ascii_case("tcp");
    let (plain, tls) = tls::tls(report, &mut block, by_name);
    let quits = ["agent_api", "proxy_api"].map(|key| quits(report, &mut block, key));
    let role = block.value(report, "role", role);
    let header = block.flag(report, "require_request_header");
    let hosts = block.value(report, "allowed_hosts", allowed_hosts);
    let forwarded = block.flag(report, "allow_forwarded");
    let connections = block.value(report, "max_connections", |node| {
        scalar::count(node, 1, 1 << 20)
    });
    let connections = connections.map_or(MAX_CONNECTIONS, |found| found.value);
    block.finish(report);
    let (bind, bound) = bind?;
    draft.bound.push(bound);
    Some(Listener {
        bind,
        plain,
        tls,
        role: role.map(|found| found.value).unwrap_or_default(),
        require_request_header: header.unwrap_or_default(),
        allowed_hosts: hosts.map(|found| found.value).unwrap_or_default(),
        allow_forwarded: forwarded.unwrap_or_default(),
        enable_quit: quits.contains(&true),
        max_connections: usize::try_from(connections).unwrap_or(usize::MAX),
    })
}

fn tcp(report: &mut Report, block: &mut Block<'_>) -> Option<(Bind, Bound)> {
    let is_written = block.wrote("address");
    let found = block.value(report, "address", |node| {
        scalar::host_port(&scalar::text(node)?)
    });
    if is_written && found.is_none() {
        return None;
    }
    let origin = report.origin(block.at(), block.path_of("address"));
    let found = found.unwrap_or(Found {
        value: local(),
        origin,
    });
    let bound = Bound {
        socket: Socket::Tcp(found.value.clone()),
        origin: found.origin,
    };
    Some((Bind::Tcp(found.value), bound))
}

/// `agent_api` of Vault Agent, `proxy_api` of Vault Proxy.
fn quits(report: &mut Report, block: &mut Block<'_>, key: &'static str) -> bool {
    let Some(mut api) = block.single(report, key, Kind::AgentApi) else {
        return false;
    };
    let quit = api.flag(report, "enable_quit").unwrap_or_default();
    api.finish(report);
    quit
}

/// As in Vault Agent.
fn local() -> HostPort {
    HostPort {
        host: "127.0.0.1".to_owned(),
        port: 8200,
    }
}

fn unix(report: &mut Report, block: &mut Block<'_>) -> Option<(Bind, Bound)> {
    let path = block.required(report, "address").map(Found::into_path);
    let mode = block.value(report, "socket_mode", socket_mode);
    let user = block.value(report, "socket_user", scalar::name_or_id);
    let group = block.value(report, "socket_group", scalar::name_or_id);
    let path = path?;
    let bound = Bound {
        socket: Socket::Unix(path.value.clone()),
        origin: path.origin,
    };
    let name = |found: Option<Found<String>>| {
        let name = found.map(|found| found.value);
        name.filter(|name| !name.is_empty())
    };
    let bind = Bind::Unix {
        path: path.value,
        mode: mode.and_then(|found| found.value),
        user: name(user),
        group: name(group),
    };
    Some((bind, bound))
}

fn socket_mode(node: &Node) -> Read<Option<Mode>> {
    match &node.value {
        Value::Text(text) if text.is_empty() => Ok(None),
        _ => scalar::mode(node).map(Some),
    }
}

fn role(node: &Node) -> Read<Role> {
    match scalar::text(node)?.as_str() {
        "" | "default" => Ok(Role::Default),
        "metrics_only" => Ok(Role::MetricsOnly),
        other => Err(format!(
            "{} is not a role; write default or metrics_only",
            scalar::quote(other)
        )),
    }
}

fn allowed_hosts(node: &Node) -> Read<Vec<String>> {
    let hosts = scalar::texts(node)?;
    if hosts.iter().any(String::is_empty) {
        return Err("must not hold an empty name".to_owned());
    }
    Ok(hosts)
}
