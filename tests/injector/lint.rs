//! `keyside-injector lint`, as a pipeline runs it.

use anyhow::Context as _;
use serde_json::Value;

use crate::offline::run;

/// Status, findings and summary.
fn lint(arguments: &[&str], input: &str) -> anyhow::Result<(Option<i32>, String, String)> {
    let output = run(&[&["lint", "-f", "-"], arguments].concat(), input)?;
    Ok((
        output.status.code(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

#[track_caller]
fn check(input: &str, status: i32, expected: &str) {
    let (code, found, summary) = lint(&[], input).expect("the binary runs");
    assert_eq!(found, expected, "{summary}");
    assert_eq!(code, Some(status), "{found}");
}

const MANIFEST: &str = "\
# shop
kind: ConfigMap
---
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    metadata:
      annotations:
        keyside.dev/inject: 'true'
        keyside.dev/role: web
        # as before
        keyside.dev/proxy-prot: \"8201\"
        keyside.dev/token-mode: \"0999\"
        keyside.dev/cpu-limit: \"0\"
    spec:
      containers:
      - name: web
";

#[test]
fn tells_file_document_line_object_annotation_and_what_to_write() -> anyhow::Result<()> {
    let expected = "\
stdin:16: error: document 2, Deployment shop/web: annotation keyside.dev/token-mode: read \"0999\"; allowed: an octal \
        mode of three or four digits up to 0777, such as 0640
stdin:17: error: document 2, Deployment shop/web: annotation keyside.dev/cpu-limit: read \"0\"; allowed: a quantity \
        above zero, such as 10m or 64Mi
stdin:15: warning: document 2, Deployment shop/web: annotation keyside.dev/proxy-prot is unknown and ignored; did you \
        mean keyside.dev/proxy-port?
";
    check(MANIFEST, 1, expected);
    let (_, _, summary) = lint(&[], MANIFEST)?;
    assert_eq!(
        summary,
        "1 pod, 1 of them asking for the agent: 2 errors, 1 warning\n"
    );

    let (status, found, _) = lint(&["--format=json"], MANIFEST)?;
    assert_eq!(status, Some(1));
    let found: Value = serde_json::from_str(&found)?;
    assert_eq!(found.as_array().context("a list")?.len(), 3);
    assert_eq!(found[0]["line"], 16);
    assert_eq!(found[0]["document"], 2);
    assert_eq!(found[0]["annotation"], "keyside.dev/token-mode");
    assert_eq!(found[2]["severity"], "warning");
    Ok(())
}

#[test]
fn warnings_count_where_it_is_strict() -> anyhow::Result<()> {
    let warned: String = MANIFEST
        .split_inclusive('\n')
        .filter(|line| !line.contains("token-mode") && !line.contains("cpu-limit"))
        .collect();
    for (arguments, status) in [(&[][..], 0), (&["--strict"], 1)] {
        let (code, found, _) = lint(arguments, &warned)?;
        assert_eq!(code, Some(status), "{found}");
        assert!(found.contains("stdin:15: warning: "), "{found}");
    }
    let good = warned.replace("        keyside.dev/proxy-prot: \"8201\"\n", "");
    check(&good, 0, "");
    check("# nothing\n", 0, "");
    Ok(())
}

#[test]
fn finds_annotations_that_reach_no_pod() {
    check(
        "kind: Deployment\nmetadata:\n  annotations: {keyside.dev/inject: 'true'}\nspec: {template: {}}\n",
        1,
        "stdin:3: error: document 1, Deployment default/without a name: annotation keyside.dev/inject: on the \
         Deployment itself, which does not reach its pods: write it below spec.template.metadata.annotations\n",
    );
    check(
        "kind: CronJob\nspec:\n  jobTemplate:\n    metadata:\n      annotations:\n        keyside.dev/role: a\n",
        1,
        "stdin:6: error: document 1, CronJob default/without a name: annotation keyside.dev/role: on the CronJob \
         itself, which does not reach its pods: write it below spec.jobTemplate.spec.template.metadata.annotations\n",
    );
    check(
        "kind: List\nitems:\n- kind: Service\n  metadata:\n    annotations:\n      keyside.dev/inject: 'true'\n",
        0,
        "stdin:6: warning: document 1, Service default/without a name: annotation keyside.dev/inject: a Service makes \
         no pods: it has no effect\n",
    );
}

#[test]
fn finds_what_a_webhook_never_sees() {
    check(
        "kind: Pod\nmetadata:\n  annotations:\n    keyside.dev/inject: true\n    keyside.dev/role: x\n",
        1,
        "stdin:4: error: document 1, Pod default/without a name: annotation keyside.dev/inject: read true, a boolean; \
         allowed: text, such as \"true\" in quotes\n",
    );
    check(
        "kind: Pod\nmetadata:\n  annotations:\n    keyside.dev/injct: 'true'\n    keyside.dev/role: x\n",
        0,
        "stdin:4: warning: document 1, Pod default/without a name: annotation keyside.dev/injct is unknown and ignored; \
         did you mean keyside.dev/inject?\nstdin:4: warning: document 1, Pod default/without a name: annotation \
         keyside.dev/inject is missing, so that nothing is injected; write keyside.dev/inject: \"true\"\n",
    );
    check(
        "kind: Pod\nmetadata:\n  annotations:\n    keyside.dev/inject: 'false'\n    keyside.dev/role: x\n",
        0,
        "",
    );
    check(
        "kind: Pod\n---\na: [\n",
        1,
        "stdin:3: error: document 2: as YAML: line 3, column 4: unclosed bracket '['\n",
    );
}

#[test]
fn names_the_line_of_a_pod_that_lacks_an_annotation() {
    check(
        "kind: Pod\nmetadata:\n  name: a\n  annotations:\n    keyside.dev/inject: 'true'\n    keyside.dev/roll: x\n",
        1,
        "stdin:6: error: document 1, Pod default/a: annotation keyside.dev/role is missing; it names the role of the \
         auth mount to log in with; keyside.dev/roll is there and unknown\nstdin:6: warning: document 1, Pod \
         default/a: annotation keyside.dev/roll is unknown and ignored; did you mean keyside.dev/role?\n",
    );
    check(
        "kind: Pod\nmetadata:\n  annotations: {keyside.dev/inject: 'true', keyside.dev/role: x}\n\
         spec:\n  nodeSelector: {kubernetes.io/os: windows}\n  containers: [{name: a}]\n",
        1,
        "stdin:3: error: document 1, Pod default/without a name: the pod is for Windows nodes, where the agent does \
         not run; remove keyside.dev/inject\n",
    );
}

#[test]
fn takes_several_files_json_and_the_installation() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("a.yaml"), MANIFEST)?;
    std::fs::write(
        path("b.json"),
        "{\n \"kind\": \"Pod\",\n \"metadata\": {\"annotations\": {\n  \"keyside.dev/inject\": \"maybe\"\n }}\n}",
    )?;
    std::fs::write(
        path("profile.yaml"),
        "strict: true\ndefaults: {address: 'http://v'}\n",
    )?;
    let (a, b) = (path("a.yaml"), path("b.json"));
    let output = run(&["lint", "-f", &a, &b], "")?;
    let found = String::from_utf8(output.stdout)?;
    assert!(found.starts_with(&format!("{a}:16: error: ")), "{found}");
    let maybe = format!(
        "{b}:4: error: document 1, Pod default/without a name: annotation keyside.dev/inject: read"
    );
    assert!(found.contains(&maybe), "{found}");

    std::fs::rename(path("profile.yaml"), path("default.yaml"))?;
    let output = run(&["lint", "-f", &a, "--profiles", &path("default.yaml")], "")?;
    let found = String::from_utf8(output.stdout)?;
    assert!(found.contains("a.yaml:15: error: "), "{found}");
    assert!(found.contains("profile \"default\" is strict"), "{found}");

    for (arguments, status) in [
        (&["lint"][..], 64),
        (&["lint", "-f", "-", "--format", "xml"], 64),
        (&["lint", "-f", "/does/not/exist"], 1),
    ] {
        assert_eq!(
            run(arguments, "")?.status.code(),
            Some(status),
            "{arguments:?}"
        );
    }
    let help = run(&["lint", "--help"], "")?;
    assert!(String::from_utf8(help.stdout)?.contains("--strict"));
    Ok(())
}
