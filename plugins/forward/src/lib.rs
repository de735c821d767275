//! Sends every message on: as it is, or wrapped in a message of its own.
//!
//! *redirect* gives the same octets to new recipients, with trace fields on top; signatures of the sender stay valid.
//! *wrap* makes a new message from the operator's own address, with the original attached: for relays that insist on
//! a From of theirs, and for senders whose domain forbids redirecting. *auto* chooses, see [`choice`].
//!
//! All mark what they send with `X-Postroom-Forwarded` and refuse what already bears the mark of the same account and
//! destination, so two hosts that forward to each other stop after one round. A refused message is labelled `loop`.
//! A bounce (RFC 5321 section 4.5.5) is not forwarded either but labelled `bounce`: if its forwarding failed, the bounce
//! of the bounce would come here again.
//!
//! It must not choose recipients from the message: they are the operator's alone.

mod auth;
mod choice;
mod delivered;
mod envelope;
mod settings;
mod wrap;

use postroom_sdk::prelude::*;
use postroom_sdk::route::{self, Route};

use crate::choice::{Choice, Way};
pub use crate::settings::{Mode, Oversize, Settings, Unknown};

/// The plugin.
#[derive(Debug)]
pub struct Forward;

impl Plugin for Forward {
    type Settings = Settings;
    const NAME: &'static str = "forward";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Sends every message on to other addresses";

    fn check(settings: &Settings) -> Result<(), Problem> {
        settings::check(settings)
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
        let route = Route::of(message, &settings.to)?;
        if let Some(found) = route.looped(message) {
            return looped(&found.to_string(), settings);
        }
        let to = delivered::unvisited(message, &settings.to);
        if to.is_empty() {
            return looped("it was delivered to every recipient before, says Delivered-To", settings);
        }
        if to.len() < settings.to.len() {
            let left_out = settings.to.len() - to.len();
            log::warn("left out recipients that had the message before", &[("recipients", &left_out)]);
        }
        match settings.max_size {
            Some(most) if message.size() > most.0 => oversize(message, settings, &to, &route, most),
            _ => forward(message, settings, &to, &route),
        }
    }
}

fn looped(reason: &str, settings: &Settings) -> Result<(), Failure> {
    log::warn("not forwarded: a mail loop", &[("reason", &reason), ("sink", &settings.sink)]);
    effects::label("loop")?;
    Ok(())
}

fn forward(message: &Message, settings: &Settings, to: &[String], route: &Route) -> Result<(), Failure> {
    let choice = choice::choose(message, settings);
    match choice.way() {
        Way::Redirect => redirect(message, settings, to, route)?,
        Way::Wrap => effects::send(&settings.sink, to, &wrap::wrap(message, settings, to, route)?)?,
    }
    match choice {
        Choice::Set(_) => {
            log::info("forwarded", &[("sink", &settings.sink), ("recipients", &to.len())]);
        }
        Choice::Made(way, why) => {
            effects::label(way.label())?;
            let decision = format!("{}: {why}", way.label());
            log::info(
                "forwarded",
                &[("sink", &settings.sink), ("recipients", &to.len()), ("decision", &decision)],
            );
        }
    }
    Ok(())
}

fn redirect(message: &Message, settings: &Settings, to: &[String], route: &Route) -> Result<(), Fault> {
    let mut forward = effects::forward(&settings.sink, to).header(route::FIELD, route.mark(message));
    // One block, in one order, above what is there (RFC 5322 section 3.6.6).
    if let (true, Some(from)) = (settings.resent, &settings.from) {
        forward = forward
            .header("Resent-From", from)
            .header("Resent-To", to.join(", "))
            .header("Resent-Date", message.received().rfc5322())
            .header("Resent-Message-ID", wrap::message_id(message, from, route));
    }
    forward.queue()
}

fn oversize(
    message: &Message,
    settings: &Settings,
    to: &[String],
    route: &Route,
    most: Size,
) -> Result<(), Failure> {
    let reason = format!("{} octets are more than max_size, {most}", message.size());
    log::warn("not forwarded: too large", &[("reason", &reason), ("sink", &settings.sink)]);
    match settings.oversize.unwrap_or_default() {
        Oversize::Quarantine => effects::quarantine(&format!("too large to forward: {reason}"))?,
        Oversize::Notice => {
            effects::send(&settings.sink, to, &wrap::notice(message, settings, to, route, most)?)?;
            effects::label("too-large")?;
        }
        Oversize::Skip => effects::label("too-large")?,
    }
    Ok(())
}

postroom_sdk::export!(Forward);

#[cfg(test)]
mod tests;
