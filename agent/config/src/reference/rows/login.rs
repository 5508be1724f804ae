//! `config` of each method.

use crate::peer::Kind::{
    AliCloud, AppRole, Aws, Azure, Cert, Gcp, Jwt, Kubernetes, Password, TokenFile,
};
use crate::reference::Takes::{Count, Flag, OneOf, Path, Text};
use crate::reference::{Row, row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(Kubernetes, "role", Text, "\"web\"", "the role to log in with").required(),
    row(Kubernetes, "token_path", Path, "\"/token\"", "the service-account token"),
    row(Jwt, "role", Text, "\"web\"", "the role to log in with").required(),
    row(Jwt, "path", Path, "\"/jwt\"", "the JSON Web Token").required(),
    row(Jwt, "remove_jwt_after_reading", Flag, "false", GONE),
    row(Jwt, "remove_jwt_follows_symlinks", Flag, "true", FOLLOWS),
    row(AppRole, "role_id_file_path", Path, "\"/role-id\"", "the role id").required(),
    row(AppRole, "secret_id_file_path", Path, "\"/secret-id\"", "the secret id").otherwise("none"),
    row(AppRole, "remove_secret_id_file_after_reading", Flag, "false", GONE),
    row(AppRole, "secret_id_response_wrapping_path", Text, "\"auth/approle/role/web/secret-id\"",
        "the file of the secret id holds a wrapping token that was made at exactly this path").otherwise("it is not wrapped"),
    row(TokenFile, "token_file_path", Path, "\"/token\"", "a token that somebody else obtained").required(),
    row(Cert, "name", Text, "\"web\"", "the role to log in with").otherwise("one that fits"),
    row(Cert, "ca_cert", Path, "\"/ca.pem\"", "a PEM file to trust instead of what `vault` names").otherwise("`vault`'s"),
    row(Cert, "client_cert", Path, "\"/cert.pem\"", "a PEM file: the certificate").otherwise("`vault`'s")
        .with(&["client_key"]),
    row(Cert, "client_key", Path, "\"/key.pem\"", "a PEM file: its key").otherwise("`vault`'s")
        .with(&["client_cert"]),
    row(Cert, "reload", Flag, "true", "read the files at every login, not at the first only"),
    row(Password, "username", Text, "\"ann\"", "who logs in").vault_agent().required(),
    row(Password, "password_file_path", Path, "\"/password\"", "the password; the end of its line does not count")
        .vault_agent().required(),
    row(Password, "remove_password_after_reading", Flag, "false", GONE).vault_agent(),
    row(Password, "remove_password_follows_symlinks", Flag, "true", FOLLOWS).vault_agent(),
    row(AliCloud, "role", Text, "\"web\"", "the role to log in with").vault_agent().required(),
    row(AliCloud, "region", Text, "\"cn-hangzhou\"", "whose Security Token Service is to say who logs in")
        .vault_agent().required(),
    row(AliCloud, "access_key", Text, "\"LTAI\"", "a key's id").otherwise("looked for").vault_agent()
        .with(&["secret_key"]),
    row(AliCloud, "secret_key", Text, "\"secret\"", "its secret").otherwise("looked for").vault_agent()
        .with(&["access_key"]),
    row(AliCloud, "access_secret", Text, "\"secret\"", "another name of `secret_key`").otherwise("nothing").vault_agent()
        .with(&["access_key"]).shown("/auto_auth/method/config/secret_key"),
    row(AliCloud, "access_token", Text, "\"token\"", "what belongs to a temporary key").otherwise("none").vault_agent()
        .with(&["access_key", "secret_key"]),
    row(AliCloud, "role_name", Text, "\"web\"", "the instance's RAM role").otherwise("asked for").vault_agent(),
    row(Aws, "type", OneOf(&["iam"]), "\"iam\"", "Vault's other type, `ec2`, is refused").vault_agent().required(),
    row(Aws, "role", Text, "\"web\"", "the role to log in with").vault_agent().required(),
    row(Aws, "region", Text, "\"eu-central-1\"",
        "whose Security Token Service is to say who logs in: that of the `sts_endpoint` in Vault; `us-east-1` is the global one")
        .vault_agent(),
    row(Aws, "header_value", Text, "\"vault.example\"", "what Vault wants in `X-Vault-AWS-IAM-Server-ID`")
        .otherwise("none").vault_agent(),
    row(Aws, "access_key", Text, "\"AKIA\"", "a key's id").otherwise("looked for").vault_agent().with(&["secret_key"]),
    row(Aws, "secret_key", Text, "\"secret\"", "its secret").otherwise("looked for").vault_agent().with(&["access_key"]),
    row(Aws, "session_token", Text, "\"token\"", "what belongs to a temporary key").otherwise("none").vault_agent()
        .with(&["access_key", "secret_key"]),
    row(Gcp, "type", OneOf(&["gce", "iam"]), "\"iam\"", "what logs in: an instance, or a service account")
        .vault_agent().required(),
    row(Gcp, "role", Text, "\"web\"", "the role to log in with").vault_agent().required(),
    row(Gcp, "credentials", Path, "\"/key.json\"",
        "the JSON key file of a service account, or, as in Vault Agent, its text; `iam` only").vault_agent()
        .otherwise("what [the environment](agent.md) says"),
    row(Gcp, "service_account", Text, "\"web@shop.iam.gserviceaccount.com\"", "who logs in").vault_agent()
        .otherwise("the key's, or the instance's"),
    row(Gcp, "jwt_exp", Count(1, 60), "5", "how many minutes the token for a login lasts; `iam` only").vault_agent(),
    row(Azure, "role", Text, "\"web\"", "the role to log in with").vault_agent().required(),
    row(Azure, "resource", Text, "\"https://vault.example.com\"", "what the token is for, as the auth mount has it")
        .vault_agent().required(),
    row(Azure, "object_id", Text, "\"00000000-0000-0000-0000-000000000001\"",
        "which managed identity, where the machine has several; or `client_id`").vault_agent().otherwise("the only one"),
    row(Azure, "client_id", Text, "\"00000000-0000-0000-0000-000000000002\"",
        "which managed identity, where the machine has several; or `object_id`").vault_agent().otherwise("the only one"),
    row(Azure, "authenticate_from_environment", Flag, "true",
        "the identity is what [the environment](agent.md) says").vault_agent(),
    row(Azure, "scope", Text, "\"api://vault/.default\"", "what the token is for, where the environment says whose it is")
        .vault_agent().otherwise("`resource` and `/.default`"),
];

const GONE: &str = "the file is gone when Vault has accepted what it holds";
const FOLLOWS: &str =
    "where the path is a symbolic link, what it leads to is removed, and not the link";
