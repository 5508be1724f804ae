//! Functions with their arguments, and fields.

use std::rc::Rc;

use crate::error::Fault;
use crate::eval::{Failure, Run};
use crate::funcs::{Function, time};
use crate::secret::CERTIFICATE;
use crate::tree::{Command, Operand, Term};
use crate::value::{Entries, MAX_DEPTH, Map, Of, Value};

/// Calls a function. `last` is what came through the pipe.
pub(crate) fn call<'a>(
    run: &mut Run<'a>,
    function: &'static Function,
    at: usize,
    arguments: &'a [Operand],
    dot: &Value,
    last: Option<Value>,
) -> Result<Value, Failure> {
    if matches!(function.name, "and" | "or") {
        return decide(run, function.name == "or", at, arguments, dot, last);
    }
    let count = arguments.len() + usize::from(last.is_some());
    let (kinds, rest) = match function.parameters.strip_suffix('*') {
        Some(kinds) => {
            let (fixed, rest) = kinds.split_at_checked(kinds.len() - 1).unwrap_or(("", "a"));
            (fixed, rest.chars().next())
        }
        None => (function.parameters, None),
    };
    if count < kinds.len() || (rest.is_none() && count > kinds.len()) {
        let least = if rest.is_some() { "at least " } else { "" };
        let what = format!(
            "`{}` takes {least}{} arguments, not {count}",
            function.shown(),
            kinds.len()
        );
        return Err((at, what.into()));
    }
    let mut kinds = kinds.chars().chain(std::iter::repeat(rest.unwrap_or('a')));
    let mut values = Vec::with_capacity(count);
    for operand in arguments {
        let kind = kinds.next().unwrap_or('a');
        let value = argument(run, operand, kind, dot)?;
        values.push(value);
    }
    if let Some(last) = last {
        let kind = kinds.next().unwrap_or('a');
        values.push(check(kind, last).map_err(|fault| (at, fault))?);
    }
    let result = finish(run, function, &values);
    result.map_err(|Fault(what)| (at, format!("`{}`: {what}", function.shown()).into()))
}

fn finish(run: &mut Run<'_>, function: &Function, values: &[Value]) -> Result<Value, Fault> {
    run.step(1)?;
    let value = (function.call)(run, values)?;
    match &value {
        Value::Text(text) => run.charge(text.len())?,
        Value::List(list) => run.step(list.items.len())?,
        _ => {}
    }
    Ok(value)
}

/// `and` and `or` give the first value that decides, and leave the rest alone.
fn decide<'a>(
    run: &mut Run<'a>,
    decisive: bool,
    at: usize,
    arguments: &'a [Operand],
    dot: &Value,
    last: Option<Value>,
) -> Result<Value, Failure> {
    let mut value = None;
    for operand in arguments {
        let next = argument(run, operand, 'a', dot)?;
        if next.truth() == decisive {
            return Ok(next);
        }
        value = Some(next);
    }
    last.or(value)
        .ok_or_else(|| (at, "`and` and `or` take at least one argument".into()))
}

/// One argument, as a parameter of this kind wants it.
fn argument<'a>(
    run: &mut Run<'a>,
    operand: &'a Operand,
    kind: char,
    dot: &Value,
) -> Result<Value, Failure> {
    let wrong = || {
        let what = format!("this is no {}", kind_name(kind));
        Err((operand.at, Fault::from(what)))
    };
    match &operand.term {
        Term::Nil if matches!(kind, 'a' | 'l' | 'S' | 'm') => Ok(Value::Nil),
        Term::Number(constant) => match (kind, constant.integer, constant.float) {
            ('a', ..) => run.operand(operand, dot),
            ('i', Some(integer), _) => Ok(Value::Int(integer)),
            ('I', Some(integer), _) => Ok(Value::Int64(integer)),
            ('f', _, Some(float)) => Ok(Value::Float(float)),
            _ => wrong(),
        },
        Term::Nil | Term::Literal(_) => match (kind, &operand.term) {
            ('s' | 'a', Term::Literal(value @ Value::Text(_)))
            | ('b' | 'a', Term::Literal(value @ Value::Bool(_))) => Ok(value.clone()),
            _ => wrong(),
        },
        _ => {
            let value = run.operand(operand, dot)?;
            check(kind, value).map_err(|fault| (operand.at, fault))
        }
    }
}

/// Go converts nothing: the type has to be the parameter's.
fn check(kind: char, value: Value) -> Result<Value, Fault> {
    let value = value.settled();
    let fits = match (kind, &value) {
        ('a', _)
        | ('s', Value::Text(_))
        | ('i', Value::Int(_))
        | ('I', Value::Int64(_))
        | ('f', Value::Float(_))
        | ('b', Value::Bool(_))
        | ('t', Value::Time(_))
        | ('l' | 'S' | 'm', Value::Nil) => true,
        ('l', Value::List(list)) => list.of == Of::Any,
        ('S', Value::List(list)) => list.of == Of::Text,
        ('m', Value::Map(map)) => map.of == Of::Any,
        _ => false,
    };
    if fits {
        return Ok(value);
    }
    let what = format!("expected {}, got {}", kind_name(kind), value.type_name());
    Err(what.into())
}

fn kind_name(kind: char) -> &'static str {
    match kind {
        's' => "string",
        'i' => "int",
        'I' => "int64",
        'f' => "float64",
        'b' => "bool",
        't' => "time.Time",
        'l' => "[]interface {}",
        'S' => "[]string",
        'm' => "map[string]interface {}",
        _ => "value",
    }
}

/// `receiver.a.b argument …`: only a method takes arguments.
pub(crate) fn fields<'a>(
    run: &mut Run<'a>,
    receiver: Value,
    names: &'a [String],
    command: &'a Command,
    dot: &Value,
    last: Option<Value>,
) -> Result<Value, Failure> {
    let at = command.head.at;
    // Go looks at the arguments of a method only; of nothing there is none to be refused.
    if matches!(receiver, Value::Nil) {
        return walk(run, receiver, names, &[]).map_err(|fault| (at, fault));
    }
    let mut arguments = Vec::new();
    for operand in &command.arguments {
        arguments.push(argument(run, operand, 'a', dot)?);
    }
    arguments.extend(last);
    walk(run, receiver, names, &arguments).map_err(|fault| (at, fault))
}

/// Follows fields; the last one gets the arguments.
pub(crate) fn walk(
    run: &mut Run<'_>,
    receiver: Value,
    names: &[String],
    arguments: &[Value],
) -> Result<Value, Fault> {
    if matches!(receiver, Value::Nil) {
        return if names.is_empty() {
            Ok(Value::Nil)
        } else {
            run.absent(Value::Nil)
        };
    }
    let mut value = receiver;
    for (index, name) in names.iter().enumerate() {
        let arguments = if index + 1 == names.len() {
            arguments
        } else {
            &[]
        };
        value = field(run, &value, name, arguments)?;
    }
    Ok(value)
}

fn field(
    run: &mut Run<'_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Fault> {
    let found = match value {
        Value::Nil | Value::Null | Value::NoRecord(_) => {
            return Err(format!("field `{name}` of nothing").into());
        }
        Value::Scratch => return scratch(run, name, arguments),
        Value::Time(now) => return time::method(*now, name, arguments),
        Value::Map(map) => {
            let found = map.entries.borrow().get(name.as_bytes()).cloned();
            match found {
                Some(found) => found,
                None => run.absent(map.nothing())?,
            }
        }
        Value::Record(record) if record.name == CERTIFICATE && name == "Data" => value.clone(),
        Value::Record(record) => {
            let found = record.fields.iter().find(|field| field.0 == name);
            let found = found.map(|field| field.1.clone());
            found.ok_or_else(|| format!("there is no field `{name}` in {}", record.name))?
        }
        _ => return Err(format!("there is no field `{name}` in {}", value.type_name()).into()),
    };
    if !arguments.is_empty() {
        return Err(format!("`{name}` takes no arguments").into());
    }
    Ok(found)
}

/// A scratchpad's methods; those that set give nothing to print.
fn scratch(run: &mut Run<'_>, method: &str, arguments: &[Value]) -> Result<Value, Fault> {
    let name = arguments.first().and_then(Value::bytes);
    let (Some(name), count) = (name, arguments.len()) else {
        return Err(format!("`scratch.{method}` takes a name").into());
    };
    let second = arguments.get(1);
    let (sets, only_new) = (!method.starts_with("Map"), method.ends_with('X'));
    match (method, count) {
        ("Key", 1) => Ok(Value::Bool(run.scratch.contains_key(name))),
        ("Get", 1) => Ok(run.scratch.get(name).cloned().unwrap_or(Value::Nil)),
        ("Set" | "SetX", 2) if sets => {
            if !(only_new && run.scratch.contains_key(name)) {
                let value = second.cloned().unwrap_or(Value::Nil);
                run.scratch.insert(name.into(), value);
            }
            Ok(Value::text(""))
        }
        ("MapSet" | "MapSetX", 3) => {
            let value = arguments.get(2).cloned().unwrap_or(Value::Nil);
            let key = second.and_then(Value::bytes).ok_or("a key is a string")?;
            let fresh = || Value::map(Entries::new());
            let inside = match run.scratch.get(name) {
                Some(inside) => inside.clone(),
                None => fresh()?,
            };
            let Value::Map(map) = &inside else {
                return Err("what is there is no map".into());
            };
            set(run, map, key, value, only_new)?;
            run.scratch.insert(name.into(), inside);
            Ok(Value::text(""))
        }
        ("MapValues", 1) => match run.scratch.get(name) {
            None => Ok(Value::no_list(Of::Any)),
            Some(Value::Map(map)) => Value::list(map.entries.borrow().values().cloned().collect()),
            Some(_) => Err("what is there is no map".into()),
        },
        _ => Err(format!("there is no `scratch.{method}` with {count} arguments").into()),
    }
}

/// Sets a key of a map that templates can see already.
pub(crate) fn set(
    run: &mut Run<'_>,
    map: &Rc<Map>,
    key: &[u8],
    value: Value,
    only_new: bool,
) -> Result<(), Fault> {
    if contains(run, &value, map, 0)? {
        return Err("a map cannot hold itself".into());
    }
    run.hang(&value)?;
    map.depth.set(map.depth.get().max(1 + value.depth()));
    let mut entries = map.entries.borrow_mut();
    if !(only_new && entries.contains_key(key)) {
        entries.insert(key.into(), value);
    }
    Ok(())
}

fn contains(run: &mut Run<'_>, value: &Value, map: &Rc<Map>, depth: usize) -> Result<bool, Fault> {
    run.step(1)?;
    if depth > 2 * MAX_DEPTH {
        return Err("values nest too deep".into());
    }
    match value {
        Value::List(list) => {
            for item in &list.items {
                if contains(run, item, map, depth + 1)? {
                    return Ok(true);
                }
            }
        }
        Value::Map(inner) => {
            if Rc::ptr_eq(inner, map) {
                return Ok(true);
            }
            for item in inner.entries.borrow().values() {
                if contains(run, item, map, depth + 1)? {
                    return Ok(true);
                }
            }
        }
        _ => {}
    }
    Ok(false)
}
