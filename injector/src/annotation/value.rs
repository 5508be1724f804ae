//! One annotation's value → a typed one, or the sentence that says what is allowed.
//!
//! Invariant: nothing is guessed. An empty value is no value, spaces and capitals are not repaired, and a number
//! with anything behind it is not a number.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use keyside_config::model::vault::Address;
use keyside_config::model::{AttachToken, Limits, LogFormat, LogLevel, Mode, StaticSecrets};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::inject::files::{Kind, Reference};
use crate::inject::names;
use crate::inject::quantity::Quantity;
use crate::inject::{Port, Sidecar};

/// What is allowed, to stand behind "allowed: ".
pub(crate) type Allowed = &'static str;

/// Longest text that goes into the agent's configuration; Vault's own names are far shorter.
const MAX_TEXT: usize = 512;

pub(crate) fn boolean(value: &str) -> Result<bool, Allowed> {
    match value {
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        _ => Err("true or false"),
    }
}

/// A text of one line.
pub(crate) fn text(value: &str) -> Result<String, Allowed> {
    let plain = !value.is_empty()
        && value.len() <= MAX_TEXT
        && value.trim() == value
        && !value.contains(char::is_control);
    plain
        .then(|| value.to_owned())
        .ok_or("1 to 512 bytes of text without control characters or space around it")
}

/// A Vault namespace, without slashes at its ends.
pub(crate) fn namespace(value: &str) -> Result<String, Allowed> {
    let allowed = "a namespace of Vault such as team/shop";
    let name = value.strip_suffix('/').unwrap_or(value);
    path_segments(name).ok_or(allowed)
}

/// RFC 1123 label: the name of a profile, and each part of an object's name.
pub(crate) fn is_label(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&value.len())
        && value.bytes().all(|byte| plain(byte) || byte == b'-')
        && !value.starts_with('-')
        && !value.ends_with('-')
}

/// Where an auth method is mounted.
pub(crate) fn auth_mount(value: &str) -> Result<String, Allowed> {
    let allowed = "auth/ and the path of the auth method, such as auth/kubernetes";
    let mount = value.strip_suffix('/').unwrap_or(value);
    let path = mount.strip_prefix("auth/").ok_or(allowed)?;
    path_segments(path).ok_or(allowed)?;
    Ok(mount.to_owned())
}

fn path_segments(path: &str) -> Option<String> {
    let sound = path.len() <= MAX_TEXT
        && path.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
        });
    sound.then(|| path.to_owned())
}

pub(crate) fn address(value: &str) -> Result<Address, Allowed> {
    let allowed = "http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH] or unix:///PATH, without user, query or fragment";
    parse_address(value).ok_or(allowed)
}

/// An address as messages show it.
pub(crate) fn shown(address: &Address) -> String {
    match address {
        Address::Tcp { tls, at, prefix } => {
            let scheme = if *tls { "https" } else { "http" };
            format!("{scheme}://{at}{prefix}")
        }
        Address::Unix(path) => format!("unix://{}", path.display()),
    }
}

/// A DNS name or an address, as TLS wants it.
pub(crate) fn tls_server_name(value: &str) -> Result<String, Allowed> {
    let name = ServerName::try_from(value);
    name.map(|_name| value.to_owned())
        .map_err(|_ignored| "the name in Vault's certificate: a DNS name or an IP address")
}

/// What the agent trusts at Vault's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Certificates in PEM.
    Text(String),
    File(Reference),
}

pub(crate) fn authority(value: &str) -> Result<Authority, Allowed> {
    let allowed = "secret:NAME/KEY, configmap:NAME/KEY, or certificates as PEM text";
    if value.contains("-----BEGIN") {
        let text = authorities(value.to_owned()).map_err(|_wrong| allowed)?;
        return Ok(Authority::Text(text));
    }
    file(value).map(Authority::File).map_err(|_wrong| allowed)
}

/// What fits beside the rest into one variable of a container: Linux takes 128 KiB, and JSON writes two characters
/// for each end of a line.
const MOST_AUTHORITIES: usize = 96 << 10;

/// Certificates to trust, as PEM text: each one has to be readable, since the agent refuses the rest too.
pub(crate) fn authorities(text: String) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        let number = roots.len() + 1;
        roots
            .add(certificate)
            .map_err(|_ignored| format!("certificate {number} in it cannot be read"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    if text.len() > MOST_AUTHORITIES {
        return Err(format!(
            "{} bytes of certificates; a pod can be given {MOST_AUTHORITIES}: keep the ones that Vault needs",
            text.len()
        ));
    }
    Ok(text)
}

/// A file of a Secret or a `ConfigMap` in the pod's namespace.
pub(crate) fn file(value: &str) -> Result<Reference, Allowed> {
    let allowed = "secret:NAME/KEY or configmap:NAME/KEY, of the pod's namespace";
    let (kind, rest) = value.split_once(':').ok_or(allowed)?;
    let kind = match kind {
        "secret" => Kind::Secret,
        "configmap" => Kind::ConfigMap,
        _ => return Err(allowed),
    };
    let (name, key) = rest.split_once('/').ok_or(allowed)?;
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_key = (1..=253).contains(&key.len())
        && key.bytes().all(byte)
        && key != "."
        && !key.starts_with("..");
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    (is_name && is_key)
        .then(|| Reference {
            kind,
            name: name.to_owned(),
            key: key.to_owned(),
        })
        .ok_or(allowed)
}

/// The same where the content is secret.
pub(crate) fn secret(value: &str) -> Result<Reference, Allowed> {
    file(value)
        .ok()
        .filter(|reference| reference.kind == Kind::Secret)
        .ok_or("secret:NAME/KEY, of the pod's namespace")
}

/// The name of a cloud's region, which becomes part of a host's name.
pub(crate) fn region(value: &str) -> Result<String, Allowed> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound = (1..=40).contains(&value.len())
        && value.bytes().all(plain)
        && !value.starts_with('-')
        && !value.ends_with('-');
    sound
        .then(|| value.to_owned())
        .ok_or("the name of a region, such as eu-central-1")
}

/// What can be sent in a header.
pub(crate) fn header(value: &str) -> Result<String, Allowed> {
    let allowed = "1 to 512 printable ASCII characters without space around them";
    text(value)
        .ok()
        .filter(|value| value.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        .ok_or(allowed)
}

/// How long a token of Google's lasts.
pub(crate) fn minutes(value: &str) -> Result<u64, Allowed> {
    number(value, 1, 60).ok_or("a number of minutes from 1 to 60")
}

/// Ports below 1024 need a capability that the agent does not have.
pub(crate) fn metrics_port(value: &str) -> Result<u16, Allowed> {
    number(value, 1024, u16::MAX.into())
        .and_then(|port| u16::try_from(port).ok())
        .ok_or("a port from 1024 to 65535, such as 9102")
}

/// What the agent takes, and of that what needs no second look: nothing encoded, and no path that climbs.
fn parse_address(value: &str) -> Option<Address> {
    let graphic = value.len() <= MAX_TEXT && value.bytes().all(|byte| byte.is_ascii_graphic());
    if !graphic || value.contains(['?', '#', '@', '\\', '%']) {
        return None;
    }
    let (scheme, rest) = value.split_once("://")?;
    if !scheme.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let address: Address = value.parse().ok()?;
    match &address {
        Address::Unix(_) => drop(absolute(rest)?),
        Address::Tcp { prefix, .. } if prefix.is_empty() => {}
        Address::Tcp { prefix, .. } => drop(path_segments(prefix.strip_prefix('/')?)?),
    }
    Some(address)
}

fn absolute(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let sound = path.is_absolute()
        && path.file_name().is_some()
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    sound.then(|| path.to_owned())
}

/// A number in decimal digits alone, between `least` and `most`.
fn number(value: &str, least: u64, most: u64) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| value.parse().ok())??;
    (least..=most).contains(&number).then_some(number)
}

/// How long the service-account token is to live, in seconds: what the API server accepts.
pub(crate) fn token_expiration(value: &str) -> Result<u64, Allowed> {
    let allowed = "10m to 8760h, such as 3600s";
    let seconds = seconds(value).ok_or(allowed)?;
    (600..=8760 * 3600)
        .contains(&seconds)
        .then_some(seconds)
        .ok_or(allowed)
}

/// Hours, minutes and seconds, each at most once and in this order, as in `1h30m`.
fn seconds(value: &str) -> Option<u64> {
    let mut rest = value;
    let mut total = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((count, after)) = rest.split_once(unit) {
            total += number(count, 0, 1 << 32)? * factor;
            rest = after;
        }
    }
    (rest.is_empty() && !value.is_empty()).then_some(total)
}

/// Container names, separated by commas; spaces around them do not matter.
pub(crate) fn containers(value: &str) -> Result<Vec<String>, Allowed> {
    let names: Vec<String> = value
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect();
    let is_name = |name: &String| {
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&name.len()) && name.bytes().all(label)
    };
    if !names.iter().all(is_name) {
        return Err("names of containers of this pod, separated by commas");
    }
    Ok(names)
}

/// The token file: directly in the shared volume, where the agent need not make folders.
pub(crate) fn token_path(value: &str) -> Result<PathBuf, Allowed> {
    let allowed = "a file directly in /keyside, such as /keyside/token";
    let name = value
        .strip_prefix(names::SHARED_PATH)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or(allowed)?;
    let sound = !matches!(name, "" | "." | "..")
        && name.len() <= 200
        && !names::SHARED_ENTRIES.contains(&name)
        && !name.contains(|c: char| c == '/' || c.is_control());
    sound.then(|| PathBuf::from(value)).ok_or(allowed)
}

pub(crate) fn mode(value: &str) -> Result<Mode, Allowed> {
    let allowed = "an octal mode of three or four digits up to 0777, such as 0640";
    let octal = (3..=4).contains(&value.len()) && value.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = octal
        .then(|| u32::from_str_radix(value, 8).ok())
        .flatten()
        .ok_or(allowed)?;
    (mode <= 0o777).then_some(Mode(mode)).ok_or(allowed)
}

/// Ports below 1024 need a capability that the agent does not have.
pub(crate) fn proxy_port(value: &str) -> Result<Port, Allowed> {
    if value == "none" {
        return Ok(Port::None);
    }
    number(value, 1024, u16::MAX.into())
        .and_then(|port| u16::try_from(port).ok())
        .map(Port::Asked)
        .ok_or("a port from 1024 to 65535, or none")
}

pub(crate) fn attach_token(value: &str) -> Result<AttachToken, Allowed> {
    match value {
        "force" => Ok(AttachToken::Force),
        _ => match boolean(value) {
            Ok(true) => Ok(AttachToken::WhereAbsent),
            Ok(false) => Ok(AttachToken::Never),
            Err(_) => Err("true, false or force"),
        },
    }
}

/// Whether secrets of KV engines are kept, and how long without asking Vault.
pub(crate) fn cache_kv(value: &str) -> Result<Option<StaticSecrets>, Allowed> {
    let usual = StaticSecrets::default();
    if let Ok(wanted) = boolean(value) {
        return Ok(wanted.then_some(usual));
    }
    let ttl = seconds(value).filter(|ttl| (1..=24 * 3600).contains(ttl));
    let ttl = ttl.ok_or("true, false, or a time from 1s to 24h such as 30s")?;
    Ok(Some(StaticSecrets {
        ttl: Duration::from_secs(ttl),
        ..usual
    }))
}

/// What the pod's own clients may send to Vault.
pub(crate) fn client_rate_limit(value: &str) -> Result<Limits, Allowed> {
    let allowed = "a number of requests per second from 1 to 100000, and after a colon how many at once, such as 50 \
                   or 50:100";
    let (rate, burst) = value.split_once(':').unwrap_or((value, value));
    let requests = |text| {
        number(text, 1, 100_000)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or(allowed)
    };
    Ok(Limits {
        requests_per_second: requests(rate)?,
        burst: requests(burst)?,
    })
}

/// How long the agent may take to be up.
pub(crate) fn start_timeout(value: &str) -> Result<Duration, Allowed> {
    let time = seconds(value).filter(|time| (1..=24 * 3600).contains(time));
    time.map(Duration::from_secs)
        .ok_or("a time from 1s to 24h such as 5m")
}

/// The levels as the agent's own configuration spells them.
pub(crate) fn log_level(value: &str) -> Result<LogLevel, Allowed> {
    match value {
        "trace" => Ok(LogLevel::Trace),
        "debug" => Ok(LogLevel::Debug),
        "info" | "notice" => Ok(LogLevel::Info),
        "warn" | "warning" => Ok(LogLevel::Warn),
        "error" | "err" => Ok(LogLevel::Error),
        _ => Err("trace, debug, info, warn or error"),
    }
}

pub(crate) fn log_format(value: &str) -> Result<LogFormat, Allowed> {
    match value {
        "standard" | "text" => Ok(LogFormat::Standard),
        "json" => Ok(LogFormat::Json),
        _ => Err("standard or json"),
    }
}

/// A numeric user or group. Not 0: the container runs with `runAsNonRoot`.
pub(crate) fn id(value: &str) -> Result<u32, Allowed> {
    number(value, 1, 0x7fff_ffff)
        .and_then(|id| u32::try_from(id).ok())
        .ok_or("a number from 1 to 2147483647")
}

pub(crate) fn image(value: &str) -> Result<String, Allowed> {
    let sound = value.len() <= MAX_TEXT
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte));
    sound
        .then(|| value.to_owned())
        .ok_or("an image's name, such as registry.example/keyside-agent:1.0")
}

pub(crate) fn quantity(value: &str) -> Result<Quantity, Allowed> {
    Quantity::parse(value)
        .filter(|quantity| !quantity.is_zero())
        .ok_or("a quantity above zero, such as 10m or 64Mi")
}

pub(crate) fn sidecar(value: &str) -> Result<Sidecar, Allowed> {
    match value {
        "native" => Ok(Sidecar::Native),
        "classic" => Ok(Sidecar::Classic),
        "init-only" => Ok(Sidecar::InitOnly),
        _ => Err("native, classic or init-only"),
    }
}

/// The only value that this version has for a key.
pub(crate) fn only(value: &str, known: &'static str) -> Result<(), Allowed> {
    (value == known).then_some(()).ok_or(known)
}

#[cfg(test)]
mod tests;
