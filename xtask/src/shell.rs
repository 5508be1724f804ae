//! Running programs of which a person sees the output as it comes.

use std::process::{Command, Stdio};

use anyhow::Context as _;
use keyside_harness::tools;

/// Cargo, the one that runs us.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of the package that cargo runs, which is xtask: the cargo that we run shall find its own.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(tools::root()?);
    Ok(command)
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = describe(command);
    let status = command.status().with_context(|| format!("run {name}"))?;
    anyhow::ensure!(status.success(), "{name}: {status}");
    Ok(())
}

/// Runs a program to its end and gives its standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {name}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        error.trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// As [`output`], where a person sees the program's standard error as it comes.
pub(crate) fn stdout(command: &mut Command) -> anyhow::Result<String> {
    let name = describe(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {name}"))?;
    anyhow::ensure!(output.status.success(), "{name}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether the program runs and succeeds: for `--version` of what may be missing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(std::ffi::OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
