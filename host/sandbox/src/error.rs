//! What can go wrong when a plugin is loaded, and what an error of the engine means for a call. Texts name what
//! happened, whose fault it is and, for the operator, what to do next.

use std::path::PathBuf;
use std::time::Duration;

use postroom_contract::{Breach, Cause, InvokeError, listed, octets};
use wasmtime::{PoolConcurrencyLimitError, Trap};

/// A plugin cannot be used. The old one, if there is one, stays.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// This machine cannot run guests at all.
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
    /// Larger than a component may be.
    #[error(
        "the file has {size} octets; a component may have {limit} here (`limits.component` of the step, at most 64 MiB)"
    )]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Compiled code: running it would be running anything.
    #[error("the file is precompiled code, which is never accepted; give the WebAssembly component itself")]
    Precompiled,
    /// Something else, or a core module.
    #[error("the file is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// Does not export what a plugin exports.
    #[error("the component is no {wanted}: it exports {}, not {interface}", list(exports))]
    WrongWorld {
        /// "plugin" or "MIME parser".
        wanted: &'static str,
        /// The interface looked for.
        interface: &'static str,
        /// What it exports instead.
        exports: Vec<String>,
    },
    /// Wants what no plugin is ever given. The list is complete.
    #[error("the component wants what no plugin is given: {}", list(imports))]
    UnknownImports {
        /// The interfaces.
        imports: Vec<String>,
    },
    /// Wants what the operator did not grant. The list is complete.
    #[error("the plugin wants {}, which is not granted; to grant it: {line}", list(imports))]
    Ungranted {
        /// The interfaces.
        imports: Vec<String>,
        /// The configuration line that would.
        line: String,
    },
    /// The engine refused it: invalid, or more than the pool holds.
    #[error("the component was refused: {0}")]
    Refused(String),
    /// Compiling it took too much. Whether it is a plugin is not known.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// `describe` or `configure` did not work.
    #[error("`{function}` failed: {error}{}", raise(function, &error.cause))]
    Failed {
        /// Which.
        function: &'static str,
        /// How.
        error: Box<InvokeError>,
    },
    /// `describe` did not answer a JSON object with a name.
    #[error("`describe` answered no JSON object with a name: {0}")]
    Description(String),
    /// The settings are wrong, says the plugin.
    #[error("the settings are wrong: {}", listed(problems))]
    Settings {
        /// Path and problem.
        problems: Vec<(String, String)>,
    },
    /// A limit is out of range.
    #[error("{0}")]
    Limits(String),
}

impl LoadError {
    /// Whether it is the machine's fault, so that the same octets may load later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Engine(_) => true,
            Self::Compile(error) => error.may_pass(),
            Self::TooLarge { .. }
            | Self::Precompiled
            | Self::NotAComponent(_)
            | Self::WrongWorld { .. }
            | Self::UnknownImports { .. }
            | Self::Ungranted { .. }
            | Self::Refused(_)
            | Self::Failed { .. }
            | Self::Description(_)
            | Self::Settings { .. }
            | Self::Limits(_) => false,
        }
    }
}

/// The child that compiles a component did not get to an end.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Too much CPU time.
    #[error(
        "compiling the component took more than {} s of CPU time; if it is meant to be so large, raise `limits.compile_cpu`",
        limit.as_secs()
    )]
    Cpu {
        /// The limit.
        limit: Duration,
    },
    /// Too much time: the machine is busy, or the compiler hangs.
    #[error("compiling the component took longer than {} s; try again when the machine is less busy", limit.as_secs())]
    Wall {
        /// The limit.
        limit: Duration,
    },
    /// Too much memory.
    #[error(
        "compiling the component needed more than {} of memory; if it is meant to be so large, raise `limits.compile_memory`",
        octets(*limit)
    )]
    Memory {
        /// The limit in octets.
        limit: u64,
    },
    /// The compiler crashed, which is a fault of the compiler, and came to no harm here.
    #[error("the component crashed the compiler ({0}); the plugin is not used")]
    Crashed(String),
    /// The compiler could not be started: a fault of the host.
    #[error("the compiler cannot be run: {0}")]
    NotRun(String),
    /// What was compiled is not there to be loaded: a fault of the host.
    #[error(
        "the component was compiled, but its code cannot be kept in {}: make room on that disk, and let this user write there",
        cache.display()
    )]
    NotKept {
        /// The directory of compiled code.
        cache: PathBuf,
    },
}

impl CompileError {
    /// Whether it is the machine's fault. What a component takes to be compiled does not change.
    fn may_pass(&self) -> bool {
        match self {
            Self::Wall { .. } | Self::NotRun(_) | Self::NotKept { .. } => true,
            Self::Cpu { .. } | Self::Memory { .. } | Self::Crashed(_) => false,
        }
    }
}

/// What an error of the engine means.
pub(crate) fn cause(error: &wasmtime::Error, stderr_tail: &str) -> Cause {
    if let Some(breach) = error.downcast_ref::<Breach>() {
        return Cause::from(breach);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Cause::Busy(error.root_cause().to_string());
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => Cause::Trap { what: trap.to_string(), stderr_tail: stderr_tail.to_owned() },
        None => Cause::Trap { what: error.root_cause().to_string(), stderr_tail: String::new() },
    }
}

/// What to do when a plugin does not even start within the limits of its step. `describe` has limits of its own.
fn raise(function: &str, cause: &Cause) -> &'static str {
    let limit = match cause {
        Cause::Memory { .. } => {
            "; a plugin that is to need as much gets it with `limits = { memory = … }` in its step"
        }
        Cause::CpuTime { .. } => {
            "; a plugin that is to need as much gets it with `limits = { cpu = … }` in its step"
        }
        Cause::WallTime { .. } => {
            "; a plugin that is to need as long gets it with `limits = { wall = … }` in its step"
        }
        Cause::Limit { .. }
        | Cause::Trap { .. }
        | Cause::Exit(_)
        | Cause::Failed { .. }
        | Cause::OutOfReach { .. }
        | Cause::Busy(_)
        | Cause::Host(_) => "",
    };
    if function == "configure" { limit } else { "" }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
