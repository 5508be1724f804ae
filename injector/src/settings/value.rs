//! One function per kind of value: the value, or what to write instead.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use keyside_config::model::{LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;

/// `host:port`, `:port` or `port`; without a host it is every address of the machine.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|_ignored| {
        "write :PORT or ADDRESS:PORT, such as :8443 or 127.0.0.1:8443".to_owned()
    })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "write a number and ms, s, m, h or d, such as 90s or 24h".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wanted)?;
    let number: u64 = number.parse().map_err(|_ignored| wanted())?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wanted()),
    };
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| "at most 3650d".to_owned())
}

const LONGEST: Duration = Duration::from_hours(3650 * 24);

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|duration| {
        let some = duration >= Duration::from_millis(10);
        some.then_some(duration)
            .ok_or_else(|| "at least 10ms".to_owned())
    })
}

/// Certificates count whole seconds, and a new leaf is made after two thirds.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_secs(3), LONGEST / 10);
    duration(text).and_then(|duration| {
        let fits = (least..=most).contains(&duration);
        fits.then_some(duration)
            .ok_or_else(|| "between 3s and 365d".to_owned())
    })
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=65_536).contains(&number) => Ok(number),
        _ => Err("write a number between 1 and 65536".to_owned()),
    }
}

pub(super) fn level(text: &str) -> Result<LevelFilter, String> {
    match text {
        "trace" => Ok(LevelFilter::TRACE),
        "debug" => Ok(LevelFilter::DEBUG),
        "info" => Ok(LevelFilter::INFO),
        "warn" => Ok(LevelFilter::WARN),
        "error" => Ok(LevelFilter::ERROR),
        _ => Err("write trace, debug, info, warn or error".to_owned()),
    }
}

pub(super) fn format(text: &str) -> Result<bool, String> {
    match text {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err("write text or json".to_owned()),
    }
}

/// RFC 1123 label: the name of a Service or of a namespace.
pub(super) fn label(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
        && [text.bytes().next(), text.bytes().last()]
            .into_iter()
            .flatten()
            .all(plain);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "write a name of small letters, digits and dashes".to_owned())
}

/// RFC 1123 subdomain: the name of most other objects.
pub(super) fn subdomain(text: &str) -> Result<String, String> {
    let fits = text.len() <= 253 && text.split('.').all(|part| label(part).is_ok());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "write a name of small letters, digits, dashes and dots".to_owned())
}

/// Names with commas between them.
pub(super) fn names(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(str::trim).filter(|_| !text.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return Err("write names with commas between them".to_owned());
    }
    Ok(names)
}

/// A JSON object of texts.
pub(super) fn texts(text: &str) -> Result<BTreeMap<String, String>, String> {
    serde_json::from_str(text)
        .map_err(|_ignored| r#"write a JSON object of texts, such as {"profile": "eu"}"#.to_owned())
}

pub(super) fn agent_level(text: &str) -> Result<LogLevel, String> {
    level(text).map(|level| match level {
        LevelFilter::TRACE => LogLevel::Trace,
        LevelFilter::DEBUG => LogLevel::Debug,
        LevelFilter::WARN => LogLevel::Warn,
        LevelFilter::ERROR => LogLevel::Error,
        _ => LogLevel::Info,
    })
}

pub(super) fn agent_format(text: &str) -> Result<LogFormat, String> {
    format(text).map(|json| {
        if json {
            LogFormat::Json
        } else {
            LogFormat::Standard
        }
    })
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_ignored| "write true or false".to_owned())
}
