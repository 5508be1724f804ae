//! `keyside-injector migrate`, as a person runs it.

use crate::offline::{injected, run};

/// Status, result and what is told.
fn migrate(arguments: &[&str], input: &str) -> anyhow::Result<(Option<i32>, String, String)> {
    let output = run(&[&["migrate", "-f", "-"], arguments].concat(), input)?;
    Ok((
        output.status.code(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

const WEB: &str = "\
# Owned by team shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # the shop
  namespace: shop
spec:
  template:
    metadata:
      annotations:
        # Vault
        vault.hashicorp.com/agent-inject: \"true\" # yes
        vault.hashicorp.com/role: 'web'
        \"vault.hashicorp.com/service\": https://vault.example:8200
        vault.hashicorp.com/auth-min-backoff: 2s
        vault.hashicorp.com/agent-cache-enable: 'True'
        vault.hashicorp.com/tls-secret: vault-tls # its CA
        vault.hashicorp.com/ca-cert: /vault/tls/ca.crt
        prometheus.io/scrape: \"yes\"
    spec:
      containers: [{name: web, image: web:1}] # one line
";

const WEB_AFTER: &str = "\
# Owned by team shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # the shop
  namespace: shop
spec:
  template:
    metadata:
      annotations:
        # Vault
        keyside.dev/inject: \"true\" # yes
        keyside.dev/role: 'web'
        keyside.dev/address: https://vault.example:8200
        keyside.dev/proxy: 'true'
        keyside.dev/ca: secret:vault-tls/ca.crt
        prometheus.io/scrape: \"yes\"
        keyside.dev/token: 'false'
    spec:
      containers: [{name: web, image: web:1}] # one line
";

const BATCH: &str = "\
kind: CronJob
metadata: {name: report}
spec:
  jobTemplate:
    spec:
      template:
        metadata:
          annotations:
            openbao.org/agent-inject: 'true'
            openbao.org/role: report
            openbao.org/agent-inject-token: 'true'
            openbao.org/agent-inject-secret-db: database/creds/report # the lease
            openbao.org/agent-inject-template-db: |
              {{ with secret \"database/creds/report\" }}
              x

              {{ end }}
        spec: {restartPolicy: Never, containers: [{name: report, image: report:1}]}
";

#[test]
fn rewrites_the_annotations_and_nothing_else() -> anyhow::Result<()> {
    let (status, result, told) = migrate(&[], WEB)?;
    assert_eq!(result, WEB_AFTER, "{told}");
    assert_eq!(status, Some(0), "{told}");
    for expected in [
        "Deployment shop/web: difference: vault.hashicorp.com/auth-min-backoff: Keyside backs off by itself, with jitter",
        "Deployment shop/web: operator: vault.hashicorp.com/service: only where the operator lets pods choose",
        "Deployment shop/web: difference: keyside.dev/token: \"false\" is added, for vault-k8s writes no token file",
        "In every pod that was migrated:\n  the container is keyside-agent",
        "\n1 migrated, 0 left as they were\n",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    // What comes out can be injected, and there is nothing left to migrate.
    let pod = injected(&["-f", "-", "--allow-address-override=true"], &result)?;
    assert!(pod.contains("name: keyside-agent"), "{pod}");
    let (status, again, told) = migrate(&[], &result)?;
    assert_eq!((status, again.as_str()), (Some(0), result.as_str()));
    assert_eq!(told, "0 migrated, 0 left as they were\n");
    Ok(())
}

#[test]
fn a_pod_of_which_something_cannot_be_had_is_left_as_it_was() -> anyhow::Result<()> {
    let both = format!("{WEB}---\n{BATCH}");
    let (status, result, told) = migrate(&[], &both)?;
    assert_eq!(result, format!("{WEB_AFTER}---\n{BATCH}"), "{told}");
    assert_eq!(status, Some(1), "{told}");
    for expected in [
        "CronJob default/report: not migrated: openbao.org/agent-inject-secret-db: secrets as files are not in this version",
        "CronJob default/report: left as it was\n",
        "\n1 migrated, 1 left as they were\n",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    Ok(())
}

#[test]
fn by_force_the_rest_is_migrated_and_what_is_not_stays_as_a_comment() -> anyhow::Result<()> {
    let (status, result, told) = migrate(&["--force"], BATCH)?;
    let after = "\
          annotations:
            keyside.dev/inject: 'true'
            keyside.dev/role: report
            keyside.dev/token: 'true'
            # openbao.org/agent-inject-secret-db: database/creds/report # the lease
            # openbao.org/agent-inject-template-db: |
            #   {{ with secret \"database/creds/report\" }}
            #   x
            #
            #   {{ end }}
            keyside.dev/proxy: 'false'
        spec:";
    assert!(result.contains(after), "{result}");
    assert_eq!(status, Some(0), "{told}");
    assert!(
        told.contains("not migrated: openbao.org/agent-inject-template-db"),
        "{told}"
    );
    Ok(())
}

#[test]
fn what_keyside_would_deny_is_left_whatever_is_forced() -> anyhow::Result<()> {
    let bad = WEB.replace(
        "agent-cache-enable: 'True'",
        "agent-cache-enable: 'True'\n        vault.hashicorp.com/agent-limits-mem: 8Mi",
    );
    for arguments in [&[][..], &["--force"]] {
        let (status, result, told) = migrate(arguments, &bad)?;
        assert_eq!((status, result.as_str()), (Some(1), bad.as_str()));
        let expected = "Deployment shop/web: not migrated: Keyside would deny the pod: annotation keyside.dev/memory-limit: read \"8Mi\"";
        assert!(told.contains(expected), "{told}");
    }
    // With the flags of an installation, its own rules count.
    let (status, _, told) = migrate(&["--vault-address=https://other:8200"], WEB)?;
    assert_eq!(status, Some(1));
    assert!(
        told.contains("does not let pods choose (--allow-address-override)"),
        "{told}"
    );
    Ok(())
}

#[test]
fn takes_lists_flow_style_and_json_and_shows_the_difference() -> anyhow::Result<()> {
    let list = "kind: List\nitems:\n- kind: Pod\n  metadata:\n    annotations: {vault.hashicorp.com/agent-inject: 'true', \
                vault.hashicorp.com/role: a, vault.hashicorp.com/agent-inject-token: 'true'}\n";
    let (status, result, told) = migrate(&[], list)?;
    assert_eq!(
        result,
        "kind: List\nitems:\n- kind: Pod\n  metadata:\n    annotations:\n      keyside.dev/inject: 'true'\n      \
         keyside.dev/proxy: 'false'\n      keyside.dev/role: a\n      keyside.dev/token: 'true'\n",
        "{told}"
    );
    assert_eq!(status, Some(0), "{told}");

    let json = r#"{"kind":"Pod","metadata":{"annotations":{"vault.hashicorp.com/agent-inject":"true","vault.hashicorp.com/role":"a","vault.hashicorp.com/agent-inject-token":"true"}}}"#;
    let (_, result, _) = migrate(&[], json)?;
    let read: serde_json::Value = serde_json::from_str(&result)?;
    assert_eq!(read["metadata"]["annotations"]["keyside.dev/role"], "a");

    let (status, diff, _) = migrate(&["--diff"], WEB)?;
    assert_eq!(status, Some(0));
    assert!(
        diff.contains("-        vault.hashicorp.com/role: 'web'\n"),
        "{diff}"
    );
    assert!(
        diff.contains("+        keyside.dev/role: 'web'\n"),
        "{diff}"
    );
    assert!(!diff.contains("one line\n-"), "{diff}");
    Ok(())
}

#[test]
fn says_how_it_is_used() -> anyhow::Result<()> {
    for (arguments, status) in [
        (&["migrate"][..], 64),
        (&["migrate", "-f", "-", "-f", "-"], 64),
        (&["migrate", "-f", "/does/not/exist"], 1),
    ] {
        assert_eq!(
            run(arguments, "")?.status.code(),
            Some(status),
            "{arguments:?}"
        );
    }
    let help = String::from_utf8(run(&["migrate", "--help"], "")?.stdout)?;
    assert!(help.contains("--force"), "{help}");
    Ok(())
}
