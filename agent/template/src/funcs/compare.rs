//! Go's comparisons: of one kind each, but that whole numbers compare whatever their sign.

use std::cmp::Ordering;

use super::{Function, at, flag};
use crate::error::Fault;
use crate::value::Value;

pub(super) const TABLE: &[Function] = &[
    Function::own("eq", "aa*", |_, values| {
        let Some((first, rest)) = values.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err("there is nothing to compare with".into());
        };
        for other in rest {
            if equal(first, other)? {
                return flag(true);
            }
        }
        flag(false)
    }),
    Function::own("ne", "aa", |_, values| {
        flag(!equal(at(values, 0), at(values, 1))?)
    }),
    Function::own("lt", "aa", |_, values| {
        flag(order(values)? == Some(Ordering::Less))
    }),
    Function::own("le", "aa", |_, values| {
        flag(matches!(
            order(values)?,
            Some(Ordering::Less | Ordering::Equal)
        ))
    }),
    Function::own("gt", "aa", |_, values| {
        flag(!matches!(
            order(values)?,
            Some(Ordering::Less | Ordering::Equal)
        ))
    }),
    Function::own("ge", "aa", |_, values| {
        flag(order(values)? != Some(Ordering::Less))
    }),
];

fn differ(left: &Value, right: &Value) -> Fault {
    let (left, right) = (left.type_name(), right.type_name());
    format!("a {left} and a {right} do not compare").into()
}

fn equal(left: &Value, right: &Value) -> Result<bool, Fault> {
    if left.is_nil() || right.is_nil() {
        return Ok(left.is_nil() == right.is_nil());
    }
    if let (Some(left), Some(right)) = (left.integer(), right.integer()) {
        return Ok(left == right);
    }
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Time(left), Value::Time(right)) => Ok(left == right),
        _ => match (left.bytes(), right.bytes()) {
            (Some(left), Some(right)) => Ok(left == right),
            _ => Err(differ(left, right)),
        },
    }
}

fn order(values: &[Value]) -> Result<Option<Ordering>, Fault> {
    let (left, right) = (at(values, 0), at(values, 1));
    if let (Some(left), Some(right)) = (left.integer(), right.integer()) {
        return Ok(Some(left.cmp(&right)));
    }
    if let (Value::Float(left), Value::Float(right)) = (left, right) {
        return Ok(left.partial_cmp(right));
    }
    match (left.bytes(), right.bytes()) {
        (Some(left), Some(right)) => Ok(Some(left.cmp(right))),
        _ => Err(differ(left, right)),
    }
}
