//! `auto_auth` and its `method`.

use std::time::Duration;

use super::Draft;
use super::vault::canonical;
use super::{kind, login, sink};
use crate::block::{self, Block, Body};
use crate::model::auto_auth::{AutoAuth, Login, Method};
use crate::peer::{self, Kind};
use crate::report::Report;
use crate::scalar;

pub(crate) const METHODS: &[&str] = &[
    "alicloud",
    "approle",
    "aws",
    "azure",
    "cert",
    "gcp",
    "jwt",
    "kubernetes",
    "ldap",
    "token_file",
    "userpass",
];

pub(super) fn auto_auth(report: &mut Report, top: &mut Block<'_>, draft: &mut Draft) {
    let Some(mut block) = top.single(report, "auto_auth", Kind::AutoAuth) else {
        return;
    };
    draft.auto_auth = Some(block.at());
    let method = method(report, &mut block, draft);
    let sinks = sink::sinks(report, &mut block, draft);
    let login_on_new_credential = block.flag(report, "enable_reauth_on_new_credentials");
    let revoke = block.value(report, "revoke_on_exit", scalar::flag);
    let revoke = revoke.filter(|found| found.value);
    block.finish(report);
    if let (Some(found), Some(method)) = (&revoke, &method)
        && let Some(what) = not_revocable(method)
    {
        report.wrong_at(&found.origin, what);
    }
    draft.config.auto_auth = method.map(|method| AutoAuth {
        method,
        sinks,
        login_on_new_credential: login_on_new_credential.unwrap_or(true),
        revoke_on_exit: revoke.is_some(),
    });
}

/// Why the agent cannot, or must not, revoke what it gets so.
fn not_revocable(method: &Method) -> Option<&'static str> {
    match method.login {
        Login::TokenFile { .. } => Some("the token of `token_file` is somebody else's"),
        _ if method.wrap_ttl.is_some() => {
            Some("there is no token to revoke: `auto_auth.method.wrap_ttl` hides it from the agent")
        }
        _ => None,
    }
}

fn method(report: &mut Report, auto_auth: &mut Block<'_>, draft: &mut Draft) -> Option<Method> {
    let fields = auto_auth.take("method");
    let path = auto_auth.path_of("method");
    let types: Vec<&str> = [METHODS, peer::REFUSED_METHODS].concat();
    if fields.is_empty() {
        report.wrong(auto_auth.at(), path, "is missing; write one `method` block");
        return None;
    }
    let mut bodies = Vec::new();
    for field in fields {
        bodies.extend(block::bodies_of(report, &path, field, &types));
    }
    one_in_each_source(report, &path, &bodies);
    let kinds: Vec<_> = bodies
        .iter()
        .map(|body| kind::type_of(report, &path, body))
        .collect();
    let Some(kind) = kinds.iter().rev().flatten().next().copied() else {
        let at = bodies.last().map_or(auto_auth.at(), |body| body.at);
        let what = format!("is missing; write one of {}", METHODS.join(", "));
        report.wrong(at, format!("{path}.type"), what);
        return None;
    };
    // A later file that names another method replaces the earlier one; it does not inherit its role.
    let same = |of: &Option<kind::Type<'_>>| of.is_none_or(|of| of.text == kind.text);
    let kept: Vec<_> = bodies
        .iter()
        .zip(&kinds)
        .filter(|(_, of)| same(of))
        .collect();
    let at = kept.last().map_or(auto_auth.at(), |(body, _)| body.at);
    let fields = kept
        .iter()
        .flat_map(|(body, _)| body.fields.iter().copied());
    let block = Block::new(Kind::Method, path, at, fields.collect());
    if METHODS.contains(&kind.text) {
        known_method(report, block, kind.text, draft)
    } else {
        let path = block.path_of("type");
        report.wrong(kind.at, path, other_method(kind.text));
        None
    }
}

fn known_method(
    report: &mut Report,
    mut block: Block<'_>,
    kind: &str,
    draft: &mut Draft,
) -> Option<Method> {
    let _type = block.take("type");
    let mount_path = mount_path(report, &mut block, kind);
    let namespace = block.text(report, "namespace");
    let (min_backoff, max_backoff) = backoff(report, &mut block);
    let exit_on_err = block.flag(report, "exit_on_err").unwrap_or_default();
    draft.wrap_ttl = block.value(report, "wrap_ttl", scalar::duration);
    if kind == "token_file"
        && let Some(found) = &draft.wrap_ttl
    {
        let what = "the token_file method makes no login that could be wrapped";
        report.wrong_at(&found.origin, what);
    }
    let login = login::login(report, &mut block, kind);
    block.finish(report);
    Some(Method {
        mount_path,
        namespace: namespace.and_then(|found| canonical(&found.value)),
        min_backoff,
        max_backoff,
        wrap_ttl: draft.wrap_ttl.as_ref().map(|found| found.value),
        exit_on_err,
        login: login?,
    })
}

/// Empty for the one method that has none; there the key is left to what is known of other keys.
fn mount_path(report: &mut Report, block: &mut Block<'_>, kind: &str) -> String {
    if kind == "token_file" {
        return String::new();
    }
    let written = block.text(report, "mount_path");
    let written = written.map(|found| found.value.trim_matches('/').to_owned());
    let written = written.filter(|path| !path.is_empty());
    written.unwrap_or_else(|| format!("auth/{kind}"))
}

fn backoff(report: &mut Report, block: &mut Block<'_>) -> (Duration, Duration) {
    let min = block.value(report, "min_backoff", scalar::duration);
    let max = block.value(report, "max_backoff", scalar::duration);
    let min_value = min
        .as_ref()
        .map_or(Duration::from_secs(1), |found| found.value);
    let max_value = max
        .as_ref()
        .map_or(Duration::from_mins(5), |found| found.value);
    if min_value > max_value
        && let Some(found) = max.as_ref().or(min.as_ref())
    {
        let what =
            format!("`min_backoff` ({min_value:?}) is more than `max_backoff` ({max_value:?})");
        report.wrong_at(&found.origin, what);
    }
    (min_value, max_value)
}

fn one_in_each_source(report: &mut Report, path: &str, bodies: &[Body<'_>]) {
    for (earlier, later) in bodies.iter().zip(bodies.iter().skip(1)) {
        if earlier.at.source == later.at.source {
            block::second(report, path, earlier.at, later.at);
        }
    }
}

fn other_method(kind: &str) -> String {
    let methods = METHODS.join(", ");
    if peer::REFUSED_METHODS.contains(&kind) {
        format!("`{kind}` is a method that Keyside does not support; write one of {methods}")
    } else {
        let near = peer::nearest_of(kind, METHODS.iter().copied());
        let hint = near
            .map(|near| format!(", did you mean `{near}`?"))
            .unwrap_or_default();
        format!(
            "{} is not a method{hint}; write one of {methods}",
            scalar::quote(kind)
        )
    }
}
