//! `docs/configuration.md`: the text of `page.md` with the tables in their places.

use serde_json::Value;

use super::{Absent, Row, Takes, Whose, frame, rows};
use crate::decode::auto_auth;
use crate::peer::{self, Kind};

const TEXT: &str = include_str!("page.md");

type Table = fn() -> String;

/// A table's place in `page.md`, and what comes there.
const TABLES: [(&str, Table); 20] = [
    ("top", || keys(&[Kind::Top])),
    ("vault", || keys(&[Kind::Vault])),
    ("auto_auth", || keys(&[Kind::AutoAuth])),
    ("method", || keys(&[Kind::Method])),
    ("login", logins),
    ("sink", || keys(&[Kind::Sink])),
    ("file sink", || keys(&[Kind::FileSink])),
    ("socket sink", || keys(&[Kind::SocketSink])),
    ("cache", || keys(&[Kind::Cache])),
    ("static_secrets", || keys(&[Kind::StaticSecrets])),
    ("persist", || keys(&[Kind::Persist])),
    ("api_proxy", || keys(&[Kind::ApiProxy])),
    ("listener", || keys(&[Kind::Listener])),
    ("agent_api", || keys(&[Kind::AgentApi])),
    ("limits", || keys(&[Kind::Limits])),
    ("admin", || keys(&[Kind::Admin])),
    ("resume", || keys(&[Kind::Resume])),
    ("variables", variables),
    ("idle", idle),
    ("refused", refused),
];

/// The page, whole.
#[must_use]
pub fn page() -> String {
    let mut page = String::new();
    for line in TEXT.lines() {
        let named = line
            .strip_prefix("<!-- keys: ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        match named.and_then(|name| TABLES.iter().find(|(known, _)| *known == name)) {
            Some((_, table)) => page += &table(),
            None => page = page + line + "\n",
        }
    }
    page
}

/// The names of the tables, and those that `page.md` asks for.
#[cfg(test)]
pub(super) fn tables() -> (Vec<&'static str>, Vec<&'static str>) {
    let asked = TEXT.split("<!-- keys: ").skip(1);
    let asked = asked.filter_map(|rest| rest.split(" -->").next());
    (
        TABLES.iter().map(|(name, _)| *name).collect(),
        asked.collect(),
    )
}

fn keys(kinds: &[Kind]) -> String {
    let rows: Vec<_> = kinds.iter().flat_map(|kind| rows::of(*kind)).collect();
    let has_twins = rows.iter().any(|row| row.variable.or(row.flag).is_some());
    let (head, rule) = if has_twins {
        (" environment, flag |", "---|")
    } else {
        ("", "")
    };
    let head =
        format!("| key | value | default |{head} whose | meaning |\n|---|---|---|{rule}---|---|\n");
    let mut lines = vec![head];
    for row in rows {
        let twins = if has_twins {
            format!(" {} |", twins(row))
        } else {
            String::new()
        };
        let (key, value, absent) = (key(row), takes(row.takes), absent(row));
        let (whose, meaning) = (whose(row.whose), row.meaning);
        lines.push(format!(
            "| {key} | {value} | {absent} |{twins} {whose} | {meaning} |\n"
        ));
    }
    lines.concat()
}

/// A table for each kind of `config`, under the methods that have it.
fn logins() -> String {
    let mut seen: Vec<Kind> = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    for method in auto_auth::METHODS {
        let kind = crate::decode::login::kind_of(method);
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        let methods: Vec<_> = frame::types(kind)
            .iter()
            .map(|of| format!("`{of}`"))
            .collect();
        parts.push(format!("#### {}\n\n{}", methods.join(", "), keys(&[kind])));
    }
    parts.join("\n")
}

fn key(row: &Row) -> String {
    let types = frame::types(row.kind);
    let others: Vec<_> = types.iter().filter(|of| !row.is_for(of)).collect();
    match (row.only, others.as_slice()) {
        ([], _) => format!("`{}`", row.key),
        ([one], _) => format!("`{}` (`{one}`)", row.key),
        (_, others) => {
            let others: Vec<_> = others.iter().map(|of| format!("`{of}`")).collect();
            format!("`{}` (not {})", row.key, others.join(", "))
        }
    }
}

fn takes(takes: Takes) -> String {
    let text = match takes {
        Takes::Text => "text",
        Takes::Path => "path",
        Takes::Name => "name or number",
        Takes::Flag => "boolean",
        Takes::True => "`true`",
        Takes::Duration => "duration",
        Takes::Span => "duration or `0`",
        Takes::Size => "size",
        Takes::Mode => "file mode",
        Takes::Texts => "list of texts",
        Takes::Uses => "list of `auto-auth`, `caching`, `proxying`",
        Takes::Url => "`https://…`, `http://…` or `unix:///…`",
        Takes::HostPort => "host and port",
        Takes::Attach => "boolean or `\"force\"`",
        Takes::Type => "text or label",
        Takes::Block(_) | Takes::Config => "block",
        Takes::Blocks(_) => "blocks",
        Takes::OneOf(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            return words.join(", ");
        }
        Takes::Count(least, most) if most == u64::from(u32::MAX) => {
            return format!("number from {least}");
        }
        Takes::Count(least, most) => return format!("number from {least} to {most}"),
    };
    text.to_owned()
}

fn absent(row: &Row) -> String {
    match row.absent {
        Absent::Required => "required".to_owned(),
        Absent::Otherwise(what) => what.to_owned(),
        Absent::Default => {
            let types = frame::types(row.kind);
            let of = types.iter().find(|of| row.is_for(of));
            let value = of.and_then(|of| frame::default(row, of));
            match value {
                Some(Value::Object(_)) | None => "its defaults".to_owned(),
                Some(value) => format!("`{}`", written(row.takes, &value)),
            }
        }
    }
}

/// A value as people write it.
fn written(takes: Takes, value: &Value) -> String {
    let (number, unit) = match (takes, value.as_str(), value.as_u64()) {
        (Takes::Duration | Takes::Span, Some(text), _) => {
            let seconds: Option<u64> = text.strip_suffix('s').and_then(|text| text.parse().ok());
            match seconds {
                Some(seconds) if seconds % 3600 == 0 => (seconds / 3600, "h"),
                Some(seconds) if seconds % 60 == 0 => (seconds / 60, "m"),
                _ => return value.to_string(),
            }
        }
        (Takes::Size, _, Some(bytes)) if bytes % (1 << 20) == 0 => (bytes >> 20, "MiB"),
        _ => return value.to_string(),
    };
    format!("\"{number}{unit}\"")
}

fn twins(row: &Row) -> String {
    let variable = row.variable.map(|name| format!("`VAULT_{name}`"));
    let flag = row.flag.map(|name| format!("`-{name}`"));
    let both: Vec<_> = variable.into_iter().chain(flag).collect();
    both.join(", ")
}

const fn whose(whose: Whose) -> &'static str {
    match whose {
        Whose::Both => "both",
        Whose::VaultAgent => "Vault Agent",
        Whose::OpenBao => "OpenBao",
        Whose::Keyside => "Keyside",
    }
}

/// Variables that change nothing.
fn variables() -> String {
    let mut lines = vec!["| variable | why it has no effect |\n|---|---|\n".to_owned()];
    for (name, reason) in peer::IDLE_VARIABLES {
        lines.push(format!("| `VAULT_{name}` | {reason} |\n"));
    }
    lines.concat()
}

/// Keys that are accepted and change nothing.
fn idle() -> String {
    let mut lines = vec!["| key | why it has no effect |\n|---|---|\n".to_owned()];
    for (kind, key, reason) in peer::NO_EFFECT {
        let (key, of) = (frame::field(*kind, key), of_methods(*kind));
        lines.push(format!("| `{key}`{of} | {reason} |\n"));
    }
    lines.concat()
}

/// Keys that others know and that are refused by name.
fn refused() -> String {
    let mut lines = vec!["| block | whose | keys |\n|---|---|---|\n".to_owned()];
    for (kind, whose, keys) in peer::UNSUPPORTED {
        let block = match frame::field(*kind, "") {
            block if block.is_empty() => "top level".to_owned(),
            block => format!("`{}`{}", block.trim_end_matches('.'), of_methods(*kind)),
        };
        let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
        lines.push(format!("| {block} | {whose} | {} |\n", keys.join(", ")));
    }
    lines.concat()
}

/// Whose `config` it is, where it is a method's.
fn of_methods(kind: Kind) -> String {
    if !frame::is_login(kind) {
        return String::new();
    }
    let methods = frame::types(kind).into_iter();
    let methods: Vec<_> = methods.map(|of| format!("`{of}`")).collect();
    format!(" ({})", methods.join(", "))
}
