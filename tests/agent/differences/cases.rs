//! What is asked.

mod answers;
mod cache;
mod control;
mod headers;
mod requests;

use super::case::Case;

pub(super) fn all() -> Vec<Case> {
    [
        requests::cases(),
        headers::cases(),
        answers::cases(),
        cache::cases(),
        control::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
