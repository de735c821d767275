//! Where plugins run: the only crate that names wasmtime.
//!
//! A component is loaded (checked, compiled, linked), admitted to a step (grants, limits, settings), and then called
//! once per message, in a fresh instance that is dropped afterwards. What it asks for is checked at the host call,
//! queued as data, and handed to the caller only if the plugin returned ok. Nothing here does IO besides reading the
//! message and the compile cache, and nothing here reaches a sink.
//!
//! Everything blocks. Call [`Plugin::handle`] on threads that may block and whose stacks have some megabytes: a guest
//! may use 512 KiB, and the MIME parser runs inside a host call of another guest.

mod bindings;
mod blob;
mod call;
mod component;
mod engine;
mod error;
mod fetch;
mod grants;
mod host;
mod invocation;
mod kv;
mod limits;
mod log;
mod message;
mod meter;
mod mime;
mod plugin;
mod refusal;
mod sandbox;

pub use component::{Capability, Import, SIZE_CAP};
pub use engine::{Allocation, SandboxConfig};
pub use error::{Cause, InvokeError, LoadError};
pub use fetch::{
    Fetch, FetchAnswer, FetchError, FetchMethod, FetchPath, FetchRequest, NoFetch, RecordedFetch,
};
pub use grants::{Grants, SinkKind, StepConfig};
pub use kv::{KvRead, NoKv};
pub use limits::{Limits, MEMORY_MAX};
pub use message::{Message, ReadError};
pub use meter::Usage;
pub use mime::Mime;
pub use plugin::{Outcome, Plugin};
pub use sandbox::{Component, Inspection, Sandbox};
