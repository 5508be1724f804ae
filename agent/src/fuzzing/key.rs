//! Keys: equal requests in different spellings have one, unequal ones never do.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::cache::identity::{Identity, TokenId};
use crate::cache::json;
use crate::cache::key::{Key, Parts};

/// Two requests with a zero byte between them: six lines (identity, method, place, query, `X-Vault-Policy-Override`,
/// `Content-Type`), then the body.
pub fn key(data: &[u8]) {
    let mut requests = data.splitn(2, |byte| *byte == 0).map(Request::read);
    let (one, other) = (requests.next().flatten(), requests.next().flatten());
    for request in [&one, &other].into_iter().flatten() {
        let written = request.parts().written();
        assert_eq!(
            Plain::read(&written).as_ref(),
            Some(&request.plain()),
            "what was framed is read back"
        );
        let respelt = request.respelt();
        assert_eq!(
            Key::of(&request.parts()),
            Key::of(&respelt.parts()),
            "{request:?} {respelt:?}"
        );
    }
    if let Some((one, other)) = one.zip(other) {
        let equal = one.plain() == other.plain();
        assert_eq!(Key::of(&one.parts()) == Key::of(&other.parts()), equal);
        if let Some((a, b)) = one.exact_json().zip(other.exact_json()) {
            let forms = (json::canonical(&one.body), json::canonical(&other.body));
            assert_eq!(a == b, forms.0 == forms.1, "{one:?} {other:?}");
        }
    }
}

#[derive(Clone, Debug)]
struct Request {
    identity: Identity,
    method: Method,
    place: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// What a request's key is made of, as it is read back from the bytes that are hashed.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    who: Vec<Vec<u8>>,
    method: Vec<u8>,
    place: Vec<u8>,
    query: Vec<Vec<u8>>,
    headers: Vec<Vec<u8>>,
    kind: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    fn read(data: &[u8]) -> Option<Self> {
        let mut lines = data.splitn(7, |byte| *byte == b'\n');
        let mut text = || std::str::from_utf8(lines.next()?).ok();
        let identity = match text()? {
            "auto-auth" => Identity::AutoAuth,
            "" => Identity::Nobody,
            token => Identity::Token(TokenId::of(token)),
        };
        let method = Method::from_bytes(text()?.as_bytes()).ok()?;
        let place = text()?.to_owned();
        let query = Some(text()?).filter(|query| !query.is_empty());
        let query = query.map(str::to_owned);
        let mut headers = HeaderMap::new();
        for name in ["x-vault-policy-override", CONTENT_TYPE.as_str()] {
            for value in text()?.split('|').filter(|value| !value.is_empty()) {
                headers.append(name, HeaderValue::from_str(value).ok()?);
            }
        }
        let body = lines.next()?.to_vec();
        Some(Self {
            identity,
            method,
            place,
            query,
            headers,
            body,
        })
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            identity: self.identity,
            method: &self.method,
            place: &self.place,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    fn plain(&self) -> Plain {
        let who = match self.identity {
            Identity::AutoAuth => vec![b"auto-auth".to_vec()],
            Identity::Nobody => vec![b"nobody".to_vec()],
            Identity::Token(token) => vec![b"token".to_vec(), token.bytes().to_vec()],
        };
        let query = normal(self.query.as_deref().unwrap_or_default());
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let mut pairs: Vec<_> = pairs.map(|pair| pair.as_bytes().to_vec()).collect();
        pairs.sort_by_key(|pair| pair.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec));
        let headers = self.headers.get_all("x-vault-policy-override").iter();
        let canonical = json::canonical(&self.body).filter(|_| !self.is_form());
        let kind = match (&canonical, self.is_form()) {
            (Some(_), _) => "json",
            (None, true) => "form",
            (None, false) => "bytes",
        };
        Plain {
            who,
            method: self.method.as_str().as_bytes().to_vec(),
            place: self.place.as_bytes().to_vec(),
            query: pairs,
            headers: headers.map(|value| value.as_bytes().to_vec()).collect(),
            kind: kind.as_bytes().to_vec(),
            body: canonical.map_or_else(|| self.body.clone(), String::into_bytes),
        }
    }

    fn is_form(&self) -> bool {
        self.headers.get(CONTENT_TYPE).is_some_and(|kind| {
            let form = "application/x-www-form-urlencoded";
            let kind = kind.as_bytes().to_ascii_lowercase();
            kind.starts_with(form.as_bytes())
        })
    }

    /// The body's value, where another spelling of it says exactly the same.
    fn exact_json(&self) -> Option<Value> {
        let value: Value = serde_json::from_slice(&self.body).ok()?;
        (!self.is_form() && is_exact(&value) && json::canonical(&self.body).is_some())
            .then_some(value)
    }

    /// The same request as another client may send it.
    fn respelt(&self) -> Self {
        let mut other = self.clone();
        other.headers.append("x-request-id", HeaderValue::from(7));
        other.headers.append("user-agent", HeaderValue::from(8));
        if let Some(value) = self.exact_json() {
            other.body = serde_json::to_vec_pretty(&value).unwrap_or_default();
        }
        if let Some(query) = &self.query {
            let whole = normal(query);
            let name = |pair: &&str| pair.split('=').next().map(str::to_owned);
            let mut pairs: Vec<&str> = whole.split('&').collect();
            pairs.sort_by_key(|pair| std::cmp::Reverse(name(pair)));
            let spelt = pairs.join("&&");
            other.query = Some(if escapes(query).is_some() {
                escaped(&spelt)
            } else {
                spelt
            });
        }
        other
    }
}

impl Plain {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let name = frame(from)?;
        let mut who = vec![name.clone()];
        if name == b"token" {
            who.push(frame(from)?);
        }
        let plain = Self {
            who,
            method: frame(from)?,
            place: frame(from)?,
            query: list(from)?,
            headers: list(from)?,
            kind: frame(from)?,
            body: frame(from)?,
        };
        bytes.is_empty().then_some(plain)
    }
}

fn count(from: &mut &[u8]) -> Option<usize> {
    let (number, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}

fn frame(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = count(from)?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes.to_vec())
}

fn list(from: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    (0..count(from)?).map(|_| frame(from)).collect()
}

/// Numbers with a fraction, or beyond 64 bits, have more than one value in JSON's readers.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        _ => true,
    }
}

/// The text cut at its escapes; `None` where one of them is broken.
fn escapes(text: &str) -> Option<Vec<Result<char, u8>>> {
    let mut found = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        found.push(match next {
            '%' => {
                let high = rest.next()?.to_digit(16)?;
                let low = rest.next()?.to_digit(16)?;
                Err(u8::try_from(high << 4 | low).ok()?)
            }
            plain => Ok(plain),
        });
    }
    Some(found)
}

/// RFC 3986, section 6.2.2, written down once more.
fn normal(text: &str) -> Cow<'_, str> {
    let Some(escapes) = escapes(text) else {
        return Cow::Borrowed(text);
    };
    let spell = |part: &Result<char, u8>| match part {
        Ok(plain) => plain.to_string(),
        Err(byte) if is_unreserved(*byte) => char::from(*byte).to_string(),
        Err(byte) => format!("%{byte:02X}"),
    };
    Cow::Owned(escapes.iter().map(spell).collect())
}

/// The text with an escape for each letter that needs none.
fn escaped(text: &str) -> String {
    let Some(escapes) = escapes(text) else {
        return text.to_owned();
    };
    let spell = |part: &Result<char, u8>| match part {
        Ok(plain) if plain.is_ascii() && is_unreserved(*plain as u8) => {
            format!("%{:02x}", *plain as u8)
        }
        Ok(plain) => plain.to_string(),
        Err(byte) => format!("%{byte:02x}"),
    };
    escapes.iter().map(spell).collect()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
