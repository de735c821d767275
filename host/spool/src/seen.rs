//! The rows of the ledger as they are told and changed: what was seen in a maildrop, how that came to be, what the
//! server renamed, what it would not give out. Plain data; the rules over it are in `judge`.

use postroom_mail::{Digest, MessageId, Timestamp, Uid};
use serde::{Deserialize, Serialize};

use crate::ledger::Listed;

/// An entry to be marked as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its unique-id.
    pub uid: Uid,
    /// Which of several with that unique-id, from 0.
    pub ordinal: u32,
    /// Its listed size in octets, when it is known.
    pub size: Option<u64>,
    /// When it was first seen, when that is known; else it is now.
    pub at: Option<Timestamp>,
}

/// How a row of the ledger came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// Its message was retrieved under this unique-id.
    Retrieved,
    /// It was listed, and marked as seen without being retrieved.
    Seeded,
    /// Another program's state said so. The server may not have it any more.
    Imported,
    /// It was known under another unique-id before.
    Adopted,
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRow {
    /// Its unique-id.
    pub uid: Uid,
    /// Which of several with that unique-id, from 0.
    pub ordinal: u32,
    /// The size in octets as it was last listed, when the server gave one.
    pub size: Option<u64>,
    /// When it was first seen.
    pub at: Timestamp,
    /// How it came to be.
    pub by: SeenBy,
    /// Its message, when that was retrieved.
    pub message: Option<MessageId>,
    /// Fingerprint of its header, when the caller gave one.
    pub header: Option<Digest>,
    /// When its deletion at the server was confirmed.
    pub removed: Option<Timestamp>,
    /// In how many complete listings in a row it was missing; counted up to [`ABSENCES`].
    pub absent: u32,
}

/// So many complete listings in a row must miss an entry before it may be forgotten. More are not counted, so that a
/// poll in which nothing changed writes nothing.
pub const ABSENCES: u32 = 3;

/// The server gave a known message a new unique-id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The unique-id and the ordinal it is known under.
    pub from: (Uid, u32),
    /// As it is listed now.
    pub to: Listed,
}

/// What the ledger is to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Everything of the account.
    All,
    /// Every entry with this unique-id.
    Uid(Uid),
}

/// What a trusted listing told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Deletions of uncertain outcome that happened.
    pub removed: u64,
    /// Deletions of uncertain outcome that did not.
    pub still_listed: u64,
    /// Rows that were absent so long that they are forgotten.
    pub forgotten: u64,
}

/// An entry whose retrieval failed, perhaps more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stumble {
    /// Its unique-id.
    pub uid: Uid,
    /// Which of several with that unique-id, from 0.
    pub ordinal: u32,
    /// How often, since it last went well.
    pub times: u32,
    /// When for the first time.
    pub first: Timestamp,
    /// When for the last time.
    pub last: Timestamp,
    /// What happened the last time.
    pub reason: String,
}

/// A note of [`crate::Spool::learn`] has at most so many octets.
pub const NOTE: usize = 64 << 10;
