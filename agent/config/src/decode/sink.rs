//! `sink` blocks.

use super::{Draft, kind};
use crate::block::{self, Block, Body};
use crate::check::{Bound, Socket};
use crate::model::Mode;
use crate::model::auto_auth::{Aad, Encryption, FileSink, Sink, SocketSink};
use crate::node::{Field, Node, Value};
use crate::peer::Kind;
use crate::report::{Found, Report};
use crate::scalar;

pub(crate) const SINKS: &[&str] = &["file", "socket"];
const OTHER_SINKS: &[&str] = &["inmem"];

/// `sink` blocks, also those inside `sinks { … }`.
pub(super) fn sinks(
    report: &mut Report,
    auto_auth: &mut Block<'_>,
    draft: &mut Draft,
) -> Vec<Sink> {
    let path = auto_auth.path_of("sink");
    let mut fields = auto_auth.take("sink");
    for outer in auto_auth.take("sinks") {
        let outer_path = auto_auth.path_of("sinks");
        for body in block::bodies_of(report, &outer_path, outer, &[]) {
            let mut inner = Block::new(Kind::Sinks, outer_path.clone(), body.at, body.fields);
            fields.extend(inner.take("sink"));
            inner.finish(report);
        }
    }
    let bodies = fields
        .into_iter()
        .flat_map(|field| bodies_of_sink(report, &path, field));
    let bodies: Vec<_> = bodies.collect();
    draft.wrote_sink = !bodies.is_empty();
    let sinks = bodies
        .into_iter()
        .filter_map(|body| sink(report, &path, body, draft));
    sinks.collect()
}

fn bodies_of_sink<'a>(report: &mut Report, path: &str, field: &'a Field) -> Vec<Body<'a>> {
    let types = [SINKS, OTHER_SINKS].concat();
    block::bodies_of(report, path, field, &types)
}

fn sink(report: &mut Report, path: &str, body: Body<'_>, draft: &mut Draft) -> Option<Sink> {
    let type_path = format!("{path}.type");
    let of = match kind::type_of(report, path, &body) {
        None => {
            let what = "is missing; write \"file\" or \"socket\"";
            report.wrong(body.at, type_path, what);
            return None;
        }
        Some(kind) if kind.text == "file" => Kind::FileSink,
        Some(kind) if kind.text == "socket" => Kind::SocketSink,
        Some(kind) => {
            let what = format!(
                "{} is not supported; write \"file\" or \"socket\"",
                scalar::quote(kind.text)
            );
            report.wrong(kind.at, type_path, what);
            return None;
        }
    };
    let mut block = Block::new(Kind::Sink, path.to_owned(), body.at, body.fields);
    let _type = block.take("type");
    let config_path = block.path_of("config");
    let config = block.single(report, "config", of);
    let config = config.unwrap_or_else(|| Block::new(of, config_path, body.at, Vec::new()));
    let sink = if of == Kind::SocketSink {
        file_only(report, &mut block);
        socket_sink(report, config, draft).map(Sink::Socket)
    } else {
        let wrap_ttl = block.value(report, "wrap_ttl", scalar::duration);
        let encryption = encryption(report, &mut block);
        file_sink(report, config, draft).map(|sink| {
            Sink::File(FileSink {
                wrap_ttl: wrap_ttl.map(|found| found.value),
                encryption,
                ..sink
            })
        })
    };
    block.finish(report);
    sink
}

/// A socket's clients are told the token itself.
fn file_only(report: &mut Report, sink: &mut Block<'_>) {
    for key in [
        "aad",
        "aad_env_var",
        "derive_key",
        "dh_path",
        "dh_type",
        "wrap_ttl",
    ] {
        for field in sink.take(key) {
            let what = "is for a sink of type \"file\" only";
            report.wrong(field.key.at, sink.path_of(key), what);
        }
    }
}

/// The keys of the Diffie–Hellman exchange: all that make sense together, or none.
fn encryption(report: &mut Report, sink: &mut Block<'_>) -> Option<Encryption> {
    let kind = sink.value(report, "dh_type", dh_type);
    let path = sink.text(report, "dh_path").map(Found::into_path);
    let derive = sink.value(report, "derive_key", scalar::flag);
    let derive = derive.filter(|found| found.value);
    let aad = sink.text(report, "aad");
    let variable = sink.text(report, "aad_env_var");
    if let (Some(_), Some(second)) = (&aad, &variable) {
        let what = "says the same as `aad`; write one of them";
        report.wrong_at(&second.origin, what);
    }
    if let (Some(_), Some(path)) = (&kind, &path) {
        let text = aad.map(|found| Aad::Text(found.value));
        return Some(Encryption {
            dh_path: path.value.clone(),
            derive_key: derive.is_some(),
            aad: text.or_else(|| variable.map(|found| Aad::Variable(found.value))),
        });
    }
    match (&kind, &path) {
        (Some(kind), _) if !sink.wrote("dh_path") => {
            report.wrong_at(&kind.origin, "needs `dh_path` beside it");
        }
        (_, Some(path)) if !sink.wrote("dh_type") => {
            let what = "needs `dh_type` beside it; write `dh_type = \"curve25519\"`";
            report.wrong_at(&path.origin, what);
        }
        _ if sink.wrote("dh_type") || sink.wrote("dh_path") => {}
        _ => {
            let derive = derive.map(|found| found.origin);
            let aads = [aad, variable].into_iter().flatten();
            for origin in derive.into_iter().chain(aads.map(|found| found.origin)) {
                let what = "has no effect without `dh_type` and `dh_path`";
                report.wrong_at(&origin, what);
            }
        }
    }
    None
}

fn dh_type(node: &Node) -> scalar::Read<()> {
    match scalar::text(node)?.as_str() {
        "curve25519" => Ok(()),
        other => {
            let other = scalar::quote(other);
            Err(format!("{other} is not supported; write \"curve25519\""))
        }
    }
}

fn file_sink(report: &mut Report, mut config: Block<'_>, draft: &mut Draft) -> Option<FileSink> {
    let path = config.required(report, "path").map(Found::into_path);
    let mode = config.value(report, "mode", scalar::mode);
    let owner = name(report, &mut config, "owner", "uid");
    let group = name(report, &mut config, "group", "gid");
    config.finish(report);
    let path = path?;
    draft.sink_paths.push(path.clone());
    Some(FileSink {
        path: path.value,
        mode: mode.map_or(Mode(0o640), |found| found.value),
        owner,
        group,
        wrap_ttl: None,
        encryption: None,
    })
}

fn socket_sink(
    report: &mut Report,
    mut config: Block<'_>,
    draft: &mut Draft,
) -> Option<SocketSink> {
    let path = config.required(report, "path").map(Found::into_path);
    let mode = config.value(report, "mode", scalar::mode);
    let owner = name(report, &mut config, "owner", "uid");
    let group = name(report, &mut config, "group", "gid");
    config.finish(report);
    let path = path?;
    draft.bound.push(Bound {
        socket: Socket::Unix(path.value.clone()),
        origin: path.origin,
    });
    Some(SocketSink {
        path: path.value,
        mode: mode.map_or(Mode(0o660), |found| found.value),
        owner,
        group,
    })
}

/// A user or group under Vault Agent's key or OpenBao's.
fn name(
    report: &mut Report,
    block: &mut Block<'_>,
    key: &'static str,
    other: &'static str,
) -> Option<String> {
    let first = block.value(report, key, scalar::name_or_id);
    // OpenBao's default, which means "leave it".
    let id = |node: &Node| match node.value {
        Value::Integer(-1) => Ok(String::new()),
        _ => scalar::name_or_id(node),
    };
    let second = block.value(report, other, id);
    if let (Some(_), Some(second)) = (&first, &second) {
        report.wrong_at(
            &second.origin,
            format!("says the same as `{key}`; write one of them"),
        );
    }
    let found = first.or(second).map(|found| found.value);
    found.filter(|name| !name.is_empty())
}
