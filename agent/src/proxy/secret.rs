//! What a request has that may read a secret of a KV engine: the secret's own key, and the way to ask Vault for more as
//! the same client.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;

use super::{Passing, Sender, send, whole};
use crate::cache::identity::Identity;
use crate::cache::key::{Key, Parts as KeyParts};
use crate::cache::kv::request::{self, Asking, Reading};
use crate::cache::path;
use crate::vault;
use crate::vault::client::Client;

/// `passing` is without a body.
pub(super) fn reading(client: &Client, passing: &Arc<Passing>) -> Option<Reading> {
    let head = &passing.head;
    let version = request::version(&passing.place, head.uri.query())?;
    // Shared by all identities: each proves by itself that it may read.
    let key = Key::of(&KeyParts {
        identity: Identity::Nobody,
        method: &head.method,
        place: &passing.normal,
        query: head.uri.query(),
        headers: &head.headers,
        body: b"",
    });
    let raw = head.uri.path().strip_prefix(path::API)?.to_owned();
    let (client, asking) = (client.clone(), Arc::clone(passing));
    let beside = move |path: &str| -> Asking {
        let uri = Uri::try_from(format!("{}{path}", path::API));
        let (client, mut request) = (client.clone(), whole(&asking.head, &Bytes::new()));
        // What is mounted there. Under a low ceiling nothing would be kept if this were refused.
        let sender = if path.starts_with("sys/") {
            Sender::Cache
        } else {
            Sender::Client
        };
        Box::pin(async move {
            *request.uri_mut() = uri.map_err(|odd| vault::error::Error::Request(odd.into()))?;
            send(&client, request, sender).await
        })
    };
    Some(Reading {
        key,
        raw,
        version,
        forced: request::is_forced(&head.headers),
        beside: Arc::new(beside),
    })
}
