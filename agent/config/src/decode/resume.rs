//! `resume`; and `cache.persist`, which is how Vault Agent says nearly the same.

use super::{Draft, kind};
use crate::block::{self, Block};
use crate::model::Resume;
use crate::peer::Kind;
use crate::report::{Found, Report};
use crate::scalar;

/// The one type of `persist` that Vault Agent has.
pub(crate) const KUBERNETES: &str = "kubernetes";

pub(super) fn resume(report: &mut Report, top: &mut Block<'_>, draft: &mut Draft) {
    let persist = draft.persist.take();
    let Some(mut block) = top.single(report, "resume", Kind::Resume) else {
        draft.config.resume = persist.map(|found| Resume {
            path: found.value.into(),
            ..Resume::default()
        });
        return;
    };
    if let Some(found) = persist {
        report.wrong_at(&found.origin, "is also in `resume`; leave it out here");
    }
    let path = block.text(report, "path").map(Found::into_path);
    let max_bytes = block.value(report, "max_bytes", scalar::size);
    block.finish(report);
    let default = Resume::default();
    draft.config.resume = Some(Resume {
        path: path.map_or(default.path, |found| found.value),
        max_bytes: max_bytes.map_or(default.max_bytes, |found| found.value),
    });
}

/// The folder that a `persist` block names.
pub(super) fn persist(report: &mut Report, cache: &mut Block<'_>) -> Option<Found<String>> {
    let path = cache.path_of("persist");
    let fields = cache.take("persist");
    block::once_in_each_source(report, &path, &fields);
    let mut folder = None;
    for field in fields {
        for body in block::bodies_of(report, &path, field, &[KUBERNETES]) {
            match kind::type_of(report, &path, &body) {
                Some(of) if of.text == KUBERNETES => {}
                Some(of) => report.wrong(
                    of.at,
                    format!("{path}.type"),
                    "must be `kubernetes`, as in Vault Agent; or write a `resume` block instead",
                ),
                None => report.wrong(
                    body.at,
                    format!("{path}.type"),
                    "is missing; write `kubernetes`",
                ),
            }
            let mut block = Block::new(Kind::Persist, path.clone(), body.at, body.fields);
            let _type = block.take("type");
            folder = block.required(report, "path").or(folder);
            block.finish(report);
        }
    }
    folder
}
