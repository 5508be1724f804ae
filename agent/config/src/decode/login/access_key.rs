//! `config` of the methods that log in with an access key of a cloud: `alicloud` and `aws`.

use crate::block::Block;
use crate::model::access_key::{AccessKey, AliCloud, Aws, Secret};
use crate::report::{Found, Report};
use crate::scalar;

pub(super) fn aws(report: &mut Report, config: &mut Block<'_>) -> Option<Aws> {
    let kind = config.required(report, "type");
    if let Some(found) = &kind
        && let Err(what) = check_type(&found.value)
    {
        report.wrong_at(&found.origin, what);
    }
    let role = config.required(report, "role");
    let region = config.text(report, "region");
    check_region(report, region.as_ref());
    let header_value = config.text(report, "header_value");
    if let Some(found) = &header_value
        && !found
            .value
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte))
    {
        report.wrong_at(
            &found.origin,
            "must be of printable ASCII characters: it is a header's value",
        );
    }
    let id = config.text(report, "access_key");
    let secret = config.text(report, "secret_key");
    let token = config.text(report, "session_token");
    let key = access_key(report, id, ("secret_key", secret), token);
    kind?;
    Some(Aws {
        role: role?.value,
        region: region.map_or_else(|| "us-east-1".to_owned(), |found| found.value),
        header_value: header_value.map(|found| found.value),
        key,
    })
}

pub(super) fn alicloud(report: &mut Report, config: &mut Block<'_>) -> Option<AliCloud> {
    let role = config.required(report, "role");
    let region = config.required(report, "region");
    check_region(report, region.as_ref());
    let id = config.text(report, "access_key");
    // The documentation of Vault Agent has the one name, its code the other.
    let secret = config.text(report, "secret_key");
    let other = config.text(report, "access_secret");
    if let (Some(_), Some(other)) = (&secret, &other) {
        report.wrong_at(
            &other.origin,
            "is another name of `secret_key`; write one of them",
        );
    }
    let token = config.text(report, "access_token");
    let key = access_key(report, id, ("secret_key", secret.or(other)), token);
    let role_name = config.text(report, "role_name");
    Some(AliCloud {
        role: role?.value,
        region: region?.value,
        key,
        role_name: role_name.map(|found| found.value),
    })
}

fn check_type(kind: &str) -> Result<(), String> {
    match kind {
        "iam" => Ok(()),
        "ec2" => Err(
            "`ec2` is not supported: it trusts whoever logs in first with an instance's public document, and hangs on \
             a nonce that a restart forgets; write \"iam\", which signs with the key of the instance's role"
                .to_owned(),
        ),
        _ => Err(format!(
            "{} is not a type of the aws method; write \"iam\"",
            scalar::quote(kind)
        )),
    }
}

/// It becomes part of a host's name.
fn check_region(report: &mut Report, region: Option<&Found<String>>) {
    let fits = |region: &str| {
        let mut bytes = region.bytes();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        region.len() <= 40 && bytes.all(plain) && !region.starts_with('-') && !region.ends_with('-')
    };
    if let Some(found) = region.filter(|found| !fits(&found.value)) {
        let what = format!(
            "{} is not the name of a region; write one as in \"eu-central-1\"",
            scalar::quote(&found.value)
        );
        report.wrong_at(&found.origin, what);
    }
}

fn access_key(
    report: &mut Report,
    id: Option<Found<String>>,
    (secret_name, secret): (&str, Option<Found<String>>),
    token: Option<Found<String>>,
) -> Option<AccessKey> {
    let mut lacks = |found: &Found<String>, other: &str| {
        let what = format!("is of no use without `{other}`; write both or neither");
        report.wrong_at(&found.origin, what);
    };
    match (&id, &secret, &token) {
        (Some(id), None, _) => lacks(id, secret_name),
        (None, Some(secret), _) => lacks(secret, "access_key"),
        (None, None, Some(token)) => lacks(token, "access_key"),
        _ => {}
    }
    if let Some(id) = &id
        && !id
            .value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        report.wrong_at(
            &id.origin,
            "is not the id of a key: it holds other characters than letters and digits",
        );
    }
    Some(AccessKey {
        id: id?.value,
        secret: Secret(secret?.value),
        token: token.map(|found| Secret(found.value)),
    })
}
