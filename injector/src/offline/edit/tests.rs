use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Edits a single document and tells the text.
#[track_caller]
fn edited(text: &str, keys: &Keys, change: impl FnOnce(&mut Value)) -> String {
    let before = yaml_read::read(text).unwrap();
    let mut after = before.clone();
    change(after.first_mut().unwrap());
    let result = edit(text, &before, &after, keys).unwrap();
    assert_eq!(yaml_read::read(&result).unwrap(), after, "{result}");
    result
}

#[track_caller]
fn check(text: &str, expected: &str, change: impl FnOnce(&mut Value)) {
    assert_eq!(edited(text, &Keys::default(), change), expected);
}

#[test]
fn adds_below_what_is_there() {
    check(
        "a: # one\n  b: 1 # two\n# three\nc: yes\n",
        "a: # one\n  b: 1 # two\n  d: 'yes'\n# three\nc: yes\nz:\n  w: []\n",
        |value| {
            value["a"]["d"] = json!("yes");
            value["z"] = json!({"w": []});
        },
    );
    check(
        "a:\r\n  b: |\r\n    x",
        "a:\r\n  b: |\r\n    x\r\n  c: 1",
        |value| {
            value["a"]["c"] = json!(1);
        },
    );
}

#[test]
fn inserts_into_lists_of_either_depth() {
    let added = json!({"name": "new", "l": ["x\ny"]});
    for (text, expected) in [
        (
            "l:\n# of a\n- name: a # a\n  k: v\n# of b\n- name: b\nm: 1\n",
            "l:\n- l:\n  - |-\n    x\n    y\n  name: new\n# of a\n- name: a # a\n  k: v\n# of b\n- name: b\nm: 1\n",
        ),
        (
            "l:\n    -  name: a\n       k: v\n    - {name: b}\n",
            "l:\n    - l:\n      - |-\n        x\n        y\n      name: new\n    -  name: a\n       k: v\n    - {name: b}\n",
        ),
    ] {
        check(text, expected, |value| {
            value["l"].as_array_mut().unwrap().insert(0, added.clone());
        });
    }
    check(
        "l:\n- name: a\n- name: c\n",
        "l:\n- name: a\n- name: b\n- name: c\n- 4\n",
        |value| {
            let list = value["l"].as_array_mut().unwrap();
            list.insert(1, json!({"name": "b"}));
            // Two places at once: the list is written anew.
            list.push(json!(4));
        },
    );
    check(
        "l:\n- - a\n  - b # c\n",
        "l:\n- - a\n  - b # c\n- 1\n",
        |value| {
            value["l"].as_array_mut().unwrap().push(json!(1));
        },
    );
}

#[test]
fn writes_anew_what_is_on_one_line_or_empty() {
    check(
        "a: {b: 1} # c\nd: 2 # e\n",
        "a:\n  b: 1\n  c: 3 # c\nd: 2 # e\n",
        |value| {
            value["a"]["c"] = json!(3);
        },
    );
    check(
        "a: # c\n  b:\n  c: []\n",
        "a: # c\n  b:\n    d: 1\n  c:\n  - x\n",
        |value| {
            value["a"]["b"] = json!({"d": 1});
            value["a"]["c"] = json!(["x"]);
        },
    );
    check(
        "# top\n{a: {b: [1]}}\n# end\n",
        "# top\na:\n  b:\n  - 1\n  - 2\n# end\n",
        |value| {
            value["a"]["b"] = json!([1, 2]);
        },
    );
    check("a: !!str 1 # c\n", "a: '2' # c\n", |value| {
        value["a"] = json!("2");
    });
}

#[test]
fn what_others_repeat_is_written_out() {
    check(
        "# c\na: &a\n  x: 1\nb: *a\nc: {<<: *a}\n",
        "# c\na:\n  v: 2\n  x: 1\nb:\n  x: 1\nc:\n  x: 1\n",
        |value| value["a"]["v"] = json!(2),
    );
    check(
        "a: &a\n  x: 1\nb:\n  <<: *a\n  z: 1\n",
        "a: &a\n  x: 1\nb:\n  x: 2\n  z: 1\n",
        |value| value["b"]["x"] = json!(2),
    );
}

#[test]
fn keys_change_their_names_and_go() {
    let renamed = |leaves_comments| Keys {
        renamed: [
            ("o/a".to_owned(), "n/a".to_owned()),
            ("o/b".to_owned(), "n/b".to_owned()),
        ]
        .into(),
        leaves_comments,
    };
    let change = |value: &mut Value| {
        value["m"] = json!({"n/a": "1", "n/b": "3", "n/new": "x"});
    };
    let text = "m:\n  # first\n  o/a: \"1\" # a\n  \"o/b\": '2' # b\n  o/c: |\n    one\n\n    two\n  # last\nz: 1\n";
    assert_eq!(
        edited(text, &renamed(false), change),
        "m:\n  # first\n  n/a: \"1\" # a\n  n/b: '3' # b\n  n/new: x\n  # last\nz: 1\n"
    );
    assert_eq!(
        edited(text, &renamed(true), change),
        "m:\n  # first\n  n/a: \"1\" # a\n  n/b: '3' # b\n  # o/c: |\n  #   one\n  #\n  #   two\n  n/new: x\n  # last\nz: 1\n"
    );
    assert_eq!(
        edited("m: {o/a: '1', o/c: 2}\n", &renamed(false), change),
        "m:\n  n/a: '1'\n  n/b: '3'\n  n/new: x\n"
    );
}

#[test]
fn other_documents_stay() {
    let text = "# a\na: yes # b\n---\n# nothing\n---\n{b: 0400} # c\n...\n---\nc: [] # d";
    let before = yaml_read::read(text).unwrap();
    let mut after = before.clone();
    after[3]["c"] = json!([1]);
    let expected = "# a\na: yes # b\n---\n# nothing\n---\n{b: 0400} # c\n...\n---\nc:\n- 1 # d";
    assert_eq!(
        edit(text, &before, &after, &Keys::default()).unwrap(),
        expected
    );
}

/// Texts in our own writing, and edits of every kind.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        any::<i8>().prop_map(Value::from),
        "[ -~\n]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 1..3).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn reads_as_what_was_asked_for(before in document(), after in document(), other in document()) {
        let before = json!({"k": before, "z": 1});
        let after = json!({"k": after, "y": 2});
        let text = format!("# c\n{}---\n{}", yaml::write(&before), yaml::write(&other));
        let documents = yaml_read::read(&text).unwrap();
        let changed = [after, other];
        let result = edit(&text, &documents, &changed, &Keys::default());
        prop_assert_eq!(yaml_read::read(&result.unwrap()).unwrap(), changed);
    }
}
