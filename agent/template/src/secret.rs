//! Vault's answers as the structs that consul-template gives to templates.

use std::rc::Rc;

use crate::dependency::Dependency;
use crate::error::Fault;
use crate::json;
use crate::value::{Entries, Of, Record, Value};

/// What a dependency's answer is to the template.
pub(crate) fn read(dependency: &Dependency, answer: &[u8]) -> Result<Value, Fault> {
    if let Dependency::File { .. } = dependency {
        return Ok(Value::text(answer));
    }
    let body = json::read(answer, true)
        .ok()
        .and_then(|body| match body {
            Value::Map(map) => Some(map.entries.take()),
            _ => None,
        })
        .ok_or("the answer of Vault is no JSON object")?;
    match dependency {
        Dependency::List { .. } => Ok(keys(&body)),
        Dependency::Certificate { .. } => certificate(&body),
        _ => Ok(secret(&body)),
    }
}

fn secret(body: &Entries) -> Value {
    let auth = section(body, "auth", "*dependency.SecretAuth", |auth| {
        vec![
            ("ClientToken", text(auth, "client_token")),
            ("Accessor", text(auth, "accessor")),
            ("Policies", texts(auth, "policies")),
            ("Metadata", metadata(auth)),
            ("LeaseDuration", whole(auth, "lease_duration")),
            ("Renewable", flag(auth, "renewable")),
        ]
    });
    let wrap = section(body, "wrap_info", "*dependency.SecretWrapInfo", |wrap| {
        vec![
            ("Token", text(wrap, "token")),
            ("TTL", whole(wrap, "ttl")),
            ("CreationTime", text(wrap, "creation_time")),
            ("WrappedAccessor", text(wrap, "wrapped_accessor")),
        ]
    });
    let data = match get(body, "data") {
        Some(Value::Map(map)) => Value::Map(Rc::clone(map)),
        _ => Value::no_map(),
    };
    record(
        "*dependency.Secret",
        vec![
            ("RequestID", text(body, "request_id")),
            ("LeaseID", text(body, "lease_id")),
            ("LeaseDuration", whole(body, "lease_duration")),
            ("Renewable", flag(body, "renewable")),
            ("Data", data),
            ("Warnings", texts(body, "warnings")),
            ("Auth", auth),
            ("WrapInfo", wrap),
        ],
    )
}

/// A certificate with its key and the one that signed it.
fn certificate(body: &Entries) -> Result<Value, Fault> {
    let Some(Value::Map(data)) = get(body, "data") else {
        return Err("the answer of Vault has no certificate".into());
    };
    let data = data.entries.borrow();
    // Each ends with a line end, which Vault leaves out.
    let part = |name: &str| {
        let mut pem = match get(&data, name) {
            Some(Value::Text(text)) => text.to_vec(),
            _ => Vec::new(),
        };
        if !pem.is_empty() && !pem.ends_with(b"\n") {
            pem.push(b'\n');
        }
        Value::text(pem)
    };
    Ok(record(
        CERTIFICATE,
        vec![
            ("Cert", part("certificate")),
            ("Key", part("private_key")),
            ("CA", part("issuing_ca")),
        ],
    ))
}

/// What `pkiCert` gives; its `.Data` is itself.
pub(crate) const CERTIFICATE: &str = "dependency.PemEncoded";

fn keys(body: &Entries) -> Value {
    let Some(Value::Map(data)) = get(body, "data") else {
        return Value::no_list(Of::Text);
    };
    texts(&data.entries.borrow(), "keys")
}

fn section(
    body: &Entries,
    key: &str,
    name: &'static str,
    fields: impl Fn(&Entries) -> Vec<(&'static str, Value)>,
) -> Value {
    match get(body, key) {
        Some(Value::Map(map)) => record(name, fields(&map.entries.borrow())),
        _ => Value::NoRecord(name),
    }
}

fn record(name: &'static str, fields: Vec<(&'static str, Value)>) -> Value {
    Value::Record(Rc::new(Record { name, fields }))
}

fn get<'a>(entries: &'a Entries, key: &str) -> Option<&'a Value> {
    entries.get(key.as_bytes())
}

fn text(entries: &Entries, key: &str) -> Value {
    match get(entries, key) {
        Some(text @ Value::Text(_)) => text.clone(),
        _ => Value::text(""),
    }
}

fn whole(entries: &Entries, key: &str) -> Value {
    let number = get(entries, key).and_then(Value::bytes);
    let number = number.and_then(|number| std::str::from_utf8(number).ok());
    Value::Int(number.and_then(|number| number.parse().ok()).unwrap_or(0))
}

fn flag(entries: &Entries, key: &str) -> Value {
    Value::Bool(matches!(get(entries, key), Some(Value::Bool(true))))
}

fn texts(entries: &Entries, key: &str) -> Value {
    let Some(Value::List(list)) = get(entries, key) else {
        return Value::no_list(Of::Text);
    };
    Value::texts(list.items.iter().filter_map(Value::bytes))
}

fn metadata(auth: &Entries) -> Value {
    let mut texts = Entries::new();
    if let Some(Value::Map(map)) = get(auth, "metadata") {
        for (key, value) in map.entries.borrow().iter() {
            if let Some(text) = value.bytes() {
                texts.insert(Rc::clone(key), Value::text(text));
            }
        }
    }
    let made = Value::map_of(Of::Text, texts);
    made.unwrap_or_else(|_too_deep| Value::no_map())
}
