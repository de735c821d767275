//! Sends every message on: as it is, or wrapped in a message of its own.
//!
//! *redirect* gives the same octets to new recipients, with one trace field on top; signatures of the sender stay valid.
//! *wrap* makes a new message from the operator's own address, with the original attached: for relays that insist on
//! a From of theirs, and for senders whose domain forbids redirecting.
//!
//! Both mark what they send with `X-Postroom-Forwarded` and refuse what already bears the mark of the same account and
//! destination, so two hosts that forward to each other stop after one round. A refused message is labelled `loop`.
//! A bounce (RFC 5321 section 4.5.5) is not forwarded either but labelled `bounce`: if its forwarding failed, the bounce
//! of the bounce would come here again.
//!
//! It must not choose recipients from the message: they are the operator's alone.

mod envelope;
mod route;
mod wrap;

use postroom_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::route::Loop;

/// The plugin.
#[derive(Debug)]
pub struct Forward;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of a granted transport sink.
    pub sink: String,
    /// Recipients, bare addresses.
    #[schemars(length(min = 1))]
    pub to: Vec<String>,
    /// How.
    #[serde(default)]
    pub mode: Mode,
    /// What a wrapping message is from, a bare address.
    pub from: Option<String>,
    /// Subject of a wrapping message; `{subject}` is the original one.
    #[schemars(extend("default" = wrap::SUBJECT))]
    pub subject: Option<String>,
}

/// How a message is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The same octets to new recipients.
    #[default]
    Redirect,
    /// Attached to a new message.
    Wrap,
}

impl Plugin for Forward {
    type Settings = Settings;
    const NAME: &'static str = "forward";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Sends every message on to other addresses";

    fn check(settings: &Settings) -> Result<(), Problem> {
        if settings.to.is_empty() {
            return Err(Problem::new("to", "must name at least one address"));
        }
        for (index, address) in settings.to.iter().enumerate() {
            envelope::check_address(address).map_err(|text| Problem::new(&format!("to[{index}]"), text))?;
        }
        match (settings.mode, &settings.from, &settings.subject) {
            (Mode::Wrap, None, _) => {
                Err(Problem::new("from", "mode = \"wrap\" needs the address the new message is from"))
            }
            (Mode::Wrap, Some(from), _) => {
                envelope::check_address(from).map_err(|text| Problem::new("from", text))
            }
            (Mode::Redirect, Some(_), _) => Err(Problem::new(
                "from",
                "a redirected message keeps its own From: remove from, or set mode = \"wrap\"",
            )),
            (Mode::Redirect, None, Some(_)) => Err(Problem::new(
                "subject",
                "a redirected message keeps its own Subject: remove subject, or set mode = \"wrap\"",
            )),
            (Mode::Redirect, None, None) => Ok(()),
        }
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        if route::is_bounce(message) {
            log::warn(
                "not forwarded: a bounce",
                &[("reason", &"its Return-Path is <>"), ("sink", &settings.sink)],
            );
            effects::label("bounce")?;
            return Ok(());
        }
        let route = route::of(message, settings)?;
        if let Some(found) = route::looped(message, &route) {
            let reason = match found {
                Loop::SameRoute => "it was forwarded to the same destination before",
                Loop::TooManyForwards => "it was forwarded too often",
                Loop::TooManyHops => "it has too many Received fields",
            };
            log::warn("not forwarded: a mail loop", &[("reason", &reason), ("sink", &settings.sink)]);
            effects::label("loop")?;
            return Ok(());
        }
        match settings.mode {
            Mode::Redirect => redirect(message, settings, &route)?,
            Mode::Wrap => {
                let wrapped = wrap::wrap(message, settings, &route)?;
                effects::send(&settings.sink, &settings.to, &wrapped)?;
            }
        }
        log::info("forwarded", &[("sink", &settings.sink), ("recipients", &settings.to.len())]);
        Ok(())
    }
}

fn redirect(message: &Message, settings: &Settings, route: &str) -> Result<(), Fault> {
    effects::forward(&settings.sink, &settings.to).header(route::FIELD, route::mark(message, route)).queue()
}

postroom_sdk::export!(Forward);

#[cfg(test)]
mod tests;
