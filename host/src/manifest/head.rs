//! The head of a day: how its chain ends, signed. One file: a line of JSON, then the signature of that line and its line
//! end, as `minisign` writes it; so both appear, and are replaced, at once.

use postroom_mail::{Digest, Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::io;

use super::day::{Day, written};
use super::key::{PublicKeys, SigningKey};
use super::{Book, Tail};

/// How a day of a manifest ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// 1.
    pub v: u32,
    /// Of which sink.
    pub sink: Name,
    /// Of which day.
    pub day: Day,
    /// The day is over: no line comes after these.
    pub closed: bool,
    /// Lines of the day so far.
    pub lines: u64,
    /// Number of the last one.
    pub seq: u64,
    /// Its digest.
    pub last: Digest,
    /// The head before this one.
    pub previous: Option<Previous>,
    /// When it was signed.
    pub time: String,
    /// The public key, as `minisign -P` takes it.
    pub key: String,
}

/// The head before another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its day.
    pub day: Day,
    /// The digest of its line of JSON, with the line end.
    pub hash: Digest,
}

/// A head as it lies there.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What it says.
    pub head: Head,
    /// The digest of its line.
    pub hash: Digest,
    line: Vec<u8>,
    signature: String,
}

impl Signed {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(octets: &[u8]) -> Result<Self, String> {
        let end = octets.iter().position(|octet| *octet == b'\n').ok_or("it has no second line")?;
        let (line, signature) = octets.split_at(end + 1);
        let head = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let signature = String::from_utf8(signature.to_vec()).map_err(|_| "its signature is no text")?;
        Ok(Self { head, hash: Digest::of(line), line: line.to_vec(), signature })
    }

    /// Whether one of these keys signed it.
    pub fn is_by(&self, keys: &PublicKeys) -> bool {
        keys.made(&self.signature, &self.line)
    }
}

/// Signs where the chain stands, unless that is signed already. The caller holds the book's lock.
///
/// # Errors
/// When the book cannot be read or written.
pub(super) fn sign(
    book: &Book,
    sink: &Name,
    tail: &Tail,
    closed: bool,
    key: &SigningKey,
    now: Timestamp,
) -> io::Result<()> {
    let Some(day) = tail.day else { return Ok(()) };
    let there = book.head(day)?.and_then(|octets| Signed::read(&octets).ok());
    if there.is_some_and(|there| there.head.closed || (!closed && there.head.last == tail.hash)) {
        return Ok(());
    }
    let previous = match book.heads()?.into_iter().rev().find(|other| *other < day) {
        Some(before) => book.head(before)?.map(|octets| {
            let line = octets.split_inclusive(|octet| *octet == b'\n').next().unwrap_or_default();
            Previous { day: before, hash: Digest::of(line) }
        }),
        None => None,
    };
    let head = Head {
        v: 1,
        sink: sink.clone(),
        day,
        closed,
        lines: tail.seq + 1 - tail.first,
        seq: tail.seq,
        last: tail.hash,
        previous,
        time: written(now),
        key: key.public(),
    };
    let mut octets = serde_json::to_vec(&head)?;
    octets.push(b'\n');
    let signature = key.sign(&octets, &format!("postroom manifest of {sink}, {day}"))?;
    octets.extend_from_slice(signature.trim_end().as_bytes());
    octets.push(b'\n');
    book.replace(&day.head(), &octets)
}
