//! `postroom compile-plugin`: the child that compiles one component for the sandbox, within limits. Not for people. Must not
//! read the configuration or touch the state: all it has is its stdin and the cache.

use std::path::PathBuf;
use std::time::Duration;

use postroom_sandbox::{CompileError, CompileLimits, LoadError, compile_stdin};

use super::{Exit, Failure, Outcome};

/// As `postroom_sandbox::Compiler` says them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of compiled code.
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// Seconds of CPU time.
    #[arg(long)]
    cpu: u64,
    /// Octets of memory.
    #[arg(long)]
    memory: u64,
    /// The code counts fuel.
    #[arg(long)]
    fuel: bool,
}

pub(super) fn compile_plugin(args: &Args) -> Outcome {
    let limits = CompileLimits { cpu: Duration::from_secs(args.cpu), memory: args.memory };
    match compile_stdin(&args.cache, limits, args.fuel, std::io::stdin().lock()) {
        Ok(()) => Ok(Exit::Ok),
        Err(LoadError::Refused(text)) => {
            eprintln!("{text}");
            Ok(Exit::Data)
        }
        Err(LoadError::Compile(error @ CompileError::NotKept { .. })) => {
            Err(Failure::new(Exit::CannotCreate, error))
        }
        Err(error) => Err(error.into()),
    }
}
