//! How to log in: `auth-method` and what belongs to each method, named as Vault Agent names it.
//!
//! Files come from a Secret or a `ConfigMap` of the pod's namespace. Secrets themselves do not: annotations can be read
//! by everyone who may see the pod.

use std::path::PathBuf;
use std::time::Duration;

use keyside_config::model::access_key::{AliCloud, Aws};
use keyside_config::model::auto_auth::{Azure, Gcp, GcpType, GoogleKey, Login, Password};
use keyside_config::model::vault::ClientCertificate;

use super::reader::Reader;
use super::{key, printable, value};
use crate::admission::Defaults;
use crate::inject::files::{Files, Reference};
use crate::inject::names;
use crate::trace::{Subject, words};

/// A method and its parameters, without `auth-`.
struct Method {
    name: &'static str,
    has_role: bool,
    parameters: &'static [&'static str],
}

const METHODS: [Method; 11] = [
    Method {
        name: "alicloud",
        has_role: true,
        parameters: &["region", "role-name"],
    },
    Method {
        name: "approle",
        has_role: false,
        parameters: &[
            "role-id-file-path",
            "secret-id-file-path",
            "secret-id-response-wrapping-path",
        ],
    },
    Method {
        name: "aws",
        has_role: true,
        parameters: &["header-value", "region", "type"],
    },
    Method {
        name: "azure",
        has_role: true,
        parameters: &[
            "authenticate-from-environment",
            "client-id",
            "object-id",
            "resource",
            "scope",
        ],
    },
    Method {
        name: "cert",
        has_role: false,
        parameters: &["ca-cert", "client-cert", "client-key", "name"],
    },
    Method {
        name: "gcp",
        has_role: true,
        parameters: &["credentials", "jwt-exp", "service-account", "type"],
    },
    Method {
        name: "jwt",
        has_role: true,
        parameters: &["path"],
    },
    KUBERNETES,
    Method {
        name: "ldap",
        has_role: false,
        parameters: &["password-file-path", "username"],
    },
    Method {
        name: "token_file",
        has_role: false,
        parameters: &["token-file-path"],
    },
    Method {
        name: "userpass",
        has_role: false,
        parameters: &["password-file-path", "username"],
    },
];

const KUBERNETES: Method = Method {
    name: "kubernetes",
    has_role: true,
    parameters: &[],
};

/// What is allowed as `auth-method`; a test compares.
const NAMES: &str =
    "alicloud, approle, aws, azure, cert, gcp, jwt, kubernetes, ldap, token_file or userpass";

/// Whether a method has a role; absent where there is no such method.
pub(crate) fn has_role(name: &str) -> Option<bool> {
    let found = METHODS.iter().find(|method| method.name == name);
    found.map(|method| method.has_role)
}

/// Whether a parameter takes a file of a Secret or a `ConfigMap`.
pub(crate) fn is_file(parameter: &str) -> bool {
    const FILES: [&str; 9] = [
        "ca-cert",
        "client-cert",
        "client-key",
        "credentials",
        "password-file-path",
        "path",
        "role-id-file-path",
        "secret-id-file-path",
        "token-file-path",
    ];
    FILES.contains(&parameter)
}

/// Why a parameter of Vault Agent's that is a secret itself cannot be had.
pub(crate) fn secret(parameter: &str) -> Option<&'static str> {
    let secrets = [
        "access-key",
        "access-secret",
        "access-token",
        "secret-key",
        "session-token",
    ];
    secrets.contains(&parameter).then_some(
        "a secret does not belong in an annotation: give the role to the pod's service account or to its node",
    )
}

/// What else Vault Agent has and a pod cannot have, each with the reason.
pub(crate) fn refusal(parameter: &str) -> Option<&'static str> {
    match parameter {
        "remove-jwt-after-reading"
        | "remove-jwt-follows-symlinks"
        | "remove-password-after-reading"
        | "remove-password-follows-symlinks"
        | "remove-secret-id-file-after-reading" => {
            Some("the file comes from a Secret, from which a pod can remove nothing: leave it away")
        }
        "token-path" => Some(
            "the service-account token is one of Keyside's own: keyside.dev/audience and keyside.dev/token-expiration \
             shape it",
        ),
        "reload" => Some("certificates are always read again: leave it away"),
        _ => None,
    }
}

/// How a pod logs in, and what that takes.
pub(super) struct Found {
    pub login: Login,
    pub mount_path: String,
    /// Whether the service-account token is read.
    pub uses_service_account: bool,
}

pub(super) fn login(reader: &mut Reader, defaults: &Defaults, files: &mut Files) -> Found {
    let method = reader.take("auth-method", |text| {
        let found = METHODS.iter().find(|method| method.name == text);
        found.ok_or(NAMES)
    });
    let method = method.unwrap_or(&KUBERNETES);
    refuse_others(reader, method);
    let mount_path = mount_path(reader, defaults, method);
    let mut fields = Fields {
        reader,
        files,
        method,
    };
    let login = fields.login();
    let uses_service_account = match &login {
        Login::Kubernetes {
            token_path: path, ..
        }
        | Login::Jwt { path, .. } => path.as_os_str() == names::SERVICE_ACCOUNT_TOKEN,
        _ => false,
    };
    if !uses_service_account {
        let because = "the service-account token is not used to log in";
        reader.no_effect(&["audience", "token-expiration"], because);
        reader
            .trace
            .left_out(|| words::SERVICE_ACCOUNT.to_owned(), "auth-method");
    }
    let trace = &mut reader.trace;
    trace.decided(Subject::Config, "auto_auth.method", "auth-method");
    trace.decided_by(
        Subject::Config,
        "auto_auth.method.mount_path",
        &["auth-mount", "auth-method"],
    );
    trace.decided(Subject::Config, "auto_auth.method.config.role", "role");
    Found {
        login,
        mount_path,
        uses_service_account,
    }
}

/// A parameter of another method is a mistake in a pod. In a profile it is for pods with that method.
fn refuse_others(reader: &mut Reader, method: &Method) {
    let all = METHODS.iter().flat_map(|method| method.parameters);
    let mut others: Vec<&str> = all
        .filter(|parameter| !method.parameters.contains(parameter))
        .copied()
        .collect();
    others.sort_unstable();
    others.dedup();
    let has = match method.parameters {
        [] => "it has none".to_owned(),
        some => format!("it has auth-{}", some.join(", auth-")),
    };
    for parameter in others {
        let name = format!("auth-{parameter}");
        if reader.own(&name).is_some() {
            let why = format!("the method {} has no such parameter: {has}", method.name);
            reader.refuse(&name, why);
        }
    }
    if !method.has_role && reader.own("role").is_some() {
        let why = format!("the method {} has no role: leave it away", method.name);
        reader.refuse("role", why);
    }
}

fn mount_path(reader: &mut Reader, defaults: &Defaults, method: &Method) -> String {
    if method.name == "token_file" {
        if reader.own("auth-mount").is_some() {
            let why = "the method token_file has no mount: leave it away";
            reader.refuse("auth-mount", why);
        }
        return String::new();
    }
    let instead = match method.name {
        "kubernetes" => ("auth-mount", defaults.auth_mount.clone()),
        name => ("", format!("auth/{name}")),
    };
    reader.take_or("auth-mount", value::auth_mount, defaults, instead)
}

/// The parameters of one method.
struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    files: &'r mut Files,
    method: &'static Method,
}

impl Fields<'_, '_> {
    fn login(&mut self) -> Login {
        match self.method.name {
            "alicloud" => Login::AliCloud(AliCloud {
                role: self.role(),
                region: self.needed("region", value::region),
                key: None,
                role_name: self.text("role-name"),
            }),
            "approle" => self.app_role(),
            "aws" => self.aws(),
            "azure" => self.azure(),
            "cert" => self.cert(),
            "gcp" => self.gcp(),
            "jwt" => Login::Jwt {
                role: self.role(),
                path: self
                    .file("path", value::secret)
                    .unwrap_or_else(|| PathBuf::from(names::SERVICE_ACCOUNT_TOKEN)),
                // The kubelet's files: they cannot be removed, and hold newer content later.
                remove_after_reading: false,
                remove_follows_symlinks: false,
            },
            "ldap" => Login::Ldap(self.password()),
            "userpass" => Login::Userpass(self.password()),
            "token_file" => Login::TokenFile {
                path: self.needed_file("token-file-path", value::secret),
            },
            _ => Login::Kubernetes {
                role: self.role(),
                token_path: PathBuf::from(names::SERVICE_ACCOUNT_TOKEN),
            },
        }
    }

    fn app_role(&mut self) -> Login {
        let role_id = self.needed_file("role-id-file-path", value::file);
        let secret_id = self.file("secret-id-file-path", value::secret);
        let wrapping = self.take("secret-id-response-wrapping-path", value::text);
        if secret_id.is_none() {
            self.reader.no_effect(
                &["auth-secret-id-response-wrapping-path"],
                "there is no keyside.dev/auth-secret-id-file-path",
            );
        }
        Login::AppRole {
            role_id,
            secret_id_wrapping_path: wrapping.filter(|_| secret_id.is_some()),
            secret_id,
            remove_secret_id_after_reading: false,
        }
    }

    fn aws(&mut self) -> Login {
        // Vault Agent has `ec2` as well, which the agent does not have.
        self.take("type", |text| value::only(text, "iam"));
        Login::Aws(Aws {
            role: self.role(),
            region: self
                .take("region", value::region)
                .unwrap_or_else(|| "us-east-1".to_owned()),
            header_value: self.take("header-value", value::header),
            key: None,
        })
    }

    fn azure(&mut self) -> Login {
        let from_environment = self.take("authenticate-from-environment", value::boolean);
        let from_environment = from_environment.unwrap_or(false);
        let (object_id, client_id) = (self.text("object-id"), self.text("client-id"));
        let scope = self.text("scope");
        if object_id.is_some() && client_id.is_some() {
            let why = "keyside.dev/auth-object-id is there as well: write one of them";
            self.reader.refuse("auth-client-id", why);
        }
        if from_environment {
            self.reader.no_effect(
                &["auth-object-id", "auth-client-id"],
                "keyside.dev/auth-authenticate-from-environment is true",
            );
        } else {
            self.reader.no_effect(
                &["auth-scope"],
                "keyside.dev/auth-authenticate-from-environment is not true",
            );
        }
        Login::Azure(Azure {
            role: self.role(),
            resource: self.needed("resource", value::text),
            object_id,
            client_id,
            scope,
            from_environment,
        })
    }

    fn cert(&mut self) -> Login {
        let certificate = self.needed_file("client-cert", value::file);
        let key = self.needed_file("client-key", value::secret);
        Login::Cert {
            name: self.text("name"),
            ca_cert: self.file("ca-cert", value::file),
            client_certificate: Some(ClientCertificate { certificate, key }),
            reload: true,
        }
    }

    fn gcp(&mut self) -> Login {
        let of = self.needed_or("type", GcpType::Iam, |text| match text {
            "gce" => Ok(GcpType::Gce),
            "iam" => Ok(GcpType::Iam),
            _ => Err("gce or iam"),
        });
        if of == GcpType::Gce {
            self.reader.no_effect(
                &["auth-credentials", "auth-jwt-exp"],
                "Google signs for an instance by itself",
            );
        }
        let minutes = self.take("jwt-exp", value::minutes).unwrap_or(15);
        Login::Gcp(Gcp {
            of,
            role: self.role(),
            credentials: self.file("credentials", value::secret).map(GoogleKey::File),
            service_account: self.text("service-account"),
            jwt_exp: Duration::from_mins(minutes),
        })
    }

    fn password(&mut self) -> Password {
        Password {
            username: self.needed("username", value::text),
            path: self.needed_file("password-file-path", value::secret),
            remove_after_reading: false,
            remove_follows_symlinks: false,
        }
    }

    fn role(&mut self) -> String {
        if self.reader.lacks("role") {
            let misspelt = misspelt(self.reader, "role");
            self.reader.refuse(
                "role",
                format!("it names the role of the auth mount to log in with{misspelt}"),
            );
        }
        self.reader.take("role", value::text).unwrap_or_default()
    }

    fn text(&mut self, parameter: &str) -> Option<String> {
        self.take(parameter, value::text)
    }

    fn take<T>(
        &mut self,
        parameter: &str,
        parse: impl FnOnce(&str) -> Result<T, value::Allowed>,
    ) -> Option<T> {
        let name = format!("auth-{parameter}");
        let taken = self.reader.take(&name, parse);
        self.note(parameter, &name);
        taken
    }

    /// The agent's configuration has the same names, with other lines in them.
    fn note(&mut self, parameter: &str, name: &str) {
        if self.reader.trace.is_on() && self.reader.found(name).is_some() {
            let field = parameter.replace('-', "_");
            let path = format!("auto_auth.method.config.{field}");
            self.reader.trace.decided(Subject::Config, &path, name);
        }
    }

    fn needed<T: Default>(
        &mut self,
        parameter: &str,
        parse: impl Fn(&str) -> Result<T, value::Allowed>,
    ) -> T {
        self.needed_or(parameter, T::default(), parse)
    }

    /// Where it is missing, what is allowed is what the empty value is told.
    fn needed_or<T>(
        &mut self,
        parameter: &str,
        instead: T,
        parse: impl Fn(&str) -> Result<T, value::Allowed>,
    ) -> T {
        let name = format!("auth-{parameter}");
        if self.reader.lacks(&name) {
            let allowed = parse("").err().unwrap_or_default();
            let method = self.method.name;
            self.reader.refuse(
                &name,
                format!("the method {method} needs it; allowed: {allowed}"),
            );
        }
        self.take(parameter, parse).unwrap_or(instead)
    }

    /// Where the agent finds a file that is mounted for it.
    fn file(
        &mut self,
        parameter: &'static str,
        parse: fn(&str) -> Result<Reference, value::Allowed>,
    ) -> Option<PathBuf> {
        let reference = self.take(parameter, parse)?;
        Some(self.files.mount(parameter, reference))
    }

    fn needed_file(
        &mut self,
        parameter: &'static str,
        parse: fn(&str) -> Result<Reference, value::Allowed>,
    ) -> PathBuf {
        let reference = self.needed_or(parameter, None, |text| parse(text).map(Some));
        reference.map_or_else(PathBuf::new, |reference| {
            self.files.mount(parameter, reference)
        })
    }
}

/// Names the unknown key of this pod that looks like `name`.
fn misspelt(reader: &Reader, name: &'static str) -> String {
    let mut unknown = reader.unknown_keys();
    let found = unknown.find(|unknown| key::nearest(unknown) == Some(name));
    found.map_or_else(String::new, |found| {
        format!("; {}{} is there and unknown", key::PREFIX, printable(found))
    })
}

#[cfg(test)]
mod tests;
