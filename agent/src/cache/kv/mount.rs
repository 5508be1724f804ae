//! Which paths are of a KV engine, and of which version.
//!
//! An answer does not say where it comes from: version 1 answers with anything below `data`, and so do others, some of
//! them with something else for each token (`cubbyhole`). So Vault is asked what is mounted there
//! (`sys/internal/ui/mounts/<path>`, which every token may ask that has any right below the mount), once for each
//! mount and some time. Vault names the type in each answer since 1.13 (`mount_type`); OpenBao does not, and neither says
//! which part of the path is the mount.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::time::{Duration, Instant};

use crate::cache::path;

/// How long that is remembered: a mount seldom gives its place to one of another kind.
const REMEMBERED: Duration = Duration::from_mins(10);
/// How many, the latest.
const MOST: usize = 256;

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    Two,
    /// Nothing whose answers are kept, or nobody could tell.
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Mounts(VecDeque<Mount>);

#[derive(Debug)]
struct Mount {
    /// Namespace and path as one, without a slash at its end.
    place: String,
    kind: Kind,
    until: Instant,
}

impl Mounts {
    /// What a secret's place is below, and how much of the place that is.
    pub(crate) fn find(&self, place: &str, now: Instant) -> Option<(usize, Kind)> {
        let known = self.0.iter().filter(|mount| now < mount.until);
        known
            .filter(|mount| path::is_under(place, &mount.place))
            .map(|mount| (mount.place.len(), mount.kind))
            .max_by_key(|(length, _)| *length)
    }

    /// Notes what Vault said of the place of a secret, whose path within its namespace is `path`; where it said nothing,
    /// it is not asked again for this one.
    pub(crate) fn note(&mut self, place: &str, path: &str, said: Option<&Value>, now: Instant) {
        let (place, kind) = said
            .and_then(|said| read(place, path, said))
            .unwrap_or((place, Kind::Other));
        self.0.retain(|mount| mount.place != place);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(Mount {
            place: place.to_owned(),
            kind,
            until: now + REMEMBERED,
        });
    }
}

/// The mount's place, and its kind.
fn read<'a>(place: &'a str, path: &str, said: &Value) -> Option<(&'a str, Kind)> {
    let data = said.get("data")?;
    let mount = data.get("path")?.as_str()?.trim_end_matches('/');
    if mount.is_empty() || !path::is_under(path, mount) {
        return None;
    }
    let kind = match data.get("type")?.as_str()? {
        "kv" | "generic" => {
            let version = data.get("options").and_then(|of| of.get("version"));
            match version.and_then(Value::as_str) {
                Some("2") => Kind::Two,
                Some("1") | None => Kind::One,
                Some(_) => Kind::Other,
            }
        }
        _ => Kind::Other,
    };
    let namespace = place.len().checked_sub(path.len())?;
    Some((place.get(..namespace + mount.len())?, kind))
}

/// Where to look up the metadata of a secret that is asked for at `raw`, below `/v1/`. `None` where the path is written
/// in an odd way.
pub(crate) fn metadata(place: &str, raw: &str, mount: usize) -> Option<String> {
    let decoded = path::Path::read(raw).ok()?.decoded;
    let namespace = place.len().checked_sub(decoded.len())?;
    let mount = decoded.get(..mount.checked_sub(namespace)?)?;
    let rest = raw.strip_prefix(mount)?.strip_prefix("/data/")?;
    Some(format!("{mount}/metadata/{rest}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(path: &str, of: &str, version: Option<&str>) -> Value {
        let options = version.map(|version| json!({ "version": version }));
        json!({ "data": { "path": path, "type": of, "options": options } })
    }

    #[tokio::test(start_paused = true)]
    async fn what_vault_says_decides() {
        let now = Instant::now();
        let check = |place: &str, path: &str, said: Value, other: &str, expected| {
            let mut mounts = Mounts::default();
            mounts.note(place, path, Some(&said), now);
            assert_eq!(mounts.find(other, now), expected, "{place} {said} {other}");
            assert_eq!(mounts.find(other, now + REMEMBERED), None);
        };
        let (one, two, other) = (Kind::One, Kind::Two, Kind::Other);
        let app = "team/kv/data/app";
        for (version, kind) in [
            (Some("2"), two),
            (Some("1"), one),
            (None, one),
            (Some("3"), other),
        ] {
            check(
                app,
                app,
                said("team/kv/", "kv", version),
                "team/kv/x",
                Some((7, kind)),
            );
        }
        check(
            app,
            app,
            said("team/kv/", "kv", Some("2")),
            "team/kv2/x",
            None,
        );
        check(
            "a/b",
            "a/b",
            said("a/", "cubbyhole", None),
            "a/c",
            Some((1, other)),
        );
        check(
            "a/b",
            "a/b",
            said("a/", "generic", None),
            "a/c",
            Some((1, one)),
        );
        // The namespace comes from a header, or is in the path.
        check(
            "ns1/kv/data/a",
            "kv/data/a",
            said("kv/", "kv", Some("2")),
            "ns1/kv/b",
            Some((6, two)),
        );
        check(
            "ns1/kv/data/a",
            "kv/data/a",
            said("kv/", "kv", Some("2")),
            "kv/b",
            None,
        );
        check(
            "ns1/kv/a",
            "ns1/kv/a",
            said("ns1/kv/", "kv", None),
            "ns1/kv/b",
            Some((6, one)),
        );
        // What is no answer to that keeps this one secret out, and no other.
        for said in [
            said("other/", "kv", None),
            said("", "kv", None),
            json!({}),
            json!([]),
        ] {
            check("a/b", "a/b", said.clone(), "a/b", Some((3, other)));
            check("a/b", "a/b", said, "a/c", None);
        }
    }

    #[test]
    fn metadata_is_looked_up_where_the_secret_was_asked_for() {
        for (place, raw, mount, expected) in [
            ("kv/data/app", "kv/data/app", 2, Some("kv/metadata/app")),
            ("kv/data/a b", "kv/data/a%20b", 2, Some("kv/metadata/a%20b")),
            (
                "kv/data/data/app",
                "kv/data/data/app",
                7,
                Some("kv/data/metadata/app"),
            ),
            ("ns1/kv/data/app", "kv/data/app", 6, Some("kv/metadata/app")),
            (
                "ns1/kv/data/app",
                "ns1/kv/data/app",
                6,
                Some("ns1/kv/metadata/app"),
            ),
            ("kv/data/app", "%6bv/data/app", 2, None),
            ("kv/config", "kv/config", 2, None),
        ] {
            assert_eq!(metadata(place, raw, mount).as_deref(), expected, "{raw}");
        }
    }
}
