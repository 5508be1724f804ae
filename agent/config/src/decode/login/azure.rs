//! `config` of the `azure` method.

use crate::block::Block;
use crate::model::auto_auth::{Azure, Login};
use crate::report::{Found, Report};

pub(super) fn azure(report: &mut Report, config: &mut Block<'_>) -> Option<Login> {
    let role = config.required(report, "role");
    let resource = config.required(report, "resource");
    let object_id = config.text(report, "object_id");
    let client_id = config.text(report, "client_id");
    let scope = config.text(report, "scope");
    let from_environment = config.flag(report, "authenticate_from_environment");
    let from_environment = from_environment.unwrap_or_default();
    if let (Some(found), Some(_)) = (&client_id, &object_id) {
        let what = "is of no use beside `object_id`; write one of them";
        report.wrong_at(&found.origin, what);
    }
    let (idle, what) = if from_environment {
        let what = "has no effect: `authenticate_from_environment` is set";
        ([&object_id, &client_id], what)
    } else {
        let what = "has no effect: `authenticate_from_environment` is not set";
        ([&scope, &None], what)
    };
    for found in idle.into_iter().flatten() {
        report.note_at(found.origin.clone(), what);
    }
    let text = |found: Option<Found<String>>| found.map(|found| found.value);
    Some(Login::Azure(Azure {
        role: role?.value,
        resource: resource?.value,
        object_id: text(object_id),
        client_id: text(client_id),
        scope: text(scope),
        from_environment,
    }))
}
