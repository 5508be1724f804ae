//! `keyside-injector`: the mutating webhook that puts the agent into annotated pods.
//!
//! Exit status: 0 done, 64 a mistake in flags or environment, 1 anything else; `inject --diff` has its own.

mod admission;
mod annotation;
mod app;
mod cert;
mod check;
mod events;
mod inject;
#[cfg(test)]
mod mutants;
mod offline;
mod owner;
mod profile;
mod settings;
mod trace;
mod watch;
mod webhook;
mod yaml_read;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use bytes::Bytes;
use keyside_lifecycle::tasks::End;
use keyside_lifecycle::{error, logging, shutdown};
use tracing::level_filters::LevelFilter;

use crate::settings::{Settings, Verb};

const USAGE: u8 = 64;

/// Decisions without a network: what a benchmark measures.
#[derive(Clone, Debug)]
pub struct Admission(admission::Defaults);

impl Admission {
    /// As an installation decides that says nothing but where Vault is.
    #[must_use]
    pub fn new(vault_address: &str) -> Self {
        let mut defaults = admission::Defaults::new("keyside-agent:measured");
        defaults.vault_address = Some(vault_address.to_owned());
        Self(defaults)
    }

    /// What the webhook answers to the body of a request.
    #[must_use]
    pub fn answer(&self, review: &[u8]) -> Bytes {
        webhook::review::answer(review, &self.0).body
    }
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    match settings::read(std::env::args_os().skip(1), std::env::vars_os()) {
        Ok(Verb::Serve(settings)) => {
            let logging = (settings.log_level, settings.log_json);
            start(logging, serve(*settings))
        }
        Ok(Verb::Watch(settings)) => {
            let logging = (settings.log_level, settings.log_json);
            start(logging, watch(*settings))
        }
        Ok(Verb::Check(settings)) => check(&settings),
        Ok(Verb::Offline(command, defaults, rest)) => offline(command, &defaults, rest),
        Ok(Verb::Version) => print(concat!(
            "keyside-injector ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Ok(Verb::Help) => print(settings::HELP),
        Err(mistakes) => fail(USAGE, &mistakes),
    }
}

fn offline(
    command: offline::Command,
    defaults: &admission::Defaults,
    arguments: Vec<OsString>,
) -> ExitCode {
    let stdout = std::io::stdout();
    // Whoever wants no colours says so: no-color.org.
    let is_coloured = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut streams = offline::Streams {
        stdin: &mut std::io::stdin(),
        stdout: &mut stdout.lock(),
        stderr: &mut std::io::stderr(),
        is_coloured,
    };
    match offline::run(command, arguments, defaults, &mut streams) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => fail(failure.status, &failure.error),
    }
}

/// Says on standard output what it found; its log, on standard error, is of tries that failed.
fn check(settings: &settings::Check) -> ExitCode {
    if let Err(cause) = logging::init(LevelFilter::INFO, false) {
        return fail(1, &cause);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(check::run(settings))) {
        Ok(Ok(found)) => print(&found),
        Ok(Err(cause)) => fail(1, &cause),
        Err(cause) => fail(1, &cause),
    }
}

type Outcome = Result<End, Box<dyn std::error::Error>>;

/// Runs a program that goes on until it is asked to end.
fn start((level, json): (LevelFilter, bool), program: impl Future<Output = Outcome>) -> ExitCode {
    if let Err(cause) = logging::init(level, json) {
        return fail(1, &cause);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(program),
        Err(cause) => Err(cause.into()),
    };
    match result {
        Ok(how) => {
            tracing::info!(event = "ended", ?how);
            ExitCode::SUCCESS
        }
        Err(cause) => {
            tracing::error!(event = "failed", error = error::chain(&*cause));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> Outcome {
    let shutdown = shutdown::on_signals()?;
    let app = app::App::build(settings, &shutdown).await?;
    Ok(app.run(shutdown).await?)
}

async fn watch(settings: settings::Watch) -> Outcome {
    let shutdown = shutdown::on_signals()?;
    Ok(watch::run(settings, shutdown).await?)
}

/// Writes to standard output; a reader that went away early is no failure of ours.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

fn fail(status: u8, cause: &dyn std::error::Error) -> ExitCode {
    let text = format!(
        "keyside-injector: {}\n",
        error::chain(cause).replace('\n', "\nkeyside-injector: ")
    );
    // Where standard error is closed, the status says it all.
    let _written = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(status)
}
