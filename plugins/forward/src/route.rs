//! The way a message goes, and how to tell that it has gone it before.
//!
//! The mark has no key. Whoever forges one can only keep a message of his own from being forwarded, which he could do as
//! well by not sending it: the mark in somebody else's message is out of his reach. A key would not keep a relay from
//! stripping the mark either; the Received count stops that loop. So a keyed mark would need a secret, which plugins do
//! not have, and would protect nothing.

use postroom_sdk::{Fault, Message, Writer};

use crate::settings::{Settings, is_one_of};

/// The trace field: the message's id and the route it took, no name of an account or a sink.
pub(crate) const FIELD: &str = "X-Postroom-Forwarded";
/// Most forwards of one message by hosts of this kind.
const FORWARDS: usize = 10;
/// Longest mark that a wrapping message carries on, octets; one of ours has 88.
const MARK_OCTETS: usize = 199;
/// Most Received fields; RFC 5321 section 6.3 suggests 100 for relays, and this host is at the end of the way.
const HOPS: usize = 50;

/// Why a message is not forwarded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loop {
    SameRoute,
    /// All recipients had it before.
    Delivered,
    TooManyForwards,
    TooManyHops,
}

/// A fingerprint of account and recipients, 16 hexadecimal digits. The host computes it; the plugin needs no hash of
/// its own.
pub(crate) fn of(message: &Message, settings: &Settings) -> Result<String, Fault> {
    let mut recipients: Vec<String> = settings.to.iter().map(|to| to.to_ascii_lowercase()).collect();
    recipients.sort_unstable();
    recipients.dedup();
    let mut writer = Writer::new();
    writer.write(format!("{}\n{}", message.account(), recipients.join("\n")).as_bytes())?;
    let mut digest = writer.finish()?.sha256();
    digest.truncate(16);
    Ok(digest)
}

/// The value of the trace field.
pub(crate) fn mark(message: &Message, route: &str) -> String {
    format!("{}; route={route}", message.id())
}

/// Marks of earlier forwards, for the wrapping message to carry on: without them its receiver could not tell a loop.
pub(crate) fn earlier(message: &Message) -> Vec<String> {
    let fits = |mark: &String| {
        (1..=MARK_OCTETS).contains(&mark.len()) && mark.bytes().all(|octet| (b' '..=b'~').contains(&octet))
    };
    message
        .header_all(FIELD)
        .into_iter()
        .map(|mark| mark.trim().to_owned())
        .filter(fits)
        .take(FORWARDS)
        .collect()
}

/// Whether it has the null reverse-path (RFC 5321 section 4.4): the last delivery wrote the topmost one.
pub(crate) fn is_bounce(message: &Message) -> bool {
    let path = message.header_raw("Return-Path").into_iter().next();
    path.is_some_and(|path| path.iter().filter(|octet| !octet.is_ascii_whitespace()).eq(b"<>"))
}

/// Whether the message has gone this way before, or too many ways.
pub(crate) fn looped(message: &Message, route: &str) -> Option<Loop> {
    let marks = message.header_all(FIELD);
    let same = |mark: &String| mark.rsplit_once("route=").is_some_and(|(_, taken)| taken.trim() == route);
    if marks.iter().any(same) {
        Some(Loop::SameRoute)
    } else if marks.len() >= FORWARDS {
        Some(Loop::TooManyForwards)
    } else if message.header_all("Received").len() > HOPS {
        Some(Loop::TooManyHops)
    } else {
        None
    }
}

/// The recipients that the message was not delivered to before, by its Delivered-To fields: each of them stands for a
/// mailbox on its way here.
pub(crate) fn unvisited(message: &Message, to: &[String]) -> Vec<String> {
    let visited = message.header_all("Delivered-To");
    let visited: Vec<String> =
        visited.iter().map(|path| path.trim().trim_matches(['<', '>']).to_owned()).collect();
    to.iter().filter(|to| !is_one_of(to, &visited)).cloned().collect()
}
