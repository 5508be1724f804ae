//! The proxy as its clients see it: what passes, what is refused, and how it ends.

use http::Method;
use keyside_harness::{openbao, web};
use serde_json::json;

use crate::world::{ROLE, World};

#[test]
fn a_secret_is_written_read_and_listed_without_a_token_and_never_kept() -> anyhow::Result<()> {
    let role = openbao::Role {
        name: ROLE,
        policies: &["notes"],
        ..Default::default()
    };
    let world = World::with(openbao::Options::default(), &role)?;
    world.server.key_value("secret", 2)?;
    world.server.policy(
        "notes",
        r#"path "secret/*" { capabilities = ["create", "read", "update", "list"] }"#,
    )?;
    let mut agent = world.started()?;
    let proxy = agent.proxy()?;
    let written = proxy.post(
        "/v1/secret/data/app",
        &json!({ "data": { "color": "blue" } }),
    )?;
    assert_eq!(written.status(), 200, "{written:?}");
    for _ in 0..2 {
        let read = proxy.get("/v1/secret/data/app")?;
        assert_eq!(web::success(&read)?["data"]["data"]["color"], "blue");
        assert_eq!(read.headers()["x-cache"], "MISS");
        assert_eq!(read.headers()["x-keyside-cache"], "skip-plain");
    }
    let list = Method::from_bytes(b"LIST")?;
    let listed = proxy.send(web::request(list, "/v1/secret/metadata", None)?)?;
    assert_eq!(web::success(&listed)?["data"]["keys"], json!(["app"]));
    assert_eq!(world.tap.count(&Method::GET, "/v1/secret/data/app"), 2);
    Ok(())
}
