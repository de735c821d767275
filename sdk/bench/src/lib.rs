//! A bench for plugins: plain `cargo test`, no WebAssembly, no host, and the rules of the host all the same.
//!
//! ```
//! use postroom_bench::{Bench, Effect, Mail, json};
//! use postroom_sdk::prelude::*;
//! # struct Junk;
//! # impl Plugin for Junk {
//! #     type Settings = NoSettings;
//! #     const NAME: &'static str = "junk";
//! #     const VERSION: &'static str = "0";
//! #     const DESCRIPTION: &'static str = "";
//! #     fn handle(message: &Message, _: &NoSettings) -> Result<(), Failure> {
//! #         if message.subject().contains("!!!") { effects::label("junk")?; }
//! #         Ok(())
//! #     }
//! # }
//!
//! let run = Bench::new().run::<Junk>(json!({}), &Mail::new().subject("Win!!!"));
//! assert_eq!(run.result, Ok(()));
//! assert_eq!(run.effects, [Effect::Label("junk".to_owned())]);
//! ```
//!
//! A mail is real octets, put together by [`Mail`] or read from a file ([`Bench::run_eml`]). The bundled parser finds its
//! structure, compiled natively; grants, limits, quotas and the checks of effects are those of `postroom-contract`, which
//! the sandbox runs on too. What the bench cannot do is what only WebAssembly can: end a plugin that does not return,
//! count its memory, stop its clock, and take files and the network away from it.

mod bench;
mod examples;
mod fixtures;
mod host;
mod mail;
mod parser;
mod render;
mod run;

pub use postroom_contract::{Cause, Limits, Outcome};
pub use serde_json::json;

pub use bench::Bench;
pub use examples::examples;
pub use fixtures::fixtures;
pub use mail::Mail;
pub use run::{Effect, LogLine, Run};

/// What a plugin answers to `describe`: a JSON object of name, version, description and settings.
///
/// ```
/// use postroom_sdk::prelude::*;
/// # struct Quiet;
/// # impl Plugin for Quiet {
/// #     type Settings = NoSettings;
/// #     const NAME: &'static str = "quiet";
/// #     const VERSION: &'static str = "0";
/// #     const DESCRIPTION: &'static str = "";
/// #     fn handle(_: &Message, _: &NoSettings) -> Result<(), Failure> { Ok(()) }
/// # }
///
/// assert!(postroom_bench::describe::<Quiet>().contains(r#""name":"quiet""#));
/// ```
pub fn describe<P: postroom_sdk::Plugin>() -> String {
    postroom_sdk::native::describe::<P>()
}
