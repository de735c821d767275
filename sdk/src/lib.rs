//! What a Postroom plugin is written against.
//!
//! A plugin is a type that implements [`Plugin`]: settings in, one message at a time, effects out. It never does
//! anything itself. It queues effects with [`effects`], each checked by the host at once; the host carries them out only
//! if [`Plugin::handle`] returns `Ok`.
//!
//! ```
//! use postroom_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings { label: String }
//!
//! struct Large;
//!
//! impl Plugin for Large {
//!     type Settings = Settings;
//!     const NAME: &'static str = "large";
//!     const VERSION: &'static str = "0.1.0";
//!     const DESCRIPTION: &'static str = "Labels large messages";
//!
//!     fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
//!         if message.size() > 10 << 20 {
//!             effects::label(&settings.label)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! postroom_sdk::export!(Large);
//! # fn main() {}
//! ```
//!
//! Natively, plain `cargo test` runs a plugin on the bench of `postroom-bench`, a dev-dependency, without WebAssembly and
//! without a host.
//!
//! This crate must not know anything of the host but `sdk/wit`, the contract both sides are generated from.

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod content;
pub mod date;
pub mod effects;
pub mod fault;
pub mod fetch;
#[cfg(feature = "glob")]
pub mod glob;
pub mod kv;
pub mod log;
pub mod message;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod native;
pub mod plugin;
pub mod route;
mod seam;
mod settings;
pub mod size;
pub mod span;
pub mod structure;
pub mod template;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use seam::guest::{ParserExport, PluginExport};

pub use crate::content::{Blob, Writer};
pub use crate::date::Date;
pub use crate::fault::{Failure, Fault, Problem};
pub use crate::message::{Address, BodyKind, Message, Part};
pub use crate::plugin::{NoSettings, Plugin};
pub use schemars::{self, JsonSchema};

/// Everything a plugin usually names.
pub mod prelude {
    pub use crate::content::{Blob, Writer};
    pub use crate::date::Date;
    pub use crate::effects::Compression;
    pub use crate::fault::{Failure, Fault, Problem};
    pub use crate::message::{Address, BodyKind, Message, Part};
    pub use crate::plugin::{NoSettings, Plugin};
    pub use crate::size::Size;
    pub use crate::span::Span;
    pub use crate::template::{MessageTemplate, PartTemplate};
    pub use crate::{effects, fetch, kv, log};
    // The module is what `#[derive(JsonSchema)]` names.
    pub use schemars::{self, JsonSchema};
}

/// Makes a type the plugin of this crate: `export!(MyPlugin)`, once, where the type implements [`Plugin`].
///
/// The WebAssembly exports appear only when compiling for WebAssembly: their names would not link natively, and so
/// a plugin crate stays an ordinary crate with ordinary tests. Natively the macro only proves that the type fits.
///
/// `export!(mime MyParser)` exports a [`structure::Parser`] as a component of the world `mime` instead.
///
/// ```
/// use postroom_sdk::prelude::*;
///
/// struct Quiet;
///
/// impl Plugin for Quiet {
///     type Settings = NoSettings;
///     const NAME: &'static str = "quiet";
///     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
///     const DESCRIPTION: &'static str = "Leaves every message where it is";
///
///     fn handle(_: &Message, _: &NoSettings) -> Result<(), Failure> {
///         Ok(())
///     }
/// }
///
/// postroom_sdk::export!(Quiet);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    (mime $parser:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Export = $crate::ParserExport<$parser>;
    $crate::bindings::mime::export_mime!(Export with_types_in $crate::bindings::mime);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = $crate::structure::is_parser::<$parser>();
    };
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Export = $crate::PluginExport<$plugin>;
    $crate::bindings::plugin::export_plugin!(Export with_types_in $crate::bindings::plugin);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = $crate::plugin::is_plugin::<$plugin>();
    };
}
