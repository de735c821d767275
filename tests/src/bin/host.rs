//! The real binary once more, so that Cargo hands the tests one to run and to kill.

use std::process::ExitCode;

fn main() -> ExitCode {
    postroom::cli::main()
}
