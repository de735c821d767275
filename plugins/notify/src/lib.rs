//! Tells somebody that mail came: at once for each message, or gathered in a digest.
//!
//! A notice is a mail of its own through an smtp sink, or a JSON document in an object sink. It is never sent to the sender
//! of what it tells of, and nothing is told of notices, automatic replies and bounces: two hosts that tell each other would
//! never end.
//!
//! A plugin has no clock and no timer: it runs when a message comes. So a digest is sent with the first message after its
//! period, and what came after the last digest is told when more comes.

mod compose;
mod gathered;
mod place;
mod text;

use postroom_sdk::prelude::*;
use serde::Deserialize;

use crate::gathered::{Pending, Rate};
use crate::text::Template;

/// The plugin.
#[derive(Debug)]
pub struct Notify;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// An smtp sink for mails, an object sink for JSON.
    pub sink: String,
    /// What a notice is.
    #[serde(default, rename = "as")]
    #[schemars(extend("default" = "mail"))]
    pub form: Form,
    /// Whom a mail is from, a bare address.
    pub from: Option<String>,
    /// Whom a mail goes to, bare addresses.
    #[serde(default)]
    pub to: Vec<String>,
    /// The key of a JSON document.
    pub key: Option<MessageTemplate>,
    /// Subject of a mail.
    pub subject: Option<Template>,
    /// Text of a mail about one message.
    pub text: Option<Template>,
    /// One message in a digest.
    pub line: Option<Template>,
    /// Gathers for so long.
    pub digest: Option<Span>,
    /// Messages that a digest lists; the others are counted.
    #[serde(default = "lines")]
    #[schemars(range(min = 1, max = gathered::LINES))]
    pub max_lines: usize,
    /// Notices about single messages within `per`; the others are counted in the next one.
    #[serde(default = "at_most")]
    #[schemars(range(min = 1))]
    pub at_most: u32,
    /// The time that `at_most` is for.
    #[serde(default = "per")]
    #[schemars(extend("default" = "1h"))]
    pub per: Span,
}

/// What a notice is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Form {
    /// A mail.
    #[default]
    Mail,
    /// A JSON document.
    Json,
}

fn lines() -> usize {
    100
}

fn at_most() -> u32 {
    20
}

fn per() -> Span {
    Span(3600)
}

impl Plugin for Notify {
    type Settings = Settings;
    const NAME: &'static str = "notify";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Tells that mail came, at once or in a digest, by mail or as JSON";

    fn check(settings: &Settings) -> Result<(), Problem> {
        place::check(settings)?;
        if !(1..=gathered::LINES).contains(&settings.max_lines) {
            return Err(Problem::new("max_lines", format!("must be from 1 to {}", gathered::LINES)));
        }
        if settings.at_most == 0 {
            return Err(Problem::new("at_most", "0 would tell nothing; remove the step instead"));
        }
        Ok(())
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        if let Some(reason) = place::untold(message) {
            log::info("not told", &[("reason", &reason)]);
            return Ok(());
        }
        match settings.digest {
            Some(period) => gather(message, settings, period),
            None => tell(message, settings),
        }
    }
}

fn tell(message: &Message, settings: &Settings) -> Result<(), Failure> {
    let to = place::recipients(message, settings);
    if settings.form == Form::Mail && to.is_empty() {
        log::info("not told", &[("reason", &"its sender is the only one to be told")]);
        return Ok(());
    }
    let mut rate = Rate::read(message.received(), settings.per)?;
    if !rate.admits(settings.at_most) {
        log::info("not told", &[("reason", &"at_most is reached; the next notice counts it")]);
        return Ok(rate.keep()?);
    }
    let untold = rate.take();
    match settings.form {
        Form::Mail => compose::mail_of_one(message, settings, &to, untold)?,
        Form::Json => compose::json_of_one(message, settings, untold)?,
    }
    log::info("told", &[("sink", &settings.sink)]);
    Ok(rate.keep()?)
}

fn gather(message: &Message, settings: &Settings, period: Span) -> Result<(), Failure> {
    // One digest goes to all, so what one of them sent is in none.
    if place::recipients(message, settings).len() < settings.to.len() {
        log::info("not told", &[("reason", &"its sender is one to be told")]);
        return Ok(());
    }
    let mut pending = Pending::read(message.received())?;
    pending.add(message, settings);
    if !pending.is_due(message.received(), period) {
        return Ok(pending.keep()?);
    }
    match settings.form {
        Form::Mail => compose::mail_of_many(message, settings, &settings.to, &pending)?,
        Form::Json => compose::json_of_many(message, settings, &pending)?,
    }
    log::info("told", &[("sink", &settings.sink), ("messages", &pending.count())]);
    Ok(Pending::forget()?)
}

postroom_sdk::export!(Notify);

#[cfg(test)]
mod tests;
