use std::path::PathBuf;

use keyside_config::model::auto_auth::{self, Login};
use keyside_lifecycle::shutdown;
use prometheus::{Encoder as _, TextEncoder};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::vault::fake::{self, Fake, Reply};
use crate::vault::gate;

const LOGIN: &str = "/v1/auth/kubernetes/login";
const HEALTH: &str = "/v1/sys/health";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const RENEW: &str = "/v1/auth/token/renew-self";

struct Running {
    fake: Fake,
    tokens: Tokens,
    checks: Checks,
    registry: Registry,
    start: Instant,
    trigger: shutdown::Trigger,
    tasks: JoinSet<Result<(), Error>>,
    folder: TempDir,
}

fn config(token_path: PathBuf) -> AutoAuth {
    AutoAuth {
        method: auto_auth::Method {
            mount_path: "auth/kubernetes".to_owned(),
            namespace: Some("team".to_owned()),
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_mins(5),
            wrap_ttl: None,
            exit_on_err: false,
            login: Login::Kubernetes {
                role: "app".to_owned(),
                token_path,
            },
        },
        sinks: Vec::new(),
        login_on_new_credential: true,
        revoke_on_exit: false,
    }
}

fn run(fake: Fake, exit_on_err: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwt");
    std::fs::write(&path, "the-jwt\n").unwrap();
    let mut config = config(path);
    config.method.exit_on_err = exit_on_err;
    run_on(fake, &config, folder)
}

/// With the token `s.given` in a file.
fn run_token_file(fake: Fake) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "s.given\n").unwrap();
    let mut config = config(path.clone());
    config.method.login = Login::TokenFile { path };
    run_on(fake, &config, folder)
}

fn run_on(fake: Fake, config: &AutoAuth, folder: TempDir) -> Running {
    run_after(fake, config, folder, None)
}

/// After a process that left a token.
fn run_after(fake: Fake, config: &AutoAuth, folder: TempDir, left: Option<Live>) -> Running {
    let registry = Registry::new();
    let (mut task, tokens) = Task::new(config, fake.client(), &registry).unwrap();
    if let Some(left) = left {
        task = task.resuming(left, 3);
    }
    let checks = task.checks();
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(shutdown));
    Running {
        fake,
        tokens,
        checks,
        registry,
        start: Instant::now(),
        trigger,
        tasks,
        folder,
    }
}

impl Running {
    async fn token(&mut self, text: &str) {
        let wanted =
            |state: &TokenState| state.live().is_some_and(|live| live.token.expose() == text);
        self.tokens.wait_for(wanted).await.unwrap();
    }

    fn now_held(&self) -> String {
        let state = self.tokens.borrow();
        state
            .live()
            .map_or("none", |live| live.token.expose())
            .to_owned()
    }

    fn metrics(&self) -> String {
        written(&self.registry)
    }

    /// What was asked, and when, in seconds since the start.
    fn times(&self, path: &str) -> Vec<f64> {
        let asked = self.fake.asked();
        let times = asked.iter().filter(|asked| asked.path == path);
        times
            .map(|asked| (asked.at - self.start).as_secs_f64())
            .collect()
    }
}

fn written(registry: &Registry) -> String {
    let mut text = Vec::new();
    let encoded = TextEncoder::new().encode(&registry.gather(), &mut text);
    encoded.unwrap();
    String::from_utf8(text).unwrap()
}

/// Each login gives another token; renewals are granted.
fn obliging(lease: u64) -> Fake {
    let mut logins = 0;
    Fake::start(move |asked| {
        logins += i32::from(asked.path == LOGIN);
        fake::auth(&format!("t{logins}"), lease, true)
    })
}

#[tokio::test(start_paused = true)]
async fn logs_in_and_renews_in_its_namespace_before_the_lease_ends() {
    let mut running = run(obliging(600), false);
    running.token("t1").await;
    let first = running.tokens.borrow().live().unwrap().expires.unwrap();
    time::sleep(Duration::from_mins(20)).await;

    let asked = running.fake.asked();
    assert_eq!(asked[0].path, LOGIN);
    assert_eq!(
        asked[0].body,
        serde_json::json!({"role": "app", "jwt": "the-jwt"})
    );
    assert_eq!(asked[0].token, None);
    assert_eq!(running.fake.count(LOGIN), 1);
    let renewals: Vec<_> = asked.iter().filter(|asked| asked.path == RENEW).collect();
    assert!(
        renewals
            .iter()
            .all(|asked| asked.token.as_deref() == Some("t1"))
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.namespace.as_deref() == Some("team"))
    );
    let mut last = 0.0;
    for time in running.times(RENEW) {
        assert!(
            (400.0..=450.1).contains(&(time - last)),
            "{:?}",
            running.times(RENEW)
        );
        last = time;
    }
    assert_eq!(renewals.len(), 2);
    let live = running.tokens.borrow().live().map(Arc::clone).unwrap();
    assert_eq!(live.generation, 1);
    assert!(live.expires.unwrap() > first);
    assert_eq!(live.accessor, "accessor-of-t1");

    let metrics = running.metrics();
    assert!(
        metrics.contains(r#"keyside_agent_login_total{result="success"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"keyside_agent_renewal_total{result="success"} 2"#),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nkeyside_agent_token_expiry_seconds "),
        "{metrics}"
    );
    assert!(!metrics.contains("t1"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn keeps_the_old_token_while_login_fails() {
    let mut running = run(obliging(60), false);
    running.token("t1").await;
    running.fake.answers(|asked| match asked.path.as_str() {
        RENEW => fake::error(403, "permission denied"),
        _ => fake::error(503, "Vault is sealed"),
    });
    time::sleep(Duration::from_mins(10)).await;
    assert_eq!(running.now_held(), "t1");
    assert_eq!(
        running.fake.count(RENEW),
        1,
        "refused once, never asked again"
    );
    assert_eq!(
        running.fake.count(LOGIN),
        2,
        "the first, and one that failed"
    );
    let probes = running.times(HEALTH);
    assert!((40..100).contains(&probes.len()), "{probes:?}");
    running.fake.answers(|_| fake::auth("t2", 60, true));
    running.token("t2").await;
    assert_eq!(running.tokens.borrow().live().unwrap().generation, 2);
    let metrics = running.metrics();
    assert!(
        metrics.contains(r#"keyside_agent_renewal_total{result="refused"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"keyside_agent_login_total{result="unavailable"}"#),
        "{metrics}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_found_dead_is_replaced_by_one_login_at_once() {
    for lease in [0, 600] {
        let mut logins = 0;
        let fake = Fake::start(move |asked| match asked.path.as_str() {
            "/v1/auth/token/lookup-self" => fake::error(403, "permission denied"),
            path => {
                logins += i32::from(path == LOGIN);
                fake::auth(&format!("t{logins}"), lease, true)
            }
        });
        let mut running = run(fake, false);
        running.token("t1").await;
        time::sleep(Duration::from_secs(20)).await;
        for _ in 0..50 {
            running.checks.refused(1);
        }
        running.token("t2").await;
        time::sleep(Duration::from_mins(5)).await;
        let times = running.times(LOGIN);
        assert!(times.len() == 2 && times[1] < 20.1, "{lease}: {times:?}");
        assert_eq!(running.fake.count(RENEW), 0, "{lease}");
        assert_eq!(running.tokens.borrow().live().unwrap().generation, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_found_dead_is_not_renewed_while_logins_fail() {
    let mut running = run(obliging(600), false);
    running.token("t1").await;
    running
        .fake
        .answers(|_| fake::error(403, "permission denied"));
    time::sleep(Duration::from_secs(20)).await;
    running.checks.refused(1);
    time::sleep(Duration::from_mins(10)).await;
    assert_eq!(running.now_held(), "t1");
    assert_eq!(running.fake.count(RENEW), 0);
    let logins = running.fake.count(LOGIN);
    assert!((3..30).contains(&logins), "{logins}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_ten_seconds_costs_no_login() {
    let mut running = run(obliging(60), false);
    running.token("t1").await;
    time::sleep(Duration::from_secs(38)).await;
    running
        .fake
        .answers(|_| fake::error(503, "Vault is sealed"));
    time::sleep(Duration::from_secs(10)).await;
    running.fake.answers(|_| fake::auth("t1", 60, true));
    time::sleep(Duration::from_mins(2)).await;
    assert_eq!(running.fake.count(LOGIN), 1);
    let tries = running.times(RENEW);
    assert!(
        tries.iter().filter(|time| **time < 48.0).count() <= 8,
        "{tries:?}"
    );
    let left = running.tokens.borrow().live().unwrap().expires.unwrap();
    assert!(left > Instant::now());
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_a_busy_vault_is_kept() {
    let busy = || Reply(429, Some(30), serde_json::json!({"errors": ["rate limit"]}));
    let running = run(Fake::start(move |_| busy()), false);
    time::sleep(Duration::from_secs(29)).await;
    assert_eq!(running.fake.count(LOGIN), 1);
    time::sleep(Duration::from_secs(5)).await;
    assert_eq!(running.fake.count(LOGIN), 2);
}

/// D15 of the peer: a hot loop of logins.
#[tokio::test(start_paused = true)]
async fn no_answer_makes_it_log_in_more_than_once_a_second() {
    for (lease, renewable) in [(0, false), (1, false), (1, true), (2, true)] {
        let running = run(
            Fake::start(move |asked| match asked.path.as_str() {
                LOGIN => fake::auth("t", lease, renewable),
                _ => fake::error(403, "permission denied"),
            }),
            false,
        );
        time::sleep(Duration::from_mins(1)).await;
        let logins = running.times(LOGIN);
        assert!(logins.len() <= 61, "lease {lease}: {} logins", logins.len());
        assert!(
            lease > 0 || logins.len() == 1,
            "a token without end: {logins:?}"
        );
        assert!(
            logins.windows(2).all(|pair| pair[1] - pair[0] >= 1.0),
            "lease {lease}: {logins:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_vault_does_not_hold_the_task_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vault.sock");
    // Accepts by way of the kernel's queue, and never answers.
    let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let vault = keyside_config::model::vault::Vault {
        address: keyside_config::model::vault::Address::Unix(socket),
        timeout: Duration::from_secs(10),
        ..Default::default()
    };
    let registry = Registry::new();
    let gate = gate::Gate::new(
        &keyside_config::model::Limits::default(),
        gate::metrics::Metrics::new(&registry).unwrap(),
    );
    let client = vault::client::Client::new(&vault, gate).unwrap();
    let path = folder.path().join("jwt");
    std::fs::write(&path, "the-jwt").unwrap();
    let (task, _tokens) = Task::new(&config(path), client, &registry).unwrap();
    let (_trigger, shutdown) = shutdown::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(shutdown));
    time::sleep(Duration::from_mins(1)).await;
    let text = written(&registry);
    let count = |name: &str| -> u32 {
        let number = text.lines().find_map(|line| line.strip_prefix(name));
        number.unwrap_or("0").trim().parse().unwrap()
    };
    let failed = count(r#"keyside_agent_login_total{result="unavailable"}"#);
    assert_eq!(failed, 1, "{text}");
    let probes = count(r#"keyside_agent_gate_requests_total{reason="probe"}"#);
    assert!((5..=10).contains(&probes), "{text}");
    assert_eq!(count("keyside_agent_vault_up"), 0, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_new_token_in_the_file_is_used_within_seconds_and_once() {
    let mut running = run_token_file(Fake::start(|_| {
        look_up(3600, Some("2030-01-01T00:00:00Z"), false)
    }));
    running.token("s.given").await;
    let path = running.folder.path().join("token");
    time::sleep(Duration::from_mins(5)).await;
    assert_eq!(running.fake.count(LOOK_UP), 1, "nothing has changed");
    std::fs::write(&path, "s.next\n").unwrap();
    let changed = Instant::now();
    running.token("s.next").await;
    assert!(changed.elapsed() <= Duration::from_secs(6));
    time::sleep(Duration::from_mins(5)).await;
    assert_eq!(running.fake.count(LOOK_UP), 2);
    // What is gone is no news.
    std::fs::remove_file(&path).unwrap();
    time::sleep(Duration::from_mins(5)).await;
    assert_eq!(running.fake.count(LOOK_UP), 2);
    assert_eq!(running.now_held(), "s.next");
}

#[tokio::test(start_paused = true)]
async fn a_new_credential_is_not_used_where_that_is_not_wanted_unless_logins_fail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwt");
    std::fs::write(&path, "the-jwt").unwrap();
    let mut config = config(path.clone());
    config.login_on_new_credential = false;
    config.method.login = Login::Jwt {
        role: "app".to_owned(),
        path: path.clone(),
        remove_after_reading: false,
        remove_follows_symlinks: false,
    };
    let fake = Fake::start(|asked| match asked.body["jwt"].as_str() {
        Some("bad") => fake::error(403, "permission denied"),
        _ => fake::auth("t1", 3600, false),
    });
    let mut running = run_on(fake, &config, folder);
    running.token("t1").await;
    std::fs::write(&path, "bad").unwrap();
    time::sleep(Duration::from_mins(30)).await;
    assert_eq!(running.fake.count(LOGIN), 1);
    // The token's time comes, and nothing helps but a better credential.
    time::sleep(Duration::from_mins(25)).await;
    let refused = running.fake.count(LOGIN);
    assert!(refused > 3, "{refused}");
    std::fs::write(&path, "good").unwrap();
    time::sleep(Duration::from_secs(7)).await;
    let asked = running.fake.asked();
    assert_eq!(asked.last().unwrap().body["jwt"], "good");
    assert!(running.fake.count(LOGIN) <= refused + 2);
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_login_is_handed_on_and_never_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwt");
    std::fs::write(&path, "the-jwt").unwrap();
    let mut config = config(path);
    config.method.wrap_ttl = Some(Duration::from_mins(1));
    let info = r#"{"token":"s.wrapping","accessor":"a","ttl":60,"creation_time":"2026-01-01T00:00:00Z","creation_path":"auth/kubernetes/login","wrapped_accessor":"w"}"#;
    let answer: serde_json::Value = serde_json::from_str(info).unwrap();
    let fake = Fake::start(move |_| {
        Reply(
            200,
            None,
            serde_json::json!({ "wrap_info": answer, "auth": null }),
        )
    });
    let mut running = run_on(fake, &config, folder);
    running.token(info).await;
    let wrapped = running.tokens.borrow().live().unwrap().wrapped;
    assert!(wrapped);
    time::sleep(Duration::from_hours(2)).await;
    assert_eq!(running.fake.asked().len(), 1);
    assert_eq!(running.fake.asked()[0].wrap_ttl.as_deref(), Some("60"));
}

#[tokio::test(start_paused = true)]
async fn without_a_credential_vault_is_not_asked() {
    let mut running = run(obliging(60), false);
    running.token("t1").await;
    running
        .fake
        .answers(|_| fake::error(403, "permission denied"));
    std::fs::remove_file(running.folder.path().join("jwt")).unwrap();
    time::sleep(Duration::from_mins(5)).await;
    assert_eq!(running.fake.count(LOGIN), 1);
    let metrics = running.metrics();
    assert!(
        metrics.contains(r#"keyside_agent_login_total{result="no_credential"}"#),
        "{metrics}"
    );
}

#[test]
fn a_hint_at_the_audience_goes_only_where_it_may_help() {
    for (status, text, expected) in [
        (403, "permission denied", true),
        (
            400,
            "error validating token: invalid audience (aud) claim",
            true,
        ),
        (400, "role \"app\" could not be found", false),
        (404, "no handler for route", false),
        (503, "Vault is sealed", false),
    ] {
        let error = vault::error::Error::Status {
            path: "auth/kubernetes/login".to_owned(),
            status: http::StatusCode::from_u16(status).unwrap(),
            errors: vec![text.to_owned()],
            retry_after: None,
        };
        assert_eq!(is_about_audience(&error), expected, "{status} {text}");
    }
}

fn look_up(ttl: u64, expire_time: Option<&str>, renewable: bool) -> Reply {
    let data = serde_json::json!({
        "ttl": ttl, "expire_time": expire_time, "renewable": renewable, "accessor": "given", "policies": ["app"],
    });
    Reply(200, None, serde_json::json!({ "data": data }))
}

const END: Option<&str> = Some("2026-01-02T03:04:05Z");

/// D13 of the peer: the last second of a token was taken for a token without end.
#[tokio::test(start_paused = true)]
async fn a_given_token_in_its_last_second_is_dead_and_waited_for() {
    let mut running = run_token_file(Fake::start(|asked| match asked.token.as_deref() {
        Some("s.new") => look_up(0, None, false),
        _ => look_up(0, END, false),
    }));
    time::sleep(Duration::from_mins(1)).await;
    assert_eq!(running.now_held(), "none");
    assert!(running.fake.count(LOOK_UP) >= 2, "it is asked again");
    std::fs::write(running.folder.path().join("token"), "s.new").unwrap();
    running.token("s.new").await;
    let asked = running.fake.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.path == LOOK_UP && asked.body.is_null())
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.namespace.as_deref() == Some("team"))
    );
    let live = running.tokens.borrow().live().map(Arc::clone).unwrap();
    assert_eq!((live.expires, live.accessor.as_str()), (None, "given"));
    assert_eq!(live.policies, ["app"]);
    time::sleep(Duration::from_hours(100)).await;
    assert_eq!(running.fake.asked().len(), asked.len(), "it never ends");
}

#[tokio::test(start_paused = true)]
async fn a_given_token_is_renewed_where_that_is_allowed() {
    let mut running = run_token_file(Fake::start(|asked| match asked.path.as_str() {
        LOOK_UP => look_up(600, END, true),
        _ => fake::auth("s.given", 600, true),
    }));
    running.token("s.given").await;
    time::sleep(Duration::from_mins(20)).await;
    assert_eq!(
        (running.fake.count(LOOK_UP), running.fake.count(RENEW)),
        (1, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_given_token_that_cannot_be_renewed_is_looked_for_in_the_file_again() {
    let start = Instant::now();
    let mut running = run_token_file(Fake::start(move |asked| {
        let lived = (asked.at - start).as_secs();
        match asked.token.as_deref() {
            Some("s.given") if lived > 600 => fake::error(403, "permission denied"),
            Some("s.given") => look_up(600 - lived, END, false),
            _ => look_up(600, END, false),
        }
    }));
    running.token("s.given").await;
    time::sleep(Duration::from_secs(590)).await;
    let looked_up = running.fake.count(LOOK_UP);
    assert!((3..=6).contains(&looked_up), "{looked_up}");
    let generation = running.tokens.borrow().live().unwrap().generation;
    assert_eq!(generation, 1, "it is still the same token");
    std::fs::write(running.folder.path().join("token"), "s.next").unwrap();
    running.token("s.next").await;
    assert!(start.elapsed() < Duration::from_mins(10));
    assert_eq!(running.tokens.borrow().live().unwrap().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn exit_on_err_ends_the_task_with_the_cause() {
    let mut running = run(
        Fake::start(|_| fake::error(400, "role \"app\" could not be found")),
        true,
    );
    let error = running
        .tasks
        .join_next()
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    let text = keyside_lifecycle::error::chain(&error);
    assert!(
        text.contains("exit_on_err") && text.contains("could not be found"),
        "{text}"
    );
    assert!(!text.contains("the-jwt"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_task_and_keeps_the_token() {
    let mut running = run(obliging(60), false);
    running.token("t1").await;
    running.trigger.request();
    running.tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(running.now_held(), "t1");
    assert_eq!(running.fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_token_is_a_failed_login() {
    let running = run(
        Fake::start(|_| Reply(200, None, serde_json::json!({"auth": null}))),
        false,
    );
    time::sleep(Duration::from_secs(30)).await;
    assert!(running.tokens.borrow().live().is_none());
    assert!((2..=20).contains(&running.fake.count(LOGIN)));
}

/// A token that an earlier process obtained an hour ago, and which has half an hour left.
fn left(text: &str) -> Live {
    let now = Instant::now();
    Live {
        token: crate::token::Token::new(text).unwrap(),
        wrapped: false,
        accessor: format!("accessor of {text}"),
        policies: vec!["app".to_owned()],
        generation: 1,
        obtained: now.checked_sub(Duration::from_hours(1)).unwrap_or(now),
        expires: Some(now + Duration::from_mins(30)),
    }
}

fn resume(fake: Fake, left: Live) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwt");
    std::fs::write(&path, "the-jwt\n").unwrap();
    run_after(fake, &config(path), folder, Some(left))
}

fn looked_up(ttl: u64) -> Reply {
    let data = serde_json::json!({
        "ttl": ttl, "expire_time": "2026-01-01T00:00:00Z", "renewable": true, "accessor": "a", "policies": ["x"],
    });
    Reply(200, None, serde_json::json!({ "data": data }))
}

#[tokio::test(start_paused = true)]
async fn the_token_of_an_earlier_process_is_looked_up_and_renewed_without_a_login() {
    let fake = Fake::start(|asked| match asked.path.as_str() {
        LOOK_UP => looked_up(900),
        RENEW => fake::auth("left", 3600, true),
        _ => fake::error(500, "nothing else is asked"),
    });
    let mut running = resume(fake, left("left"));
    running.token("left").await;
    let live = running.tokens.borrow().live().cloned().unwrap();
    assert_eq!(live.generation, 1);
    let expires = live.expires.unwrap() - running.start;
    assert_eq!(expires.as_secs(), 900, "what Vault says counts");
    assert_eq!(
        (&*live.accessor, &live.policies[..]),
        ("accessor of left", &["app".to_owned()][..])
    );
    time::sleep(Duration::from_secs(700)).await;
    assert_eq!(
        (running.fake.count(LOOK_UP), running.fake.count(RENEW)),
        (1, 1)
    );
    assert_eq!(running.fake.count(LOGIN), 0);
    let asked = running.fake.asked();
    assert!(
        asked
            .iter()
            .all(|it| it.namespace.as_deref() == Some("team"))
    );
    let metrics = running.metrics();
    assert!(
        metrics.contains(r#"keyside_agent_resume_total{result="verified"} 1"#),
        "{metrics}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_token_of_an_earlier_process_that_vault_refuses_is_never_used() {
    let mut running = resume(
        Fake::start(|asked| match asked.path.as_str() {
            LOOK_UP => fake::error(403, "permission denied"),
            _ => fake::auth("new", 3600, true),
        }),
        left("left"),
    );
    let dead = time::timeout(Duration::from_mins(1), running.checks.death_after(0));
    let dead = dead.await.expect("its death is told");
    assert_eq!(dead.token.expose(), "left", "its leases are to end");
    let state = running
        .tokens
        .wait_for(|state| state.live().is_some())
        .await;
    let live = state.unwrap().live().cloned().unwrap();
    assert_eq!((live.token.expose(), live.generation), ("new", 2));
    assert!(running.times(LOGIN)[0] < 0.1, "{:?}", running.times(LOGIN));
    time::sleep(Duration::from_mins(10)).await;
    assert_eq!(
        (running.fake.count(LOGIN), running.fake.count(LOOK_UP)),
        (1, 1)
    );
    // The new one can be found dead in turn.
    running.checks.refused(2);
    running.checks.death_after(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_young_token_is_looked_up_twice_before_it_is_given_up() {
    for known in [true, false] {
        let mut asked_before = false;
        let fake = Fake::start(move |asked| match asked.path.as_str() {
            LOOK_UP if std::mem::replace(&mut asked_before, true) && known => looked_up(900),
            LOOK_UP => fake::error(403, "permission denied"),
            _ => fake::auth("new", 3600, true),
        });
        let young = Live {
            obtained: Instant::now(),
            ..left("left")
        };
        let mut running = resume(fake, young);
        running.token(if known { "left" } else { "new" }).await;
        assert_eq!(running.fake.count(LOOK_UP), 2);
        assert_eq!(running.fake.count(LOGIN), usize::from(!known));
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_of_an_earlier_process_is_used_unverified_while_vault_is_away() {
    // 404 is what something else on the way says: of the token it says nothing.
    for status in [503, 404] {
        let mut running = resume(
            Fake::start(move |_| fake::error(status, "away")),
            left("left"),
        );
        running.token("left").await;
        assert!(running.start.elapsed() <= Duration::from_secs(2));
        let expires = running.tokens.borrow().live().unwrap().expires.unwrap();
        assert_eq!((expires - running.start).as_secs(), 1800);
        time::sleep(Duration::from_mins(2)).await;
        assert_eq!(running.now_held(), "left");
        running.fake.answers(|asked| match asked.path.as_str() {
            LOGIN => fake::error(500, "nobody logs in"),
            _ => looked_up(1500),
        });
        let verified = |state: &TokenState| {
            let left = state.live().and_then(|live| live.expires);
            left.is_some_and(|ends| ends != expires)
        };
        running.tokens.wait_for(verified).await.unwrap();
        assert_eq!(running.fake.count(LOGIN), 0, "{status}");
        let metrics = running.metrics();
        for result in ["unverified", "verified"] {
            let line = format!(r#"keyside_agent_resume_total{{result="{result}"}} 1"#);
            assert!(metrics.contains(&line), "{metrics}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_of_an_earlier_process_is_not_used_where_there_is_a_better_one() {
    let ended = Live {
        expires: Some(Instant::now()),
        ..left("left")
    };
    let mut running = resume(obliging(3600), ended);
    running.token("t1").await;
    assert_eq!(running.fake.count(LOOK_UP), 0);

    for (text, looked) in [("s.given", 1), ("s.other", 1)] {
        let fake = Fake::start(|_| looked_up(900));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s.given\n").unwrap();
        let mut config = config(path.clone());
        config.method.login = Login::TokenFile { path };
        let mut running = run_after(fake, &config, folder, Some(left(text)));
        running.token("s.given").await;
        assert_eq!(running.fake.count(LOOK_UP), looked);
        let resumed = running
            .metrics()
            .contains(r#"keyside_agent_resume_total{result="verified"} 1"#);
        assert_eq!(resumed, text == "s.given");
    }
}

/// With Vault there and with Vault away, for methods whose files are looked at.
#[tokio::test(start_paused = true)]
async fn the_credential_that_an_earlier_process_logged_in_with_is_no_news() {
    for (away, secret_id) in [(false, false), (true, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        std::fs::write(&path, "known").unwrap();
        let mut config = config(path.clone());
        config.method.login = if secret_id {
            Login::AppRole {
                role_id: path.clone(),
                secret_id: Some(path.clone()),
                remove_secret_id_after_reading: false,
                secret_id_wrapping_path: None,
            }
        } else {
            Login::Jwt {
                role: "app".to_owned(),
                path: path.clone(),
                remove_after_reading: false,
                remove_follows_symlinks: false,
            }
        };
        let fake = Fake::start(move |_| {
            if away {
                fake::error(503, "sealed")
            } else {
                looked_up(1700)
            }
        });
        let mut running = run_after(fake, &config, folder, Some(left("left")));
        running.token("left").await;
        time::sleep(Duration::from_mins(2)).await;
        running.fake.answers(|asked| match asked.path.as_str() {
            LOGIN => fake::auth("new", 3600, true),
            _ => looked_up(1500),
        });
        time::sleep(Duration::from_mins(2)).await;
        assert_eq!(running.fake.count(LOGIN), 0, "{away} {secret_id}");
        assert!(running.fake.count(LOOK_UP) >= 1);
        assert_eq!(running.now_held(), "left");
        if !secret_id {
            std::fs::write(&path, "other").unwrap();
            running.token("new").await;
        }
    }
}
