//! Sieve (RFC 5228): runs a script of the operator's over every message. An interpreter of our own.
//!
//! A script is read from its text and checked in full before any message: what is wrong, or not supported, is told with
//! its line and column. Running it decides what becomes of the message, and only a run that came to its end has effects:
//! when a limit is passed or the script says `error`, the step fails and nothing of it happens.
//!
//! ```toml
//! files = { script = "home.sieve" }
//! settings = { mailboxes = { sink = "home" }, keep = { sink = "home" }, redirect = { sink = "relay" } }
//! ```
//!
//! From text to effects: `lexer`, `syntax` (the generic grammar), `compile` (names, arguments, extensions), `program`
//! (what is left to do), `run` and `test` (over one message), `outcome` (effects).

mod address;
mod compile;
mod date;
mod duplicate;
mod extension;
mod flags;
mod flaw;
mod lexer;
mod matching;
mod outcome;
mod program;
mod run;
mod settings;
mod syntax;
mod test;
mod text;
mod variables;
mod view;
mod wildcard;

use postroom_sdk::prelude::*;

pub use crate::settings::{
    Discarding, Keep, LaterSteps, Mailboxes, Rejecting, Relay, Script, Settings, Zone,
};

/// The plugin.
#[derive(Debug)]
pub struct Sieve;

impl Plugin for Sieve {
    type Settings = Settings;
    const NAME: &'static str = "sieve";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Runs a Sieve script over every message";

    fn check(settings: &Settings) -> Result<(), Problem> {
        settings.lacks().map_or(Ok(()), |text| Err(Problem::new("script", text)))
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let outcome = run::run(settings.script.program(), message, settings);
        let done = outcome.and_then(|outcome| outcome.carry_out(message, settings));
        done.map_err(|run::Trouble { at, failure }| {
            let place = settings.script.place(at);
            match failure {
                Failure::Transient(text) => Failure::Transient(format!("{place}: {text}")),
                Failure::Permanent(text) => Failure::Permanent(format!("{place}: {text}")),
            }
        })
    }
}

postroom_sdk::export!(Sieve);

#[cfg(test)]
mod tests;
