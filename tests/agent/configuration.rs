//! Arguments and configuration: what the process takes, and what it says about what it does not take.

use std::path::Path;

use serde_json::{Value, json};

use crate::world::{Agent, World, keyside_agent, run};

/// One mistake a line, and more than twelve; [`MISTAKES`] says where.
const WRONG: &str = include_str!("data/wrong.hcl");
const MISTAKES: [(u32, &str); 16] = [
    (2, "vault.adress"),
    (3, "vault.tls_skip_verify"),
    (7, "auto_auth.method.min_backoff"),
    (8, "auto_auth.method.config.role"),
    (9, "auto_auth.method.config.rolle"),
    (15, "auto_auth.sink.config.mode"),
    (18, "auto_auth.sink.type"),
    (23, "cache.max_entries"),
    (26, "listener.address"),
    (29, "listener.type"),
    (33, "limits.burst"),
    (35, "log_level"),
    (36, "log_format"),
    (37, "worker_threads"),
    (38, "pid_file"),
    (39, "exec"),
];

/// Something to do, which every configuration needs.
const LISTENER: &str = "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\n";

#[test]
fn every_mistake_of_a_file_is_reported_in_one_run_with_line_and_field() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("wrong.hcl");
    std::fs::write(&path, WRONG)?;
    for verb in ["run", "check"] {
        let mut command = keyside_agent();
        command.arg(verb).arg(format!("-config={}", path.display()));
        let (status, stdout, stderr) = run(command)?;
        assert_eq!((status, stdout.as_str()), (64, ""), "{verb}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines.len(), MISTAKES.len(), "{stderr}");
        for (said, (line, field)) in lines.iter().zip(MISTAKES) {
            let place = format!("{}:{line}:", path.display());
            assert!(
                said.starts_with(&place) && said.contains(&format!(" {field}: ")),
                "{said}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_folder_is_read_in_name_order_and_later_files_win() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    std::fs::write(at.join("00.hcl"), LISTENER)?;
    std::fs::write(
        at.join("20.json"),
        r#"{ "log_level": "warn", "worker_threads": 2 }"#,
    )?;
    std::fs::write(
        at.join("10.hcl"),
        "log_level = \"debug\"\nworker_threads = 1\npid_file = \"/tmp/ten\"\n",
    )?;
    std::fs::write(
        at.join("30.yaml"),
        "worker_threads: 3\nadmin: { socket: /run/thirty.sock }\n",
    )?;
    std::fs::write(at.join("40.hcl~"), "worker_threads = 4\n")?;
    let effective = effective(&[at])?;
    assert_eq!(effective["log_level"], "warn");
    assert_eq!(effective["worker_threads"], 3);
    assert_eq!(effective["pid_file"], "/tmp/ten");
    assert_eq!(effective["admin"]["socket"], "/run/thirty.sock");
    Ok(())
}

#[test]
fn the_same_in_hcl_json_and_yaml_is_the_same() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut read = Vec::new();
    for (name, text) in [
        ("agent.hcl", include_str!("data/same.hcl")),
        ("agent.json", include_str!("data/same.json")),
        ("agent.yaml", include_str!("data/same.yaml")),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        read.push((name, effective(&[&path])?));
    }
    let (_, hcl) = &read[0];
    assert_eq!(
        hcl["auto_auth"]["method"]["config"]["role"], "cart",
        "{hcl:#}"
    );
    for (name, other) in &read[1..] {
        assert_eq!(other, hcl, "{name}");
    }
    Ok(())
}

#[test]
fn what_check_prints_is_a_configuration_that_comes_to_the_same() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (first, again) = (
        folder.path().join("agent.hcl"),
        folder.path().join("again.json"),
    );
    std::fs::write(&first, include_str!("data/same.hcl"))?;
    let printed = effective(&[&first])?;
    std::fs::write(&again, printed.to_string())?;
    assert_eq!(effective(&[&again])?, printed);
    Ok(())
}

#[test]
fn flags_win_over_the_environment_and_it_over_files() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agent.hcl");
    let vault = "vault {\n  address = \"https://file:1\"\n  namespace = \"file\"\n}\n";
    std::fs::write(&path, format!("{LISTENER}{vault}log_level = \"warn\"\n"))?;
    let mut command = keyside_agent();
    command.args(["check", "-log-level=debug", "-address", "https://flag:3"]);
    command.arg("-config").arg(&path);
    command
        .env("VAULT_ADDR", "https://environment:2")
        .env("VAULT_NAMESPACE", "environment");
    let (status, stdout, stderr) = run(command)?;
    assert_eq!(status, 0, "{stderr}");
    let effective: Value = serde_json::from_str(&stdout)?;
    assert_eq!(effective["vault"]["address"], "https://flag:3");
    assert_eq!(effective["vault"]["namespace"], "environment");
    assert_eq!(effective["log_level"], "debug");
    Ok(())
}

#[test]
fn keyside_config_wins_over_files_and_adds_to_them() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agent.hcl");
    std::fs::write(
        &path,
        format!("{LISTENER}log_level = \"warn\"\nworker_threads = 2\n"),
    )?;
    let listener = json!({ "type": "unix", "address": "/run/second.sock" });
    let mut command = keyside_agent();
    command.arg("check").arg("-config").arg(&path).env(
        "KEYSIDE_CONFIG",
        json!({ "log_level": "error", "listener": listener }).to_string(),
    );
    let (status, stdout, stderr) = run(command)?;
    assert_eq!(status, 0, "{stderr}");
    let effective: Value = serde_json::from_str(&stdout)?;
    assert_eq!(effective["log_level"], "error");
    assert_eq!(effective["worker_threads"], 2);
    assert_eq!(effective["listener"][0]["address"], "127.0.0.1:0");
    assert_eq!(effective["listener"][1]["address"], "/run/second.sock");
    Ok(())
}

#[test]
fn the_peers_variable_names_files_where_no_flag_does() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let [first, second, third] = ["1.hcl", "2.hcl", "3.hcl"].map(|name| folder.path().join(name));
    std::fs::write(&first, format!("{LISTENER}worker_threads = 1\n"))?;
    std::fs::write(&second, "worker_threads = 2\n")?;
    std::fs::write(&third, format!("{LISTENER}worker_threads = 3\n"))?;
    let both = format!("{},{}", first.display(), second.display());
    let threads = |flag: Option<&Path>| {
        let mut command = keyside_agent();
        command.arg("check").env("VAULT_AGENT_CONFIG_PATH", &both);
        if let Some(path) = flag {
            command.arg("-config").arg(path);
        }
        let (status, stdout, stderr) = run(command)?;
        anyhow::ensure!(status == 0, "{stderr}");
        let effective: Value = serde_json::from_str(&stdout)?;
        Ok(effective["worker_threads"].clone())
    };
    assert_eq!(threads(None)?, 2);
    assert_eq!(threads(Some(&third))?, 3);
    Ok(())
}

/// No silence about what somebody set, and no secret in what is said.
#[test]
fn variables_without_effect_are_noted_at_the_start() -> anyhow::Result<()> {
    let world = World::new()?;
    let path = world.path("config.json");
    std::fs::write(&path, world.config().to_string())?;
    let mut command = keyside_agent();
    command
        .arg(format!("-config={}", path.display()))
        .env("VAULT_TOKEN", "hvs.SECRET")
        .env("VAULT_NAMESPACE", "");
    let mut agent = Agent::start(command, world.path("admin.sock"))?;
    agent.child.wait_for_event("started")?;
    let notes = agent.child.events("configuration_note");
    let said: Vec<_> = notes
        .iter()
        .map(|note| note["message"].to_string())
        .collect();
    assert!(said.len() == 1, "{said:?}");
    assert!(said[0].contains("VAULT_TOKEN"), "{said:?}");
    assert!(!agent.child.lines().concat().contains("SECRET"));
    Ok(())
}

#[test]
fn keyside_config_alone_is_enough_to_log_in() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut command = keyside_agent();
    command.env("KEYSIDE_CONFIG", world.config().to_string());
    let mut agent = Agent::start(command, world.path("admin.sock"))?;
    agent.child.wait_for_event("started")?;
    assert!(world.sink_lives()?);
    Ok(())
}

#[test]
fn a_mistake_in_keyside_config_names_it() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.env("KEYSIDE_CONFIG", json!({ "log_level": "loud" }).to_string());
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 64);
    assert!(
        stderr.starts_with("KEYSIDE_CONFIG:1:") && stderr.contains("log_level"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn hcl_logs_in_as_json_does() -> anyhow::Result<()> {
    let world = World::new()?;
    let hcl = format!(
        r#"
        vault {{ address = "{address}"  ca_cert = "{ca}" }}
        auto_auth {{
          method "kubernetes" {{ config = {{ role = "cart"  token_path = "{token}" }} }}
          sink "file" {{ config = {{ path = "{sink}" }} }}
        }}
        admin {{ socket = "{socket}" }}
        log_format = "json"
        "#,
        address = world.tap.address(),
        ca = world.tap.ca_path().display(),
        token = world.path("service-account-token").display(),
        sink = world.path("token").display(),
        socket = world.path("admin.sock").display(),
    );
    let path = world.path("agent.hcl");
    std::fs::write(&path, hcl)?;
    let mut command = keyside_agent();
    command.arg(format!("-config={}", path.display()));
    let mut agent = Agent::start(command, world.path("admin.sock"))?;
    agent.child.wait_for_event("started")?;
    assert!(world.sink_lives()?);
    Ok(())
}

#[test]
fn a_note_is_no_mistake() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    config["cluster_name"] = json!("shop");
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let note = agent.child.wait_for_event("configuration_note")?;
    assert!(
        note["message"].to_string().contains("cluster_name"),
        "{note}"
    );
    Ok(())
}

/// What `check` prints of these files and folders.
fn effective(paths: &[&Path]) -> anyhow::Result<Value> {
    let mut command = keyside_agent();
    command.arg("check");
    for path in paths {
        command.arg(format!("-config={}", path.display()));
    }
    let (status, stdout, stderr) = run(command)?;
    anyhow::ensure!(status == 0, "{stderr}");
    Ok(serde_json::from_str(&stdout)?)
}

#[test]
fn without_a_configuration_it_says_how_to_give_one() -> anyhow::Result<()> {
    let (status, stdout, stderr) = run(keyside_agent())?;
    assert_eq!((status, stdout.as_str()), (64, ""));
    assert!(
        stderr.contains("-config=PATH") && stderr.contains("KEYSIDE_CONFIG"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn an_unknown_verb_is_a_usage_error_that_names_those_there_are() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.arg("frobnicate");
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 64);
    for verb in ["frobnicate", "run", "check", "probe", "status", "version"] {
        assert!(stderr.contains(verb), "{verb}: {stderr}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_named() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.args(["check", "-config=/nonexistent/agent.hcl"]);
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 64);
    assert!(
        stderr.contains("/nonexistent/agent.hcl: No such file or directory"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn the_version_is_that_of_the_package() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.arg("version");
    let (status, stdout, _) = run(command)?;
    assert_eq!(
        (status, stdout.trim()),
        (0, concat!("keyside-agent ", env!("CARGO_PKG_VERSION")))
    );
    Ok(())
}
