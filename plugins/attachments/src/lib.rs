//! Stores the attachments of a message in an object sink, those that the operator wants.
//!
//! Every leaf of the MIME tree is looked at, and what stands inside of other things is taken out first: TNEF, uuencode,
//! attached messages, signed S/MIME, and archives when the operator says so. Each is either stored or told with the reason
//! why not. The name a sender gave decides what is wanted, never where it goes: keys are made of the host's safe names, and
//! what is there already is never overwritten.

mod calendar;
mod choice;
mod decoration;
mod extract;
mod flag;
mod item;
mod manifest;
mod mapi;
mod name;
mod nested;
mod open;
mod settings;
pub mod smime;
pub mod tnef;
pub mod uuencode;
pub mod zip;

use postroom_sdk::prelude::*;

pub use crate::settings::Settings;

/// The plugin.
#[derive(Debug)]
pub struct Attachments;

impl Plugin for Attachments {
    type Settings = Settings;
    const NAME: &'static str = "attachments";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Stores the attachments of every message";

    fn check(settings: &Settings) -> Result<(), Problem> {
        settings.check()
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        extract::extract(message, settings)
    }
}

postroom_sdk::export!(Attachments);

#[cfg(test)]
mod tests;
