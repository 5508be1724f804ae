//! Configurations around one block: the least that is good, and what it comes to.

use serde_json::{Map, Value, json};

use super::{Absent, Row, Takes, rows};
use crate::decode::{auto_auth, listener, login, resume, sink};
use crate::load::{Flags, Loaded, load_with_notes};
use crate::mistake::Mistakes;
use crate::peer::Kind;
use crate::source::{Source, Syntax};

pub(super) type Block = Map<String, Value>;

/// The types of this kind of block; one empty one where it has none.
pub(super) fn types(kind: Kind) -> Vec<&'static str> {
    let methods = || auto_auth::METHODS.iter().copied();
    match kind {
        Kind::Method => methods().collect(),
        Kind::Sink => sink::SINKS.to_vec(),
        Kind::Listener => listener::TYPES.to_vec(),
        Kind::FileSink => vec!["file"],
        Kind::SocketSink => vec!["socket"],
        Kind::Persist => vec![resume::KUBERNETES],
        _ => {
            let of: Vec<_> = methods()
                .filter(|method| login::kind_of(method) == kind)
                .collect();
            if of.is_empty() { vec![""] } else { of }
        }
    }
}

/// The kind of block that the `config` of such a block is.
pub(super) fn config_of(kind: Kind, of: &str) -> Kind {
    match (kind, of) {
        (Kind::Method, _) => login::kind_of(of),
        (_, "file") => Kind::FileSink,
        _ => Kind::SocketSink,
    }
}

/// The least that a block must say.
pub(super) fn least(kind: Kind, of: &str) -> Block {
    let mut block = Block::new();
    for row in rows::of(kind).filter(|row| row.is_for(of)) {
        match row.takes {
            Takes::Type => drop(block.insert(row.key.to_owned(), of.into())),
            Takes::Config => {
                let config = least(config_of(kind, of), of);
                block.insert(row.key.to_owned(), config.into());
            }
            Takes::Block(inner) if row.absent == Absent::Required => {
                let of = if inner == Kind::Method {
                    "kubernetes"
                } else {
                    ""
                };
                block.insert(row.key.to_owned(), least(inner, of).into());
            }
            _ if row.absent == Absent::Required => {
                block.insert(row.key.to_owned(), example(row));
            }
            _ => {}
        }
    }
    block
}

pub(super) fn example(row: &Row) -> Value {
    serde_json::from_str(row.example).unwrap_or_default()
}

/// A configuration with that block in its place, and with what makes it good around it.
pub(super) fn whole(kind: Kind, of: &str, block: Block) -> Value {
    let method = if is_login(kind) { of } else { "kubernetes" };
    let is_sink = matches!(kind, Kind::FileSink | Kind::SocketSink);
    let sink = if is_sink { of } else { "file" };
    let mut whole = json!({
        "vault": { "address": "https://frame:8200" },
        "listener": [{ "type": "tcp", "address": "127.0.0.1:8101", "tls_disable": true }],
        "auto_auth": {
            "method": { "type": method, "config": { "role": "frame" } },
            "sink": [{ "type": sink, "config": { "path": "/frame" } }],
        },
    });
    if matches!(kind, Kind::Persist | Kind::StaticSecrets) {
        put(&mut whole, "/cache", json!({}));
    }
    if matches!(kind, Kind::Top | Kind::AutoAuth) {
        // The blocks beside it are needed.
        let outer = whole
            .pointer_mut(place(kind))
            .and_then(Value::as_object_mut);
        if let Some(outer) = outer {
            outer.extend(block);
        }
    } else {
        put(&mut whole, place(kind), block.into());
    }
    whole
}

fn put(whole: &mut Value, place: &str, block: Value) {
    if let Some(slot) = whole.pointer_mut(place) {
        *slot = block;
    } else if let Some((parent, key)) = place.rsplit_once('/')
        && let Some(Value::Object(parent)) = whole.pointer_mut(parent)
    {
        parent.insert(key.to_owned(), block);
    }
}

/// Whether it is the `config` of a method.
pub(super) fn is_login(kind: Kind) -> bool {
    let mut methods = auto_auth::METHODS.iter();
    methods.any(|method| login::kind_of(method) == kind)
}

/// Where such a block is in the whole, as a JSON pointer.
pub(super) fn place(kind: Kind) -> &'static str {
    match kind {
        Kind::Top => "",
        Kind::Vault => "/vault",
        Kind::AutoAuth => "/auto_auth",
        Kind::Method => "/auto_auth/method",
        Kind::Sinks => "/auto_auth/sinks",
        Kind::Sink => "/auto_auth/sink/0",
        Kind::FileSink | Kind::SocketSink => "/auto_auth/sink/0/config",
        Kind::Cache => "/cache",
        Kind::ApiProxy => "/api_proxy",
        Kind::Listener => "/listener/0",
        Kind::AgentApi => "/listener/0/agent_api",
        Kind::Limits => "/limits",
        Kind::Admin => "/admin",
        Kind::Resume => "/resume",
        Kind::Persist => "/cache/persist",
        Kind::StaticSecrets => "/cache/static_secrets",
        _ => "/auto_auth/method/config",
    }
}

/// A key of such a block as messages name it.
pub(super) fn field(kind: Kind, key: &str) -> String {
    let place = format!("{}/{key}", place(kind)).replace("/0/", "/");
    place.trim_start_matches('/').replace('/', ".")
}

pub(super) fn read(whole: &Value) -> Result<Loaded, Mistakes> {
    let source = Source {
        name: "frame".to_owned(),
        syntax: Syntax::Json,
        text: whole.to_string(),
    };
    load_with_notes(&[source], &|_| None, &Flags::default())
}

/// What a configuration with that block comes to.
pub(super) fn effective(kind: Kind, of: &str, block: Block) -> Result<Value, Mistakes> {
    let loaded = read(&whole(kind, of, block))?;
    Ok(serde_json::from_str(&loaded.config.to_json()).unwrap_or_default())
}

/// What is printed for a key that is left out.
pub(super) fn default(row: &Row, of: &str) -> Option<Value> {
    let effective = effective(row.kind, of, least(row.kind, of)).ok()?;
    let place = format!("{}/{}", place(row.kind), row.key);
    effective.pointer(&place).cloned()
}
