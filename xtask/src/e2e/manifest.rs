//! The manifests in `tests/e2e`, with what differs from run to run put in. Pure.

use serde_json::json;

pub(super) const NAMESPACES: &str = include_str!("../../../tests/e2e/namespaces.yaml");
pub(super) const VAULT: &str = include_str!("../../../tests/e2e/vault.yaml");
pub(super) const POD: &str = include_str!("../../../tests/e2e/pod.yaml");
pub(super) const NO_AUTOMOUNT: &str = include_str!("../../../tests/e2e/no-automount.yaml");
pub(super) const JOB: &str = include_str!("../../../tests/e2e/job.yaml");
pub(super) const RESTRICTED: &str = include_str!("../../../tests/e2e/restricted.yaml");
pub(super) const CREATED: &str = include_str!("../../../tests/e2e/created.yaml");
const SETUP: &str = include_str!("../../../tests/e2e/setup.sh");
const USE: &str = include_str!("../../../tests/e2e/use.sh");

/// Names and values by which a manifest becomes one of this run.
pub(super) struct Names {
    pub(super) run: String,
    pub(super) injector: String,
    pub(super) vault: String,
    pub(super) apps: String,
    pub(super) restricted: String,
    pub(super) openbao_image: String,
    pub(super) postgres_image: String,
    /// OpenBao's root token, and the password of PostgreSQL's administrator.
    pub(super) secret: String,
}

impl Names {
    pub(super) fn namespaces(&self) -> [&str; 4] {
        [&self.injector, &self.vault, &self.apps, &self.restricted]
    }

    /// Replaces each `%{name}`.
    pub(super) fn fill(&self, manifest: &str) -> String {
        [
            ("run", &self.run),
            ("injector", &self.injector),
            ("vault", &self.vault),
            ("apps", &self.apps),
            ("restricted", &self.restricted),
            ("openbao-image", &self.openbao_image),
            ("postgres-image", &self.postgres_image),
            ("secret", &self.secret),
        ]
        .iter()
        .fold(manifest.to_owned(), |text, (name, value)| {
            text.replace(&format!("%{{{name}}}"), value)
        })
    }

    /// The scripts as a `ConfigMap` of each namespace that needs one.
    pub(super) fn scripts(&self) -> String {
        let maps = [
            (&self.vault, "setup.sh", SETUP),
            (&self.apps, "use.sh", USE),
            (&self.restricted, "use.sh", USE),
        ];
        let items = maps.map(|(namespace, file, text)| {
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": "scripts", "namespace": namespace },
                "data": { file: text },
            })
        });
        json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_put_in() {
        let text = || "x".to_owned();
        let names = Names {
            run: text(),
            injector: text(),
            vault: text(),
            apps: text(),
            restricted: text(),
            openbao_image: text(),
            postgres_image: text(),
            secret: text(),
        };
        for manifest in [
            NAMESPACES,
            VAULT,
            POD,
            NO_AUTOMOUNT,
            JOB,
            RESTRICTED,
            CREATED,
        ] {
            let filled = names.fill(manifest);
            assert!(!filled.contains("%{"), "{filled}");
            assert!(filled.contains('x'));
        }
    }
}
