//! Where a message came from.

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, Digest, MessageId, Uid};
use crate::time::Timestamp;

/// What is known of a retrieved message besides its octets. Written once, at retrieval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The maildrop it was in.
    pub account: AccountId,
    /// Its unique-id there.
    pub uid: Uid,
    /// Which of several messages with that unique-id in one listing, from 0.
    pub ordinal: u32,
    /// SHA-256 of the raw octets.
    pub digest: Digest,
    /// Length of the raw octets.
    pub size: u64,
    /// When the last octet arrived.
    pub retrieved: Timestamp,
}

impl Provenance {
    /// The id of the message.
    pub fn message(&self) -> MessageId {
        MessageId::derive(&self.account, &self.uid, self.ordinal, &self.digest)
    }
}
