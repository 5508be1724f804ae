//! The `approle` method with files that go: secret ids as they are, and response-wrapped ones.

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{openbao, web};
use serde_json::{Value, json};

use crate::world::{Agent, World};

const LOGIN: &str = "/v1/auth/approle/login";
const LOOK_UP: &str = "/v1/sys/wrapping/lookup";
const UNWRAP: &str = "/v1/sys/wrapping/unwrap";
const CREATED: &str = "auth/approle/role/shop/secret-id";

/// The role `shop` with its role id in a file.
fn role(world: &World, settings: &Value) -> anyhow::Result<openbao::AppRole> {
    let role = world.server.approle("shop", settings)?;
    std::fs::write(world.path("role-id"), &role.role_id)?;
    Ok(role)
}

/// A token that stands for the answer to a request of this path.
fn wrapped(world: &World, path: &str) -> anyhow::Result<String> {
    let root = web::Client::new(&world.server.address(), Some(&world.server.ca()))?
        .with_token(world.server.root().token())?
        .with_header("x-vault-wrap-ttl", "5m")?;
    let answer = web::success(&root.post(&format!("/v1/{path}"), &json!({}))?)?;
    let token = answer.pointer("/wrap_info/token").and_then(Value::as_str);
    Ok(token.context("nothing was wrapped")?.to_owned())
}

/// What a wrapping token stands for, which uses it up.
fn unwrap(world: &World, token: &str) -> anyhow::Result<Value> {
    let client = world.server.client(token)?;
    client.write("sys/wrapping/unwrap", &json!({}))
}

/// An agent that reads the ids from `role-id` and `secret-id`, through the tap.
fn agent(world: &World, further: &Value) -> anyhow::Result<Agent> {
    let mut method = json!({
        "type": "approle", "min_backoff": "100ms", "max_backoff": "200ms",
        "config": { "role_id_file_path": world.path("role-id"), "secret_id_file_path": world.path("secret-id") },
    });
    let keys = further.as_object().context("no keys")?.clone();
    let place = method.pointer_mut("/config").and_then(Value::as_object_mut);
    place.context("no config")?.extend(keys);
    let mut config = world.config();
    let place = config.pointer_mut("/auto_auth/method");
    *place.context("no method")? = method;
    world.agent(&config)
}

fn unwrapping(world: &World, path: &str) -> anyhow::Result<Agent> {
    agent(world, &json!({ "secret_id_response_wrapping_path": path }))
}

fn check_not_told(agent: &Agent, secrets: &[&str]) {
    for line in agent.child.lines() {
        for secret in secrets {
            assert!(!line.contains(secret), "a secret is in the log: {line}");
        }
    }
}

#[test]
fn a_wrapped_secret_id_is_opened_once_and_serves_for_every_login() -> anyhow::Result<()> {
    let world = World::new()?;
    role(&world, &json!({ "token_ttl": "3s", "token_max_ttl": "3s" }))?;
    let token = wrapped(&world, CREATED)?;
    std::fs::write(world.path("secret-id"), format!("{token}\n"))?;
    let mut agent = unwrapping(&world, CREATED)?;
    agent.child.wait_for_event("started")?;
    assert!(world.sink_lives()?);
    assert!(!world.path("secret-id").exists(), "the file stays");
    agent.child.wait_for_event("replaced")?;
    assert!(world.sink_lives()?);
    assert_eq!(world.tap.count(&Method::POST, LOOK_UP), 1);
    assert_eq!(world.tap.count(&Method::POST, UNWRAP), 1);
    unwrap(&world, &token).expect_err("it was used");

    let requests = world.tap.requests();
    let login = requests
        .iter()
        .find(|request| request.is(&Method::POST, LOGIN));
    let body: Value = serde_json::from_slice(&login.context("no login")?.body)?;
    let secret_id = body["secret_id"].as_str().context("no secret id")?;
    check_not_told(&agent, &[&token, secret_id]);
    let metrics = agent.admin().get("/metrics")?;
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    let passed = r#"keyside_agent_gate_requests_total{reason="unwrap"} 2"#;
    assert!(metrics.contains(passed), "{metrics}");
    Ok(())
}

/// Whoever swaps the token can make one with a secret id of their own, but not at the path that is expected.
#[test]
fn a_wrapping_token_that_was_made_elsewhere_is_left_unused() -> anyhow::Result<()> {
    let world = World::new()?;
    role(&world, &json!({}))?;
    world.server.approle("other", &json!({}))?;
    let elsewhere = "auth/approle/role/other/secret-id";
    let swapped = wrapped(&world, elsewhere)?;
    std::fs::write(world.path("secret-id"), &swapped)?;
    let mut agent = unwrapping(&world, CREATED)?;
    let told = agent.child.wait_for_event("wrapping_path_differs")?;
    assert_eq!(told["level"], "ERROR");
    assert_eq!(
        (&told["expected"], &told["found"]),
        (&json!(CREATED), &json!(elsewhere))
    );
    let told = agent.child.wait_for_event("login_failed")?.to_string();
    assert!(told.contains(elsewhere) && told.contains(CREATED), "{told}");
    assert!(told.contains("swapped"), "{told}");
    world.tap.wait_for(&Method::POST, LOOK_UP, 2)?;
    assert_eq!(world.tap.count(&Method::POST, UNWRAP), 0);
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 0);
    assert!(world.path("secret-id").exists());
    unwrap(&world, &swapped).context("it was used")?;

    let token = wrapped(&world, CREATED)?;
    std::fs::write(world.path("secret-id"), &token)?;
    agent.child.wait_for_event("started")?;
    assert!(!world.path("secret-id").exists());
    check_not_told(&agent, &[&swapped, &token]);
    Ok(())
}

#[test]
fn a_wrapping_token_that_somebody_used_says_so() -> anyhow::Result<()> {
    let world = World::new()?;
    role(&world, &json!({}))?;
    let token = wrapped(&world, CREATED)?;
    unwrap(&world, &token)?;
    std::fs::write(world.path("secret-id"), &token)?;
    let mut agent = unwrapping(&world, CREATED)?;
    let told = agent.child.wait_for_event("login_failed")?.to_string();
    for part in ["look up the wrapping token in", "secret-id", "opens once"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(world.tap.count(&Method::POST, UNWRAP), 0);
    std::fs::write(world.path("secret-id"), wrapped(&world, CREATED)?)?;
    agent.child.wait_for_event("started")?;
    check_not_told(&agent, &[&token]);
    Ok(())
}

/// The login is refused, and the wrapping token is used up by then.
#[test]
fn what_came_out_of_a_wrapping_token_survives_a_refused_login() -> anyhow::Result<()> {
    let world = World::new()?;
    let role = role(&world, &json!({}))?;
    std::fs::write(world.path("role-id"), "nobody")?;
    std::fs::write(world.path("secret-id"), wrapped(&world, CREATED)?)?;
    let mut agent = unwrapping(&world, CREATED)?;
    world.tap.wait_for(&Method::POST, LOGIN, 2)?;
    std::fs::write(world.path("role-id"), role.role_id)?;
    agent.child.wait_for_event("started")?;
    assert_eq!(world.tap.count(&Method::POST, UNWRAP), 1);
    assert!(!world.path("secret-id").exists());
    Ok(())
}

/// Neither a refusal nor an outage costs the credential: it is there for the next process.
#[test]
fn a_credential_stays_in_its_file_until_vault_has_accepted_it() -> anyhow::Result<()> {
    for is_wrapped in [false, true] {
        let world = World::new()?;
        let role = role(&world, &json!({}))?;
        let (content, further) = if is_wrapped {
            let further = json!({ "secret_id_response_wrapping_path": CREATED });
            (wrapped(&world, CREATED)?, further)
        } else {
            (role.secret_id, json!({}))
        };
        std::fs::write(world.path("secret-id"), &content)?;
        world
            .tap
            .rule(|_| Action::fail(StatusCode::SERVICE_UNAVAILABLE));
        let mut first = agent(&world, &further)?;
        first.child.wait_for_event("outage_began")?;
        first.child.kill();
        assert_eq!(std::fs::read_to_string(world.path("secret-id"))?, content);

        world.tap.heal();
        let mut second = agent(&world, &further)?;
        second.child.wait_for_event("started")?;
        assert!(world.sink_lives()?);
        assert!(!world.path("secret-id").exists());
        second.child.kill();
        // As with Vault Agent: what it held went with the process.
        let mut third = agent(&world, &further)?;
        let told = third.child.wait_for_event("login_failed")?.to_string();
        assert!(told.contains("secret-id: No such file"), "{told}");
    }
    Ok(())
}
