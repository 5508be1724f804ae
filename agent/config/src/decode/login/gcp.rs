//! `config` of the `gcp` method.

use std::time::Duration;

use crate::block::Block;
use crate::model::access_key::Secret;
use crate::model::auto_auth::{Gcp, GcpType, GoogleKey, Login};
use crate::report::Report;
use crate::scalar;

/// Vault believes no token of a service account that lasts longer.
const LONGEST_MINUTES: u64 = 60;

pub(super) fn gcp(report: &mut Report, config: &mut Block<'_>) -> Option<Login> {
    let of = config.required(report, "type");
    let role = config.required(report, "role");
    let credentials = config.text(report, "credentials");
    let service_account = config.text(report, "service_account");
    let jwt_exp = config.value(report, "jwt_exp", |node| {
        scalar::count(node, 1, LONGEST_MINUTES)
    });
    let of = of.and_then(|found| match found.value.as_str() {
        "gce" => Some(GcpType::Gce),
        "iam" => Some(GcpType::Iam),
        _ => {
            report.wrong_at(&found.origin, "must be \"gce\" or \"iam\"");
            None
        }
    });
    if of == Some(GcpType::Gce) {
        let credentials = credentials.as_ref().map(|found| &found.origin);
        let jwt_exp = jwt_exp.as_ref().map(|found| &found.origin);
        for origin in credentials.into_iter().chain(jwt_exp) {
            let what = "has no effect: Google signs for an instance by itself";
            report.note_at(origin.clone(), what);
        }
    }
    let minutes = jwt_exp.map_or(15, |found| found.value);
    Some(Login::Gcp(Gcp {
        of: of?,
        role: role?.value,
        credentials: credentials.map(|found| key(found.value)),
        service_account: service_account.map(|found| found.value),
        jwt_exp: Duration::from_mins(minutes),
    }))
}

/// Vault Agent takes the key itself, which is JSON; a path is easier to keep secret.
fn key(written: String) -> GoogleKey {
    if written.trim_start().starts_with('{') {
        GoogleKey::Text(Secret(written))
    } else {
        GoogleKey::File(written.into())
    }
}
