//! `keyside-injector`: all of it is the library's, so that what measures an admission links the same code.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyside_injector::main()
}
