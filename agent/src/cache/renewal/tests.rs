use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Response};
use keyside_lifecycle::shutdown;
use tokio::sync::watch;

use super::*;
use crate::body::Body;
use crate::cache::Asked;
use crate::cache::identity::Identity;
use crate::cache::key::{Key, Parts};
use crate::cache::metrics::Metrics;
use crate::cache::policy::Decision;
use crate::cache::store::Maker;
use crate::token::Token;

/// A server that notes when it was asked to renew, and grants what a test says.
#[derive(Clone)]
struct Server {
    asked: Arc<Mutex<Vec<u64>>>,
    started: Instant,
    grants: Outcome,
}

impl Renew for Server {
    async fn renew(self, _renewal: Renewal) -> Outcome {
        self.asked
            .lock()
            .unwrap()
            .push(self.started.elapsed().as_secs());
        self.grants
    }
}

fn cache() -> Cache {
    let registry = prometheus::Registry::new();
    Cache::new(
        &keyside_config::model::Cache::default(),
        Metrics::new(&registry).unwrap(),
    )
}

fn asked() -> Asked {
    let parts = Parts {
        identity: Identity::AutoAuth,
        method: &Method::GET,
        place: "database/creds/app",
        query: None,
        headers: &HeaderMap::new(),
        body: b"",
    };
    Asked {
        key: Key::of(&parts),
        place: "database/creds/app".to_owned(),
        maker: Some(Maker {
            token: Token::new("root").unwrap(),
            accessor: None,
            ends: None,
        }),
        reading: None,
    }
}

/// Asks through the cache for a lease of 1000 s.
async fn ask(cache: &Cache) -> Decision {
    let fetch = || async {
        let body = r#"{"lease_id":"database/creds/app/1","renewable":true,"lease_duration":1000}"#;
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(Body::full(body)).unwrap())
    };
    cache.answer(asked(), fetch).await.unwrap().decision
}

/// Lets the task run for so long with a server that always answers this, and gives the seconds at which it was asked.
async fn renewals(grants: Outcome, time: Duration) -> (Cache, Vec<u64>) {
    let cache = cache();
    let server = Server {
        asked: Arc::default(),
        started: Instant::now(),
        grants,
    };
    let (trigger, shutdown) = shutdown::channel();
    let (_tokens, watched) = watch::channel(TokenState::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(run(cache.clone(), server.clone(), watched, shutdown));
    assert_eq!(ask(&cache).await, Decision::Stored);
    tokio::time::sleep(time).await;
    trigger.request();
    tasks.join_next().await.unwrap().unwrap();
    let asked = server.asked.lock().unwrap().clone();
    (cache, asked)
}

#[tokio::test(start_paused = true)]
async fn each_renewal_is_due_in_the_last_third_before_the_end() {
    let granted = Outcome::Renewed(Duration::from_secs(1000));
    let (cache, asked) = renewals(granted, Duration::from_secs(10_000)).await;
    let pauses: Vec<u64> = asked
        .iter()
        .scan(0, |before, at| Some(at - std::mem::replace(before, *at)))
        .collect();
    assert!(asked.len() >= 12, "{asked:?}");
    assert!(
        pauses.iter().all(|pause| (665..=751).contains(pause)),
        "{pauses:?}"
    );
    assert_eq!(ask(&cache).await, Decision::Hit);
}

#[tokio::test(start_paused = true)]
async fn while_vault_is_away_it_is_asked_each_minute_and_the_lease_is_kept_to_its_end() {
    let (cache, asked) = renewals(Outcome::Away, Duration::from_secs(890)).await;
    assert!((3..=6).contains(&asked.len()), "{asked:?}");
    assert_eq!(ask(&cache).await, Decision::Hit);
    let (cache, _) = renewals(Outcome::Away, Duration::from_secs(1001)).await;
    assert_eq!(cache.with(|state| state.store.records()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_is_final() {
    let (cache, asked) = renewals(Outcome::Refused, Duration::from_secs(890)).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(ask(&cache).await, Decision::Hit);
}

#[tokio::test(start_paused = true)]
async fn what_vault_forgot_is_asked_for_anew() {
    let (cache, asked) = renewals(Outcome::Gone, Duration::from_secs(800)).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(ask(&cache).await, Decision::Stored);
}
