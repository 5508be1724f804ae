//! Versions of a secret, as answers of version 2 of the engine tell them.
//!
//! Invariant: two are equal only where nothing that a read shows can differ. A secret that was deleted for good and
//! made again starts at version 1: the time of its making, to the nanosecond, tells that apart.

use serde_json::Value;

use super::request::Wanted;

/// A version, and what is shown beside its data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Version {
    number: u64,
    /// RFC 3339, always in UTC.
    created: String,
    custom_metadata: Value,
}

/// What a read brought.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    /// Data, and nothing that would tell a version.
    Plain,
    Version(Version),
    /// It will be deleted by itself.
    Expiring,
    /// Not what a read of a secret answers.
    Other,
}

/// Reads the answer to a read.
pub(crate) fn read(body: &Value) -> Read {
    let data = body.get("data");
    let Some(data) = data.filter(|data| data.is_object()) else {
        return Read::Other;
    };
    let metadata = data.get("metadata");
    let Some((metadata, number)) = metadata.and_then(|of| Some((of, of.get("version")?.as_u64()?)))
    else {
        return Read::Plain;
    };
    if !data.get("data").is_some_and(Value::is_object) {
        return Read::Plain;
    }
    let custom_metadata = custom(metadata);
    match Version::of(number, metadata, custom_metadata) {
        Some(version) => Read::Version(version),
        None => Read::Expiring,
    }
}

/// The version that a look-up of metadata says is there: the one asked for, or the latest. `None` where it is deleted,
/// or is going to be.
pub(crate) fn looked_up(body: &Value, asked: Wanted) -> Option<Version> {
    let data = body.get("data")?;
    let number = match asked {
        Wanted::Number(number) => number,
        Wanted::Latest => data.get("current_version")?.as_u64()?,
    };
    let of = data.get("versions")?.get(number.to_string())?;
    Version::of(number, of, custom(data))
}

fn custom(metadata: &Value) -> Value {
    let custom = metadata.get("custom_metadata");
    custom.cloned().unwrap_or(Value::Null)
}

impl Version {
    fn of(number: u64, metadata: &Value, custom_metadata: Value) -> Option<Self> {
        let stays = metadata.get("deletion_time")?.as_str()?.is_empty();
        let is_there = metadata.get("destroyed")?.as_bool() == Some(false);
        let created = metadata.get("created_time")?.as_str()?.to_owned();
        (stays && is_there).then_some(Self {
            number,
            created,
            custom_metadata,
        })
    }

    /// Whether both are of one write of the secret.
    pub(crate) fn is_same_write(&self, other: &Self) -> bool {
        (self.number, &self.created) == (other.number, &other.created)
    }

    /// Whether it was written before the other one. A lower number of a later time is of a secret made anew; a higher
    /// one of an earlier time is of a server whose clock is behind.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        // Fractions come without zeros at their end, and "Z" would sort after digits.
        let time = |version: &Self| version.created.trim_end_matches('Z').to_owned();
        self.number <= other.number && time(self) <= time(other) && !self.is_same_write(other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(number: u64, created: &str) -> Version {
        Version {
            number,
            created: created.to_owned(),
            custom_metadata: Value::Null,
        }
    }

    #[test]
    fn older_is_lower_and_not_later() {
        let (one, two) = ("2026-11-24T10:00:00.5Z", "2026-11-24T10:00:00.51Z");
        for ((number, created), (other, later), expected) in [
            ((1, one), (2, two), true),
            ((2, two), (1, one), false),
            ((1, one), (1, one), false),
            ((1, one), (1, two), true),
            ((1, two), (1, one), false),
            // Made anew.
            ((1, two), (3, one), false),
            ((3, one), (1, two), false),
            ((1, "2026-11-24T10:00:00Z"), (2, one), true),
            // A clock that is behind.
            ((3, one), (2, two), false),
        ] {
            let (a, b) = (version(number, created), version(other, later));
            assert_eq!(a.is_older_than(&b), expected, "{a:?} {b:?}");
        }
    }

    fn metadata(deletion: &str, destroyed: bool) -> Value {
        json!({ "version": 2, "created_time": "c", "deletion_time": deletion, "destroyed": destroyed,
                "custom_metadata": { "a": "b" } })
    }

    #[test]
    fn a_read_tells_its_version() {
        let of = |data: Value| read(&json!({ "lease_id": "", "data": data }));
        let expected = Version {
            custom_metadata: json!({ "a": "b" }),
            ..version(2, "c")
        };
        let whole = |metadata: Value| of(json!({ "data": {}, "metadata": metadata }));
        assert_eq!(whole(metadata("", false)), Read::Version(expected.clone()));
        assert_eq!(whole(metadata("later", false)), Read::Expiring);
        assert_eq!(whole(metadata("", true)), Read::Expiring);
        assert_eq!(
            whole(json!({ "version": 2, "created_time": "c" })),
            Read::Expiring
        );
        assert_eq!(of(json!({ "a": "b" })), Read::Plain);
        assert_eq!(of(json!({ "metadata": metadata("", false) })), Read::Plain);
        assert_eq!(whole(json!({ "version": "2" })), Read::Plain);
        for data in [json!(null), json!([]), json!("a")] {
            assert_eq!(of(data), Read::Other);
        }
        assert_eq!(read(&json!([])), Read::Other);
        let looked = |asked, current: u64, of: Value| {
            let data = json!({ "current_version": current, "versions": { "2": of },
                               "custom_metadata": { "a": "b" } });
            looked_up(&json!({ "data": data }), asked)
        };
        let good = || metadata("", false);
        assert_eq!(looked(Wanted::Latest, 2, good()), Some(expected.clone()));
        assert_eq!(looked(Wanted::Number(2), 7, good()), Some(expected));
        assert_eq!(looked(Wanted::Latest, 7, good()), None);
        assert_eq!(looked(Wanted::Number(1), 2, good()), None);
        assert_eq!(looked(Wanted::Latest, 2, metadata("later", false)), None);
        assert_eq!(looked(Wanted::Latest, 2, metadata("", true)), None);
    }
}
