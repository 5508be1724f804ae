//! What an operator sets up in Vault before a pod can use it.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Server;
use crate::{jwt, postgres};

/// A role of the service-account login.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub service_account: &'a str,
    pub audience: &'a str,
    pub policies: &'a [&'a str],
    /// Seconds; 0 is the server's default.
    pub ttl: u64,
    /// Seconds; 0 is the server's default.
    pub max_ttl: u64,
    pub token_type: &'a str,
}

impl Default for Role<'_> {
    fn default() -> Self {
        Self {
            name: "cart",
            namespace: "shop",
            service_account: "cart",
            audience: "vault",
            policies: &["default"],
            ttl: 0,
            max_ttl: 0,
            token_type: "service",
        }
    }
}

/// An AppRole with its credentials.
#[derive(Clone, Debug)]
pub struct AppRole {
    pub name: String,
    pub role_id: String,
    pub secret_id: String,
}

/// A role of the database engine.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseRole<'a> {
    pub name: &'a str,
    /// Seconds.
    pub ttl: u64,
    /// Seconds.
    pub max_ttl: u64,
}

impl Server {
    /// Makes or replaces a policy, in HCL.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn policy(&self, name: &str, rules: &str) -> anyhow::Result<()> {
        self.root()
            .write(
                &format!("sys/policies/acl/{name}"),
                &json!({ "policy": rules }),
            )
            .map(drop)
    }

    /// Mounts a `jwt` method at `auth/kubernetes` that believes the issuer.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn trust(&self, issuer: &jwt::Issuer) -> anyhow::Result<()> {
        self.root()
            .write("sys/auth/kubernetes", &json!({ "type": "jwt" }))?;
        let config =
            json!({ "jwt_validation_pubkeys": [issuer.public_key()], "bound_issuer": jwt::ISSUER });
        self.root()
            .write("auth/kubernetes/config", &config)
            .map(drop)
    }

    /// Makes a role of the method that [`Server::trust`] mounted.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn kubernetes_role(&self, role: &Role) -> anyhow::Result<()> {
        let body = json!({
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": [role.audience],
            "bound_subject": jwt::subject(role.namespace, role.service_account),
            "token_policies": role.policies,
            "token_ttl": role.ttl,
            "token_max_ttl": role.max_ttl,
            "token_type": role.token_type,
        });
        self.root()
            .write(&format!("auth/kubernetes/role/{}", role.name), &body)
            .map(drop)
    }

    /// Mounts `approle` where it is not yet mounted, and makes a role (with further settings, such as `token_ttl`) and
    /// a secret-id.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn approle(&self, name: &str, settings: &Value) -> anyhow::Result<AppRole> {
        if self.root().read("sys/auth")?.get("approle/").is_none() {
            self.root()
                .write("sys/auth/approle", &json!({ "type": "approle" }))?;
        }
        let role = format!("auth/approle/role/{name}");
        self.root().write(&role, settings)?;
        let role_id = self.root().read(&format!("{role}/role-id"))?;
        let secret_id = self
            .root()
            .write(&format!("{role}/secret-id"), &json!({}))?;
        Ok(AppRole {
            name: name.to_owned(),
            role_id: text(&role_id, "/data/role_id")?,
            secret_id: text(&secret_id, "/data/secret_id")?,
        })
    }

    /// Mounts the database engine at `database` for this PostgreSQL server.
    ///
    /// # Errors
    /// When the server refuses, or cannot log in to the database.
    pub fn database(&self, postgres: &postgres::Server) -> anyhow::Result<()> {
        self.root()
            .write("sys/mounts/database", &json!({ "type": "database" }))?;
        let config = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": ["*"],
            "connection_url": format!(
                "postgresql://{{{{username}}}}:{{{{password}}}}@{}/postgres?sslmode=disable",
                postgres.address()
            ),
            "username": postgres::ADMINISTRATOR,
            "password": postgres.password(),
        });
        self.root()
            .write("database/config/postgres", &config)
            .map(drop)
    }

    /// Makes a role of the engine that [`Server::database`] mounted: users that may log in and nothing more.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn database_role(&self, role: &DatabaseRole) -> anyhow::Result<()> {
        let create = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        let body = json!({
            "db_name": "postgres",
            "creation_statements": [create],
            "default_ttl": role.ttl,
            "max_ttl": role.max_ttl,
        });
        self.root()
            .write(&format!("database/roles/{}", role.name), &body)
            .map(drop)
    }

    /// Mounts a key-value engine of this version at `path`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn key_value(&self, path: &str, version: u8) -> anyhow::Result<()> {
        let body = json!({ "type": "kv", "options": { "version": version.to_string() } });
        self.root()
            .write(&format!("sys/mounts/{path}"), &body)
            .map(drop)
    }
}

/// A string in an answer.
///
/// # Errors
/// When it is not there. The error does not show the answer, which may hold secrets.
pub(crate) fn text(answer: &Value, pointer: &str) -> anyhow::Result<String> {
    let value = answer.pointer(pointer).and_then(Value::as_str);
    Ok(value
        .with_context(|| format!("no {pointer} in the answer"))?
        .to_owned())
}
