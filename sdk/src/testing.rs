//! A bench for plugins: plain `cargo test`, no WebAssembly, no host.
//!
//! ```
//! use postroom_sdk::prelude::*;
//! use postroom_sdk::testing::{Bench, Effect, Mail, json};
//! # #[derive(serde::Deserialize)] struct Settings {}
//! # struct Junk;
//! # impl Plugin for Junk {
//! #     type Settings = Settings;
//! #     const NAME: &'static str = "junk";
//! #     const VERSION: &'static str = "0";
//! #     const DESCRIPTION: &'static str = "";
//! #     fn handle(message: &Message, _: &Settings) -> Result<(), Failure> {
//! #         if message.subject().contains("!!!") { effects::label("junk")?; }
//! #         Ok(())
//! #     }
//! # }
//! let run = Bench::new().run::<Junk>(json!({}), &Mail::new().subject("Win!!!"));
//! assert_eq!(run.result, Ok(()));
//! assert_eq!(run.effects, [Effect::Label("junk".to_owned())]);
//! ```
//!
//! The bench knows which sinks are granted and refuses the others, numbers conflicting keys, and forgets the effects
//! of a failed run, as the host does. It does not parse mail: a [`Mail`] says what the host would have found.

pub(crate) mod answers;
pub(crate) mod bench;
pub(crate) mod mail;

use std::fmt::Write;

use sha2::{Digest, Sha256};

pub use bench::{Bench, Effect, LogLine, Run};
pub use mail::Mail;
pub use serde_json::json;

use crate::content::Blob;
use crate::seam;

/// Octets as a blob, for tests of what reads blobs.
pub fn blob(octets: impl Into<Vec<u8>>) -> Blob {
    Blob(seam::Blob::of(octets.into()))
}

/// What the host answers to `describe` of a plugin.
pub fn describe<P: crate::Plugin>() -> String {
    crate::plugin::describe::<P>()
}

pub(crate) fn hex_sha256(octets: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for octet in Sha256::digest(octets) {
        let _ = write!(hex, "{octet:02x}");
    }
    hex
}
