//! The repository's own commands: `cargo xtask demo`, `test`, `bench`, `instructions`, `simulate`, `release`, `images`, `e2e`, `render`, `tools`.

mod bench;
mod console;
mod demo;
mod document;
mod e2e;
mod images;
mod namespace;
mod release;
mod render;
mod sbom;
mod shell;
mod simulate;
mod test;
mod tools;

use std::process::ExitCode;

use lexopt::Arg;

const HELP: &str = "\
Usage: cargo xtask <command>

  demo     an annotated pod goes in, a live token and a cached credential come out: on real parts
  test     format, lint and test everything, on real parts
  bench    measure the agent beside the real `bao agent`, and what a real OpenBao bears
  instructions
           count what an answer from the cache takes, and hold it against what is on record
  simulate play ten thousand agents on virtual time against a server of the measured capacity
  release  build both binaries as they are released: static, stripped, small
  images   pack both images with what is known of their parts, run them, and tell sizes and digests
  e2e      install into a cluster, where there is one, and check what only a cluster shows
  render   render docs/configuration.md, the chart's README and manifests/
  tools    install the real parts into .tools (the other commands do so, too)
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next()? {
        Some(Arg::Value(command)) => command.to_string_lossy().into_owned(),
        None | Some(Arg::Long("help") | Arg::Short('h')) => "help".to_owned(),
        Some(argument) => return Err(argument.unexpected().into()),
    };
    match command.as_str() {
        "bench" => return bench::run(&mut arguments),
        "e2e" => return e2e::run(&mut arguments),
        "images" => return images::run(&mut arguments),
        "instructions" => return bench::instructions::run(&mut arguments),
        "release" => return release::run(&mut arguments),
        "simulate" => return simulate::run(&mut arguments),
        _ => {}
    }
    if let Some(argument) = arguments.next()? {
        return Err(argument.unexpected().into());
    }
    match command.as_str() {
        "help" => {
            console::text(HELP);
            Ok(())
        }
        "demo" => demo::run(),
        "render" => render::run(),
        "test" => test::run(),
        "tools" => tools::install(),
        other => anyhow::bail!("unknown command {other}\n\n{HELP}"),
    }
}
