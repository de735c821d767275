//! Which messages there are: the scan listing, the unique-ids, and the two joined (RFC 1939
//! sections 5 and 7).
//!
//! Owns the difference between a [`MessageNumber`] (this session) and a [`UniqueId`] (for ever), and
//! the tolerance: what servers get wrong is counted and kept out, it never ends the session. Must not
//! decide what is new; that needs the ledger.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::capability::saturating;
use crate::error::{Unencodable, shown};

/// A message's number in one session. It means another message in the next one, so it can only be
/// had from a listing and cannot be made from a stored number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(NonZeroU32);

impl MessageNumber {
    pub(crate) fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, for logs and for the order of retrieval.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for MessageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message's unique-id: the raw octets the server gave, 1 to 1024 of them. RFC 1939 allows 70 of
/// 0x21 to 0x7E; blanks, 8-bit and longer ones occur. Identical copies may share one.
///
/// A longer one is `sha256:` and the hexadecimal SHA-256 of its octets: cut off, it could equal another
/// one, and left out, its message would be retrieved for ever. The 71 octets of that are more than RFC
/// 1939 allows, so no honest id is the same. A clone shares the octets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueId(Arc<[u8]>);

impl UniqueId {
    /// The most octets kept as they are.
    pub const LIMIT: usize = 1024;

    /// Makes the id again from stored octets.
    pub fn new(octets: Vec<u8>) -> Result<Self, Unencodable> {
        let what = "unique-id";
        match octets.len() {
            0 => Err(Unencodable::Empty { what }),
            length if length > Self::LIMIT => {
                Err(Unencodable::TooLong { what, octets: length, limit: Self::LIMIT })
            }
            _ => Ok(Self(octets.into())),
        }
    }

    /// The id of what a server listed; `None` when that is nothing.
    fn listed(octets: &[u8]) -> Option<Self> {
        match octets.len() {
            0 => None,
            length if length > Self::LIMIT => {
                let digest = crate::sasl::hex(&Sha256::digest(octets));
                Some(Self([b"sha256:", digest.as_slice()].concat().into()))
            }
            _ => Some(Self(octets.into())),
        }
    }

    /// The octets as the server gave them, or what stands for them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UniqueId({self})")
    }
}

impl fmt::Display for UniqueId {
    /// Neutralised and capped, for logs; not unique.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// The reply to `STAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Messages in the maildrop.
    pub count: u64,
    /// Their octets, when the server gave a number; advice, often wrong.
    pub octets: Option<u64>,
}

impl Stat {
    /// Reads the text after `+OK`; `None` without a count.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (count, rest) = split_word(text);
        let (octets, _) = split_word(rest);
        Some(Self { count: saturating(count)?, octets: saturating(octets) })
    }
}

/// Lines of a listing that could not be taken at their word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oddities {
    /// Lines that do not start with a message number, or whose number is 0 or beyond 32 bits.
    pub unreadable: u64,
    /// Lines whose number had been listed before.
    pub repeated: u64,
}

impl Oddities {
    fn any(self) -> bool {
        self != Self::default()
    }
}

/// The reply to `LIST`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanListing {
    sizes: BTreeMap<MessageNumber, Option<u64>>,
    oddities: Oddities,
}

impl ScanListing {
    /// Messages listed, each with its size in octets when it is a number. The size is advice: count
    /// and cap what arrives instead.
    pub fn sizes(&self) -> impl Iterator<Item = (MessageNumber, Option<u64>)> + '_ {
        self.sizes.iter().map(|(&number, &size)| (number, size))
    }

    /// What was wrong with the listing.
    #[must_use]
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    pub(crate) fn read_line(&mut self, line: &[u8]) {
        match numbered(line) {
            Numbered::Blank => {}
            Numbered::Unreadable => self.oddities.unreadable += 1,
            Numbered::Line(number, rest) => match self.sizes.entry(number) {
                Slot::Vacant(slot) => {
                    slot.insert(saturating(split_word(rest).0));
                }
                Slot::Occupied(_) => self.oddities.repeated += 1,
            },
        }
    }
}

/// Why a message has no usable unique-id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoId {
    /// The server left it empty.
    Empty,
    /// The number was listed twice with different ids, so neither can be trusted.
    Conflicting,
}

/// The reply to `UIDL`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UidListing {
    ids: BTreeMap<MessageNumber, Result<UniqueId, NoId>>,
    oddities: Oddities,
}

impl UidListing {
    /// Messages listed, each with its id or the reason it has none.
    pub fn ids(&self) -> impl Iterator<Item = (MessageNumber, Result<&UniqueId, &NoId>)> {
        self.ids.iter().map(|(&number, id)| (number, id.as_ref()))
    }

    /// What was wrong with the listing.
    #[must_use]
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    pub(crate) fn read_line(&mut self, line: &[u8]) {
        match numbered(line) {
            Numbered::Blank => {}
            Numbered::Unreadable => self.oddities.unreadable += 1,
            Numbered::Line(number, rest) => {
                let id = UniqueId::listed(rest).ok_or(NoId::Empty);
                match self.ids.get_mut(&number) {
                    None => {
                        self.ids.insert(number, id);
                    }
                    Some(earlier) => {
                        self.oddities.repeated += 1;
                        if *earlier != id {
                            *earlier = Err(NoId::Conflicting);
                        }
                    }
                }
            }
        }
    }
}

enum Numbered<'l> {
    Blank,
    Unreadable,
    /// The number, and the rest of the line after one run of blanks.
    Line(MessageNumber, &'l [u8]),
}

fn numbered(line: &[u8]) -> Numbered<'_> {
    let (word, rest) = split_word(line);
    if word.is_empty() {
        return Numbered::Blank;
    }
    let number = saturating(word).and_then(|number| u32::try_from(number).ok()).and_then(MessageNumber::new);
    match number {
        Some(number) => Numbered::Line(number, rest),
        None => Numbered::Unreadable,
    }
}

/// The first word, and the rest after the run of blanks and tabs behind it.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = skip_blanks(text);
    let end = text.iter().position(|&octet| is_blank(octet)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, skip_blanks(rest))
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&octet| !is_blank(octet)).unwrap_or(text.len());
    &text[start..]
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// One message that can be told apart from all others and found again in a later session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this session.
    pub number: MessageNumber,
    /// Its size in octets as the server claims it.
    pub size: Option<u64>,
    /// Its unique-id.
    pub uid: UniqueId,
    /// Its place among the messages with the same unique-id, from 0, in the order of their numbers.
    pub ordinal: u32,
}

/// What the maildrop holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// Messages that both `LIST` and `UIDL` name, in the order of their numbers.
    pub entries: Vec<Entry>,
    /// Messages that both name, but without a usable unique-id.
    pub without_id: Vec<(MessageNumber, Option<u64>, NoId)>,
    /// Whether the listing can stand for the whole maildrop: both replies name the same messages,
    /// every one has an id and nothing was odd. Only from a complete listing may it be concluded that
    /// an absent message is gone.
    pub complete: bool,
}

impl Listing {
    /// Also holds the listing against `STAT`; another count makes it incomplete.
    #[must_use]
    pub fn against(mut self, stat: Stat) -> Self {
        if stat.count != (self.entries.len() + self.without_id.len()) as u64 {
            self.complete = false;
        }
        self
    }
}

/// Joins the two replies on the messages both name. Equal ids are numbered, never merged.
#[must_use]
pub fn join(list: &ScanListing, uidl: &UidListing) -> Listing {
    let mut entries = Vec::new();
    let mut without_id = Vec::new();
    let mut copies: BTreeMap<&UniqueId, u32> = BTreeMap::new();
    for (number, id) in uidl.ids() {
        let Some(&size) = list.sizes.get(&number) else { continue };
        match id {
            Ok(uid) => {
                let next = copies.entry(uid).or_default();
                entries.push(Entry { number, size, uid: uid.clone(), ordinal: *next });
                *next += 1;
            }
            Err(reason) => without_id.push((number, size, reason.clone())),
        }
    }
    let complete = without_id.is_empty()
        && entries.len() == list.sizes.len()
        && entries.len() == uidl.ids.len()
        && !list.oddities.any()
        && !uidl.oddities.any();
    Listing { entries, without_id, complete }
}

#[cfg(test)]
mod tests;
