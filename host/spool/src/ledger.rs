//! The ledger's terms: what a server listed, what of it is new, and the proof that an entry may be deleted.

use std::time::Duration;

use postroom_mail::{AccountId, MessageId, Uid};
use serde::{Deserialize, Serialize};

/// One entry of the current session's listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its unique-id.
    pub uid: Uid,
    /// Which of several with that unique-id, from 0.
    pub ordinal: u32,
    /// Its size as the server says; servers round and lie.
    pub size: u64,
}

/// A listing held against the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Indexes into the listing of entries that were never admitted.
    pub new: Vec<usize>,
    /// How many were admitted before.
    pub known: u64,
}

/// When mail may be deleted at the server. The default is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletePolicy {
    /// Leave it there.
    #[default]
    Never,
    /// So long after retrieval, once every required effect has its receipt.
    Done {
        /// Since retrieval.
        after: Duration,
    },
}

/// Proof that one entry of the current listing may be deleted at the server. Only a spool makes one.
#[derive(Debug)]
pub struct Removable {
    pub(crate) account: AccountId,
    pub(crate) uid: Uid,
    pub(crate) ordinal: u32,
    pub(crate) message: MessageId,
    /// Index of the entry in the listing it was proved for.
    pub(crate) index: usize,
}

impl Removable {
    /// Index of the entry in the listing that was given to [`crate::Spool::removable`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whose maildrop it is in.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The unique-id of the entry, and which of several with it.
    pub fn uid(&self) -> (&Uid, u32) {
        (&self.uid, self.ordinal)
    }

    /// The message that is durable here.
    pub fn message(&self) -> MessageId {
        self.message
    }
}

/// How a poll ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// The session ended with `QUIT` and its `+OK`.
    Complete {
        /// Entries in the listing.
        listed: u64,
    },
    /// It did not.
    Failed {
        /// What happened, whose fault it is.
        reason: String,
    },
}
