//! Logs: one line per event on standard error, as text or as JSON, with a level that can change while running.
//!
//! Invariant: what other crates say below `warn` is never printed. Their debug lines may quote requests, and with them
//! secrets; ours are written to hold none.
//! Invariant: no colour codes; timestamps are RFC 3339 in UTC.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Starts logging to standard error and logs panics from now on, for the whole process.
///
/// # Errors
/// Where something has already started logging in this process.
pub fn init(level: LevelFilter, json: bool) -> Result<Level, Error> {
    let (subscriber, level) = subscriber(level, json, std::io::stderr);
    subscriber
        .try_init()
        .map_err(|source| Error::Init { source })?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(level)
}

/// What can go wrong about logging itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process logs already.
    #[error("starting the log")]
    Init {
        /// Why.
        #[source]
        source: TryInitError,
    },
    /// The log is gone, so its level cannot change.
    #[error("changing the log level")]
    Change {
        /// Why.
        #[source]
        source: reload::Error,
    },
}

/// The handle by which the log level changes at run time.
#[derive(Clone, Debug)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// From now on, prints what is at least as grave as `level`.
    ///
    /// # Errors
    /// Where the log is gone.
    pub fn set(&self, level: LevelFilter) -> Result<(), Error> {
        self.0
            .reload(targets(level))
            .map_err(|source| Error::Change { source })
    }
}

/// Everything of ours down to `level`; of other crates nothing below `warn`.
fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("keyside", level)
}

fn subscriber<W>(
    level: LevelFilter,
    json: bool,
    writer: W,
) -> (impl tracing::Subscriber + Send + Sync, Level)
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    let lines = if json {
        lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed()
    } else {
        lines.boxed()
    };
    let subscriber = Registry::default().with(filter).with(lines);
    (subscriber, Level(handle))
}

/// Says where, and not what: a panic's message may quote whatever was being worked on.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(
        event = "panicked",
        location,
        thread = thread.name().unwrap_or_default(),
        "a task panicked; this is a defect in Keyside"
    );
}

#[cfg(test)]
mod tests;
