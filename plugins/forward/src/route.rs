//! The way a message goes, and how to tell that it has gone it before.

use postroom_sdk::{Fault, Message, Writer};

use crate::Settings;

/// The trace field: the message's id and the route it took, no name of an account or a sink.
pub(crate) const FIELD: &str = "X-Postroom-Forwarded";
/// Most forwards of one message by hosts of this kind.
const FORWARDS: usize = 10;
/// Most Received fields; RFC 5321 section 6.3 suggests 100 for relays, and this host is at the end of the way.
const HOPS: usize = 50;

/// Why a message is not forwarded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loop {
    SameRoute,
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
