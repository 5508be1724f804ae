//! `config` of a method: what to log in with.

use super::vault;
use crate::block::Block;
use crate::model::auto_auth::{Login, Password, SERVICE_ACCOUNT_TOKEN};
use crate::model::vault::ClientCertificate;
use crate::peer::Kind;
use crate::report::{Found, Report};

mod access_key;
mod azure;
mod gcp;

/// The kind of block that a method's `config` is.
pub(crate) fn kind_of(method: &str) -> Kind {
    match method {
        "kubernetes" => Kind::Kubernetes,
        "jwt" => Kind::Jwt,
        "token_file" => Kind::TokenFile,
        "cert" => Kind::Cert,
        "userpass" | "ldap" => Kind::Password,
        "alicloud" => Kind::AliCloud,
        "aws" => Kind::Aws,
        "gcp" => Kind::Gcp,
        "azure" => Kind::Azure,
        _ => Kind::AppRole,
    }
}

pub(super) fn login(report: &mut Report, method: &mut Block<'_>, kind: &str) -> Option<Login> {
    let of = kind_of(kind);
    let (at, path) = (method.at(), method.path_of("config"));
    let config = method.single(report, "config", of);
    let mut config = config.unwrap_or_else(|| Block::new(of, path, at, Vec::new()));
    let login = match of {
        Kind::Kubernetes => kubernetes(report, &mut config),
        Kind::Jwt => jwt(report, &mut config),
        Kind::TokenFile => token_file(report, &mut config),
        Kind::Cert => Some(cert(report, &mut config)),
        Kind::Gcp => gcp::gcp(report, &mut config),
        Kind::Azure => azure::azure(report, &mut config),
        Kind::Password => {
            let password = password(report, &mut config);
            password.map(if kind == "ldap" {
                Login::Ldap
            } else {
                Login::Userpass
            })
        }
        Kind::AliCloud => access_key::alicloud(report, &mut config).map(Login::AliCloud),
        Kind::Aws => access_key::aws(report, &mut config).map(Login::Aws),
        _ => app_role(report, &mut config),
    };
    config.finish(report);
    login
}

fn kubernetes(report: &mut Report, config: &mut Block<'_>) -> Option<Login> {
    let role = config.required(report, "role");
    let token_path = config.text(report, "token_path").map(Found::into_path);
    Some(Login::Kubernetes {
        role: role?.value,
        token_path: token_path.map_or_else(|| SERVICE_ACCOUNT_TOKEN.into(), |found| found.value),
    })
}

fn jwt(report: &mut Report, config: &mut Block<'_>) -> Option<Login> {
    let role = config.required(report, "role");
    let path = config.required(report, "path");
    let remove = config.flag(report, "remove_jwt_after_reading");
    let follows = config.flag(report, "remove_jwt_follows_symlinks");
    Some(Login::Jwt {
        role: role?.value,
        path: path?.value.into(),
        remove_after_reading: remove.unwrap_or(true),
        remove_follows_symlinks: follows.unwrap_or_default(),
    })
}

fn app_role(report: &mut Report, config: &mut Block<'_>) -> Option<Login> {
    let role_id = config.required(report, "role_id_file_path");
    let secret_id = config.text(report, "secret_id_file_path");
    let remove = config.flag(report, "remove_secret_id_file_after_reading");
    let wrapping_path = wrapping_path(report, config);
    if let (Some(found), None) = (&wrapping_path, &secret_id) {
        let what = "has no effect: there is no `secret_id_file_path`";
        report.note_at(found.origin.clone(), what.to_owned());
    }
    Some(Login::AppRole {
        role_id: role_id?.value.into(),
        secret_id: secret_id.map(|found| found.value.into()),
        remove_secret_id_after_reading: remove.unwrap_or(true),
        secret_id_wrapping_path: wrapping_path.map(|found| found.value),
    })
}

/// An empty one is a mistake, as in Vault Agent: without it nobody would look where the secret id comes from.
fn wrapping_path(report: &mut Report, config: &mut Block<'_>) -> Option<Found<String>> {
    const KEY: &str = "secret_id_response_wrapping_path";
    if config.wrote(KEY) {
        config.required(report, KEY)
    } else {
        config.text(report, KEY)
    }
}

fn token_file(report: &mut Report, config: &mut Block<'_>) -> Option<Login> {
    let path = config.required(report, "token_file_path")?;
    let path = path.value.into();
    Some(Login::TokenFile { path })
}

fn cert(report: &mut Report, config: &mut Block<'_>) -> Login {
    let mut path = |key| config.text(report, key).map(Found::into_path);
    let (ca_cert, certificate, key) = (path("ca_cert"), path("client_cert"), path("client_key"));
    let pair = [certificate.as_ref(), key.as_ref()];
    vault::check_pair(report, pair, ["client_cert", "client_key"]);
    let pair = certificate.zip(key);
    Login::Cert {
        name: config.text(report, "name").map(|found| found.value),
        ca_cert: ca_cert.map(|found| found.value),
        client_certificate: pair.map(|(certificate, key)| ClientCertificate {
            certificate: certificate.value,
            key: key.value,
        }),
        reload: config.flag(report, "reload").unwrap_or_default(),
    }
}

fn password(report: &mut Report, config: &mut Block<'_>) -> Option<Password> {
    let username = config.required(report, "username");
    let path = config.required(report, "password_file_path");
    let remove = config.flag(report, "remove_password_after_reading");
    let follows = config.flag(report, "remove_password_follows_symlinks");
    Some(Password {
        username: username?.value,
        path: path?.value.into(),
        remove_after_reading: remove.unwrap_or(true),
        remove_follows_symlinks: follows.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
