//! The way a forwarded message goes, and how to tell that it has gone it before. The field is that of the plugin `forward`,
//! so that each knows what the other sent on.

use postroom_sdk::{Fault, Message, Writer};

/// The trace field: the message's id and the route it took, no name of an account or a sink.
pub(crate) const FIELD: &str = "X-Postroom-Forwarded";
/// Most forwards of one message by hosts of this kind.
const FORWARDS: usize = 10;
/// Most Received fields; RFC 5321 section 6.3 suggests 100 for relays, and this host is at the end of the way.
const HOPS: usize = 50;

/// A fingerprint of account and recipients, 16 hexadecimal digits. The host computes it.
pub(crate) fn of(message: &Message, to: &[String]) -> Result<String, Fault> {
    let mut recipients: Vec<String> = to.iter().map(|to| to.to_ascii_lowercase()).collect();
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

/// Whether it has the null reverse-path (RFC 5321 section 4.4): the last delivery wrote the topmost one.
pub(crate) fn is_bounce(message: &Message) -> bool {
    let path = message.header_raw("Return-Path").into_iter().next();
    path.is_some_and(|path| path.iter().filter(|octet| !octet.is_ascii_whitespace()).eq(b"<>"))
}

/// Whether the message has gone this way before, or too many ways.
pub(crate) fn is_loop(message: &Message, route: &str) -> bool {
    let marks = message.header_all(FIELD);
    let same = |mark: &String| mark.rsplit_once("route=").is_some_and(|(_, taken)| taken.trim() == route);
    marks.iter().any(same) || marks.len() >= FORWARDS || message.header_all("Received").len() > HOPS
}
