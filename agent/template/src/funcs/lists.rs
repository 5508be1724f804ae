//! Lists, and what takes a value of any kind.

use super::{Function, any_list, at, bytes, done, flag, int, list, position, same};
use crate::error::Fault;
use crate::eval::Run;
use crate::value::{Of, Value};

pub(super) const TABLE: &[Function] = &[
    Function::own("in", "aa", |_, values| {
        flag(is_in(at(values, 0), at(values, 1)))
    }),
    Function::own("contains", "aa", |_, values| {
        flag(is_in(at(values, 1), at(values, 0)))
    }),
    Function::own("containsAll", "aa", |run, values| {
        contained(run, values).map(|(_, all)| Value::Bool(all))
    }),
    Function::own("containsAny", "aa", |run, values| {
        contained(run, values).map(|(some, _)| Value::Bool(some))
    }),
    Function::own("containsNone", "aa", |run, values| {
        contained(run, values).map(|(some, _)| Value::Bool(!some))
    }),
    Function::own("containsNotAll", "aa", |run, values| {
        contained(run, values).map(|(_, all)| Value::Bool(!all))
    }),
    Function::sprig("list", "a*", |_, values| Value::list(values.to_vec())),
    Function::sprig("tuple", "a*", |_, values| Value::list(values.to_vec())),
    Function::sprig("first", "a", |_, values| {
        Ok(any_list(values, 0, "first")?
            .items
            .first()
            .cloned()
            .unwrap_or(Value::Nil))
    }),
    Function::sprig("last", "a", |_, values| {
        Ok(any_list(values, 0, "last")?
            .items
            .last()
            .cloned()
            .unwrap_or(Value::Nil))
    }),
    Function::sprig("rest", "a", |_, values| {
        let items = &any_list(values, 0, "rest")?.items;
        Value::list(items.get(1..).unwrap_or_default().to_vec())
    }),
    Function::sprig("initial", "a", |_, values| {
        let items = &any_list(values, 0, "beginning")?.items;
        let count = items.len().saturating_sub(1);
        Value::list(items.get(..count).unwrap_or_default().to_vec())
    }),
    Function::sprig("append", "aa", append),
    Function::sprig("push", "aa", append),
    Function::sprig("prepend", "aa", |_, values| {
        let items = &any_list(values, 0, "prepending")?.items;
        Value::list(
            std::iter::once(at(values, 1))
                .chain(items)
                .cloned()
                .collect(),
        )
    }),
    Function::sprig("concat", "a*", |_, values| {
        let mut items = Vec::new();
        for index in 0..values.len() {
            items.extend_from_slice(&any_list(values, index, "joining")?.items);
        }
        Value::list(items)
    }),
    Function::sprig("reverse", "a", |_, values| {
        let items = &any_list(values, 0, "reverse")?.items;
        Value::list(items.iter().rev().cloned().collect())
    }),
    Function::sprig("uniq", "a", |run, values| {
        let mut items: Vec<Value> = Vec::new();
        for item in &any_list(values, 0, "uniqueness")?.items {
            if !has(run, &items, item)? {
                items.push(item.clone());
            }
        }
        Value::list(items)
    }),
    Function::sprig("without", "aa*", |run, values| {
        let mut items = Vec::new();
        for item in &any_list(values, 0, "leaving out")?.items {
            if !has(run, values.get(1..).unwrap_or_default(), item)? {
                items.push(item.clone());
            }
        }
        Value::list(items)
    }),
    Function::sprig("has", "aa", |run, values| {
        if at(values, 1).is_nil() {
            return flag(false);
        }
        let items = &any_list(values, 1, "item")?.items;
        flag(has(run, items, at(values, 0))?)
    }),
    Function::sprig("compact", "a", |_, values| {
        let items = &any_list(values, 0, "compacting")?.items;
        Value::list(items.iter().filter(|item| item.truth()).cloned().collect())
    }),
    Function::sprig("slice", "aa*", slice),
    Function::sprig("chunk", "ia", |_, values| {
        let size = usize::try_from(int(values, 0)).unwrap_or(0);
        if size == 0 {
            return Err("a chunk has at least one item".into());
        }
        let chunks = any_list(values, 1, "chunk")?.items.chunks(size);
        let chunks: Result<_, _> = chunks.map(|chunk| Value::list(chunk.to_vec())).collect();
        Value::list_of(Of::Lists, chunks?)
    }),
    Function::sprig("default", "aa*", |_, values| {
        let given = at(values, 1);
        Ok(if given.truth() { given } else { at(values, 0) }.clone())
    }),
    Function::sprig("empty", "a", |_, values| flag(!at(values, 0).truth())),
    Function::sprig("coalesce", "a*", |_, values| {
        let found = values.iter().find(|value| value.truth());
        Ok(found.cloned().unwrap_or(Value::Nil))
    }),
    Function::sprig("all", "a*", |_, values| {
        flag(values.iter().all(Value::truth))
    }),
    Function::sprig("any", "a*", |_, values| {
        flag(values.iter().any(Value::truth))
    }),
    Function::sprig("ternary", "aab", |_, values| {
        let index = usize::from(!at(values, 2).truth());
        Ok(at(values, index).clone())
    }),
    Function::sprig("typeOf", "a", |_, values| done(at(values, 0).type_name())),
    Function::sprig("kindOf", "a", |_, values| done(at(values, 0).kind_name())),
    Function::sprig("typeIs", "sa", |_, values| {
        flag(bytes(values, 0) == at(values, 1).type_name().as_bytes())
    }),
    Function::sprig("typeIsLike", "sa", |_, values| {
        let name = at(values, 1).type_name();
        let name = name.strip_prefix('*').unwrap_or(name);
        let wanted = bytes(values, 0);
        flag(wanted.strip_prefix(b"*").unwrap_or(wanted) == name.as_bytes())
    }),
    Function::sprig("kindIs", "sa", |_, values| {
        flag(bytes(values, 0) == at(values, 1).kind_name().as_bytes())
    }),
    Function::sprig("deepEqual", "aa", |run, values| {
        flag(same(run, at(values, 0), at(values, 1))?)
    }),
    // What it says may be made of secrets, so only that it was called is told.
    Function::sprig("fail", "s", |_, _| Err("the template gives up here".into())),
];

fn append(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let items = &any_list(values, 0, "appending")?.items;
    Value::list(items.iter().chain([at(values, 1)]).cloned().collect())
}

fn has(run: &mut Run<'_>, items: &[Value], wanted: &Value) -> Result<bool, Fault> {
    for item in items {
        if same(run, item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// consul-template's membership: numbers by value, strings by type and content, a text within a text.
fn is_in(whole: &Value, part: &Value) -> bool {
    let matches = |item: &Value| match (item, part) {
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Text(left), Value::Text(right)) | (Value::Number(left), Value::Number(right)) => {
            left == right
        }
        _ => item.integer().is_some() && item.integer() == part.integer(),
    };
    match (whole, part) {
        (Value::List(list), _) => list.items.iter().any(matches),
        (Value::Text(text), Value::Text(part)) => position(text, part).is_some(),
        _ => false,
    }
}

/// Whether some and whether all of the first list are in the second.
fn contained(run: &mut Run<'_>, values: &[Value]) -> Result<(bool, bool), Fault> {
    let (mut some, mut all) = (false, true);
    for value in [at(values, 0), at(values, 1)] {
        if !matches!(value, Value::List(_)) {
            return Err(format!("takes lists, not a {}", value.type_name()).into());
        }
    }
    for item in list(values, 0) {
        run.step(list(values, 1).len())?;
        let found = is_in(at(values, 1), item);
        some |= found;
        all &= found;
    }
    Ok((some, all))
}

fn slice(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let list = any_list(values, 0, "slice")?;
    if list.items.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |index: usize, default: usize| match at(values, index) {
        Value::Nil => Ok(default),
        other => other
            .integer()
            .and_then(|bound| usize::try_from(bound).ok())
            .ok_or("a position is a whole number that is not negative"),
    };
    let (from, to) = (bound(1, 0)?, bound(2, list.items.len())?);
    let items = list
        .items
        .get(from..to)
        .ok_or("the positions are out of range")?;
    Value::list_of(list.of, items.to_vec())
}
