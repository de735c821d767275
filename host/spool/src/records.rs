//! What the spool hands out and takes in, as plain data.

use postroom_mail::{
    AccountId, Digest, Effect, EffectId, Label, MessageId, Name, Provenance, StepTrace, Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::body::Sealed;

/// A message that was retrieved whole and waits to be admitted.
#[derive(Debug)]
pub struct Arrival {
    /// Where it came from; size and digest are the sealed body's.
    pub provenance: Provenance,
    /// Its octets.
    pub body: Sealed,
    /// Fingerprint of its header, made by the caller: what [`crate::Spool::resembling`] looks for.
    pub header: Option<Digest>,
    /// Its size in octets as it was listed, when the server gave one.
    pub listed: Option<u64>,
}

/// The answer to an arrival, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its id.
    pub message: MessageId,
    /// `false` when it was there already.
    pub new: bool,
}

/// Where a message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageState {
    /// Durable here, waiting for the pipeline (perhaps again).
    Spooled,
    /// In the pipeline now.
    Running,
    /// Its plan is committed, effects are open.
    Planned,
    /// Every effect has a receipt (or, if not required, is parked).
    Done,
    /// Let go by a step that holds the grant.
    Discarded,
    /// Set aside with a reason.
    Quarantined,
}

/// Where an effect is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectState {
    /// Waits, perhaps for its next try.
    Pending,
    /// Being carried out.
    Inflight,
    /// Has a receipt.
    Done,
    /// Set aside with a reason.
    Parked,
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planned {
    /// It holds.
    Committed,
    /// It was decided by a state of a step that is another one by now. Nothing of it happened; the message is due at once.
    Stale,
}

/// A message taken out of the inbox for one run. Not `Clone`: it is settled by exactly one call.
#[derive(Debug)]
#[non_exhaustive]
pub struct MessageLease {
    /// Where it came from.
    pub provenance: Provenance,
    /// Its id.
    pub message: MessageId,
    /// Which attempt this is, from 1; already counted durably.
    pub attempt: u32,
}

/// An effect taken out of the outbox. Not `Clone`.
#[derive(Debug)]
#[non_exhaustive]
pub struct EffectLease {
    /// What to do.
    pub effect: Effect,
    /// For which message.
    pub message: MessageId,
    /// Where that came from.
    pub provenance: Provenance,
    /// Which attempt this is, from 1; already counted durably.
    pub attempt: u32,
    /// Earlier attempts that passed [`Spool::sending`](crate::Spool::sending) and whose outcome nobody knows: each of them
    /// may have happened.
    pub doubts: u32,
}

/// A sink's proof that an effect happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Where it is now, in the sink's terms: a path, a URL-like key, the server's reply.
    pub location: String,
    /// What proves it: a checksum, an ETag, a queue id.
    pub proof: String,
    /// The content was there already (an earlier attempt, or the same octets).
    pub already: bool,
    /// What lies there, of a sink that keeps objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

/// An object as a sink keeps it: after any coding, under the key it got in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its key, below the sink's root or prefix.
    pub key: String,
    /// Its octets.
    pub size: u64,
    /// Their SHA-256; `None` when an earlier attempt, or somebody else, stored it and it was not read again.
    pub digest: Option<Digest>,
}

/// A receipt with what it is for, and its place among all receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipted {
    /// Grows from receipt to receipt, over all sinks. Never used twice by one state.
    pub number: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What was done.
    pub effect: Effect,
    /// Its proof.
    pub receipt: Receipt,
    /// For which message.
    pub message: MessageId,
    /// Where that came from.
    pub provenance: Provenance,
    /// Labels of its plan.
    pub labels: Vec<Label>,
    /// Version and digest of the plugin of the step, as its last run says.
    pub plugin: Option<(String, Digest)>,
}

/// How an attempt at an effect ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It happened.
    Done(Receipt),
    /// Try again.
    Retry {
        /// Not before.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Try again, and do not count this attempt: the sink was at fault, not the effect.
    Hold {
        /// Not before.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Set aside for the operator.
    Park {
        /// Why.
        reason: String,
    },
    /// Nobody knows whether it happened (RFC 1047): the other side was given everything and its answer was lost. Counts
    /// as a doubt.
    Doubt {
        /// Try again, not before; set aside for the operator when `None`.
        at: Option<Timestamp>,
        /// Why.
        reason: String,
    },
}

/// A kind of lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leases {
    /// [`MessageLease`]s.
    Messages,
    /// The same, when only the spool was at fault that their runs are not recorded: those attempts do not count.
    Unrecorded,
    /// [`EffectLease`]s.
    Effects,
}

/// One line of a message's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What happened, in words.
    pub text: String,
}

/// An effect and how far it got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectRecord {
    /// What was to be done.
    pub effect: Effect,
    /// How far it got.
    pub state: EffectState,
    /// How often it was tried.
    pub attempts: u32,
    /// Of those, how many may have happened without anybody knowing.
    pub doubts: u32,
    /// When it is due next, while pending.
    pub due: Option<Timestamp>,
    /// The proof, when done.
    pub receipt: Option<Receipt>,
    /// Why it waits or was parked.
    pub reason: Option<String>,
    /// When the operator let go of it; it is parked then, and blocks nothing.
    pub waived: Option<Timestamp>,
}

/// Everything known of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Its id.
    pub message: MessageId,
    /// Where it came from.
    pub provenance: Provenance,
    /// Where it is.
    pub state: MessageState,
    /// Runs of the pipeline so far.
    pub attempts: u32,
    /// Why it waits or was set aside.
    pub reason: Option<String>,
    /// Labels of its plan.
    pub labels: Vec<Label>,
    /// Verdict of its plan.
    pub verdict: Option<Verdict>,
    /// What each step did.
    pub trace: Vec<StepTrace>,
    /// Its effects in order.
    pub effects: Vec<EffectRecord>,
    /// When the server confirmed its deletion.
    pub removed: Option<Timestamp>,
    /// When the operator dropped it.
    pub dropped: Option<Timestamp>,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

/// Which rows of the queue to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFilter {
    /// Only this account.
    pub account: Option<AccountId>,
    /// Only effects of this sink.
    pub sink: Option<Name>,
    /// At most so many; 0 is no limit.
    pub limit: usize,
}

/// One row of the queue: a message that waits or was set aside, or an effect that does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// The message.
    pub message: MessageId,
    /// Its account.
    pub account: AccountId,
    /// State of the message.
    pub state: MessageState,
    /// The effect, when the row is one.
    pub effect: Option<EffectId>,
    /// State of the effect.
    pub effect_state: Option<EffectState>,
    /// The effect in one line.
    pub summary: Option<String>,
    /// Its sink.
    pub sink: Option<Name>,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is due next.
    pub due: Option<Timestamp>,
    /// Why it waits or was set aside.
    pub reason: Option<String>,
}

/// Totals. Every admitted message is in exactly one of the message states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages ever admitted.
    pub admitted: u64,
    /// Waiting for the pipeline or in it.
    pub waiting: u64,
    /// Planned, with effects open.
    pub planned: u64,
    /// Done.
    pub done: u64,
    /// Discarded.
    pub discarded: u64,
    /// Quarantined.
    pub quarantined: u64,
    /// Deletions at the server that it confirmed.
    pub removed: u64,
    /// Effects waiting or being carried out.
    pub effects_open: u64,
    /// Effects with a receipt.
    pub effects_done: u64,
    /// Effects parked.
    pub effects_parked: u64,
    /// Effects the operator let go of.
    pub effects_waived: u64,
}

/// What more can be written to the disk under the state directory by this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Octets.
    pub octets: u64,
    /// Files; `u64::MAX` where the file system sets no number.
    pub files: u64,
}

/// Mail whose way is not over: waiting for the pipeline, in it, or with effects open. What was set aside is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages.
    pub messages: u64,
    /// Octets of their bodies.
    pub octets: u64,
}

/// What is known of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// The account.
    pub account: AccountId,
    /// When a poll last succeeded.
    pub last_success: Option<Timestamp>,
    /// When a poll last failed, and why; cleared by a success.
    pub last_error: Option<(Timestamp, String)>,
    /// Failures in a row.
    pub failures: u32,
    /// Messages in the last complete listing.
    pub listed: Option<u64>,
    /// Since when its listing is not trusted, and why; cleared by the next complete poll.
    pub held: Option<(Timestamp, String)>,
}

/// What a sweep freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Bodies that are gone.
    pub bodies: u64,
    /// Octets freed on disk.
    pub octets: u64,
}

/// A stored digest disagrees with the octets. Kept here so that both implementations say it alike.
pub(crate) fn damaged(message: MessageId, expected: &Digest) -> String {
    format!("the body of message {message} no longer has the digest {expected}")
}
