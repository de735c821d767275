//! Refusals of the contract as the engine wants them: a fault is the guest's to handle, a breach is a trap.

use postroom_contract as contract;
use postroom_contract::Breach;
use wasmtime::component::ResourceTableError;

use crate::bindings::plugin::postroom::plugin::types::Fault;

/// What a host function answers instead of a value.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub enum Refusal {
    /// Told to the plugin.
    Fault(Fault),
    /// Ends the call. A breach is found again by its type.
    Trap(wasmtime::Error),
}

impl From<contract::Refusal> for Refusal {
    fn from(refusal: contract::Refusal) -> Self {
        match refusal {
            contract::Refusal::Fault(fault) => Self::Fault(fault.into()),
            contract::Refusal::Breach(breach) => breach.into(),
        }
    }
}

impl From<contract::Fault> for Fault {
    fn from(fault: contract::Fault) -> Self {
        match fault {
            contract::Fault::Denied(text) => Self::Denied(text),
            contract::Fault::Quota(text) => Self::Quota(text),
            contract::Fault::Invalid(text) => Self::Invalid(text),
            contract::Fault::Missing => Self::Missing,
            contract::Fault::Transient(text) => Self::Transient(text),
            contract::Fault::Other(text) => Self::Other(text),
        }
    }
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

impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}
