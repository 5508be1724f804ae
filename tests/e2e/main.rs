//! `cargo xtask e2e` where there is no cluster: what it says then, and that its steps follow each other as they should,
//! against a kubectl that plays a cluster. Whether Keyside works in one, only a cluster shows.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use keyside_harness::{kube, tools};
use serde_json::Value;

struct Said {
    success: bool,
    text: String,
}

/// Runs it to its end.
fn e2e(mut change: impl FnMut(&mut Command)) -> anyhow::Result<Said> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .arg("e2e")
        .env("NO_COLOR", "1")
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null());
    change(&mut command);
    let output = command.output().context("run xtask")?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Said {
        success: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

#[test]
fn without_a_cluster_it_says_that_nothing_was_checked() -> anyhow::Result<()> {
    let said = e2e(|command| {
        command.env("KUBECONFIG", "/no/such/file");
    })?;
    assert!(said.success, "{}", said.text);
    assert!(said.text.contains("SKIPPED: no cluster"), "{}", said.text);

    let said = e2e(|command| {
        command.env("KUBECONFIG", "/no/such/file").arg("--require");
    })?;
    assert!(!said.success, "{}", said.text);
    Ok(())
}

#[test]
fn a_page_is_not_run_where_there_is_no_kind() -> anyhow::Result<()> {
    let said = e2e(|command| {
        command.arg("--docs").env("PATH", "/no/such/folder");
    })?;
    assert!(said.success, "{}", said.text);
    let expected = "SKIPPED: docs/quick-start.md";
    assert!(said.text.contains(expected), "{}", said.text);
    Ok(())
}

#[test]
fn a_cluster_that_refuses_is_a_failure() -> anyhow::Result<()> {
    let api = kube::ApiServer::start()?;
    let said = e2e(|command| {
        command.env("KUBECONFIG", api.kubeconfig());
    })?;
    assert!(!said.success, "{}", said.text);
    let expected = "the cluster of the kubeconfig does not answer, or refuses";
    assert!(said.text.contains(expected), "{}", said.text);
    Ok(())
}

/// A run against the played kubectl, and what is left in its cluster.
fn played(broken: &str, options: &[&str]) -> anyhow::Result<(Said, Value)> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("kubectl");
    let script = tools::root()?.join("tests/e2e/kubectl.py");
    let python = tools::python()?;
    let text = format!(
        "#!/bin/sh\nexec {} {} \"$@\"\n",
        python.display(),
        script.display()
    );
    write_program(&program, &text)?;
    let real = tools::kubectl()?;
    let said = e2e(|command| {
        command
            .env("PLAYED", folder.path())
            .env("REAL", &real)
            .env("BREAK", broken)
            .args(["--helm=/no/such/helm", "--timeout=15", "--kubectl"])
            .arg(&program)
            .args(options);
    })?;
    let left = std::fs::read(folder.path().join("cluster.json"))?;
    let left: Value = serde_json::from_slice(&left)?;
    Ok((said, left.get("objects").context("no objects")?.clone()))
}

fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

#[test]
fn a_run_makes_every_check_and_leaves_nothing() -> anyhow::Result<()> {
    let (said, left) = played("", &[])?;
    assert!(said.success, "{}", said.text);
    assert!(
        said.text.contains("checks: 11 passed, 0 failed"),
        "{}",
        said.text
    );
    assert_eq!(left, serde_json::json!({}), "{}", said.text);
    Ok(())
}

#[test]
fn what_is_kept_is_told_with_the_way_to_remove_it() -> anyhow::Result<()> {
    let (said, left) = played("", &["--keep", "--only=job"])?;
    assert!(said.success, "{}", said.text);
    assert!(
        said.text.contains("checks: 5 passed, 0 failed"),
        "{}",
        said.text
    );
    assert!(
        said.text
            .contains("kubectl delete clusterrolebinding,namespace -l")
    );
    assert!(left.to_string().contains("keyside-e2e-"), "{left}");
    Ok(())
}

#[test]
fn a_failure_is_told_with_what_the_cluster_says_and_everything_goes() -> anyhow::Result<()> {
    for (broken, check, says) in [
        ("creation", "rolling-update", "failed calling webhook"),
        ("job", "job", "timed out waiting for the condition"),
        ("leftover", "uninstall", "-injector-certificate"),
    ] {
        let (said, left) = played(broken, &["--only", check])?;
        assert!(!said.success, "{}", said.text);
        assert!(said.text.contains(says), "{broken}: {}", said.text);
        assert!(
            said.text.contains("describe of keyside-e2e-"),
            "{}",
            said.text
        );
        assert!(said.text.contains(" 1 failed\n"), "{broken}: {}", said.text);
        assert_eq!(left, serde_json::json!({}), "{broken}: {}", said.text);
    }
    Ok(())
}
