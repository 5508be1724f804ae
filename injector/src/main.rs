//! `keyside-injector`: the mutating webhook that puts the agent into annotated pods.
//!
//! Exit status: 0 done, 64 a mistake in flags or environment, 1 anything else.

mod admission;
mod annotation;
mod app;
mod cert;
mod inject;
#[cfg(test)]
mod mutants;
mod offline;
mod profile;
mod settings;
mod webhook;
mod yaml_read;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use keyside_lifecycle::{error, logging, shutdown};

use crate::settings::{Settings, Verb};

const USAGE: u8 = 64;

fn main() -> ExitCode {
    match settings::read(std::env::args_os().skip(1), std::env::vars_os()) {
        Ok(Verb::Serve(settings)) => serve(*settings),
        Ok(Verb::Inject(defaults, rest)) => inject(&defaults, rest),
        Ok(Verb::Version) => print(concat!(
            "keyside-injector ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Ok(Verb::Help) => print(settings::HELP),
        Err(mistakes) => fail(USAGE, &mistakes),
    }
}

fn inject(defaults: &admission::Defaults, arguments: Vec<OsString>) -> ExitCode {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    match offline::run(arguments, defaults, stdin, stdout, stderr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => fail(cause.exit_status(), &cause),
    }
}

fn serve(settings: Settings) -> ExitCode {
    if let Err(cause) = logging::init(settings.log_level, settings.log_json) {
        return fail(1, &cause);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(settings)),
        Err(cause) => Err(cause.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            tracing::error!(event = "failed", error = error::chain(&*cause));
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    let shutdown = shutdown::on_signals()?;
    let app = app::App::build(settings, &shutdown).await?;
    let end = app.run(shutdown).await?;
    tracing::info!(event = "ended", how = ?end);
    Ok(())
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
