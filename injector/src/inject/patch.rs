//! JSON Patch (RFC 6902): the operations that turn one document into another.
//!
//! Invariant: applied in order to `before`, the operations give exactly `after`.
//! Invariant: the same two documents always give the same operations, byte for byte.
//! Invariant: what is equal in both is never mentioned, so fields that we do not know survive.

use std::fmt::Write as _;

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
    let mut difference = Difference::default();
    difference.compare(before, after);
    difference.operations
}

/// What was found so far, and where the comparison is.
#[derive(Default)]
struct Difference {
    operations: Vec<Operation>,
    /// Grows on the way down and shrinks on the way up, so that what is equal costs no text of its own.
    path: String,
}

impl Difference {
    fn compare(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            _ if before == after => {}
            (Value::Object(before), Value::Object(after)) => self.compare_objects(before, after),
            (Value::Array(before), Value::Array(after)) => self.compare_arrays(before, after),
            _ => self.operations.push(Operation::Replace {
                path: self.path.clone(),
                value: after.clone(),
            }),
        }
    }

    fn compare_objects(&mut self, before: &Map<String, Value>, after: &Map<String, Value>) {
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            let operation = |path| Operation::Remove { path };
            self.at_member(key, |difference| difference.say(operation));
        }
        for (key, value) in after {
            self.at_member(key, |difference| match before.get(key) {
                Some(old) => difference.compare(old, value),
                None => difference.add(value),
            });
        }
    }

    /// Elements that correspond at both ends are compared in place; what lies between them is inserted or removed.
    ///
    /// This finds the shortest patch for an insertion at one place, which is all that injection does to a list. The
    /// time is linear in the length of the list, whoever wrote it.
    fn compare_arrays(&mut self, before: &[Value], after: &[Value]) {
        let (head, tail) = ends(before, after);
        let (before_head, before) = before.split_at(head);
        let (after_head, after) = after.split_at(head);
        let (before, before_tail) = before.split_at(before.len() - tail);
        let (after, after_tail) = after.split_at(after.len() - tail);

        for (index, (old, new)) in before_head.iter().zip(after_head).enumerate() {
            self.at_element(index, |difference| difference.compare(old, new));
        }
        self.compare_middles(head, before, after);
        // By now the list is as long as it will be, so that an element's place is its place in `after`.
        let start = head + after.len();
        for (index, (old, new)) in before_tail.iter().zip(after_tail).enumerate() {
            self.at_element(start + index, |difference| difference.compare(old, new));
        }
    }

    fn compare_middles(&mut self, start: usize, before: &[Value], after: &[Value]) {
        let common = before.len().min(after.len());
        for (index, (old, new)) in before.iter().zip(after).enumerate() {
            self.at_element(start + index, |difference| difference.compare(old, new));
        }
        for index in (common..before.len()).rev() {
            let operation = |path| Operation::Remove { path };
            self.at_element(start + index, |difference| difference.say(operation));
        }
        for (index, value) in after.iter().enumerate().skip(common) {
            self.at_element(start + index, |difference| difference.add(value));
        }
    }

    fn add(&mut self, value: &Value) {
        let value = value.clone();
        self.say(|path| Operation::Add { path, value });
    }

    fn say(&mut self, operation: impl FnOnce(String) -> Operation) {
        self.operations.push(operation(self.path.clone()));
    }

    fn at_member(&mut self, key: &str, go_on: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push('/');
        for character in key.chars() {
            match character {
                '~' => self.path.push_str("~0"),
                '/' => self.path.push_str("~1"),
                other => self.path.push(other),
            }
        }
        go_on(self);
        self.path.truncate(length);
    }

    fn at_element(&mut self, index: usize, go_on: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        // Writing to text cannot fail.
        let _written = write!(self.path, "/{index}");
        go_on(self);
        self.path.truncate(length);
    }
}

/// How many elements correspond at the start, and how many of the rest at the end.
pub(crate) fn ends(before: &[Value], after: &[Value]) -> (usize, usize) {
    let same = |(old, new): &(&Value, &Value)| correspond(old, new);
    let head = before.iter().zip(after).take_while(same).count();
    let rest = before.iter().skip(head).rev();
    let tail = rest
        .zip(after.iter().skip(head).rev())
        .take_while(same)
        .count();
    (head, tail)
}

/// Whether two elements are the same thing: objects of one name, as the lists of a pod have them, or equal.
fn correspond(before: &Value, after: &Value) -> bool {
    let name = before.get("name").filter(|name| name.is_string());
    match (name, after.get("name")) {
        (Some(old), Some(new)) if old == new => true,
        _ => before == after,
    }
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
