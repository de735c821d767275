//! The ledger's terms for one poll: what a server listed, what of it is new or in doubt, the proof that an entry may be
//! deleted, and why another may not. What a row of the ledger is, is in `seen`.

use std::fmt;
use std::time::Duration;

use postroom_mail::{AccountId, MessageId, Timestamp, Uid};
use serde::{Deserialize, Serialize};

/// One entry of the current session's listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its unique-id.
    pub uid: Uid,
    /// Which of several with that unique-id, from 0.
    pub ordinal: u32,
    /// Its size in octets as the server says, when it says one; servers round and lie.
    pub size: Option<u64>,
}

/// A listing held against the ledger. Every entry of the listing is counted once: new, doubtful or known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Indexes into the listing of entries that were never seen here, or whose message was removed since.
    pub new: Vec<usize>,
    /// Of these, the indexes of entries whose message was removed and whose size is still the same: the server may have kept
    /// it, or brought it back.
    pub returned: Vec<usize>,
    /// Indexes of entries whose unique-id is known, but whose listed size is not the one last listed (or, when none was
    /// recorded, not near the size of the message stored here): another message may be behind it (RFC 1939 section 7 is
    /// broken by some servers). An entry without a size is never doubtful.
    pub doubtful: Vec<usize>,
    /// How many are known and not doubtful.
    pub known: u64,
    /// Rows of the ledger that were in the last recorded listing and are not in this one. Those that were removed, or
    /// are being deleted, are not counted.
    pub vanished: u64,
    /// Nothing is known of this account: no row of the ledger, no successful poll ever.
    pub first: bool,
}

/// When mail may be deleted at the server. The default is never. All given conditions must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletePolicy {
    /// Leave it there.
    #[default]
    Never,
    /// Durable here is enough, whatever becomes of it: for servers without unique-ids, and for operators who want an
    /// empty maildrop.
    Spooled {
        /// Since retrieval.
        after: Duration,
    },
    /// So long after retrieval, once every required effect has its receipt.
    Done {
        /// Since retrieval.
        after: Duration,
        /// The newest so many of the listing stay; the last of the listing is the newest.
        #[serde(default)]
        keep: Option<u64>,
        /// Only while the maildrop holds more than so many octets, oldest first.
        #[serde(default)]
        over: Option<u64>,
    },
}

/// Proof that one entry of the current listing may be deleted at the server. Only a spool makes one.
#[derive(Debug)]
pub struct Removable {
    pub(crate) account: AccountId,
    pub(crate) uid: Uid,
    pub(crate) ordinal: u32,
    /// As it was listed.
    pub(crate) size: Option<u64>,
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

/// What of a listing may be deleted, and why the rest may not. Every entry is in exactly one of the two.
#[derive(Debug, Default)]
pub struct Removals {
    /// Proofs, in the order of the listing.
    pub removable: Vec<Removable>,
    /// The others, in the order of the listing.
    pub kept: Vec<Kept>,
}

/// An entry of the listing that may not be deleted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Index of the entry in the listing.
    pub index: usize,
    /// The first reason found.
    pub why: Why,
}

/// Why an entry may not be deleted at the server now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nothing is known of it.
    NotRetrieved,
    /// It was seeded or imported, never retrieved by this spool.
    NoCopyHere,
    /// The pipeline, or a required effect, is not through with it.
    Waiting,
    /// It is done, or discarded with a required copy let go of, but nothing required carried the whole message away.
    NoCopy,
    /// It was set aside.
    Quarantined,
    /// The operator dropped it, and can still take it back.
    Dropped,
    /// The policy's time since retrieval is not over.
    TooYoung {
        /// When it is.
        until: Timestamp,
    },
    /// It is one of the newest, which the policy keeps.
    AmongNewest,
    /// The maildrop is not larger than the policy allows.
    NotOver,
    /// The listed size is not the one recorded, nor near the stored one: it may be another message.
    SizeDiffers,
    /// Its unique-id is shared, and one of those that share it may not go.
    SharedId,
    /// The policy is to delete nothing.
    PolicyNever,
    /// Its deletion was confirmed already: what shows there now has to be retrieved first.
    Removed,
    /// It is old enough only by a clock that is days ahead of the last poll.
    ClockJumped,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRetrieved => "it was not retrieved yet",
            Self::NoCopyHere => "it was marked as seen without being retrieved, so there is no copy here",
            Self::Waiting => "the pipeline or a required sink is not through with it yet",
            Self::NoCopy => "no required sink has a copy of the whole message",
            Self::Quarantined => "it is in quarantine",
            Self::Dropped => "it was dropped by the operator, who can still take it back",
            Self::TooYoung { .. } => "the time to keep it after retrieval is not over yet",
            Self::AmongNewest => "it is one of the newest messages, which are kept",
            Self::NotOver => "the maildrop is not over the size from which on mail is deleted",
            Self::SizeDiffers => "the server lists it with another size than before, so it may be another message",
            Self::SharedId => "other messages share its unique-id, and not all of them may be deleted",
            Self::PolicyNever => "the account is set to delete nothing",
            Self::Removed => "its deletion was confirmed before, so what is there now has to be retrieved first",
            Self::ClockJumped => {
                "the clock is days ahead of the last poll, so nothing is deleted for its age until the next one"
            }
        })
    }
}

/// What would become of one place that a message has in a maildrop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// The unique-id there.
    pub uid: Uid,
    /// Which of several with it, from 0.
    pub ordinal: u32,
    /// In how many complete listings in a row it was missing.
    pub absent: u32,
    /// When its deletion was confirmed.
    pub removed: Option<Timestamp>,
    /// Why it may not be deleted; `None` when it may.
    pub kept: Option<Why>,
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
    /// The listing is not trusted, so nothing was done about it. Says nothing about failures.
    Held {
        /// What is odd about it, and what to do.
        reason: String,
    },
}
