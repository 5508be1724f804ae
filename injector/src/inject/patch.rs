//! JSON Patch (RFC 6902): the operations that turn one document into another.
//!
//! Invariant: applied in order to `before`, the operations give exactly `after`.
//! Invariant: the same two documents always give the same operations, byte for byte.
//! Invariant: what is equal in both is never mentioned, so fields that we do not know survive.

use serde::Serialize;
use serde_json::{Map, Value};

/// One operation; the other three of the RFC are never needed to write a difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Operation {
    /// Sets a member that was absent, or inserts in front of the element that the index names.
    Add { path: String, value: Value },
    /// Takes a member or an element away.
    Remove { path: String },
    /// Gives what is there another value.
    Replace { path: String, value: Value },
}

/// The operations that turn `before` into `after`.
pub(crate) fn diff(before: &Value, after: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    compare("", before, after, &mut operations);
    operations
}

fn compare(path: &str, before: &Value, after: &Value, operations: &mut Vec<Operation>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            compare_objects(path, before, after, operations);
        }
        (Value::Array(before), Value::Array(after)) => {
            compare_arrays(path, before, after, operations);
        }
        _ => operations.push(Operation::Replace {
            path: path.to_owned(),
            value: after.clone(),
        }),
    }
}

fn compare_objects(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    operations: &mut Vec<Operation>,
) {
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        operations.push(Operation::Remove {
            path: member(path, key),
        });
    }
    for (key, value) in after {
        let path = member(path, key);
        match before.get(key) {
            Some(old) => compare(&path, old, value, operations),
            None => operations.push(Operation::Add {
                path,
                value: value.clone(),
            }),
        }
    }
}

/// Elements that correspond at both ends are compared in place; what lies between them is inserted or removed.
///
/// This finds the shortest patch for an insertion at one place, which is all that injection does to a list. The
/// time is linear in the length of the list, whoever wrote it.
fn compare_arrays(path: &str, before: &[Value], after: &[Value], operations: &mut Vec<Operation>) {
    let head = before
        .iter()
        .zip(after)
        .take_while(|(old, new)| correspond(old, new))
        .count();
    let (before_head, before) = before.split_at(head);
    let (after_head, after) = after.split_at(head);
    let tail = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take_while(|(old, new)| correspond(old, new))
        .count();
    let (before, before_tail) = before.split_at(before.len() - tail);
    let (after, after_tail) = after.split_at(after.len() - tail);

    for (index, (old, new)) in before_head.iter().zip(after_head).enumerate() {
        compare(&element(path, index), old, new, operations);
    }
    compare_middles(path, head, before, after, operations);
    // By now the list is as long as it will be, so that an element's place is its place in `after`.
    let start = head + after.len();
    for (index, (old, new)) in before_tail.iter().zip(after_tail).enumerate() {
        compare(&element(path, start + index), old, new, operations);
    }
}

fn compare_middles(
    path: &str,
    start: usize,
    before: &[Value],
    after: &[Value],
    operations: &mut Vec<Operation>,
) {
    let common = before.len().min(after.len());
    for (index, (old, new)) in before.iter().zip(after).enumerate() {
        compare(&element(path, start + index), old, new, operations);
    }
    for index in (common..before.len()).rev() {
        operations.push(Operation::Remove {
            path: element(path, start + index),
        });
    }
    for (index, value) in after.iter().enumerate().skip(common) {
        operations.push(Operation::Add {
            path: element(path, start + index),
            value: value.clone(),
        });
    }
}

/// Whether two elements are the same thing: equal, or objects of one name, as the lists of a pod have them.
fn correspond(before: &Value, after: &Value) -> bool {
    before == after
        || before
            .get("name")
            .is_some_and(|name| name.is_string() && Some(name) == after.get("name"))
}

fn member(path: &str, key: &str) -> String {
    // The order matters: `~` first, or the tildes of `~1` would be escaped again.
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn element(path: &str, index: usize) -> String {
    format!("{path}/{index}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(before: &Value, after: &Value, expected: &Value) {
        let operations = diff(before, after);
        assert_eq!(&serde_json::to_value(&operations).unwrap(), expected);
        assert_eq!(&applied(before, &operations), after);
    }

    /// What an independent implementation makes of the operations.
    fn applied(before: &Value, operations: &[Operation]) -> Value {
        let patch: json_patch::Patch =
            serde_json::from_value(serde_json::to_value(operations).unwrap()).unwrap();
        let mut document = before.clone();
        json_patch::patch(&mut document, &patch).unwrap();
        document
    }

    #[test]
    fn says_nothing_about_what_is_equal() {
        check(&json!({"a": [1, {}]}), &json!({"a": [1, {}]}), &json!([]));
    }

    #[test]
    fn adds_removes_and_replaces_members() {
        check(
            &json!({"gone": 1, "kept": 2, "other": {"deep": 3}}),
            &json!({"kept": 2, "new": [], "other": {"deep": "x"}}),
            &json!([
                {"op": "remove", "path": "/gone"},
                {"op": "add", "path": "/new", "value": []},
                {"op": "replace", "path": "/other/deep", "value": "x"},
            ]),
        );
    }

    #[test]
    fn escapes_slash_and_tilde_in_pointers() {
        check(
            &json!({"annotations": {}}),
            &json!({"annotations": {"keyside.dev/status": "injected", "a~b": 1, "~1": 2}}),
            &json!([
                {"op": "add", "path": "/annotations/a~0b", "value": 1},
                {"op": "add", "path": "/annotations/keyside.dev~1status", "value": "injected"},
                {"op": "add", "path": "/annotations/~01", "value": 2},
            ]),
        );
    }

    #[test]
    fn inserts_into_a_list_instead_of_replacing_it() {
        check(
            &json!([{"name": "a", "unknown": 1}, {"name": "b"}]),
            &json!([{"name": "agent"}, {"name": "a", "unknown": 1}, {"name": "b", "env": []}]),
            &json!([
                {"op": "add", "path": "/0", "value": {"name": "agent"}},
                {"op": "add", "path": "/2/env", "value": []},
            ]),
        );
    }

    #[test]
    fn appends_at_the_end_of_a_list() {
        check(
            &json!([1]),
            &json!([1, 2, 3]),
            &json!([{"op": "add", "path": "/1", "value": 2}, {"op": "add", "path": "/2", "value": 3}]),
        );
    }

    #[test]
    fn removes_from_the_end_backwards() {
        check(
            &json!([1, 2, 3, 4]),
            &json!([1, 9]),
            &json!([
                {"op": "replace", "path": "/1", "value": 9},
                {"op": "remove", "path": "/3"},
                {"op": "remove", "path": "/2"},
            ]),
        );
    }

    #[test]
    fn replaces_a_value_of_another_kind() {
        check(
            &json!({"volumes": null}),
            &json!({"volumes": []}),
            &json!([{"op": "replace", "path": "/volumes", "value": []}]),
        );
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0_i64..4).prop_map(Value::from),
            "[a-c~/]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(
                    prop_oneof![Just("name".to_owned()), "[a-c~/]{0,2}"],
                    inner,
                    0..5
                )
                .prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn turns_any_document_into_any_other(before in document(), after in document()) {
            prop_assert_eq!(applied(&before, &diff(&before, &after)), after);
        }
    }
}
