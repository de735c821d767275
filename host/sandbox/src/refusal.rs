//! Why a host call did not do what it was asked: a fault, which the plugin is told and may handle, or a breach,
//! which ends the call. A refusal by policy is always a fault, never a trap.

use std::io;
use std::time::Duration;

use postroom_mail::RuleError;
use wasmtime::component::ResourceTableError;

use crate::bindings::plugin::postroom::plugin::types::Fault;

/// What a host function answers instead of a value.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub enum Refusal {
    /// Told to the plugin.
    Fault(Fault),
    /// Ends the call.
    Trap(wasmtime::Error),
}

impl Refusal {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Fault(Fault::Invalid(text.into()))
    }

    pub(crate) fn quota(what: &str, asked: u64, allowed: u64) -> Self {
        Self::Fault(Fault::Quota(format!("{what}: asked for {asked}, allowed {allowed}")))
    }
}

/// Ends the call. Thrown as a wasmtime error and found again by its type.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Breach {
    #[error("used more than {limit:?} of CPU time")]
    CpuTime { limit: Duration },
    #[error("took longer than {limit:?}")]
    WallTime { limit: Duration },
    #[error("used more than {limit} octets of memory (asked for {asked})")]
    Memory { limit: u64, asked: u64 },
    #[error("used more than {limit} table elements (asked for {asked})")]
    Table { limit: u64, asked: u64 },
    #[error("held more than {limit} handles")]
    Handles { limit: u64 },
    #[error("used more than {limit} random octets (asked for {asked})")]
    Random { limit: u64, asked: u64 },
    #[error("exit({0})")]
    Exit(i32),
    #[error("{0}")]
    Host(String),
}

impl From<Breach> for Refusal {
    fn from(breach: Breach) -> Self {
        Self::Trap(breach.into())
    }
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

/// The storage of the message failed: nothing the plugin can do about.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        storage(&error).into()
    }
}

impl From<RuleError> for Refusal {
    fn from(error: RuleError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

/// What a failed read means: the storage failed, unless a breach was thrown through it.
pub(crate) fn storage(error: &io::Error) -> Breach {
    if let Some(breach) = error.get_ref().and_then(|inner| inner.downcast_ref::<Breach>()) {
        return breach.clone();
    }
    Breach::Host(format!("reading the message failed: {error}"))
}
