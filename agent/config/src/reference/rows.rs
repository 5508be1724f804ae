//! The rows, by part of the decoder.

use super::Row;
use crate::peer::Kind;

mod auto_auth;
mod listener;
mod login;
mod own;
mod sink;
mod top;
mod vault;

pub(super) const ALL: &[&[Row]] = &[
    top::ROWS,
    vault::ROWS,
    auto_auth::ROWS,
    login::ROWS,
    sink::ROWS,
    own::ROWS,
    listener::ROWS,
];

pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    ALL.iter().copied().flatten()
}

pub(super) fn of(kind: Kind) -> impl Iterator<Item = &'static Row> {
    all().filter(move |row| row.kind == kind)
}
