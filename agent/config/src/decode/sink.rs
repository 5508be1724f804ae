//! `sink` blocks.

use super::{Draft, kind};
use crate::block::{self, Block, Body};
use crate::check::{Bound, Socket};
use crate::model::Mode;
use crate::model::auto_auth::{FileSink, Sink, SocketSink};
use crate::node::{Field, Node, Value};
use crate::peer::Kind;
use crate::report::{Found, Report};
use crate::scalar;

const SINKS: &[&str] = &["file", "socket"];
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
    let sink = match of {
        Kind::SocketSink => socket_sink(report, config, draft).map(Sink::Socket),
        _ => file_sink(report, config, draft).map(Sink::File),
    };
    block.finish(report);
    sink
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
