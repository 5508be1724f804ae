//! Blocks of bounds and switches: `cache`, `api_proxy`, `limits`, `admin`.

use std::time::Duration;

use super::Draft;
use crate::block::Block;
use crate::check::{Bound, Socket};
use crate::model::{ADMIN_SOCKET, Admin, Cache, Limits, StaticSecrets};
use crate::node::Node;
use crate::peer::Kind;
use crate::report::{Found, Report};
use crate::scalar::{self, Read};
use crate::setting::Settings;

pub(super) fn cache(report: &mut Report, top: &mut Block<'_>, draft: &mut Draft) {
    let Some(mut block) = top.single(report, "cache", Kind::Cache) else {
        return;
    };
    draft.cache = Some(block.at());
    draft.cache_attach = block.value(report, "use_auto_auth_token", scalar::attach);
    draft.persist = super::resume::persist(report, &mut block);
    let default = Cache::default();
    let entries = block.value(report, "max_entries", |node| {
        scalar::count(node, 1, u32::MAX.into())
    });
    let entries = entries.and_then(|found| usize::try_from(found.value).ok());
    let bytes = block.value(report, "max_bytes", scalar::size);
    let max_bytes = bytes.map_or(default.max_bytes, |found| found.value);
    let body = block.value(report, "max_body", scalar::size);
    if let Some(found) = body.as_ref().filter(|found| found.value > max_bytes) {
        let what =
            format!("is more than `max_bytes` ({max_bytes}), so that the largest bodies never fit");
        report.wrong_at(&found.origin, what);
    }
    let static_secrets = static_secrets(report, &mut block);
    block.finish(report);
    draft.config.cache = Some(Cache {
        max_entries: entries.unwrap_or(default.max_entries),
        max_bytes,
        max_body: body.map_or(default.max_body.min(max_bytes), |found| found.value),
        static_secrets,
    });
}

fn static_secrets(report: &mut Report, cache: &mut Block<'_>) -> Option<StaticSecrets> {
    let mut block = cache.single(report, "static_secrets", Kind::StaticSecrets)?;
    let default = StaticSecrets::default();
    let ttl = block.value(report, "ttl", |node| {
        let ttl = scalar::duration(node)?;
        let enough = ttl >= Duration::from_secs(1);
        enough
            .then_some(ttl)
            .ok_or_else(|| "must be at least \"1s\"".to_owned())
    });
    let max_stale = block.value(report, "max_stale", scalar::duration_or_zero);
    block.finish(report);
    Some(StaticSecrets {
        ttl: ttl.map_or(default.ttl, |found| found.value),
        max_stale: max_stale.map_or(default.max_stale, |found| found.value),
    })
}

pub(super) fn api_proxy(report: &mut Report, top: &mut Block<'_>, draft: &mut Draft) {
    if let Some(mut block) = top.single(report, "api_proxy", Kind::ApiProxy) {
        draft.api_proxy = Some(block.at());
        draft.proxy_attach = block.value(report, "use_auto_auth_token", scalar::attach);
        let prepend = block.flag(report, "prepend_configured_namespace");
        draft.config.prepend_namespace = prepend.unwrap_or_default();
        block.finish(report);
    }
}

/// `VAULT_RATE_LIMIT` is `rate` or `rate:burst`. In Vault Agent it limits the client that all requests share; here it
/// limits what the agent sends by itself.
pub(super) fn limits(
    report: &mut Report,
    top: &mut Block<'_>,
    settings: &Settings<'_>,
) -> (Limits, Option<Limits>) {
    let default = Limits::default();
    let (mut rate, mut burst, mut clients) = (None, None, None);
    if let Some(mut block) = top.single(report, "limits", Kind::Limits) {
        rate = block.value(report, "requests_per_second", whole);
        burst = block.value(report, "burst", whole);
        clients = client_limits(report, &mut block);
        block.finish(report);
    }
    let value_of = |found: Option<Found<u32>>| found.map(|found| found.value);
    let limits = Limits {
        requests_per_second: value_of(rate).unwrap_or(default.requests_per_second),
        burst: value_of(burst).unwrap_or(default.burst),
    };
    let mut variable = None;
    settings.variable(report, &mut variable, "RATE_LIMIT", rate_limit);
    (variable.map_or(limits, |found| found.value), clients)
}

fn client_limits(report: &mut Report, block: &mut Block<'_>) -> Option<Limits> {
    let rate = block.value(report, "client_requests_per_second", whole);
    let burst = block.value(report, "client_burst", whole);
    if let (None, Some(burst)) = (&rate, &burst) {
        let what = "needs `client_requests_per_second` beside it";
        report.wrong_at(&burst.origin, what);
    }
    let requests_per_second = rate?.value;
    Some(Limits {
        requests_per_second,
        burst: burst.map_or(requests_per_second, |found| found.value),
    })
}

fn whole(node: &Node) -> Read<u32> {
    let value = scalar::count(node, 1, u32::MAX.into())?;
    u32::try_from(value).map_err(|larger| larger.to_string())
}

fn rate_limit(text: &str) -> Read<Limits> {
    // A rate may have a fraction there.
    let whole = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_fraction = fraction.bytes().all(|b| b.is_ascii_digit());
        whole.parse().ok().filter(|_| is_fraction)
    };
    let (rate, burst) = text.split_once(':').unwrap_or((text, text));
    match (whole(rate), whole(burst)) {
        (Some(rate @ 1..), Some(burst @ 1..)) => Ok(Limits {
            requests_per_second: rate,
            burst,
        }),
        _ => Err("must be numbers from 1: `rate` or `rate:burst`".to_owned()),
    }
}

pub(super) fn admin(report: &mut Report, top: &mut Block<'_>, draft: &mut Draft) {
    let Some(mut block) = top.single(report, "admin", Kind::Admin) else {
        return;
    };
    let at = block.at();
    let socket = block.text(report, "socket").map(Found::into_path);
    let address = block.value(report, "address", |node| {
        super::unless_empty(node, scalar::host_port)
    });
    let origin = report.origin(at, block.path_of("socket"));
    block.finish(report);
    let socket = socket.unwrap_or(Found {
        value: ADMIN_SOCKET.into(),
        origin,
    });
    draft.bound.push(Bound {
        socket: Socket::Unix(socket.value.clone()),
        origin: socket.origin,
    });
    let address = address.and_then(|Found { value, origin }| Some((value?, origin)));
    draft
        .bound
        .extend(address.clone().map(|(at, origin)| Bound {
            socket: Socket::Tcp(at),
            origin,
        }));
    draft.config.admin = Some(Admin {
        socket: socket.value,
        address: address.map(|(at, _)| at),
    });
}
