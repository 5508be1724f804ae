//! The rows hold what the decoder does, and `docs/configuration.md` holds the rows.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Absent, Row, Takes, frame, page, rows};
use crate::peer::{self, Kind};

thread_local! {
    static ASKED: RefCell<BTreeSet<(Kind, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
}

/// The decoder has asked a block for a key.
pub(crate) fn asked(kind: Kind, key: &'static str) {
    ASKED.with_borrow_mut(|asked| asked.insert((kind, key)));
}

/// Every row with every type of block that has it.
fn each() -> impl Iterator<Item = (&'static Row, &'static str)> {
    let with_types = |row: &'static Row| {
        let types = frame::types(row.kind).into_iter();
        types.filter(|of| row.is_for(of)).map(move |of| (row, of))
    };
    rows::all().flat_map(with_types)
}

fn is_block(row: &Row) -> bool {
    matches!(
        row.takes,
        Takes::Block(_) | Takes::Blocks(_) | Takes::Config | Takes::Type
    )
}

/// The least configuration with that row's key written so.
fn with(row: &Row, of: &str, value: Value) -> frame::Block {
    let mut block = frame::least(row.kind, of);
    block.insert(row.key.to_owned(), value);
    block
}

#[test]
fn the_rows_are_the_keys_that_the_decoder_asks_for() {
    let kinds: BTreeSet<_> = rows::all().map(|row| row.kind).collect();
    for kind in &kinds {
        for of in frame::types(*kind) {
            let loaded = frame::effective(*kind, of, frame::least(*kind, of));
            loaded.unwrap_or_else(|mistakes| panic!("{kind:?} {of}: {mistakes}"));
        }
    }
    let asked = ASKED.take();
    let described: BTreeSet<_> = rows::all().map(|row| (row.kind, row.key)).collect();
    let missing: Vec<_> = asked.difference(&described).collect();
    assert!(missing.is_empty(), "write rows for {missing:?}");
    let left: Vec<_> = described.difference(&asked).collect();
    assert!(left.is_empty(), "nobody asks for {left:?}");
}

#[test]
fn every_block_that_a_row_opens_has_rows() {
    for row in rows::all() {
        if let Takes::Block(kind) | Takes::Blocks(kind) = row.takes {
            assert!(rows::of(kind).next().is_some(), "{row:?}");
        }
        if row.takes == Takes::Config {
            for of in frame::types(row.kind) {
                let kind = frame::config_of(row.kind, of);
                assert!(rows::of(kind).next().is_some(), "{kind:?}");
            }
        }
    }
}

#[test]
fn what_a_row_calls_required_is_and_nothing_else() {
    for (row, of) in each() {
        let mut block = frame::least(row.kind, of);
        block.remove(row.key);
        let read = frame::effective(row.kind, of, block);
        let whole = row.kind == Kind::AutoAuth;
        if row.absent == Absent::Required && !whole {
            let mistakes = read.expect_err(row.key).to_string();
            assert!(mistakes.contains(row.key), "{row:?}: {mistakes}");
        } else if row.takes != Takes::Config {
            assert!(read.is_ok(), "{row:?} {of}: {read:?}");
        }
    }
}

#[test]
fn a_default_is_printed_or_put_into_words() {
    for (row, of) in each() {
        let default = frame::default(row, of);
        match row.absent {
            Absent::Default => assert!(default.is_some(), "{row:?} {of}"),
            Absent::Otherwise(_) => assert!(
                default.is_none() || is_block(row) || row.key == "mount_path",
                "{row:?} {of}: {default:?}"
            ),
            Absent::Required => {}
        }
    }
}

/// What is refused for being of the wrong type or out of bounds.
fn bad(takes: Takes) -> Vec<Value> {
    let own = match takes {
        Takes::Text | Takes::Path => vec![json!(5)],
        Takes::Name => vec![json!(-2), json!(1.5)],
        Takes::Flag => vec![json!("maybe"), json!(2), json!("")],
        Takes::True => vec![json!(false), json!("maybe"), json!(2)],
        Takes::Duration => vec![
            json!("5x"),
            json!("0s"),
            json!(0),
            json!("17521h"),
            json!(""),
        ],
        Takes::Span => vec![json!("5x"), json!(-1), json!("17521h"), json!("")],
        Takes::Size => vec![json!(0), json!("lots"), json!("1.5MiB"), json!("")],
        Takes::Mode => vec![json!("0999"), json!(640), json!("01000")],
        Takes::Count(least, most) => vec![
            json!(i64::try_from(least).unwrap() - 1),
            json!(most + 1),
            json!("x"),
        ],
        Takes::OneOf(_) | Takes::Type => vec![json!("none of them"), json!(5)],
        Takes::Texts | Takes::Uses => vec![json!(5), json!([5]), json!([""])],
        Takes::Url => vec![json!("vault"), json!(""), json!("ftp://vault"), json!(5)],
        Takes::HostPort => vec![json!("127.0.0.1"), json!("127.0.0.1:65536"), json!(5)],
        Takes::Attach => vec![json!("maybe"), json!(5)],
        Takes::Block(_) | Takes::Blocks(_) | Takes::Config => {
            vec![json!(true), json!(5), json!("text"), json!([[]])]
        }
    };
    let is_block = matches!(takes, Takes::Block(_) | Takes::Blocks(_) | Takes::Config);
    let everywhere = [json!([[]]), json!(null), json!({ "a": 1 })];
    let everywhere = everywhere.into_iter().filter(|_| !is_block);
    own.into_iter().chain(everywhere).collect()
}

#[test]
fn a_value_of_another_type_is_refused_by_the_name_of_its_key() {
    for (row, of) in each() {
        for value in bad(row.takes) {
            let block = with(row, of, value.clone());
            let mistakes = frame::effective(row.kind, of, block);
            let mistakes = mistakes.expect_err(&format!("{row:?} {of} {value}"));
            let field = match row.kind {
                Kind::Sinks => frame::field(Kind::AutoAuth, row.key),
                _ => frame::field(row.kind, row.key),
            };
            let mut fields = mistakes.0.iter().map(|mistake| &mistake.field);
            assert!(
                fields.any(|named| *named == field),
                "{field} {value}: {mistakes}"
            );
        }
    }
}

/// What is accepted at the bounds.
fn good(takes: Takes) -> Vec<Value> {
    match takes {
        Takes::Flag => vec![json!(true), json!("F"), json!(1)],
        Takes::Duration => vec![json!("1h30m"), json!("17520h"), json!(600)],
        Takes::Span => vec![json!("1h30m"), json!("0s"), json!(0)],
        Takes::Size => vec![json!("64MiB")],
        Takes::Mode => vec![json!("0777"), json!("0"), json!(416)],
        Takes::Count(least, most) => vec![json!(least), json!(most), json!(most.to_string())],
        Takes::OneOf(words) => words.iter().map(|word| json!(word)).collect(),
        Takes::Texts => vec![json!("a"), json!(["a", "b"]), json!([])],
        Takes::Uses => vec![
            json!("auto-auth"),
            json!(["caching", "templating"]),
            json!([]),
        ],
        Takes::Name => vec![json!("app"), json!(1000), json!(u32::MAX)],
        Takes::Attach => vec![json!(true), json!("FORCE"), json!("false")],
        Takes::Url => vec![
            json!("unix:///v"),
            json!("https://v"),
            json!("http://v:1/p"),
        ],
        Takes::HostPort => vec![json!("localhost:0"), json!("[::]:65535")],
        Takes::Text | Takes::Path => vec![json!("")],
        _ => Vec::new(),
    }
}

#[test]
fn a_value_of_the_type_is_accepted_up_to_its_bounds() {
    for (row, of) in each() {
        for value in good(row.takes) {
            let is_empty = value == json!("");
            let block = with(row, of, value.clone());
            let Err(mistakes) = frame::effective(row.kind, of, block) else {
                continue;
            };
            let field = frame::field(row.kind, row.key);
            let needs = |what: &str| {
                what.contains("no use without")
                    || what.contains("needs `")
                    || what.contains("without `dh_")
            };
            let other = |what: &str| {
                what.contains("is more than") || is_empty && what == "must not be empty"
            };
            for mistake in mistakes.0 {
                assert!(
                    mistake.field != field || needs(&mistake.what) || other(&mistake.what),
                    "{field} {value}: {mistake}"
                );
            }
        }
    }
}

/// The places in which two values differ: of a part that only one of them has, its root.
fn differences(place: &str, one: &Value, other: &Value, found: &mut BTreeSet<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let place = format!("{place}/{key}");
                match (one.get(key), other.get(key)) {
                    (Some(one), Some(other)) => differences(&place, one, other, found),
                    _ => drop(found.insert(place)),
                }
            }
        }
        (Value::Array(one), Value::Array(other))
            if one.len() == other.len() && one.iter().any(Value::is_object) =>
        {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{place}/{index}"), one, other, found);
            }
        }
        _ if one == other => {}
        _ => drop(found.insert(place.to_owned())),
    }
}

#[test]
fn every_key_changes_what_is_printed_in_its_own_place_and_no_other() {
    for (row, of) in each().filter(|(row, _)| !is_block(row) && row.takes != Takes::True) {
        let mut companions = frame::least(row.kind, of);
        for key in row.with {
            let mut others = rows::of(row.kind);
            let other = others.find(|other| other.key == *key).expect(key);
            companions.insert(other.key.to_owned(), frame::example(other));
        }
        let mut block = companions.clone();
        let example = frame::example(row);
        block.insert(row.key.to_owned(), example.clone());
        // Where the companions need this key, too, all of them come at once.
        let (before, alone) = match frame::effective(row.kind, of, companions) {
            Ok(before) => (before, true),
            Err(_) => (
                frame::effective(row.kind, of, frame::least(row.kind, of)).expect(row.key),
                false,
            ),
        };
        let after = frame::effective(row.kind, of, block)
            .unwrap_or_else(|mistakes| panic!("{row:?}: {mistakes}"));
        let parent = frame::place(row.kind);
        let place = row
            .shown
            .map_or_else(|| format!("{parent}/{}", row.key), str::to_owned);
        assert_eq!(
            after.pointer(&place),
            Some(&example),
            "{place} in {after:#}"
        );
        let mut found = BTreeSet::new();
        differences("", &before, &after, &mut found);
        if alone && row.absent != Absent::Required {
            let only = found.iter().next().expect(&place);
            assert!(
                found.len() == 1 && place.starts_with(only.as_str()),
                "{place}: {found:?}"
            );
        } else {
            assert!(
                found.iter().all(|found| found.starts_with(parent)),
                "{place}: {found:?}"
            );
        }
    }
}

#[test]
fn a_block_that_is_written_empty_is_there() {
    for (kind, place) in [
        (Kind::Cache, "/cache"),
        (Kind::StaticSecrets, "/cache/static_secrets"),
        (Kind::Admin, "/admin"),
        (Kind::Limits, "/limits"),
        (Kind::Resume, "/resume"),
    ] {
        let effective = frame::effective(kind, "", frame::Block::new()).expect(place);
        assert!(effective.pointer(place).is_some(), "{place}");
    }
}

#[test]
fn a_type_without_the_key_says_so() {
    for row in rows::all().filter(|row| !row.only.is_empty()) {
        let known =
            |of: &&str| rows::of(row.kind).any(|other| other.key == row.key && other.is_for(of));
        for of in frame::types(row.kind).iter().filter(|of| !known(of)) {
            let read = frame::read(&frame::whole(
                row.kind,
                of,
                with(row, of, frame::example(row)),
            ));
            let field = frame::field(row.kind, row.key);
            let said = match read {
                Ok(loaded) => loaded.notes,
                Err(mistakes) => mistakes.0,
            };
            assert!(
                said.iter().any(|said| said.field == field),
                "{row:?} {of}: {said:?}"
            );
        }
    }
}

#[test]
fn variables_and_flags_are_the_rows_twins() {
    use crate::load::{Flags, load};
    let asked = RefCell::new(BTreeSet::new());
    let environment = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        None
    };
    drop(load(&[], &environment, &Flags::default()));
    let idle = peer::IDLE_VARIABLES.iter().map(|(name, _)| *name);
    let described = rows::all().filter_map(|row| row.variable).chain(idle);
    let described: BTreeSet<_> = described
        .flat_map(|name| [format!("VAULT_{name}"), format!("BAO_{name}")])
        .collect();
    assert_eq!(asked.into_inner(), described);
}

#[test]
fn the_page_has_every_table_once() {
    let (known, mut asked) = page::tables();
    assert_eq!(asked, known);
    asked.dedup();
    assert_eq!(asked.len(), known.len());
}

#[test]
fn the_page_is_fresh() {
    const PAGE: &str = include_str!("../../../../docs/configuration.md");
    let fresh = super::page();
    for (written, fresh) in PAGE.lines().zip(fresh.lines()) {
        assert_eq!(written, fresh, "run `cargo xtask render`");
    }
    assert!(PAGE == fresh, "run `cargo xtask render`");
}
