//! From trees, environment and flags to a [`Config`]: one decoder for all syntaxes.
//!
//! Precedence: flags, then environment, then later files, then earlier ones. Keys win one by one, not block by block;
//! repeated blocks (`listener`, `sink`) append.

use std::path::PathBuf;
use std::time::Duration;

use crate::block::Block;
use crate::load::Flags;
use crate::model::{AttachToken, Config};
use crate::node::{Field, Node, Position};
use crate::peer::Kind;
use crate::report::{Found, Report};
use crate::scalar;
use crate::{check, setting};

pub(crate) mod auto_auth;
mod kind;
pub(crate) mod listener;
pub(crate) mod login;
mod own;
pub(crate) mod resume;
pub(crate) mod sink;
mod vault;

/// Reads everything. The result is meaningful only if nothing was reported.
pub(crate) fn config(
    report: &mut Report,
    fields: &[Field],
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &Flags,
    some_unread: bool,
) -> Config {
    let start = Position::default();
    let mut top = Block::new(Kind::Top, String::new(), start, fields.iter().collect());
    let mut draft = Draft::default();
    let settings = setting::Settings { environment, flags };

    draft.vault = vault::vault(report, &mut top, &settings);
    auto_auth::auto_auth(report, &mut top, &mut draft);
    listener::listeners(report, &mut top, &mut draft);
    own::cache(report, &mut top, &mut draft);
    own::api_proxy(report, &mut top, &mut draft);
    own::admin(report, &mut top, &mut draft);
    resume::resume(report, &mut top, &mut draft);
    (draft.config.limits, draft.config.client_limits) = own::limits(report, &mut top, &settings);
    process(report, &mut top, &settings, &mut draft.config);
    settings.idle(report);
    top.finish(report);
    // A source that could not be read may hold what the others seem to lack.
    if !some_unread {
        check::check(report, &draft);
    }
    finish(draft)
}

/// What was read, with the places that the checks across blocks need.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) config: Config,
    pub(crate) vault: vault::Draft,
    /// Blocks that were written, whether or not they could be read.
    pub(crate) auto_auth: Option<Position>,
    pub(crate) cache: Option<Position>,
    pub(crate) api_proxy: Option<Position>,
    pub(crate) wrote_listener: bool,
    pub(crate) wrote_sink: bool,
    /// Of the method.
    pub(crate) wrap_ttl: Option<Found<Duration>>,
    /// `use_auto_auth_token`.
    pub(crate) cache_attach: Option<Found<AttachToken>>,
    pub(crate) proxy_attach: Option<Found<AttachToken>>,
    /// The folder of `cache.persist`.
    pub(crate) persist: Option<Found<String>>,
    /// What is bound or written, each with its place.
    pub(crate) bound: Vec<check::Bound>,
    pub(crate) sink_paths: Vec<Found<PathBuf>>,
}

fn finish(draft: Draft) -> Config {
    let attach = [draft.cache_attach, draft.proxy_attach];
    let attach = attach.into_iter().flatten().next_back();
    Config {
        vault: draft.vault.finish(),
        attach_token: attach.map(|found| found.value).unwrap_or_default(),
        ..draft.config
    }
}

/// What concerns the process itself.
fn process(
    report: &mut Report,
    top: &mut Block<'_>,
    settings: &setting::Settings<'_>,
    config: &mut Config,
) {
    let mut level = top.value(report, "log_level", |node| {
        unless_empty(node, scalar::log_level)
    });
    settings.variable(report, &mut level, "LOG_LEVEL", |text| {
        scalar::log_level(text).map(Some)
    });
    let flag = settings.flags.log_level.as_deref();
    setting::flag(report, &mut level, "-log-level", flag, |text| {
        scalar::log_level(text).map(Some)
    });
    config.log_level = level.and_then(|found| found.value).unwrap_or_default();
    let mut format = top.value(report, "log_format", |node| {
        unless_empty(node, scalar::log_format)
    });
    settings.variable(report, &mut format, "LOG_FORMAT", |text| {
        scalar::log_format(text).map(Some)
    });
    let flag = settings.flags.log_format.as_deref();
    setting::flag(report, &mut format, "-log-format", flag, |text| {
        scalar::log_format(text).map(Some)
    });
    config.log_format = format.and_then(|found| found.value).unwrap_or_default();
    config.pid_file = top.text(report, "pid_file").map(|found| found.value.into());
    let exit = top.flag(report, "exit_after_auth").unwrap_or_default();
    config.exit_after_auth = exit || settings.flags.exit_after_auth;
    let mut time = |key| {
        top.value(report, key, scalar::duration)
            .map(|found| found.value)
    };
    (config.start_timeout, config.shutdown_delay) = (time("start_timeout"), time("shutdown_delay"));
    let threads = |node: &_| scalar::count(node, 0, u16::MAX.into());
    let threads = top.value(report, "worker_threads", threads);
    let threads = threads.and_then(|found| u16::try_from(found.value).ok());
    config.worker_threads = threads.unwrap_or_default();
    memory_lock(report, top);
}

/// Reads a text; an empty one counts as not written, as in Vault Agent.
fn unless_empty<T>(node: &Node, read: fn(&str) -> scalar::Read<T>) -> scalar::Read<Option<T>> {
    match scalar::text(node)?.as_str() {
        "" => Ok(None),
        text => read(text).map(Some),
    }
}

/// `disable_mlock = true` is in most files; it is also the truth.
fn memory_lock(report: &mut Report, top: &mut Block<'_>) {
    match top.value(report, "disable_mlock", scalar::flag) {
        Some(found) if found.value => {
            report.note_at(found.origin, "has no effect: memory is never locked");
        }
        Some(found) => report.wrong_at(&found.origin, "must be true: memory is never locked"),
        None => {}
    }
}
