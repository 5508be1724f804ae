//! What one side answered and asked, without what is never the same twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Response};
use keyside_harness::tap::Recorded;
use serde_json::Value;

use super::side::MARK;

/// Fields whose values the server makes up: they are told by their number within a case, so that a second sight of the
/// same one is seen as such.
const MADE_UP: &[&str] = &[
    "accessor",
    "ciphertext",
    "client_token",
    "entity_id",
    "id",
    "lease_id",
    "password",
    "request_id",
    "secret_id",
    "secret_id_accessor",
    "token",
    "username",
    "wrapped_accessor",
];
/// Fields that tell the time, or a version that both count up.
const TIMES: &[&str] = &[
    "created_time",
    "creation_time",
    "deletion_time",
    "expire_time",
    "issue_time",
    "last_renewal",
    "last_renewal_time",
    "lease_duration",
    "server_time_utc",
    "ttl",
    "updated_time",
    "version",
    "current_version",
];

/// Names for what was made up.
pub(super) struct Names {
    known: Vec<(String, String)>,
}

impl Names {
    pub(super) fn new<'a>(known: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            known: known
                .into_iter()
                .map(|(name, value)| (value.to_owned(), format!("<{name}>")))
                .collect(),
        }
    }

    /// Learns every value that the server made up in this JSON.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if MADE_UP.contains(&&**name) => self.name(name, text),
                        other => self.learn(other),
                    }
                }
            }
            _ => {}
        }
    }

    fn name(&mut self, kind: &str, text: &str) {
        if text.len() < 8 || self.known.iter().any(|(value, _)| value == text) {
            return;
        }
        let prefix = format!("<{kind} ");
        let count = self
            .known
            .iter()
            .filter(|(_, name)| name.starts_with(&prefix))
            .count();
        self.known
            .push((text.to_owned(), format!("{prefix}{}>", count + 1)));
    }

    pub(super) fn mask(&self, text: &str) -> String {
        self.known
            .iter()
            .fold(text.to_owned(), |text, (value, name)| {
                text.replace(value, name)
            })
    }

    fn mask_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(text)),
            Value::Array(items) => items.iter().map(|item| self.mask_json(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| {
                    let masked = match value {
                        Value::String(text) if TIMES.contains(&&**name) && !text.is_empty() => {
                            "<time>".into()
                        }
                        Value::Number(number)
                            if TIMES.contains(&&**name) && number.as_u64() != Some(0) =>
                        {
                            "<number>".into()
                        }
                        other => self.mask_json(other),
                    };
                    (name.clone(), masked)
                })
                .collect(),
            other => other.clone(),
        }
    }

    /// A body as it is compared.
    fn body(&self, body: &Bytes) -> String {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => self.mask_json(&value).to_string(),
            Err(_) => match std::str::from_utf8(body) {
                Ok(text) => self.mask(text),
                Err(_) => format!("{body:?}"),
            },
        }
    }
}

/// One step of one side.
pub(super) struct Seen {
    pub(super) answer: Answer,
    pub(super) received: Vec<Received>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
    pub(super) raw: Bytes,
}

/// A request as the server got it.
pub(super) struct Received {
    pub(super) line: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn read(answer: &Response<Bytes>, names: &mut Names) -> Self {
        let body = answer.body();
        if let Ok(value) = serde_json::from_slice(body) {
            names.learn(&value);
        }
        let mut headers = flat(answer.headers(), names);
        // The time of day; how long ago; and a length, which differs as what was made up does.
        for name in ["date", "age"] {
            headers
                .entry(name.to_owned())
                .and_modify(|value| "<time>".clone_into(value));
        }
        if !body.is_empty() {
            headers.remove("content-length");
        }
        Self {
            status: answer.status().as_u16(),
            headers,
            body: names.body(body),
            raw: body.clone(),
        }
    }
}

impl Received {
    pub(super) fn read(request: &Recorded, address: &str, names: &Names) -> Self {
        let mut headers = flat(&request.headers, names);
        headers.remove(MARK);
        let authority = address.trim_start_matches("https://");
        if headers.get("host").is_some_and(|host| host == authority) {
            headers.insert("host".to_owned(), "<the server>".to_owned());
        }
        if headers.contains_key("content-length") && !request.body.is_empty() {
            headers.insert("content-length".to_owned(), "<length>".to_owned());
        }
        Self {
            line: format!("{} {}", request.method, names.mask(&request.path)),
            headers,
            body: names.body(&request.body),
        }
    }
}

fn flat(headers: &HeaderMap, names: &Names) -> BTreeMap<String, String> {
    let mut flat: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = names.mask(&String::from_utf8_lossy(value.as_bytes()));
        flat.entry(name.to_string())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(&value);
            })
            .or_insert(value);
    }
    flat
}
