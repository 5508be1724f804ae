use std::sync::Arc;

use http_body_util::BodyExt as _;
use tokio::sync::watch;

use keyside_config::model::Limits;
use prometheus::Registry;

use super::*;
use crate::admin::control::CLEAR_LIMIT;
use crate::token::Live;
use crate::vault::gate;

const SECRET: &str = "hvs.canary";

fn handler(token: Option<super::Token>) -> Handler {
    let registry = Registry::new();
    crate::admin::process::register(&registry, Instant::now()).unwrap();
    let (trigger, shutdown) = keyside_lifecycle::shutdown::channel();
    Handler {
        readiness: Readiness::default(),
        upstream: Upstream {
            address: "https://vault:8200".to_owned(),
            gate: Gate::new(
                &Limits::default(),
                gate::metrics::Metrics::new(&Registry::new()).unwrap(),
            ),
        },
        token,
        sinks: Vec::new(),
        control: Control {
            registry,
            cache: None,
            trigger,
            shutdown,
        },
        started: Instant::now(),
    }
}

/// A handler that watches a token, and both ends of what it watches.
fn watching(
    state: TokenState,
) -> (
    Handler,
    watch::Sender<TokenState>,
    watch::Sender<Option<String>>,
) {
    let (states, state) = watch::channel(state);
    let (troubles, trouble) = watch::channel(None);
    let at = Some(Instant::now() + Duration::from_secs(40));
    let plan = watch::Sender::new(Plan {
        action: "renewal",
        at,
    })
    .subscribe();
    (
        handler(Some(super::Token {
            state,
            trouble,
            plan,
        })),
        states,
        troubles,
    )
}

fn live(ttl: Option<Duration>) -> TokenState {
    TokenState::Live(Arc::new(Live {
        token: crate::token::Token::new(SECRET).unwrap(),
        wrapped: false,
        accessor: "accessor-1".to_owned(),
        policies: vec!["default".to_owned()],
        generation: 3,
        obtained: tokio::time::Instant::now(),
        expires: ttl.map(|ttl| Instant::now() + ttl),
    }))
}

fn request(method: Method, path: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::full(body.to_owned())).unwrap()
}

async fn said(answer: Answer) -> (StatusCode, String) {
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(handler: &Handler, path: &str) -> (StatusCode, String) {
    let request = request(Method::GET, path, "");
    said(handler.answer(Surface::Socket, request).await).await
}

#[tokio::test(start_paused = true)]
async fn startup_says_in_one_line_what_it_waits_for() {
    let handler = handler(None);
    let login = handler.readiness.part("the first login");
    let sink = handler.readiness.part("sink /keyside/token");
    login.waits_for("the first login: auth/kubernetes/login answered 403\npermission denied");
    let (status, body) = get(&handler, "/startup").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        "waiting for the first login: auth/kubernetes/login answered 403 permission denied; sink /keyside/token\n"
    );
    drop((login, sink));
    assert_eq!(
        get(&handler, "/startup").await,
        (StatusCode::OK, "started\n".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn ready_follows_the_token_and_startup_does_not() {
    let waiting = |text: &str| {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {text}\n"),
        )
    };
    let ready = (StatusCode::OK, "ready\n".to_owned());
    let (handler, states, troubles) = watching(TokenState::Pending);
    assert_eq!(get(&handler, "/ready").await, waiting("the first login"));

    states.send_replace(live(Some(Duration::from_mins(1))));
    assert_eq!(get(&handler, "/ready").await, ready);

    tokio::time::advance(Duration::from_secs(72)).await;
    troubles.send_replace(Some("Vault is sealed".to_owned()));
    let ended = waiting("a new login, for the token ended 12 s ago: Vault is sealed");
    assert_eq!(get(&handler, "/ready").await, ended);
    assert_eq!(get(&handler, "/startup").await.0, StatusCode::OK);

    states.send_replace(live(None));
    assert_eq!(get(&handler, "/ready").await, ready);
}

#[tokio::test(start_paused = true)]
async fn status_tells_of_the_token_all_but_the_token() {
    let (handler, _states, _troubles) = watching(live(Some(Duration::from_secs(90))));
    tokio::time::advance(Duration::from_secs(30)).await;
    let (_, body) = get(&handler, "/status").await;
    assert!(!body.contains(SECRET), "{body}");
    let status: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({
        "state": "live", "trouble": null, "generation": 3, "accessor": "accessor-1", "policies": ["default"],
        "ttl_seconds": 60, "next": "renewal", "next_in_seconds": 10,
    });
    assert_eq!(status["token"], expected);
    let vault = json!({ "address": "https://vault:8200", "up": true, "away_seconds": null });
    assert_eq!(status["vault"], vault);
    assert_eq!(status["uptime_seconds"], 30);
    assert_eq!(status["ready"], true);
}

#[tokio::test(start_paused = true)]
async fn over_http_there_are_probes_and_metrics_alone() {
    let handler = handler(None);
    for (path, expected) in [
        ("/startup", StatusCode::OK),
        ("/ready", StatusCode::OK),
        ("/live", StatusCode::OK),
        ("/metrics", StatusCode::OK),
        ("/status", StatusCode::NOT_FOUND),
        ("/cache-clear", StatusCode::NOT_FOUND),
        ("/", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(
            handler
                .answer(Surface::Address, request(Method::GET, path, ""))
                .await
                .status(),
            expected,
            "{path}"
        );
    }
    let refused = handler
        .answer(Surface::Address, request(Method::POST, "/live", ""))
        .await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[ALLOW], "GET, HEAD");
}

#[tokio::test(start_paused = true)]
async fn clearing_says_what_is_wrong_with_the_request() {
    let mut handler = handler(None);
    let clear = async |handler: &Handler, body: &str| {
        let request = request(Method::POST, "/cache-clear", body);
        said(handler.answer(Surface::Socket, request).await).await
    };
    let (status, text) = clear(&handler, r#"{"type":"all"}"#).await;
    assert_eq!(
        (status, text.contains("no cache")),
        (StatusCode::BAD_REQUEST, true),
        "{text}"
    );

    let metrics = crate::cache::metrics::Metrics::new(&Registry::new()).unwrap();
    handler.control.cache = Some(Cache::new(
        &keyside_config::model::Cache::default(),
        metrics,
    ));
    assert_eq!(
        clear(&handler, r#"{"type":"all"}"#).await,
        (StatusCode::OK, "cleared\n".to_owned())
    );
    let (status, text) = clear(&handler, r#"{"type":"token"}"#).await;
    assert_eq!(
        (status, text.contains("\"value\" is missing")),
        (StatusCode::BAD_REQUEST, true),
        "{text}"
    );
    let (status, _) = clear(&handler, &"x".repeat(CLEAR_LIMIT + 1)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        get(&handler, "/cache-clear").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
}
