//! Reviews over HTTPS, and how the process lives and ends.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyside_harness::poll;
use keyside_harness::process::Child;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::cluster::{self, Cluster, Injector, SERVICE};

#[test]
fn answers_every_recorded_review_with_its_uid() -> anyhow::Result<()> {
    let (_cluster, injector, caller) = ready(&[])?;
    let mut connection = caller.connect()?;
    let mut count = 0;
    for (name, review) in cluster::recordings()? {
        let asked: Value = serde_json::from_slice(&review)?;
        for content_type in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=UTF-8",
        ] {
            let answer =
                connection.send("POST", "/mutate?timeout=10s", Some(content_type), &review)?;
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.response()?["uid"], asked["request"]["uid"], "{name}");
            count += 1;
        }
    }
    assert_eq!(
        decisions(&injector)?,
        count,
        "one connection, each counted once"
    );
    Ok(())
}

#[test]
fn a_patch_comes_in_base64_and_a_denial_with_its_message() -> anyhow::Result<()> {
    let (_cluster, _injector, caller) = ready(&["--vault-address=https://vault:8200"])?;
    let response = caller.review(&cluster::recording("plain")?)?.response()?;
    assert_eq!(
        (&response["allowed"], &response["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let patch = STANDARD.decode(response["patch"].as_str().unwrap_or_default())?;
    let patch: json_patch::Patch = serde_json::from_slice(&patch)?;
    let review: Value = serde_json::from_slice(&cluster::recording("plain")?)?;
    let mut pod = review["request"]["object"].clone();
    json_patch::patch(&mut pod, &patch)?;
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "keyside-agent");

    let response = caller.review(&cluster::recording("windows")?)?.response()?;
    assert_eq!(response["allowed"], false);
    assert_eq!(
        (&response["status"]["code"], &response["status"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert!(message.to_lowercase().contains("windows"), "{message}");
    assert_eq!(response["patch"], Value::Null);
    Ok(())
}

/// An admission that waited for Vault would make its outage one of the cluster.
#[test]
fn vault_is_never_asked() -> anyhow::Result<()> {
    let vault = std::net::TcpListener::bind("127.0.0.1:0")?;
    vault.set_nonblocking(true)?;
    let address = format!("--vault-address=http://{}", vault.local_addr()?);
    let (_cluster, _injector, caller) = ready(&[&address])?;
    for (_, review) in cluster::recordings()? {
        caller.review(&review)?.response()?;
    }
    let asked = vault.accept();
    assert!(asked.is_err(), "{asked:?}");
    Ok(())
}

#[test]
fn refuses_what_is_no_review_with_the_status_that_says_why() -> anyhow::Result<()> {
    let (_cluster, _injector, caller) = ready(&[])?;
    let review = cluster::recording("plain")?;
    let beta = String::from_utf8(review.clone())?
        .replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    let json = Some("application/json");
    let truncated = &review[..review.len() / 2];
    for (method, path, kind, body, status, says) in [
        ("POST", "/", json, &review[..], 404, "/mutate"),
        ("POST", "/mutate/", json, &review, 404, "/mutate"),
        ("GET", "/mutate", json, b"", 405, "POST"),
        ("PUT", "/mutate", json, &review, 405, "POST"),
        ("POST", "/mutate", None, &review, 415, "Content-Type"),
        (
            "POST",
            "/mutate",
            Some("application/yaml"),
            &review,
            415,
            "Content-Type",
        ),
        (
            "POST",
            "/mutate",
            Some("application/jsonx"),
            &review,
            415,
            "Content-Type",
        ),
        ("POST", "/mutate", json, b"", 400, "not an AdmissionReview"),
        ("POST", "/mutate", json, b"{}", 400, "admission.k8s.io/v1"),
        (
            "POST",
            "/mutate",
            json,
            b"\xff\xfe{",
            400,
            "not an AdmissionReview",
        ),
        (
            "POST",
            "/mutate",
            json,
            truncated,
            400,
            "not an AdmissionReview",
        ),
        (
            "POST",
            "/mutate",
            json,
            beta.as_bytes(),
            400,
            "admissionReviewVersions: [v1]",
        ),
    ] {
        let answer = caller.connect()?.send(method, path, kind, body)?;
        assert_eq!(
            answer.status, status,
            "{method} {path} {kind:?}: {answer:?}"
        );
        assert!(
            answer.body.contains(says),
            "{method} {path} {kind:?}: {answer:?}"
        );
        assert_eq!(answer.header("allow"), (status == 405).then_some("POST"));
    }
    Ok(())
}

#[test]
fn a_body_over_the_limit_is_refused_announced_or_not() -> anyhow::Result<()> {
    let (_cluster, _injector, caller) = ready(&[])?;
    let head = "POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let mut announced = caller.connect()?;
    announced.start(&format!("{head}Content-Length: 4194305\r\n\r\n"), b"")?;
    assert_eq!(announced.finish()?.status, 413);

    let mut chunked = caller.connect()?;
    chunked.start(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"), b"")?;
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    for _ in 0..4 {
        chunked.start("", &chunk)?;
    }
    chunked.start("1\r\n \r\n", b"")?;
    assert_eq!(chunked.finish()?.status, 413);

    // Just below, it is read: and found to be no JSON.
    let mut full = caller.connect()?;
    let answer = full.send(
        "POST",
        "/mutate",
        Some("application/json"),
        &vec![b' '; 4 << 20],
    )?;
    assert_eq!(answer.status, 400);
    Ok(())
}

#[test]
fn speaks_tls_1_2_and_1_3_and_http_1_1() -> anyhow::Result<()> {
    let (cluster, injector, _caller) = ready(&[])?;
    let review = cluster::recording("plain")?;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let caller =
            Caller::with_versions(&injector.webhook, &cluster.bundle()?, SERVICE, &[version])?;
        assert_eq!(caller.review(&review)?.status, 200, "{version:?}");
    }
    Ok(())
}

#[test]
fn logs_one_line_per_decision_and_nothing_of_the_pod_but_its_name() -> anyhow::Result<()> {
    let (_cluster, mut injector, caller) = ready(&["--log-level=trace"])?;
    let mut review: Value = serde_json::from_slice(&cluster::recording("gen")?)?;
    let object = &mut review["request"]["object"];
    object["metadata"]["annotations"]["keyside.dev/address"] = "https://marker-annotation".into();
    object["metadata"]["annotations"]["keyside.dev/proxy-port"] = "marker-mistake".into();
    object["metadata"]["labels"] = json!({ "a": "marker-label" });
    object["spec"]["containers"][0]["env"] =
        json!([{ "name": "PASSWORD", "value": "marker-environment" }]);
    caller.review(review.to_string().as_bytes())?;
    let event = injector.child.wait_for_event("admission")?;
    assert_eq!(event["uid"], review["request"]["uid"]);
    assert_eq!(event["namespace"], "shop");
    assert_eq!(
        event["pod"],
        review["request"]["object"]["metadata"]["generateName"]
    );
    assert!(
        event["decision"].is_string() && event["reason"].is_string(),
        "{event}"
    );
    assert!(injector.child.terminate()?.success());
    assert_eq!(injector.child.events("admission").len(), 1);
    let log = injector.child.lines().join("\n");
    assert!(!log.contains("marker"), "{log}");
    Ok(())
}

#[test]
fn counts_decisions_and_times_them() -> anyhow::Result<()> {
    let (cluster, injector, caller) = ready(&[])?;
    let mut other: Value = serde_json::from_slice(&cluster::recording("plain")?)?;
    other["request"]["resource"]["resource"] = "services".into();
    caller.review(other.to_string().as_bytes())?;
    caller.review(b"nonsense")?;
    let count = |name: &str| injector.metric::<u64>(name);
    assert_eq!(
        count(r#"keyside_injector_admissions_total{decision="untouched",reason="not_a_pod"}"#)?,
        1
    );
    assert_eq!(
        count(r#"keyside_injector_admissions_total{decision="refused",reason="not_a_review"}"#)?,
        1
    );
    assert_eq!(
        count("keyside_injector_admission_duration_seconds_count")?,
        2
    );
    let within = count(r#"keyside_injector_admission_duration_seconds_bucket{le="0.1"}"#)?;
    assert!(within >= 1, "no decision within 100 ms");

    for (certificate, lifetime) in [("leaf", 7.0), ("authority", 70.0)] {
        let name = "keyside_injector_certificate_expiry_timestamp_seconds";
        let expiry: f64 = injector.metric(&format!("{name}{{certificate=\"{certificate}\"}}"))?;
        let now = std::time::UNIX_EPOCH.elapsed()?.as_secs_f64();
        let days = (expiry - now) / 86_400.0;
        assert!(
            (lifetime - 0.1..=lifetime).contains(&days),
            "{certificate}: {days} days"
        );
    }

    let stranger = Cluster::start()?;
    let other = stranger.injector(&[])?;
    other.wait_until_ready()?;
    assert!(
        Caller::new(&injector.webhook, &stranger.bundle()?, SERVICE)?
            .connect()
            .is_err()
    );
    poll::until("a failed handshake", poll::LIMIT, || {
        match count("keyside_injector_tls_handshake_failures_total") {
            Ok(failures) if failures > 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    drop(cluster);
    Ok(())
}

#[test]
fn on_sigterm_goes_on_accepting_unready_then_drains_and_exits_0() -> anyhow::Result<()> {
    let (_cluster, mut injector, caller) = ready(&["--drain=1500ms"])?;
    let review = cluster::recording("plain")?;
    let mut idle = caller.connect()?;
    assert_eq!(idle.review(&review)?.header("connection"), None);
    let mut busy = caller.connect()?;
    let head = format!(
        "POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        review.len()
    );
    let (half, rest) = review.split_at(review.len() / 2);
    busy.start(&head, half)?;

    injector.child.signal(Signal::TERM)?;
    injector.wait_for_readiness(|status, text| status == 503 && text.contains("ending"))?;
    // An API server that does not know yet still gets its answer, and is asked to go elsewhere.
    let late = caller.review(&review)?;
    assert_eq!(
        (late.status, late.header("connection")),
        (200, Some("close"))
    );
    assert!(
        idle.is_closed(),
        "idle connections end when the drain begins"
    );
    // What is under way is finished, also after the listener is closed.
    poll::until("the listener to close", poll::LIMIT, || {
        match caller.connect() {
            Ok(_) => Err("still accepting"),
            Err(_) => Ok(()),
        }
    })?;
    poll::throughout("the wait for it", Duration::from_millis(300), || {
        injector.get("/readyz").map(|_unready| ())
    })?;
    busy.start("", rest)?;
    assert_eq!(busy.finish()?.status, 200);
    assert!(injector.child.wait(poll::LIMIT)?.success());
    Ok(())
}

#[test]
fn a_second_signal_ends_at_once() -> anyhow::Result<()> {
    let (_cluster, mut injector, _caller) = ready(&["--drain=60s"])?;
    injector.child.signal(Signal::TERM)?;
    injector.wait_for_readiness(|status, _| status == 503)?;
    injector.child.signal(Signal::TERM)?;
    assert!(injector.child.wait(Duration::from_secs(20))?.success());
    Ok(())
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() -> anyhow::Result<()> {
    let (_cluster, injector, caller) = ready(&["--max-connections=1"])?;
    let first = caller.connect()?;
    let review = cluster::recording("plain")?;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| caller.review(&review));
        let open = || injector.metric::<u64>("keyside_injector_connections");
        poll::throughout(
            "one connection",
            Duration::from_millis(300),
            || match open() {
                Ok(1) => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )?;
        assert!(!second.is_finished(), "answered beyond the limit");
        drop(first);
        assert_eq!(second.join().expect("no panic")?.status, 200);
        Ok(())
    })
}

#[test]
fn every_mistake_in_flags_and_environment_is_reported_with_exit_64() -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
    command
        .env_clear()
        .env("KEYSIDE_INJECTOR_LOG_FORMAT", "xml")
        .args([
            "serve",
            "--listen=nowhere",
            "--leaf-lifetime=1s",
            "--unknown",
        ]);
    let mut child = Child::spawn("keyside-injector", command)?;
    let status = child.wait(poll::LIMIT)?;
    assert_eq!(status.code(), Some(64));
    let text = child.stderr();
    for mistake in [
        "KEYSIDE_INJECTOR_LOG_FORMAT: \"xml\": write text or json",
        "--listen: \"nowhere\": write :PORT",
        "--leaf-lifetime: \"1s\": between 3s and 365d",
        "--unknown: there is no such flag",
        "--namespace: is needed",
    ] {
        assert!(text.contains(mistake), "{mistake} is not in {text}");
    }
    Ok(())
}

#[test]
fn a_port_in_use_fails_the_start() -> anyhow::Result<()> {
    let (cluster, injector, _caller) = ready(&[])?;
    let taken = format!("--health={}", injector.health);
    let error = cluster.injector(&[taken.as_str()]).err();
    let error = error.expect("the port is taken");
    assert!(format!("{error:#}").contains("in use"), "{error:#}");
    Ok(())
}

#[test]
fn tells_its_version_on_the_plain_port() -> anyhow::Result<()> {
    let (_cluster, injector, _caller) = ready(&[])?;
    let version = concat!("keyside-injector ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(injector.get("/version")?, (200, version.to_owned()));
    let build = concat!(
        "keyside_injector_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    );
    assert_eq!(injector.metric::<u64>(build)?, 1);
    Ok(())
}

#[test]
fn says_its_version_and_how_to_use_it() -> anyhow::Result<()> {
    let version = concat!("keyside-injector ", env!("CARGO_PKG_VERSION"));
    for (argument, says) in [("version", version), ("--help", "--listen")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
        command.arg(argument);
        let mut child = Child::spawn("keyside-injector", command)?;
        assert!(child.wait(poll::LIMIT)?.success());
        assert!(child.stdout().contains(says), "{}", child.stdout());
    }
    Ok(())
}

fn ready(flags: &[&str]) -> anyhow::Result<(Cluster, Injector, Caller)> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(flags)?;
    injector.wait_until_ready()?;
    let caller = cluster.caller(&injector)?;
    Ok((cluster, injector, caller))
}

/// All that were counted, whatever was decided.
fn decisions(injector: &Injector) -> anyhow::Result<u64> {
    let (_, text) = injector.get("/metrics")?;
    let counts = text.lines().filter_map(|line| {
        let (labels, count) = line.rsplit_once(' ')?;
        labels
            .starts_with("keyside_injector_admissions_total{")
            .then(|| count.parse::<u64>())
    });
    Ok(counts.sum::<Result<_, _>>()?)
}
