//! Owns what one session sees of its maildrop and how a message looks on the wire. Must not do IO.

use std::sync::Arc;

use super::fault::Fault;
use super::store::Lock;
use crate::faults::Faults;

/// The transaction state: the lock and a fixed numbering of the messages (RFC 1939 section 5).
#[derive(Debug)]
pub(super) struct Listing {
    lock: Lock,
    entries: Vec<Entry>,
    hide_retrieved: bool,
}

/// One message as the session sees it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) ordinal: u64,
    /// What UIDL tells, which a fault may have made wrong.
    pub(super) shown_uidl: String,
    /// What LIST and STAT tell, which a fault may have made wrong.
    pub(super) shown_size: u64,
    /// The identifier it has in the account.
    pub(super) uidl: String,
    pub(super) octets: Arc<[u8]>,
    pub(super) deleted: bool,
    pub(super) retrieved: bool,
}

impl Listing {
    /// Numbers the messages of a locked maildrop, with the faults that concern the numbering.
    pub(super) fn open(lock: Lock, faults: &Faults<Fault>) -> Self {
        let empty = faults.take(|fault| matches!(fault, Fault::EmptyListing).then_some(())).is_some();
        let stored = if empty { Vec::new() } else { lock.account().messages() };
        let entry = |message: &super::store::Stored| {
            let size = faults.take(|fault| match fault {
                Fault::WrongSize { message: ordinal, size } if *ordinal == message.ordinal => Some(*size),
                _ => None,
            });
            let twin = faults.take(|fault| match fault {
                Fault::DuplicateUidl { message: ordinal, of } if *ordinal == message.ordinal => Some(*of),
                _ => None,
            });
            let twin = twin.and_then(|of| stored.iter().find(|other| other.ordinal == of));
            Entry {
                ordinal: message.ordinal,
                shown_uidl: twin.unwrap_or(message).uidl.clone(),
                shown_size: size.unwrap_or_else(|| served_size(&message.octets)),
                uidl: message.uidl.clone(),
                octets: Arc::clone(&message.octets),
                deleted: false,
                retrieved: false,
            }
        };
        let entries = stored.iter().map(entry).collect();
        let hide_retrieved =
            faults.take(|fault| matches!(fault, Fault::HideRetrieved).then_some(())).is_some();
        Self { lock, entries, hide_retrieved }
    }

    pub(super) fn account(&self) -> &str {
        self.lock.account().name()
    }

    /// The messages not marked deleted, with their numbers.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| !entry.deleted).map(|(at, entry)| (at + 1, entry))
    }

    /// The message an argument names, unless it is marked deleted.
    pub(super) fn entry(&mut self, argument: &[u8]) -> Option<(usize, &mut Entry)> {
        let number: usize = std::str::from_utf8(argument).ok()?.parse().ok()?;
        let entry = self.entries.get_mut(number.checked_sub(1)?)?;
        if entry.deleted { None } else { Some((number, entry)) }
    }

    pub(super) fn reset(&mut self) {
        for entry in &mut self.entries {
            entry.deleted = false;
        }
    }

    /// The update state: removes what is marked and returns those UIDLs.
    pub(super) fn commit(&self) -> Vec<String> {
        let uidls = |wanted: fn(&Entry) -> bool| -> Vec<String> {
            self.entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.uidl.clone()).collect()
        };
        if self.hide_retrieved {
            self.lock.account().remove(&uidls(|entry| entry.retrieved && !entry.deleted));
        }
        let deleted = uidls(|entry| entry.deleted);
        self.lock.account().remove(&deleted);
        deleted
    }
}

/// The size told for a message: its octets, with the CRLF that serving adds if it ends without one.
fn served_size(octets: &[u8]) -> u64 {
    let added = if octets.is_empty() || octets.ends_with(b"\r\n") { 0 } else { 2 };
    (octets.len() + added) as u64
}

/// The message as a multi-line response without its first and last line: dots stuffed (RFC 1939 section 3), closed
/// with CRLF. Only CRLF ends a line here, so a bare LF followed by a dot stays as it is.
pub(super) fn stuffed(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 64 + 2);
    let mut rest = octets;
    while !rest.is_empty() {
        if rest[0] == b'.' {
            out.push(b'.');
        }
        let end = rest.windows(2).position(|pair| pair == b"\r\n").map_or(rest.len(), |at| at + 2);
        out.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The header, the empty line after it and the first lines of the body (TOP, RFC 1939 section 7).
pub(super) fn top(octets: &[u8], lines: usize) -> &[u8] {
    let Some(header) = octets.windows(4).position(|four| four == b"\r\n\r\n") else { return octets };
    let mut end = header + 4;
    for _ in 0..lines {
        match octets[end..].windows(2).position(|pair| pair == b"\r\n") {
            Some(at) => end += at + 2,
            None => return octets,
        }
    }
    &octets[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_stuffed_after_crlf_only_and_the_end_is_a_line_end() {
        assert_eq!(stuffed(b".a\r\n.\r\n..b\r\nc.\r\n"), b"..a\r\n..\r\n...b\r\nc.\r\n");
        assert_eq!(stuffed(b"a\n.b"), b"a\n.b\r\n");
        assert_eq!(stuffed(b""), b"");
        assert_eq!((served_size(b""), served_size(b"a"), served_size(b"a\r\n")), (0, 3, 3));
    }

    #[test]
    fn top_gives_the_header_and_so_many_lines() {
        let message = b"A: b\r\nC: d\r\n\r\none\r\ntwo\r\nthree";
        assert_eq!(top(message, 0), b"A: b\r\nC: d\r\n\r\n");
        assert_eq!(top(message, 2), b"A: b\r\nC: d\r\n\r\none\r\ntwo\r\n");
        assert_eq!(top(message, 9), message);
    }
}
