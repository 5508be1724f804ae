//! `keyside-agent`: arguments → configuration → [`app::App::build`] → [`app::App::run`] → exit status.

use std::env;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use http::{Request, StatusCode};
use keyside_config::model::{Config, LogFormat, LogLevel};
use keyside_lifecycle::error;
use keyside_lifecycle::logging::{self, Level};
use keyside_lifecycle::tasks::End;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;

use settings::{Clear, Command, Place, Socket};

mod admin;
mod app;
mod auth;
mod body;
mod cache;
mod clock;
mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod metrics;
mod proxy;
mod resolver;
mod resume;
mod settings;
mod sink;
mod socket;
mod tls;
mod token;
mod vault;
mod web;

/// A mistake in the arguments or in the configuration: `EX_USAGE` of sysexits(3).
const USAGE: u8 = 64;
/// For name look-ups. Each sink may have one more, for its writes: a folder that hangs then holds up nothing else.
const BLOCKING_THREADS: usize = 4;
/// For a look-up or a write that is under way when everything else has ended.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let command = match settings::arguments::parse(env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => return refuse(&error),
    };
    match command {
        Command::Run(place) => run(place),
        Command::Check(place) => check(&place),
        Command::Probe(probe, socket) => ask(&socket, admin::client::get(probe.endpoint())),
        Command::Status(socket) => ask(&socket, admin::client::get("/status")),
        Command::Quit(socket) => ask(&socket, admin::client::post("/quit", &Value::Null)),
        Command::CacheClear(clear, socket) => cache_clear(clear, &socket),
        Command::Version => say(concat!("keyside-agent ", env!("CARGO_PKG_VERSION"))),
        Command::Help(text) => say(text),
    }
}

/// `run`: serves until told to stop.
fn run(place: Place) -> ExitCode {
    let confined = app::confine::confine();
    let loaded = match place.load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    let config = loaded.config;
    let level = match logging::init(
        level(config.log_level),
        config.log_format == LogFormat::Json,
    ) {
        Ok(level) => level,
        Err(error) => return fail(&error),
    };
    if let Err(error) = confined {
        tracing::warn!(event = "not_confined", %error, "memory of this process may be dumped or traced");
    }
    for note in &loaded.notes {
        tracing::warn!(event = "configuration_note", "{note}");
    }
    let sinks = config
        .auto_auth
        .as_ref()
        .map_or(0, |found| found.sinks.len());
    let runtime = match runtime(config.worker_threads, sinks) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let code = match runtime.block_on(serve(config, place, level)) {
        Ok(End::Aborted(_)) => ExitCode::FAILURE,
        Ok(End::Drained | End::Late(_)) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                event = "failed",
                error = error::chain(&error),
                "the agent ends"
            );
            ExitCode::FAILURE
        }
    };
    runtime.shutdown_timeout(LAST_WAIT);
    code
}

async fn serve(config: Config, place: Place, level: Level) -> Result<End, app::Error> {
    app::App::build(config, place, level).await?.run().await
}

/// `check`: mistakes to standard error, or the effective configuration to standard output.
fn check(place: &Place) -> ExitCode {
    match place.load() {
        Ok(loaded) => {
            for note in &loaded.notes {
                complain(note);
            }
            say(&loaded.config.to_json_without_secrets())
        }
        Err(error) => refuse(&error),
    }
}

/// `cache-clear`.
fn cache_clear(mut clear: Clear, socket: &Socket) -> ExitCode {
    if clear.value.as_deref() == Some("-") {
        match io::read_to_string(io::stdin()) {
            Ok(text) => clear.value = Some(text.trim().to_owned()),
            Err(error) => return fail(&error),
        }
    }
    let body = serde_json::json!({
        "type": clear.kind.unwrap_or_else(|| "all".to_owned()),
        "value": clear.value.unwrap_or_default(),
        "namespace": clear.namespace.unwrap_or_default(),
    });
    ask(socket, admin::client::post("/cache-clear", &body))
}

/// A verb that asks the running agent: prints its answer, and fails where it is no success.
fn ask(socket: &Socket, request: Request<body::Body>) -> ExitCode {
    let path = match socket.find() {
        Ok(path) => path,
        Err(error) => return refuse(&error),
    };
    let runtime = match runtime(0, 0) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(admin::client::ask(&path, request)) {
        Ok((status, text)) if status.is_success() => say(text.trim_end()),
        Ok((status, text)) => {
            say(text.trim_end());
            match status {
                StatusCode::BAD_REQUEST => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
        Err(error) => fail(&error),
    }
}

/// One thread unless more are asked for: a sidecar's work is waiting.
fn runtime(workers: u16, sinks: usize) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if workers == 0 {
        builder = Builder::new_current_thread();
    } else {
        builder.worker_threads(workers.into());
    }
    builder
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS + sinks)
        .build()
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    }
}

/// Prints what was asked for.
fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

/// Prints a mistake in the arguments or the configuration.
fn refuse(error: &settings::Error) -> ExitCode {
    complain(&error::chain(error));
    ExitCode::from(USAGE)
}

/// Prints what went wrong while there is no log.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    complain(&error::chain(error));
    ExitCode::FAILURE
}

fn complain(what: &dyn fmt::Display) {
    // Where standard error is closed, there is nobody left to tell.
    drop(writeln!(io::stderr(), "{what}"));
}
