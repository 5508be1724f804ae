//! The login methods that need no service account, each against a real server.

use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::poll;
use keyside_harness::tap::Action;
use serde_json::{Value, json};

use crate::world::{Agent, World};

const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const RENEW: &str = "/v1/auth/token/renew-self";

/// An agent that logs in by this method, through the tap.
fn agent(world: &World, method: &Value) -> anyhow::Result<Agent> {
    let mut config = world.config();
    let place = config.pointer_mut("/auto_auth/method");
    place.context("no method")?.clone_from(method);
    world.agent(&config)
}

fn create_token(world: &World, settings: &Value) -> anyhow::Result<String> {
    let answer = world.server.root().write("auth/token/create", settings)?;
    let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
    Ok(token.context("no token was created")?.to_owned())
}

/// Vault knows the token in the sink.
fn check_sink_is_live(world: &World) -> anyhow::Result<()> {
    let found = world.server.client(&world.sink()?)?.look_up_self()?;
    found.context("Vault does not know the token").map(drop)
}

/// None of the child's lines holds the secret.
fn check_not_told(agent: &Agent, secret: &str) {
    for line in agent.child.lines() {
        assert!(!line.contains(secret), "the secret is in the log: {line}");
    }
}

#[test]
fn a_token_file_is_used_renewed_and_followed_when_its_token_ends() -> anyhow::Result<()> {
    let world = World::new()?;
    let settings = json!({ "ttl": "3s", "explicit_max_ttl": "6s", "no_parent": true });
    let (first, next) = (
        create_token(&world, &settings)?,
        create_token(&world, &json!({ "ttl": "1h", "no_parent": true }))?,
    );
    let path = world.path("given");
    std::fs::write(&path, format!("{first}\n"))?;
    let method = json!({ "type": "token_file", "min_backoff": "100ms", "config": { "token_file_path": path } });
    let mut agent = agent(&world, &method)?;
    agent.child.wait_for_event("started")?;
    assert_eq!(world.sink()?, first);
    world.tap.wait_for(&Method::POST, RENEW, 1)?;

    // Nobody puts another one there: the end is told, and what is dead is not taken for endless.
    agent.child.wait_for_event("token_ended")?;
    assert_eq!(agent.child.events("replaced").len(), 0);
    std::fs::write(&path, &next)?;
    poll::until("the next token", poll::LIMIT, || {
        let token = world.sink()?;
        anyhow::ensure!(token == next, "the first is still there");
        anyhow::Ok(())
    })?;
    check_sink_is_live(&world)?;
    assert!(world.tap.count(&Method::GET, LOOK_UP) >= 2);
    for secret in [first, next] {
        check_not_told(&agent, &secret);
    }
    Ok(())
}

/// A root token has no end: it is looked up once, and left alone.
#[test]
fn a_token_without_end_is_left_alone() -> anyhow::Result<()> {
    let world = World::new()?;
    let path = world.path("given");
    std::fs::write(
        &path,
        create_token(&world, &json!({ "no_parent": true, "policies": ["root"] }))?,
    )?;
    let method = json!({ "type": "token_file", "min_backoff": "100ms", "config": { "token_file_path": path } });
    let mut agent = agent(&world, &method)?;
    agent.child.wait_for_event("started")?;
    check_sink_is_live(&world)?;
    poll::throughout("no more requests", Duration::from_secs(3), || {
        let all = world.tap.requests().len();
        anyhow::ensure!(all == 1, "{all} requests");
        anyhow::Ok(())
    })?;
    Ok(())
}

/// Mounts `cert` with a role for certificates of this name, whose tokens live for so many seconds.
fn trust_certificate(world: &World, name: &str, ttl: u64) -> anyhow::Result<()> {
    let root = world.server.root();
    root.write("sys/auth/cert", &json!({ "type": "cert" }))?;
    let role = json!({
        "certificate": world.server.ca(), "allowed_common_names": [name], "token_ttl": ttl, "token_max_ttl": 3 * ttl,
    });
    root.write(&format!("auth/cert/certs/{name}"), &role)
        .map(drop)
}

/// Straight to the server: a tap would end TLS, and with it what the certificate says.
fn direct(world: &World, method: &Value, vault: &Value) -> anyhow::Result<Agent> {
    let mut config = world.config();
    for (pointer, value) in [("/auto_auth/method", method), ("/vault", vault)] {
        let place = config.pointer_mut(pointer);
        place.context("no such block")?.clone_from(value);
    }
    world.agent(&config)
}

#[test]
fn a_certificate_logs_in_and_renews() -> anyhow::Result<()> {
    let world = World::new()?;
    trust_certificate(&world, "web", 3)?;
    let leaf = world.server.pki().client("web")?;
    let method = json!({
        "type": "cert",
        "config": {
            "name": "web", "ca_cert": world.server.ca_path(),
            "client_cert": leaf.certificate_path, "client_key": leaf.key_path,
        },
    });
    // Only the method knows whom to trust; the name to look for is the `vault` block's.
    let vault = json!({ "address": world.server.address(), "tls_server_name": "vault.example" });
    let mut agent = direct(&world, &method, &vault)?;
    agent.child.wait_for_event("started")?;
    check_sink_is_live(&world)?;
    agent.child.wait_for_event("renewed")?;
    check_sink_is_live(&world)?;
    assert!(agent.child.events("renewal_refused").is_empty());
    check_not_told(&agent, leaf.key.trim());
    Ok(())
}

/// Vault lets nobody renew such a token who does not show the certificate.
#[test]
fn a_killed_agent_shows_the_certificate_that_its_token_is_bound_to() -> anyhow::Result<()> {
    let world = World::new()?;
    trust_certificate(&world, "web", 9)?;
    let leaf = world.server.pki().client("web")?;
    let mut config = world.config();
    let resume = json!({ "path": world.path("run") });
    let fields = config.as_object_mut().context("an object")?;
    fields.insert("resume".to_owned(), resume);
    fields.insert(
        "vault".to_owned(),
        json!({ "address": world.server.address(), "tls_server_name": "vault.example" }),
    );
    let method = json!({
        "type": "cert",
        "config": {
            "name": "web", "ca_cert": world.server.ca_path(),
            "client_cert": leaf.certificate_path, "client_key": leaf.key_path,
        },
    });
    let place = config.pointer_mut("/auto_auth/method");
    place.context("no such block")?.clone_from(&method);
    std::fs::create_dir(world.path("run"))?;
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("resume_written")?;
    agent.child.kill();
    let mut agent = world.agent(&config)?;
    let resumed = agent.child.wait_for_event("resumed")?;
    assert_eq!(resumed.get("verified"), Some(&json!(true)));
    agent.child.wait_for_event("renewed")?;
    assert!(agent.child.events("renewal_refused").is_empty());
    assert!(agent.child.events("logged_in").is_empty());
    Ok(())
}

#[test]
fn the_certificate_of_the_vault_block_logs_in_where_the_method_has_none() -> anyhow::Result<()> {
    let world = World::new()?;
    trust_certificate(&world, "web", 60)?;
    let leaf = world.server.pki().client("web")?;
    let mut vault = json!({ "address": world.server.address(), "ca_cert": world.server.ca_path() });
    let method = json!({ "type": "cert" });
    let mut without = direct(&world, &method, &vault)?;
    let told = without.child.wait_for_event("login_failed")?;
    assert!(
        told.to_string().contains("auth/cert/login was answered"),
        "{told}"
    );
    drop(without);
    vault["client_cert"] = json!(leaf.certificate_path);
    vault["client_key"] = json!(leaf.key_path);
    direct(&world, &method, &vault)?
        .child
        .wait_for_event("started")?;
    check_sink_is_live(&world)
}

#[test]
fn a_certificate_is_read_again_where_reload_says_so() -> anyhow::Result<()> {
    for reload in [true, false] {
        let world = World::new()?;
        trust_certificate(&world, "web", 60)?;
        let stranger = keyside_harness::pki::Pki::new()?.client("web")?;
        let (certificate, key) = (world.path("tls.crt"), world.path("tls.key"));
        std::fs::write(&certificate, stranger.certificate)?;
        std::fs::write(&key, stranger.key)?;
        let method = json!({
            "type": "cert", "min_backoff": "100ms",
            "config": { "client_cert": certificate, "client_key": key, "reload": reload },
        });
        let vault = json!({ "address": world.server.address(), "ca_cert": world.server.ca_path() });
        let mut agent = direct(&world, &method, &vault)?;
        agent.child.wait_for_event("login_failed")?;

        let leaf = world.server.pki().client("web")?;
        std::fs::write(&key, leaf.key)?;
        std::fs::write(&certificate, leaf.certificate)?;
        let repeated = |agent: &Agent| agent.child.events("login_failed").len() >= 4;
        if reload {
            agent.child.wait_for_event("started")?;
            check_sink_is_live(&world)?;
        } else {
            poll::until("further refusals", poll::LIMIT, || {
                anyhow::ensure!(repeated(&agent), "too few");
                anyhow::Ok(())
            })?;
            assert!(agent.child.events("logged_in").is_empty());
        }
    }
    Ok(())
}

const PASSWORD: &str = " correct horse ";

/// A method of this type for this user, whose password is in a file that goes.
fn password(world: &World, kind: &str, username: &str) -> anyhow::Result<Value> {
    let path = world.path("password");
    std::fs::write(&path, format!("{PASSWORD}\n"))?;
    Ok(json!({ "type": kind, "config": { "username": username, "password_file_path": path } }))
}

#[test]
fn a_user_logs_in_again_when_the_password_file_is_gone() -> anyhow::Result<()> {
    let world = World::new()?;
    let root = world.server.root();
    root.write("sys/auth/userpass", &json!({ "type": "userpass" }))?;
    let user = json!({ "password": PASSWORD, "token_ttl": "3s", "token_max_ttl": "3s" });
    root.write("auth/userpass/users/zoe.o-hara", &user)?;
    let mut agent = agent(&world, &password(&world, "userpass", "zoe.o-hara")?)?;
    agent.child.wait_for_event("started")?;
    assert!(
        !world.path("password").exists(),
        "the password stays on disk"
    );
    check_sink_is_live(&world)?;
    agent.child.wait_for_event("replaced")?;
    check_sink_is_live(&world)?;
    check_not_told(&agent, PASSWORD.trim());
    Ok(())
}

/// No directory is at hand, so what reaches Vault is what counts; a server that repeats it does not get it into the log.
#[test]
fn an_ldap_login_sends_the_password_to_the_path_of_its_user() -> anyhow::Result<()> {
    let world = World::new()?;
    world.tap.rule(|_| Action::Answer {
        status: StatusCode::BAD_REQUEST,
        headers: http::HeaderMap::new(),
        body: json!({ "errors": [format!("no such password: {PASSWORD}!")] })
            .to_string()
            .into(),
    });
    let mut agent = agent(&world, &password(&world, "ldap", "zoë")?)?;
    let told = agent.child.wait_for_event("login_failed")?;
    assert!(told.to_string().contains("by the ldap method"), "{told}");
    let requests = world.tap.requests();
    let request = requests.first().context("no request")?;
    assert!(
        request.is(&Method::POST, "/v1/auth/ldap/login/zo%C3%AB"),
        "{}",
        request.path
    );
    let body: Value = serde_json::from_slice(&request.body)?;
    assert_eq!(body, json!({ "password": PASSWORD }));
    assert_eq!(request.header("x-vault-token"), None);
    check_not_told(&agent, PASSWORD.trim());
    Ok(())
}

#[test]
fn a_wrapped_login_opens_once_and_holds_a_live_token() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut config = world.config();
    let method = config.pointer_mut("/auto_auth/method");
    let method = method.and_then(Value::as_object_mut).context("no method")?;
    method.insert("wrap_ttl".to_owned(), json!("5m"));
    let proxy = config.get_mut("api_proxy").context("no proxy")?;
    *proxy = json!({ "use_auto_auth_token": false });
    let mut agent = world.agent(&config)?;
    agent.child.wait_for_event("started")?;
    let text = world.sink()?;
    let info: Value = serde_json::from_str(&text).context("the sink holds no JSON")?;
    assert_eq!(info["creation_path"], "auth/kubernetes/login");
    assert_eq!(info["ttl"], 300);
    let wrapping = info["token"].as_str().context("no token")?;
    let unwrapped = world
        .server
        .client(wrapping)?
        .write("sys/wrapping/unwrap", &json!({}))?;
    let token = unwrapped
        .pointer("/auth/client_token")
        .and_then(Value::as_str);
    let token = token.context("nothing was wrapped")?;
    let found = world.server.client(token)?.look_up_self()?;
    assert!(found.is_some(), "the wrapped token is dead");
    let again = world
        .server
        .client(wrapping)?
        .write("sys/wrapping/unwrap", &json!({}));
    assert!(again.is_err(), "it opened twice");
    check_not_told(&agent, wrapping);
    check_not_told(&agent, token);
    Ok(())
}
