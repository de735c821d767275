//! What can go wrong with a plugin: when it is loaded, and when it is called. Texts name what happened, whose fault it
//! is and, for the operator, what to do next.

use std::fmt;
use std::time::Duration;

use postroom_mail::rules::neutral;
use postroom_mail::{Disposition, LogLine};
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::limits::octets;
use crate::meter::Usage;
use crate::refusal::Breach;

/// A plugin cannot be used. The old one, if there is one, stays.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// This machine cannot run guests at all.
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
    /// Larger than a component may be.
    #[error("the file has {size} octets; a component may have {limit}")]
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
    #[error("`{function}` failed: {error}")]
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
    #[error("the settings are wrong: {}", pairs(problems))]
    Settings {
        /// Path and problem.
        problems: Vec<(String, String)>,
    },
    /// A limit is out of range.
    #[error("{0}")]
    Limits(String),
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
}

/// A call failed. Nothing it asked for happens.
#[derive(Debug)]
pub struct InvokeError {
    /// Why.
    pub cause: Cause,
    /// What it logged until then.
    pub log: Box<[LogLine]>,
    /// What it used.
    pub usage: Usage,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Too much CPU time.
    CpuTime {
        /// The limit.
        limit: Duration,
    },
    /// Took too long.
    WallTime {
        /// The limit.
        limit: Duration,
    },
    /// Too much memory.
    Memory {
        /// The limit in octets.
        limit: u64,
        /// What it would have had.
        asked: u64,
    },
    /// Passed another limit that ends the call: table elements, handles, octets passed to the host.
    Limit {
        /// Which, and how much.
        what: String,
    },
    /// Trapped; a panic is one.
    Trap {
        /// What the engine says.
        what: String,
        /// The end of what it wrote to stderr: the text of a panic.
        stderr_tail: String,
    },
    /// Ended its process.
    Exit(i32),
    /// Said so itself.
    Failed {
        /// Worth another try.
        transient: bool,
        /// In its words.
        message: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// All instances are in use.
    Busy(String),
    /// The host's own fault: storage, or a mistake in a host function.
    Host(String),
}

impl InvokeError {
    /// What becomes of the message.
    pub fn disposition(&self) -> Disposition {
        match &self.cause {
            Cause::WallTime { .. } | Cause::Busy(_) | Cause::Host(_) => Disposition::RETRY,
            Cause::Failed { transient: true, retry_after, .. } => Disposition::Retry { after: *retry_after },
            Cause::Failed { transient: false, .. }
            | Cause::CpuTime { .. }
            | Cause::Memory { .. }
            | Cause::Limit { .. }
            | Cause::Trap { .. }
            | Cause::Exit(_) => Disposition::Park,
        }
    }
}

impl std::error::Error for InvokeError {}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CpuTime { limit } => write!(f, "used more than {limit:?} of CPU time"),
            Self::WallTime { limit } => write!(f, "took longer than {limit:?}"),
            Self::Memory { limit, asked } => {
                write!(f, "used more than {} of memory (asked for {})", octets(*limit), octets(*asked))
            }
            Self::Limit { what } => f.write_str(what),
            Self::Trap { what, stderr_tail } if stderr_tail.is_empty() => write!(f, "trapped: {what}"),
            Self::Trap { what, stderr_tail } => match panic_text(stderr_tail) {
                Some(panic) => write!(f, "panicked: {}", neutral(panic, 500)),
                None => write!(f, "trapped: {what}; it wrote: {}", neutral(stderr_tail, 500)),
            },
            Self::Exit(code) => write!(f, "called exit({code})"),
            Self::Failed { transient: true, message, .. } => write!(f, "failed for now: {message}"),
            Self::Failed { message, .. } => write!(f, "failed: {message}"),
            Self::Busy(text) => write!(f, "no instance is free: {text}"),
            Self::Host(text) => write!(f, "the host failed, not the plugin: {text}"),
        }
    }
}

/// `thread '…' panicked at src/lib.rs:1:2:\ntext\nnote: …` becomes `text (at src/lib.rs:1:2)`-like: all after "panicked
/// at", without the note.
fn panic_text(stderr: &str) -> Option<&str> {
    let (_, text) = stderr.rsplit_once("panicked at ")?;
    Some(text.split("\nnote: ").next().unwrap_or(text).trim())
}

impl Cause {
    /// What an error of the engine means.
    pub(crate) fn of(error: &wasmtime::Error, stderr_tail: &str) -> Self {
        if let Some(breach) = error.downcast_ref::<Breach>() {
            return Self::from(breach);
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::Busy(error.root_cause().to_string());
        }
        match error.downcast_ref::<Trap>() {
            Some(trap) => Self::Trap { what: trap.to_string(), stderr_tail: stderr_tail.to_owned() },
            None => Self::Trap { what: error.root_cause().to_string(), stderr_tail: String::new() },
        }
    }
}

impl From<&Breach> for Cause {
    fn from(breach: &Breach) -> Self {
        match breach {
            Breach::CpuTime { limit } => Self::CpuTime { limit: *limit },
            Breach::WallTime { limit } => Self::WallTime { limit: *limit },
            Breach::Memory { limit, asked } => Self::Memory { limit: *limit, asked: *asked },
            Breach::Table { .. } | Breach::Handles { .. } | Breach::Random { .. } => {
                Self::Limit { what: breach.to_string() }
            }
            Breach::Exit(code) => Self::Exit(*code),
            Breach::Host(text) => Self::Host(text.clone()),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn pairs(problems: &[(String, String)]) -> String {
    let texts = problems.iter().map(|(path, problem)| match path.as_str() {
        "" => problem.clone(),
        path => format!("{path}: {problem}"),
    });
    texts.collect::<Vec<_>>().join("; ")
}
