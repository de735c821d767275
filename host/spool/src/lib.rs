//! Durable state behind one trait: the ledger of unique-ids, bodies, the inbox, the outbox, plugin state.
//!
//! The commit points, and the only ones. A crash goes back to the last of them.
//! 1. [`Spool::admit`]: the body is synced, then its row is committed. Only now does the message exist here.
//! 2. [`Spool::plan`]: all effects, all plugin state and the trace of one run in one transaction. Final.
//! 3. [`Spool::settle`]: a receipt, or the next due time, or parked.
//! 4. [`Spool::removed`]: the server confirmed the deletion.
//!
//! An attempt is counted durably by [`Spool::lease_messages`] before the first octet is parsed, so that even an abort
//! of the process counts.
//!
//! This crate knows neither POP3 nor wasm, reads no clock (every call is told the time), and leaks no SQL.

mod body;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod ledger;
mod life;
mod memory;
mod records;
mod sqlite;
#[cfg(test)]
mod tests;

pub use body::{Body, Incoming, Sealed};
pub use error::Error;
pub use ledger::{DeletePolicy, Listed, PollOutcome, Reconciled, Removable};
pub use memory::MemorySpool;
pub use records::{
    AccountStatus, Admitted, Arrival, Counts, EffectLease, EffectRecord, EffectState, Event, History, Leases,
    MessageLease, MessageState, QueueFilter, QueueRow, Receipt, Settlement, Swept,
};
pub use sqlite::SqliteSpool;

use std::time::Duration;

use async_trait::async_trait;
use postroom_mail::{AccountId, MessageId, Name, Plan, Timestamp};

/// Result of a spool call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Durable state. Every call is atomic and, when it changes something, durable on return.
///
/// Implementations pass `conformance::suite`, which is the meaning of this trait.
#[async_trait]
pub trait Spool: Send + Sync + 'static {
    // --- bodies ---

    /// A place for the octets of one message while they arrive. At most `limit` octets.
    ///
    /// # Errors
    /// When no temporary file can be made.
    fn incoming(&self, limit: u64) -> Result<Incoming>;

    /// The raw octets of a message; every read is checked against damage.
    ///
    /// # Errors
    /// [`Error::Gone`] when the body was swept, [`Error::Corrupt`] when it is damaged.
    async fn open(&self, message: MessageId) -> Result<Body>;

    // --- ledger ---

    /// Which messages of a listing are new here. Reads only.
    ///
    /// An entry whose message was [`Spool::removed`] is new: the unique-id may be another message's now (RFC 1939
    /// section 7).
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn reconcile(&self, account: &AccountId, listing: &[Listed]) -> Result<Reconciled>;

    /// Commit point 1. All or nothing; admitting the same message again answers `Admitted { new: false, .. }`, and it
    /// counts as removed at the server no more.
    ///
    /// # Errors
    /// [`Error::Full`] when the disk is; nothing was admitted then.
    async fn admit(&self, arrivals: Vec<Arrival>) -> Result<Vec<Admitted>>;

    /// Proof, for each message of the listing that may be deleted at the server now, that it may.
    /// `listing` must be the current session's, since a proof is for exactly those entries.
    ///
    /// A message qualifies when its listed size agrees with nothing weaker than its unique-id, the policy's time has
    /// passed since it was retrieved, and (for [`DeletePolicy::Done`]) every required effect has a receipt and at least
    /// one of them that carries the whole message has one, or it was discarded with the grant. One that was removed
    /// already does not qualify: what the server shows under its unique-id has to be retrieved first.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn removable(
        &self,
        account: &AccountId,
        listing: &[Listed],
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Result<Vec<Removable>>;

    /// Commit point 4: the server confirmed (`+OK` to `QUIT`) that these are deleted.
    ///
    /// # Errors
    /// When the state cannot be written; the next listing then decides.
    async fn removed(&self, removed: Vec<Removable>, now: Timestamp) -> Result<()>;

    /// Records how a poll ended. Writes nothing when nothing changed but the time of success.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn close_poll(&self, account: &AccountId, outcome: PollOutcome, now: Timestamp) -> Result<()>;

    // --- inbox ---

    /// Takes at most `limit` messages that are due, oldest first, and durably counts the attempt.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn lease_messages(&self, limit: usize, now: Timestamp) -> Result<Vec<MessageLease>>;

    /// Commit point 2. A plan without effects that are still to be done completes the message at once.
    /// A second plan for the same message is refused with [`Error::Conflict`].
    ///
    /// # Errors
    /// As above, and when the state cannot be written.
    async fn plan(&self, lease: MessageLease, plan: Plan, now: Timestamp) -> Result<()>;

    /// The run failed: try again at `at`.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn defer(&self, lease: MessageLease, at: Timestamp, reason: String, now: Timestamp) -> Result<()>;

    /// The run never began, nothing of the message was looked at: as [`Spool::defer`], but the attempt is not counted.
    ///
    /// # Errors
    /// When the state cannot be written; the attempt stays counted then.
    async fn put_back(
        &self,
        lease: MessageLease,
        at: Timestamp,
        reason: String,
        now: Timestamp,
    ) -> Result<()>;

    /// The run failed for good: set the message aside with its reason. Its body is kept.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn quarantine(&self, lease: MessageLease, reason: String, now: Timestamp) -> Result<()>;

    // --- outbox ---

    /// Takes at most `limit` effects of one sink that are due, oldest first, and durably counts the attempt.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn lease_effects(&self, sink: &Name, limit: usize, now: Timestamp) -> Result<Vec<EffectLease>>;

    /// Commit point 3. When the last open effect of a message is settled, the message is done; when a required effect
    /// is parked, the message is quarantined and its other effects go on.
    ///
    /// # Errors
    /// When the state cannot be written; the effect is then tried again, which its id makes harmless.
    async fn settle(&self, lease: EffectLease, settlement: Settlement, now: Timestamp) -> Result<()>;

    /// Gives back everything of one kind that is leased, due now, and returns how much that was. Attempts stay counted,
    /// as after a restart. Only for a caller that knows that nobody works on any of it any more: a lease that is still
    /// held somewhere is void then, and what it was for may be done twice.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn release(&self, leases: Leases, now: Timestamp) -> Result<u64>;

    /// When the next message, or the next effect of any of `sinks`, becomes due; `None` when nothing waits.
    /// What is leased does not count.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn next_due(&self, sinks: &[Name]) -> Result<Option<Timestamp>>;

    /// Makes everything that waits for another try due now, and returns how much that was. For the operator who mended
    /// what was wrong and does not want to wait; attempts stay counted.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn expedite(&self, now: Timestamp) -> Result<u64>;

    // --- plugin state ---

    /// Reads one value of a step's durable state. Synchronous: called from inside a plugin call.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn kv_get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>>;

    // --- questions ---

    /// Messages whose id, body digest or unique-id starts with `prefix`, newest first, at most 20.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn find(&self, prefix: &str) -> Result<Vec<MessageId>>;

    /// Everything known of one message.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn history(&self, message: MessageId) -> Result<Option<History>>;

    /// Messages and effects that wait, retry, or are set aside.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn queue(&self, filter: QueueFilter) -> Result<Vec<QueueRow>>;

    /// Totals, for one account or all.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn counts(&self, account: Option<&AccountId>) -> Result<Counts>;

    /// What is known of each account ever polled.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn accounts(&self) -> Result<Vec<AccountStatus>>;

    // --- upkeep ---

    /// Frees the bodies of messages that ended (done, or discarded) at least `keep` ago. The ledger keeps its rows.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn sweep(&self, keep: Duration, now: Timestamp) -> Result<Swept>;
}
