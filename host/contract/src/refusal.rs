//! Why a call of the host did not do what it was asked: a fault, which the plugin is told and may handle, or a breach,
//! which ends the call. A refusal by policy is always a fault.

use std::io;
use std::time::Duration;

use postroom_mail::RuleError;

use crate::message::ReadError;

/// What a plugin is told instead of a value. The refused call had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator did not grant this: the text is the line of the configuration that would.
    Denied(String),
    /// A limit would be passed: the text says which, asked and allowed.
    Quota(String),
    /// The arguments are wrong: the text says how.
    Invalid(String),
    /// There is nothing there.
    Missing,
    /// May work later.
    Transient(String),
    /// Anything else.
    Other(String),
}

/// Ends the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Too much CPU time.
    #[error("used more than {limit:?} of CPU time")]
    CpuTime {
        /// The limit.
        limit: Duration,
    },
    /// Took too long.
    #[error("took longer than {limit:?}")]
    WallTime {
        /// The limit.
        limit: Duration,
    },
    /// Too much memory.
    #[error("used more than {limit} octets of memory (asked for {asked})")]
    Memory {
        /// The limit in octets.
        limit: u64,
        /// What it would have had.
        asked: u64,
    },
    /// Too large tables.
    #[error("used more than {limit} table elements (asked for {asked})")]
    Table {
        /// The limit.
        limit: u64,
        /// What it would have had.
        asked: u64,
    },
    /// Too many blobs, parts and writers at once.
    #[error("held more than {limit} handles")]
    Handles {
        /// The limit.
        limit: u64,
    },
    /// Too much randomness.
    #[error("used more than {limit} random octets (asked for {asked})")]
    Random {
        /// The limit.
        limit: u64,
        /// What it asked for.
        asked: u64,
    },
    /// Ended its process.
    #[error("exit({0})")]
    Exit(i32),
    /// The host's own fault.
    #[error("{0}")]
    Host(String),
}

/// Either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Told to the plugin.
    Fault(Fault),
    /// Ends the call.
    Breach(Breach),
}

impl Refusal {
    /// Wrong arguments.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Fault(Fault::Invalid(text.into()))
    }

    /// Past a limit.
    pub fn quota(what: &str, asked: u64, allowed: u64) -> Self {
        Self::Fault(Fault::Quota(format!("{what}: asked for {asked}, allowed {allowed}")))
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Breach> for Refusal {
    fn from(breach: Breach) -> Self {
        Self::Breach(breach)
    }
}

impl From<RuleError> for Refusal {
    fn from(error: RuleError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// The storage of the message failed, which the plugin can do nothing about, unless a breach was thrown through it.
impl From<io::Error> for Breach {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(breach) => breach.clone(),
            None => Self::Host(format!("reading the message failed: {error}")),
        }
    }
}

impl From<ReadError> for Breach {
    fn from(error: ReadError) -> Self {
        Self::Host(error.to_string())
    }
}
