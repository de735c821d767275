//! Where plugins run: the only crate that names wasmtime.
//!
//! A component is loaded (checked, compiled, linked), admitted to a step (grants, limits, settings), and then called
//! once per message, in a fresh instance that is dropped afterwards. What it asks for is checked at the host call by
//! `postroom-contract`, queued as data, and handed to the caller only if the plugin returned ok. Here types are
//! converted and handles kept; no rule of the contract is here. Nothing here does IO besides reading the
//! message and the compile cache, and nothing here reaches a sink.
//!
//! Everything blocks. Call [`Plugin::handle`] on threads that may block and whose stacks have some megabytes: a guest
//! may use 512 KiB, and the MIME parser runs inside a host call of another guest.

mod bindings;
mod call;
mod compile;
mod component;
mod engine;
mod error;
mod handles;
mod host;
mod invocation;
mod log_rate;
mod memory;
mod mime;
mod plugin;
mod refusal;
mod sandbox;

pub use compile::{CompileLimits, Compiler, NOT_KEPT, REFUSED, compile_stdin};
pub use component::{Import, SIZE_CAP};
pub use engine::{Allocation, SandboxConfig};
pub use error::{CompileError, LoadError};
pub use mime::Mime;
pub use plugin::Plugin;
pub use postroom_contract::{
    Capability, Cause, Fetch, FetchAnswer, FetchError, FetchMethod, FetchPath, FetchRequest, Grants,
    InvokeError, KvRead, Limits, MEMORY_MAX, Message, NoFetch, NoKv, Outcome, Parser, ReadError,
    RecordedFetch, SinkKind, StepConfig, TABLE_ELEMENTS_MAX, Usage,
};
pub use sandbox::{Component, Inspection, Sandbox};
