//! Answers of Vault: what is kept is a token or a lease to every reader, and a hit changes its durations only.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;

use crate::cache::answer::Answer;
use crate::cache::policy::{self, Made, Skip, What};
use crate::cache::{json, renewal};
use crate::vault::wire;

/// The body of an answer.
pub fn response(body: &[u8]) {
    check_places(body);
    let value = serde_json::from_slice::<Value>(body).ok();
    let wire = serde_json::from_slice::<wire::Secret>(body).ok();
    match policy::content(body) {
        Ok(made) => {
            if let Some(value) = &value {
                check_kept(&made, value);
                check_hit(body, &made, value);
            }
            if let Some(wire) = &wire {
                check_wire(&made, wire);
            }
        }
        Err(Skip::LimitedToken) => {
            let token = policy::limited_token(body);
            if let Some((token, value)) = token.zip(value) {
                assert_eq!(value["auth"]["client_token"], token.expose());
                assert_ne!(value["auth"]["num_uses"], 0);
            }
        }
        Err(_) => {}
    }
    if let Some(wire) = wire {
        let _outcome = renewal::renewed(&wire, Duration::ZERO);
    }
}

/// Spans lie in the text, in order, each a bare word.
fn check_places(body: &[u8]) {
    let mut done = 0;
    for place in json::lease_durations(body) {
        assert!(done <= place.start && place.start < place.end && place.end <= body.len());
        done = place.end;
    }
}

fn check_kept(made: &Made, value: &Value) {
    assert!(value.is_object() && value["wrap_info"].is_null());
    let auth = &value["auth"];
    let lasts = match &made.what {
        What::Token {
            token,
            accessor,
            orphan,
        } => {
            assert!(!token.expose().is_empty());
            assert_eq!(auth["client_token"], token.expose());
            assert_eq!(auth["accessor"].as_str().unwrap_or_default(), accessor);
            assert_eq!(auth["orphan"].as_bool().unwrap_or_default(), *orphan);
            assert_eq!(auth["num_uses"].as_i64().unwrap_or_default(), 0);
            assert!(auth["mfa_requirement"].is_null());
            assert_eq!(auth["renewable"].as_bool().unwrap_or(false), made.renewable);
            &auth["lease_duration"]
        }
        What::Lease { id } => {
            assert!(auth.is_null() && !id.is_empty());
            assert_eq!(value["lease_id"], *id.as_str());
            assert_ne!(value["data"]["key_type"], "otp");
            assert_eq!(
                value["renewable"].as_bool().unwrap_or(false),
                made.renewable
            );
            assert!(made.lasts.is_some());
            &value["lease_duration"]
        }
    };
    let seconds = made.lasts.map(|lasts| lasts.as_secs()).unwrap_or_default();
    assert_eq!(lasts.as_u64().unwrap_or_default(), seconds);
}

/// A hit is the same JSON, but for the durations, and the cache would keep it as the same thing.
fn check_hit(body: &[u8], made: &Made, value: &Value) {
    let now = Instant::now();
    let answer = Answer::new(&HeaderMap::new(), body, now);
    if !answer.can_tell(made) {
        return;
    }
    let unchanged = answer.at(now, None);
    assert_eq!(unchanged.body(), body);
    for left in [1, 59, 86_400, 3_155_760_000] {
        let hit = answer.at(now, Some(now + Duration::from_secs(left)));
        let again = policy::content(hit.body());
        let lasts = again.as_ref().map(|again| again.lasts);
        let expected = made.lasts.map(|_| Duration::from_secs(left));
        assert!(lasts.is_ok_and(|lasts| lasts == expected), "{again:?}");
        let mut read: Value = serde_json::from_slice(hit.body()).unwrap_or_default();
        for at in ["/lease_duration", "/auth/lease_duration"] {
            if let Some((new, old)) = read.pointer_mut(at).zip(value.pointer(at)) {
                new.clone_from(old);
            }
        }
        assert_eq!(read, *value);
    }
}

/// The agent's own reader of answers sees the same.
fn check_wire(made: &Made, wire: &wire::Secret) {
    let seconds = match (&made.what, &wire.auth) {
        (What::Token { token, .. }, Some(auth)) => {
            let read = auth.client_token.as_ref();
            assert_eq!(read.map(crate::token::Token::expose), Some(token.expose()));
            auth.lease_duration
        }
        (What::Lease { .. }, None) => wire.lease_duration,
        (what, _) => panic!("one reader sees a token, one a lease: {what:?}"),
    };
    assert_eq!(
        made.lasts.map(|lasts| lasts.as_secs()).unwrap_or_default(),
        seconds
    );
}
