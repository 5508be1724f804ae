//! Ends what was made with a token of auto-auth's that was found dead: Vault has revoked it together with the token.

use keyside_lifecycle::shutdown::Shutdown;

use super::Cache;
use super::identity::TokenId;
use super::revocation::Revoked;
use crate::auth::check::Checks;

/// Runs until `shutdown` is requested.
pub(crate) async fn run(cache: Cache, checks: Checks, shutdown: Shutdown) {
    let mut last = 0;
    loop {
        let dead = tokio::select! {
            () = shutdown.requested() => return,
            dead = checks.death_after(last) => dead,
        };
        last = dead.generation;
        cache.revoke(&[Revoked::Token(TokenId::from(&dead.token))]);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Response, StatusCode};
    use tokio::task::JoinSet;

    use super::*;
    use crate::body::Body;
    use crate::cache::Asked;
    use crate::cache::identity::Identity;
    use crate::cache::key::{Key, Parts};
    use crate::cache::metrics::Metrics;
    use crate::cache::store::Maker;
    use crate::token::Token;

    fn asked(token: &str) -> Asked {
        let place = "database/creds/app";
        let parts = Parts {
            identity: Identity::AutoAuth,
            method: &Method::GET,
            place,
            query: None,
            headers: &HeaderMap::new(),
            body: b"",
        };
        Asked {
            key: Key::of(&parts),
            place: place.to_owned(),
            maker: Some(Maker {
                token: Token::new(token).unwrap(),
                accessor: None,
                ends: None,
            }),
            reading: None,
        }
    }

    #[tokio::test]
    async fn the_new_token_does_not_wait_for_what_the_dead_one_asked() {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let cache = Cache::new(&keyside_config::model::Cache::default(), metrics);
        let mut tasks = JoinSet::new();
        let (started, begun) = tokio::sync::oneshot::channel();
        let (older, started) = (cache.clone(), std::sync::Mutex::new(Some(started)));
        let started = std::sync::Arc::new(started);
        let silent = move || {
            started.lock().unwrap().take().unwrap().send(()).unwrap();
            std::future::pending()
        };
        tasks.spawn(async move { drop(older.answer(asked("dead"), silent).await) });
        begun.await.unwrap();
        let fetch = || std::future::ready(Ok(Response::new(Body::full("{}"))));
        let answer = cache.answer(asked("new"), fetch);
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), answer).await;
        let served = answer.expect("it waits").unwrap();
        assert_eq!(served.response.status(), StatusCode::OK);
    }
}
