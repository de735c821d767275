//! Owns cutting a state file into numbered lines and counting those that are damaged. Must not know a format.

use crate::{Foreign, How, Mailbox};

/// How many damaged lines are described; the others are counted.
const DESCRIBED: usize = 20;

/// What a state file holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// The good lines, in their order.
    pub entries: Vec<Foreign>,
    /// The first 20 damaged lines.
    pub bad: Vec<BadLine>,
    /// How many damaged lines there are in all.
    pub bad_count: usize,
}

/// A line that was left out; its mail will be retrieved again unless the file is mended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Reading {
    /// Only what belongs to the mailbox; entries that name none are kept, since the file is then one mailbox's.
    #[must_use]
    pub fn of(mut self, wanted: &Mailbox) -> Self {
        self.entries.retain(|entry| entry.mailbox.as_ref().is_none_or(|mailbox| mailbox.is(wanted)));
        self
    }

    /// The mailboxes named in it, each once.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<&Mailbox> {
        let mut seen = std::collections::HashSet::new();
        let named = self.entries.iter().filter_map(|entry| entry.mailbox.as_ref());
        named.filter(|mailbox| seen.insert(*mailbox)).collect()
    }

    pub(crate) fn good(&mut self, mailbox: Option<Mailbox>, uid: &[u8], seen: Option<i64>, how: How) {
        self.entries.push(Foreign { mailbox, uid: uid.to_vec(), ordinal: None, size: None, seen, how });
    }

    pub(crate) fn bad(&mut self, line: usize, why: &'static str) {
        self.bad_count += 1;
        if self.bad.len() < DESCRIBED {
            self.bad.push(BadLine { line, why });
        }
    }
}

/// A line without its end.
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) octets: &'a [u8],
    /// Whether it ended with a line feed. Without, a crash or a full disk may have cut it, and a cut unique-id may be
    /// that of another mail.
    pub(crate) ended: bool,
}

/// The lines of a file, with LF or CRLF.
pub(crate) fn lines(octets: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let whole = octets.split_inclusive(|octet| *octet == b'\n');
    whole.enumerate().map(|(index, line)| {
        let ended = line.ends_with(b"\n");
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Line { number: index + 1, octets: line.strip_suffix(b"\r").unwrap_or(line), ended }
    })
}

pub(crate) const CUT: &str = "the file ends within this line; its mail may be retrieved again";

pub(crate) fn number<N: std::str::FromStr>(octets: &[u8]) -> Option<N> {
    std::str::from_utf8(octets).ok()?.parse().ok()
}

pub(crate) fn text(octets: &[u8]) -> Option<String> {
    String::from_utf8(octets.to_vec()).ok().filter(|text| !text.is_empty())
}

/// Before and after the first such octet.
pub(crate) fn split_once(octets: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = octets.iter().position(|octet| *octet == at)?;
    Some((&octets[..place], &octets[place + 1..]))
}
