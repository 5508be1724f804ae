//! `keyside-agent`: all of it is the library's, so that fuzz targets can link the same code.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyside_agent::main()
}
