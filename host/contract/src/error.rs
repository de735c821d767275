//! Why a call failed, and what that means for the message. Texts name what happened and whose fault it is.

use std::fmt;
use std::time::Duration;

use postroom_mail::rules::neutral;
use postroom_mail::{Disposition, LogLine};

use crate::limits::octets;
use crate::meter::Usage;
use crate::refusal::Breach;

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
    /// Said so itself, after a target it asked gave no answer.
    OutOfReach {
        /// In its words.
        message: String,
        /// In those of the host.
        target: String,
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
            Cause::WallTime { .. } | Cause::OutOfReach { .. } | Cause::Busy(_) | Cause::Host(_) => {
                Disposition::RETRY
            }
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
            Self::OutOfReach { message, target } if message.contains(target) => {
                write!(f, "failed for now: {message}")
            }
            Self::OutOfReach { message, target } => write!(f, "failed for now: {message} ({target})"),
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
