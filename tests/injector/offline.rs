//! `keyside-injector inject`, as a person or a pipeline runs it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::Value;

/// Runs the command with `input` on its standard input.
pub(crate) fn inject(arguments: &[&str], input: &str) -> anyhow::Result<Output> {
    let command = [
        "inject",
        "--agent-image=keyside-agent:0.1.0",
        "--vault-address=https://vault.example:8200",
    ];
    run(&[&command, arguments].concat(), input)
}

/// Runs any command of the binary.
pub(crate) fn run(arguments: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyside-injector"))
        .env_clear()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // A command that fails early closes its end; what it says is looked at by the test.
    let _closed = stdin.write_all(input.as_bytes());
    drop(stdin);
    Ok(child.wait_with_output()?)
}

/// The result of a run that has to succeed.
pub(crate) fn injected(arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let output = inject(arguments, input)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn example(name: &str) -> anyhow::Result<String> {
    let path = tools::root()?.join("examples").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// What Kubernetes' own schemas of the oldest and a current version say, strictly.
pub(crate) fn validate(files: &[&Path]) -> anyhow::Result<()> {
    let output = Command::new(tools::python()?)
        .args([
            "-m",
            "kubernetes_validate",
            "--strict",
            "-k",
            "1.29",
            "-k",
            "1.36",
        ])
        .args(files)
        .output()
        .context("run kubernetes-validate")?;
    let report = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "{report}");
    // A kind without a schema is only a remark there: so what passed is counted.
    let passed = report.matches(" passed for resource ").count();
    anyhow::ensure!(passed >= 2 * files.len(), "{passed} passed: {report}");
    Ok(())
}

#[test]
fn examples_become_valid_and_stay_the_same_when_injected_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["pod.yaml", "deployment.yaml"] {
        let manifest = example(name)?;
        let once = injected(&["-f", "-"], &manifest)?;
        assert_ne!(once, manifest);
        assert_eq!(injected(&["-f", "-"], &once)?, once);
        let file = folder.path().join(name);
        std::fs::write(&file, &once)?;
        assert_eq!(
            injected(&["--filename", &file.display().to_string()], "")?,
            once
        );
        validate(&[&file])?;
    }
    Ok(())
}

#[test]
fn reaches_the_pods_in_every_kind_of_object_and_leaves_the_rest() -> anyhow::Result<()> {
    let template = |indent: usize| {
        let lines = "metadata:\n  annotations: {keyside.dev/inject: 'true', keyside.dev/role: cart}\nspec:\n  \
                     containers: [{name: app, image: app, resources: {limits: {cpu: 1}}}]";
        lines.replace('\n', &format!("\n{}", " ".repeat(indent)))
    };
    let workloads = [
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "Job",
    ];
    let workload = |kind| format!("kind: {kind}\nspec:\n  template:\n    {}\n", template(4));
    let mut documents: Vec<String> = workloads.map(workload).to_vec();
    documents.extend([
        format!("kind: Pod\n{}\n", template(0)),
        format!(
            "kind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      template:\n        {}\n",
            template(8)
        ),
        format!(
            "kind: List\nitems:\n- kind: Pod\n  {}\n- kind: ConfigMap\n",
            template(2)
        ),
        "kind: ConfigMap\ndata:\n  answer: \"yes\"\n  script: |\n    #!/bin/sh\n    echo\n"
            .to_owned(),
    ]);
    let manifest = documents.join("---\n");

    let result = injected(&["-f", "-"], &manifest)?;
    assert_eq!(result.matches("name: keyside-agent").count(), 8, "{result}");
    assert!(result.contains("cpu: 1\n"), "{result}");
    let last = documents.last().context("a ConfigMap")?;
    assert!(result.ends_with(last), "{result}");
    Ok(())
}

#[test]
fn reads_yaml_as_kubectl_does() -> anyhow::Result<()> {
    let pod = "\
kind: Pod
apiVersion: v1
metadata:
  name: web
  annotations: {keyside.dev/inject: 'true', keyside.dev/role: cart}
spec:
  automountServiceAccountToken: no
  containers: [{name: app, image: app, volumeMounts: [{name: cfg, mountPath: /cfg, readOnly: on}]}]
  volumes: [{name: cfg, secret: {secretName: cfg, defaultMode: 0400}}]
---
kind: Job
apiVersion: batch/v1
metadata: {name: other}
spec:
  suspend: yes
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: app}]
      volumes: [{name: cfg, configMap: {name: cfg, defaultMode: 0440}}]
";
    let result = injected(&["-f", "-"], pod)?;
    // What did not change is as it was written; what had to be written anew is what it meant.
    for expected in [
        "automountServiceAccountToken: no",
        "readOnly: true",
        "defaultMode: 256",
        "suspend: yes",
        "defaultMode: 0440",
    ] {
        assert!(result.contains(expected), "{expected}: {result}");
    }
    let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
    std::fs::write(file.path(), &result)?;
    validate(&[file.path()])
}

/// A manifest as people write it.
const COMMENTED: &str = "\
# Owned by team shop.
apiVersion: v1
kind: ConfigMap
metadata: {name: cfg} # flow
data:
  mode: \"0640\"
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # the shop
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations:
        # Vault
        keyside.dev/inject: \"true\"
        keyside.dev/role: shop # its role
    spec:
      initContainers:
      # Before anything else.
      - name: migrate
        image: web:1
      containers:
        # The application.
        - name: web
          image: web:1 # pinned
          command: [\"/web\", \"-v\"]
# the end
";

#[test]
fn comments_and_order_stay_and_the_diff_is_what_patch_takes() -> anyhow::Result<()> {
    let result = injected(&["-f", "-"], COMMENTED)?;
    let mut rest = result.lines();
    for line in COMMENTED.lines() {
        anyhow::ensure!(rest.any(|found| found == line), "{line} is gone: {result}");
    }
    let agent = result
        .find("- name: keyside-agent")
        .or(result.find("name: keyside-agent"));
    assert!(agent < result.find("# Before anything else."), "{result}");

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("web.yaml");
    std::fs::write(&file, COMMENTED)?;
    let path = file.display().to_string();
    let output = inject(&["-f", &path, "--diff"], "")?;
    let diff = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{diff}");
    assert!(!diff.contains('\u{1b}'), "{diff}");
    let removed = |line: &&str| line.starts_with('-') && !line.starts_with("---");
    assert_eq!(diff.lines().find(removed), None, "{diff}");
    std::fs::write(folder.path().join("diff"), diff.replace(&path, "web.yaml"))?;
    let applied = Command::new("git")
        .args(["apply", "-p0", "diff"])
        .current_dir(folder.path())
        .status()?;
    assert!(applied.success());
    assert_eq!(std::fs::read_to_string(&file)?, result);
    // What is complete has no difference.
    let again = inject(&["-f", &path, "--diff"], "")?;
    assert_eq!(
        (again.status.code(), again.stdout.as_slice()),
        (Some(0), &b""[..])
    );
    validate(&[&file])
}

#[test]
fn a_diff_that_cannot_be_told_has_a_status_of_its_own() -> anyhow::Result<()> {
    let bad = example("pod.yaml")?.replace("keyside.dev/role", "keyside.dev/roll");
    for (input, status) in [(bad.as_str(), 2), ("a: [", 2), ("kind: Pod", 0)] {
        let output = inject(&["-f", "-", "--diff"], input)?;
        assert_eq!(output.status.code(), Some(status), "{input}");
        assert_eq!(output.stdout, b"", "{input}");
    }
    let json = r#"{"kind": "Pod", "spec": {"containers": [{"name": "app"}]},
        "metadata": {"annotations": {"keyside.dev/inject": "true", "keyside.dev/role": "cart"}}}"#;
    let output = inject(&["-f", "-", "--diff"], json)?;
    let diff = String::from_utf8(output.stdout)?;
    assert!(diff.starts_with("--- stdin\n+++ stdin\n@@ -"), "{diff}");
    assert!(!diff.contains("\n-  \"kind\""), "{diff}");
    Ok(())
}

#[test]
fn explains_each_piece_by_what_it_comes_from() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let profile = "defaults: {memory-limit: 96Mi}\nlocked: [memory-limit]\n";
    std::fs::write(folder.path().join("default.yaml"), profile)?;
    let profiles = folder.path().display().to_string();
    let subset = COMMENTED.replace(
        "keyside.dev/inject: \"true\"",
        "keyside.dev/inject: \"true\"\n        keyside.dev/containers: web",
    );
    let arguments = [
        "-f",
        "-",
        "--profiles",
        &profiles,
        "--auth-mount=auth/k",
        "--explain",
    ];
    let text = injected(&arguments, &subset)?;
    for expected in [
        "Deployment default/web\n  volume keyside\n    emptyDir.medium = \"Memory\"  # Keyside\n",
        "\n  init container keyside-agent\n    image = \"keyside-agent:0.1.0\"  # flag --agent-image\n",
        "    resources.limits.memory = \"96Mi\"  # profile default, memory-limit: \"96Mi\"\n",
        "config.role = \"shop\"  # annotation keyside.dev/role: \"shop\"\n",
        "mount_path = \"auth/k\"  # flag --auth-mount\n",
        "max_bytes = 12582912  # profile default, memory-limit: \"96Mi\"\n",
        "\n  container web\n    volumeMounts[keyside] = {\"mountPath\":\"/keyside\",\"readOnly\":true}  # annotation \
         keyside.dev/containers: \"web\"\n",
        "\n  left out\n    init container migrate: volume and environment  # annotation keyside.dev/containers: \"web\"",
    ] {
        let expected = expected.replace("init container migrate", "container migrate");
        assert!(text.contains(&expected), "{expected}\n{text}");
    }

    let both = format!("{COMMENTED}---\nkind: Pod\nmetadata: {{name: other}}\n");
    let json: Value = serde_json::from_str(&injected(&["-f", "-", "--explain=json"], &both)?)?;
    assert_eq!(json[0]["object"], "Deployment default/web");
    assert_eq!(json[0]["added"][0]["piece"], "volume keyside");
    assert_eq!(json[1]["decision"], "untouched");
    let wrong = inject(&["-f", "-", "--explain", "--diff"], COMMENTED)?;
    assert_eq!(wrong.status.code(), Some(64));
    let refused = inject(
        &["-f", "-", "--explain"],
        &COMMENTED.replace("role: shop", "roll: shop"),
    )?;
    assert_eq!(
        (refused.status.code(), refused.stdout.as_slice()),
        (Some(1), &b""[..])
    );
    Ok(())
}

#[test]
fn answers_json_with_json() -> anyhow::Result<()> {
    let pod = r#"{"kind": "Pod", "metadata": {"annotations": {"keyside.dev/inject": "true", "keyside.dev/role": "cart"}},
                  "spec": {"containers": [{"name": "app", "image": "app"}]}, "newer": {"field": [1.5]}}"#;
    let result: Value = serde_json::from_str(&injected(&["-f", "-"], pod)?)?;
    assert_eq!(result["spec"]["initContainers"][0]["name"], "keyside-agent");
    assert_eq!(result["newer"]["field"][0], 1.5);
    Ok(())
}

#[test]
fn writes_nothing_when_one_pod_is_refused() -> anyhow::Result<()> {
    let good = example("pod.yaml")?;
    let bad = good.replace("keyside.dev/role", "keyside.dev/roll");
    let output = inject(&["-f", "-"], &format!("{good}---\n{bad}"))?;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout)?, "");
    let errors = String::from_utf8(output.stderr)?;
    assert!(
        errors.contains("annotation keyside.dev/role is missing"),
        "{errors}"
    );
    assert!(
        errors.contains("did you mean keyside.dev/role?"),
        "{errors}"
    );
    Ok(())
}

#[test]
fn warns_on_the_standard_error() -> anyhow::Result<()> {
    let odd =
        example("pod.yaml")?.replace("annotations:", "annotations:\n    keyside.dev/colour: red");
    let output = inject(&["-f", "-"], &odd)?;
    assert!(output.status.success());
    let errors = String::from_utf8(output.stderr)?;
    assert!(errors.starts_with("warning: Pod "), "{errors}");
    assert!(errors.contains("keyside.dev/colour is unknown"), "{errors}");
    Ok(())
}

#[test]
fn says_what_is_wrong_with_its_input() -> anyhow::Result<()> {
    for (arguments, input, status, expected) in [
        (&[][..], "", 64, "-f FILE"),
        (&["-f"], "", 64, "-f"),
        (&["-f", "-", "--colour"], "", 64, "colour"),
        (&["-f", "/does/not/exist"], "", 1, "/does/not/exist"),
        (&["-f", "-"], "", 1, "no document"),
        (&["-f", "-"], "a: [", 1, "document 1 as YAML"),
        (&["-f", "-"], "a: 1\n---\n- b", 1, "document 2 is no object"),
        (&["-f", "-"], "{\"a\":", 1, "as JSON"),
    ] {
        let output = inject(arguments, input)?;
        let errors = String::from_utf8(output.stderr)?;
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {errors}"
        );
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
    let help = injected(&["--help"], "")?;
    assert!(help.contains("keyside-injector inject -f FILE"), "{help}");
    Ok(())
}

#[test]
fn a_pod_says_whether_its_agent_keeps_kv_secrets() -> anyhow::Result<()> {
    let pod = |value: &str| {
        format!(
            "kind: Pod\nmetadata:\n  annotations: {{keyside.dev/inject: 'true', keyside.dev/role: cart, \
             keyside.dev/cache-kv: '{value}'}}\nspec:\n  containers: [{{name: app, image: app}}]\n"
        )
    };
    for (value, expected) in [
        (
            "true",
            r#""static_secrets":{"max_stale":"600s","ttl":"30s"}"#,
        ),
        (
            "5m",
            r#""static_secrets":{"max_stale":"600s","ttl":"300s"}"#,
        ),
    ] {
        let result = injected(&["-f", "-"], &pod(value))?;
        assert!(result.contains(expected), "{value}: {result}");
    }
    let off = injected(&["-f", "-"], &pod("false"))?;
    assert!(!off.contains("static_secrets"), "{off}");
    let refused = inject(&["-f", "-"], &pod("30"))?;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    let expected = "keyside.dev/cache-kv: read \"30\"; allowed: true, false, or a time from 1s to 24h such as 30s";
    assert!(said.contains(expected), "{said}");
    Ok(())
}
