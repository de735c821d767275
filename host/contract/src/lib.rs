//! What one call of a plugin gets and what it may ask for, without WebAssembly: the message with its structure, octets
//! by handle, grants, limits, quotas, and the checks of every effect.
//!
//! Two sides run on it. The sandbox (`postroom-sandbox`) puts a component in front of it, the bench
//! (`postroom-bench`) a plugin compiled natively; both only convert types and own tables of handles, so that a native
//! test of a plugin and the host cannot differ in a rule.
//!
//! Nothing here reaches a sink, a database or a network, and nothing here knows how a plugin is run.

mod blob;
mod call;
mod content;
mod effects;
mod error;
mod fetch;
mod grants;
mod kv;
mod limits;
mod log;
mod mail;
mod message;
mod meter;
mod outcome;
mod refusal;
mod structure;

#[cfg(test)]
mod tests;

pub use blob::{Blob, Writer};
pub use call::{Call, Fields, Queue, Work};
pub use error::{Cause, InvokeError};
pub use fetch::{
    Fetch, FetchAnswer, FetchError, FetchMethod, FetchPath, FetchRequest, FetchResponse, NoFetch,
    RecordedFetch,
};
pub use grants::{Capability, Grants, SinkKind, StepConfig};
pub use kv::{KvRead, NoKv};
pub use limits::{COMPONENT_MAX, Limits, MEMORY_MAX, TABLE_ELEMENTS_MAX, octets};
pub use log::{Log, kept_size};
pub use mail::Text;
pub use message::{Message, ReadError};
pub use meter::{Meter, Usage};
pub use outcome::{Failure, Outcome, Problems, listed, neutral_problems};
pub use refusal::{Breach, Fault, Refusal};
pub use structure::{Budget, FoundNode, FoundTree, ParseError, Parser, structure};
