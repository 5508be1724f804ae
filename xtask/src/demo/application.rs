//! What an application in the pod sees.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use http::Method;
use keyside_harness::{poll, web};
use serde_json::{Value, json};

use super::container::application_variable;
use super::room::Room;
use super::shown;
use super::summary::{Summary, megabytes};
use super::world::World;
use crate::console;

const TOKEN: &str = "/keyside/token";

pub(super) fn show(
    room: &mut Room,
    pod: &Value,
    world: &World,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let said = room.wait_until_started()?;
    console::seen(
        "the startup probe, which the kubelet runs before it starts the application, said:",
    );
    console::quote(&said.join("\n"));
    token_file(room, world)?;
    let resident = room.agent.resident_bytes()?;
    console::seen(&format!(
        "the agent holds {} of memory",
        megabytes(resident)
    ));
    summary.resident(resident);

    let address = application_variable(pod, "VAULT_ADDR")?;
    let proxy = web::Client::new(&address, None)?;
    database(&proxy, &address, world, summary)?;
    logins(&proxy, world, summary)
}

fn token_file(room: &Room, world: &World) -> anyhow::Result<()> {
    console::step("The application reads its token from a file");
    let path = room.folder_of(TOKEN)?;
    let token = poll::until("the token file", poll::LIMIT, || {
        std::fs::read_to_string(&path)
    })?;
    let mode = path.metadata()?.permissions().mode() & 0o7777;
    console::quote(&format!("{TOKEN}: {} (mode {mode:04o})", shown(&token)));
    let secret = world
        .vault
        .client(&token)?
        .look_up_self()?
        .context("OpenBao refuses the token")?;
    let field = |name: &str| {
        secret
            .pointer(&format!("/data/{name}"))
            .unwrap_or(&Value::Null)
            .clone()
    };
    console::seen(&format!(
        "OpenBao knows it: policies {}, {} s to live",
        field("policies"),
        field("ttl")
    ));
    Ok(())
}

/// The same dynamic credential, twice.
fn database(
    proxy: &web::Client,
    address: &str,
    world: &World,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    console::step("It fetches a database credential through the proxy, twice, without a token");
    let path = &format!("/v1/{}", world.credential);
    console::note(&format!("VAULT_ADDR is {address}."));
    let (first, first_cache) = fetch(proxy, &Method::GET, path, None)?;
    let (second, second_cache) = fetch(proxy, &Method::GET, path, None)?;
    let user = text(&first, "/data/username")?;
    for (secret, cache) in [(&first, &first_cache), (&second, &second_cache)] {
        let (user, lease) = (
            text(secret, "/data/username")?,
            secret.get("lease_duration").unwrap_or(&Value::Null),
        );
        console::quote(&format!(
            "GET {path}   X-Cache: {cache:<4}   user {user}, {lease} s left"
        ));
    }
    expect("the first answer's X-Cache", &first_cache, "MISS")?;
    expect("the second answer's X-Cache", &second_cache, "HIT")?;
    expect(
        "the second answer's user",
        &text(&second, "/data/username")?,
        &user,
    )?;
    let asked = world.tap.count(&Method::GET, path);
    expect(
        "the number of requests that reached OpenBao",
        &asked.to_string(),
        "1",
    )?;
    console::seen("MISS, then HIT: the same user, and OpenBao was asked once");

    let statement =
        "SELECT current_user, now() < rolvaliduntil FROM pg_roles WHERE rolname = current_user";
    let row = world
        .postgres
        .select(&user, &text(&second, "/data/password")?, statement)?;
    console::quote(&format!("{statement};\n{row}"));
    expect("PostgreSQL's answer", &row, &format!("{user}|t"))?;
    console::seen("PostgreSQL lets it in");
    summary.row(
        "database credential, fetched twice",
        "MISS, HIT; one user; one request to OpenBao".to_owned(),
    );
    Ok(())
}

/// What is cached, and what is not.
fn logins(proxy: &web::Client, world: &World, summary: &mut Summary) -> anyhow::Result<()> {
    console::step(
        "Three equal AppRole logins give one token; secret-ids and role-ids are not cached",
    );
    let login = json!({ "role_id": world.report.role_id, "secret_id": world.report.secret_id });
    let path = "/v1/auth/approle/login";
    let mut tokens = Vec::new();
    for expected in ["MISS", "HIT", "HIT"] {
        let (secret, cache) = fetch(proxy, &Method::POST, path, Some(&login))?;
        let token = text(&secret, "/auth/client_token")?;
        console::quote(&format!(
            "POST {path}   X-Cache: {cache:<4}   token {}",
            shown(&token)
        ));
        expect("X-Cache", &cache, expected)?;
        tokens.push(token);
    }
    anyhow::ensure!(
        tokens.windows(2).all(|pair| pair.first() == pair.last()),
        "the logins gave different tokens"
    );
    expect(
        "logins that reached OpenBao",
        &world.tap.count(&Method::POST, path).to_string(),
        "1",
    )?;
    console::seen("one token, and one login reached OpenBao");

    let path = "/v1/auth/approle/role/report/secret-id";
    let first = uncached(proxy, world, &Method::POST, path, "/data/secret_id")?;
    let second = uncached(proxy, world, &Method::POST, path, "/data/secret_id")?;
    anyhow::ensure!(
        first != second,
        "two requests for a secret-id gave the same one"
    );
    console::seen("two secret-ids, which differ");
    let path = "/v1/auth/approle/role/report/role-id";
    let first = uncached(proxy, world, &Method::GET, path, "/data/role_id")?;
    let second = uncached(proxy, world, &Method::GET, path, "/data/role_id")?;
    expect("the second role-id", &second, &first)?;
    console::seen("one role-id, asked for twice");
    summary.row(
        "three AppRole logins",
        "MISS, HIT, HIT; one token; secret-ids and role-ids not cached".to_owned(),
    );
    Ok(())
}

/// A request that has to reach OpenBao; gives what is at `pointer` in the answer.
fn uncached(
    proxy: &web::Client,
    world: &World,
    method: &Method,
    path: &str,
    pointer: &str,
) -> anyhow::Result<String> {
    let before = world.tap.count(method, path);
    let body = (*method == Method::POST).then(|| json!({}));
    let (secret, cache) = fetch(proxy, method, path, body.as_ref())?;
    console::quote(&format!("{method:<4} {path}   X-Cache: {cache}"));
    anyhow::ensure!(cache != "HIT", "{path} came from the cache");
    let asked = world.tap.count(method, path) - before;
    expect(
        "the number of requests that reached OpenBao",
        &asked.to_string(),
        "1",
    )?;
    text(&secret, pointer)
}

/// A request without a token; gives the answer and its `X-Cache`.
fn fetch(
    proxy: &web::Client,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<(Value, String)> {
    let response = proxy.send(web::request(method.clone(), path, body)?)?;
    let secret = web::success(&response).with_context(|| format!("{method} {path}"))?;
    let cache = response
        .headers()
        .get("x-cache")
        .map_or("none", |value| value.to_str().unwrap_or("unreadable"));
    Ok((secret, cache.to_owned()))
}

fn text(secret: &Value, pointer: &str) -> anyhow::Result<String> {
    let value = secret.pointer(pointer).and_then(Value::as_str);
    Ok(value
        .with_context(|| format!("no {pointer} in the answer"))?
        .to_owned())
}

fn expect(what: &str, seen: &str, expected: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        seen == expected,
        "{what}: {seen}, where {expected} was expected"
    );
    Ok(())
}
