//! Maps. Those of Sprig that set something change the map that they are given, as Go's do.

use std::rc::Rc;

use super::{Function, at, bytes, entries, flag, shown};
use crate::call;
use crate::error::Fault;
use crate::eval::Run;
use crate::value::{Entries, MAX_DEPTH, Map, Value};

pub(super) const TABLE: &[Function] = &[
    Function::own("explodeMap", "m", explode),
    Function::own("mergeMap", "mm*", |run, values| {
        merge_new(run, values, false)
    }),
    Function::own("mergeMapWithOverride", "mm*", |run, values| {
        merge_new(run, values, true)
    }),
    Function::sprig("dict", "a*", |run, values| {
        let mut entries = Entries::new();
        for pair in values.chunks(2) {
            let key = shown(run, at(pair, 0))?;
            let value = if pair.len() > 1 {
                at(pair, 1).clone()
            } else {
                Value::text("")
            };
            entries.insert(key.into(), value);
        }
        Value::map(entries)
    }),
    Function::sprig("get", "ms", |_, values| {
        let found = entries(values, 0).get(bytes(values, 1)).cloned();
        Ok(found.unwrap_or_else(|| Value::text("")))
    }),
    Function::sprig("set", "msa", |run, values| {
        let map = map(values)?;
        call::set(run, map, bytes(values, 1), at(values, 2).clone(), false)?;
        Ok(at(values, 0).clone())
    }),
    Function::sprig("unset", "ms", |_, values| {
        map(values)?.entries.borrow_mut().remove(bytes(values, 1));
        Ok(at(values, 0).clone())
    }),
    Function::sprig("hasKey", "ms", |_, values| {
        flag(entries(values, 0).contains_key(bytes(values, 1)))
    }),
    Function::sprig("keys", "m*", |_, values| {
        let maps = (0..values.len()).map(|index| entries(values, index));
        Ok(Value::texts(maps.flat_map(Entries::into_keys)))
    }),
    Function::sprig("values", "m", |_, values| {
        Value::list(entries(values, 0).into_values().collect())
    }),
    Function::sprig("pick", "ms*", |_, values| {
        let mut picked = entries(values, 0);
        picked.retain(|key, _| names(values, key));
        Value::map(picked)
    }),
    Function::sprig("omit", "ms*", |_, values| {
        let mut kept = entries(values, 0);
        kept.retain(|key, _| !names(values, key));
        Value::map(kept)
    }),
    Function::sprig("pluck", "sm*", |_, values| {
        let maps = (1..values.len()).map(|index| entries(values, index));
        let found = maps.filter_map(|mut map| map.remove(bytes(values, 0)));
        Value::list(found.collect())
    }),
    Function::sprig("dig", "a*", dig),
    Function::sprig("merge", "mm*", |run, values| merge_into(run, values, false)),
    Function::sprig("mergeOverwrite", "mm*", |run, values| {
        merge_into(run, values, true)
    }),
    Function::sprig("deepCopy", "a", |run, values| copy(run, at(values, 0), 0)),
];

fn map(values: &[Value]) -> Result<&Rc<Map>, Fault> {
    match at(values, 0) {
        Value::Map(map) if !map.absent => Ok(map),
        _ => Err("there is no map to change".into()),
    }
}

/// Whether a key is among the arguments after the map.
fn names(values: &[Value], key: &[u8]) -> bool {
    values.iter().skip(1).any(|name| name.bytes() == Some(key))
}

/// `a/b` becomes `b` in the map `a`.
fn explode(run: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    fn hang(tree: &mut Entries, parts: &[&[u8]], value: Value) -> Result<(), Fault> {
        let Some((first, rest)) = parts.split_first() else {
            return Ok(());
        };
        if rest.len() > MAX_DEPTH {
            return Err("the key nests too deep".into());
        }
        let inner = tree.get(*first).cloned();
        if rest.is_empty() {
            if inner.is_some() {
                return Err("a key is a map and a value".into());
            }
            tree.insert((*first).into(), value);
            return Ok(());
        }
        let mut entries = match inner {
            None => Entries::new(),
            Some(Value::Map(map)) => map.entries.borrow().clone(),
            Some(_) => return Err("a key is a map and a value".into()),
        };
        hang(&mut entries, rest, value)?;
        tree.insert((*first).into(), Value::map(entries)?);
        Ok(())
    }
    let mut tree = Entries::new();
    for (key, value) in entries(values, 0) {
        run.step(tree.len())?;
        let parts = super::split(&key, b"/", usize::MAX);
        hang(&mut tree, &parts, value)?;
    }
    Value::map(tree)
}

/// What is empty counts as not there.
fn merge(
    run: &mut Run<'_>,
    target: &mut Entries,
    source: &Entries,
    overrides: bool,
) -> Result<(), Fault> {
    for (key, value) in source {
        run.step(1)?;
        match (target.get(key), value) {
            (Some(Value::Map(inner)), Value::Map(value)) => {
                let mut merged = inner.entries.borrow().clone();
                let value = value.entries.borrow().clone();
                merge(run, &mut merged, &value, overrides)?;
                target.insert(Rc::clone(key), Value::map(merged)?);
            }
            (Some(there), _) if there.truth() && !(overrides && value.truth()) => {}
            (Some(_), _) if !value.truth() => {}
            _ => {
                target.insert(Rc::clone(key), value.clone());
            }
        }
    }
    Ok(())
}

fn merge_new(run: &mut Run<'_>, values: &[Value], overrides: bool) -> Result<Value, Fault> {
    let mut merged = entries(values, 0);
    for index in 1..values.len() {
        merge(run, &mut merged, &entries(values, index), overrides)?;
    }
    Value::map(merged)
}

fn merge_into(run: &mut Run<'_>, values: &[Value], overrides: bool) -> Result<Value, Fault> {
    let target = map(values)?;
    let Value::Map(merged) = merge_new(run, values, overrides)? else {
        return Ok(Value::Nil);
    };
    for (key, value) in merged.entries.take() {
        call::set(run, target, &key, value, false)?;
    }
    Ok(at(values, 0).clone())
}

/// Names, what to take where one is not there, and the map.
fn dig(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let Some((Value::Map(map), rest)) = values.split_last() else {
        return Err("the last argument is a map".into());
    };
    let Some((default, names)) = rest.split_last().filter(|(_, names)| !names.is_empty()) else {
        return Err("takes at least a name, a default and a map".into());
    };
    let mut value = Value::Map(Rc::clone(map));
    for name in names {
        let Value::Map(map) = &value else {
            return Err("there is a value where a map was to be".into());
        };
        let name = name.bytes().ok_or("a name is a string")?;
        let found = map.entries.borrow().get(name).cloned();
        match found {
            Some(found) => value = found,
            None => return Ok(default.clone()),
        }
    }
    Ok(value)
}

fn copy(run: &mut Run<'_>, value: &Value, depth: usize) -> Result<Value, Fault> {
    run.step(1)?;
    if depth > MAX_DEPTH {
        return Err("the value nests too deep".into());
    }
    match value {
        Value::List(list) => {
            let mut items = Vec::with_capacity(list.items.len());
            for item in &list.items {
                items.push(copy(run, item, depth + 1)?);
            }
            Value::list_of(list.of, items)
        }
        Value::Map(map) => {
            let mut entries = Entries::new();
            for (key, value) in map.entries.borrow().iter() {
                entries.insert(Rc::clone(key), copy(run, value, depth + 1)?);
            }
            Value::map_of(map.of, entries)
        }
        other => Ok(other.clone()),
    }
}
