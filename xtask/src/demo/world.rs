//! What is there before Keyside comes: Vault with a database behind it, and what their operator has set up.

use std::time::Duration;

use keyside_harness::openbao::{AppRole, DatabaseRole, Options, Role, Server};
use keyside_harness::tap::Tap;
use keyside_harness::{jwt, postgres};
use serde_json::json;

use super::example::Example;
use crate::console;

/// The audience that Vault's role asks of a service-account token.
pub(crate) const AUDIENCE: &str = "vault";

/// A role whose tokens live for seconds.
pub(crate) const SHORT_ROLE: &str = "short";
pub(crate) const SHORT_TTL: Duration = Duration::from_secs(3);
pub(crate) const SHORT_MAX_TTL: Duration = Duration::from_secs(10);

pub(crate) struct World {
    /// Before the servers, so that it goes before what it stands in front of.
    pub(crate) tap: Tap,
    pub(crate) vault: Server,
    pub(crate) postgres: postgres::Server,
    pub(crate) issuer: jwt::Issuer,
    pub(crate) report: AppRole,
    /// The path of the database credential that the pods may read.
    pub(crate) credential: String,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
}

impl World {
    pub(crate) fn start(example: &Example) -> anyhow::Result<Self> {
        console::step("Start a real OpenBao server and a real PostgreSQL server");
        let vault = Server::start(Options::default())?;
        console::seen(&format!(
            "OpenBao listens on {} with a certificate of its own CA",
            vault.address()
        ));
        let postgres = postgres::Server::start()?;
        console::seen(&format!("PostgreSQL listens on {}", postgres.address()));
        let tap = Tap::in_front_of(&vault)?;
        console::seen(&format!(
            "a recording proxy on {} counts what reaches OpenBao",
            tap.address()
        ));

        console::step("Set up Vault, as its operator would");
        let issuer = jwt::Issuer::new()?;
        vault.database(&postgres)?;
        vault.database_role(&DatabaseRole {
            name: &example.role,
            ttl: 3600,
            max_ttl: 86400,
        })?;
        let credential = format!("database/creds/{}", example.role);
        console::seen(&format!(
            "{credential} makes PostgreSQL users that live for an hour"
        ));
        vault.policy(&example.role, &policy(&credential))?;
        vault.trust(&issuer)?;
        let role = Role {
            name: &example.role,
            namespace: &example.namespace,
            service_account: &example.service_account,
            audience: AUDIENCE,
            policies: &[&example.role],
            ttl: 3600,
            ..Role::default()
        };
        vault.kubernetes_role(&role)?;
        let subject = jwt::subject(&example.namespace, &example.service_account);
        console::seen(&format!(
            "auth/kubernetes logs {subject} in as role `{}`",
            role.name
        ));
        let (ttl, max_ttl) = (SHORT_TTL.as_secs(), SHORT_MAX_TTL.as_secs());
        vault.kubernetes_role(&Role {
            name: SHORT_ROLE,
            ttl,
            max_ttl,
            ..role
        })?;
        console::seen(&format!(
            "and as role `{SHORT_ROLE}`, with tokens of {ttl} s that end for good after {max_ttl} s"
        ));
        let report = vault.approle(
            "report",
            &json!({ "token_policies": ["default"], "token_ttl": "1h" }),
        )?;
        console::seen("auth/approle has a role `report`");
        Ok(Self {
            tap,
            vault,
            postgres,
            issuer,
            report,
            credential,
            namespace: example.namespace.clone(),
            service_account: example.service_account.clone(),
        })
    }
}

/// What the pods may do.
fn policy(credential: &str) -> String {
    format!(
        r#"
path "{credential}" {{ capabilities = ["read"] }}
path "auth/approle/role/report/role-id" {{ capabilities = ["read"] }}
path "auth/approle/role/report/secret-id" {{ capabilities = ["create", "update"] }}
"#
    )
}
