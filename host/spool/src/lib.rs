//! Durable state behind one trait: the ledger of unique-ids, bodies, the inbox, the outbox, plugin state.
//!
//! The commit points, and the only ones. A crash goes back to the last of them.
//! 1. [`Spool::admit`]: the body is synced, then its row is committed. Only now does the message exist here.
//! 2. [`Spool::plan`]: all effects, all plugin state and the trace of one run in one transaction. Final.
//! 3. [`Spool::settle`]: a receipt, or the next due time, or parked.
//! 4. [`Spool::removed`]: the server confirmed the deletion. Where its answer was lost, [`Spool::deleting`] left a mark,
//!    and the next complete listing decides ([`Spool::observe`]).
//!
//! An attempt is counted durably by [`Spool::lease_messages`] before the first octet is parsed, so that even an abort
//! of the process counts.
//!
//! This crate knows neither POP3 nor wasm, reads no clock (every call is told the time), and leaks no SQL.

mod body;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(any(test, feature = "simulation"))]
pub mod disk;
#[cfg(not(any(test, feature = "simulation")))]
#[allow(dead_code, unreachable_pub, reason = "only a watched disk uses all of it")]
mod disk;
mod error;
mod ground;
mod health;
mod judge;
mod ledger;
mod life;
mod memory;
mod operator;
mod records;
mod seen;
mod sqlite;
mod tally;
#[cfg(test)]
mod tests;

pub use body::{Body, Incoming, Sealed};
pub use error::Error;
pub use ground::Ground;
pub use health::{
    BackedUp, Finding, Findings, RESTORED, Rebuilt, Remedy, Repaired, Scrubbed, Severity, Told, recovered,
};
pub use ledger::{DeletePolicy, Kept, Listed, Outlook, PollOutcome, Reconciled, Removable, Removals, Why};
pub use memory::MemorySpool;
pub use operator::{Aside, Decided, Refusal, Selected, Selection};
pub use records::{
    AccountStatus, Admitted, Arrival, Backlog, Counts, EffectLease, EffectRecord, EffectState, Event, Free,
    History, Leases, MessageLease, MessageState, Planned, QueueFilter, QueueRow, Receipt, Receipted,
    Settlement, Stored, Swept,
};
pub use seen::{ABSENCES, Adoption, Forget, NOTE, Observed, Seen, SeenBy, SeenRow, Stumble};
pub use sqlite::SqliteSpool;
pub use tally::{Tally, Usage};

use std::time::Duration;

use async_trait::async_trait;
use postroom_mail::{AccountId, Digest, MessageId, Name, Plan, StepTrace, Timestamp, Uid};

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

    /// Which messages of a listing are new here, which may be others than their unique-ids say, and what is missing
    /// from it. Reads only.
    ///
    /// An entry whose message was [`Spool::removed`] is new: the unique-id may be another message's now (RFC 1939
    /// section 7).
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn reconcile(&self, account: &AccountId, listing: &[Listed]) -> Result<Reconciled>;

    /// Records a listing that the caller trusts. Writes nothing when it changes nothing.
    ///
    /// What is listed is present: its absence ends, and its listed size is recorded where none was (and it is not
    /// doubtful). When the listing is `complete`, what is not listed was missed once more; a deletion marked by
    /// [`Spool::deleting`] counts as confirmed when the entry is missing, and loses the mark when it is not; and a row
    /// that was missing from [`ABSENCES`] complete listings in a row, the first of them at least `keep` ago, is
    /// forgotten (its message and history stay), unless the clock is not believed (see [`Spool::removable`]).
    ///
    /// An incomplete listing ages nothing. Whether a listing is complete, and whether it is plausible at all, is for the
    /// caller to decide: a server whose storage is away for a moment lists nothing.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn observe(
        &self,
        account: &AccountId,
        listing: &[Listed],
        complete: bool,
        keep: Duration,
        now: Timestamp,
    ) -> Result<Observed>;

    /// The server gave known messages new unique-ids: their rows move, and nothing is retrieved again. Answers how many
    /// moved. One does not when nothing (or only what was removed) is known under the old unique-id, or when the new
    /// one is taken by a row that does not move itself.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn adopt(&self, account: &AccountId, adoptions: Vec<Adoption>, now: Timestamp) -> Result<u64>;

    /// A doubtful entry was verified to be the message that is known: its listed size is the one to expect from now on.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn resized(&self, account: &AccountId, listed: &Listed) -> Result<()>;

    /// A message whose removal was confirmed is listed all the same, verified to be the same message: it counts as removed
    /// no more, and nothing is retrieved again.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn returned(&self, account: &AccountId, listed: &Listed, now: Timestamp) -> Result<()>;

    /// Rows with this fingerprint of the header, by key, also those that are removed.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn resembling(&self, account: &AccountId, header: Digest) -> Result<Vec<SeenRow>>;

    /// Rows whose message has these octets, by key, also those that are removed.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn holding(&self, account: &AccountId, digest: Digest) -> Result<Vec<SeenRow>>;

    /// Marks entries as seen without a message; they are never retrieved, and never removable. `by` is
    /// [`SeenBy::Seeded`] for what is listed, [`SeenBy::Imported`] for what another program knew. What is known is left
    /// alone, but for what was removed: that is seen from now on. Answers how many were marked. One transaction.
    ///
    /// # Errors
    /// [`Error::Conflict`] for another `by`; when the state cannot be written.
    async fn seed(&self, account: &AccountId, entries: Vec<Seen>, by: SeenBy, now: Timestamp) -> Result<u64>;

    /// At most `limit` rows by key (unique-id, then ordinal) that come after `after`.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn seen(
        &self,
        account: &AccountId,
        after: Option<(Uid, u32)>,
        limit: usize,
    ) -> Result<Vec<SeenRow>>;

    /// The ledger forgets, also what it knew of failed retrievals: listed again, an entry is new. Messages and their
    /// histories stay. Answers how many rows.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn forget(&self, account: &AccountId, which: Forget, now: Timestamp) -> Result<u64>;

    /// Commit point 1. All or nothing; admitting the same message again answers `Admitted { new: false, .. }`, and it
    /// counts as removed at the server no more.
    ///
    /// # Errors
    /// [`Error::Full`] when the disk is; nothing was admitted then.
    async fn admit(&self, arrivals: Vec<Arrival>) -> Result<Vec<Admitted>>;

    /// Proof, for each message of the listing that may be deleted at the server now, that it may; and for each other
    /// one, why not. `listing` must be the current session's, since a proof is for exactly those entries.
    ///
    /// A message qualifies when its listed size is the one recorded (or, when none is, near the stored one), the
    /// policy's time has passed since it was retrieved, and (for [`DeletePolicy::Done`]) every required effect has a
    /// receipt and at least one of them that carries the whole message has one, or it was discarded with the grant, and
    /// the policy's limits allow it. One that was removed already does not qualify: what the server shows under its
    /// unique-id has to be retrieved first. Nor does one that was never retrieved.
    ///
    /// The clock is not believed when it is more than seven days (and more than twice the time between the last two
    /// polls) ahead of the last [`Spool::close_poll`]; then nothing qualifies by its age until a poll was closed.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn removable(
        &self,
        account: &AccountId,
        listing: &[Listed],
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Result<Removals>;

    /// `DELE` is about to be sent for these. Called before the first one, so that when the answer to `QUIT` is lost the
    /// next listing can tell what happened.
    ///
    /// # Errors
    /// When the state cannot be written, and [`Error::Conflict`] when the proof of one of them is out of date: its body was
    /// freed or damaged meanwhile, or the operator dropped it. Nothing may be deleted then; the next poll decides.
    async fn deleting(&self, removables: &[Removable], now: Timestamp) -> Result<()>;

    /// Commit point 4: the server confirmed (`+OK` to `QUIT`) that these are deleted.
    ///
    /// # Errors
    /// When the state cannot be written; the next listing then decides.
    async fn removed(&self, removed: Vec<Removable>, now: Timestamp) -> Result<()>;

    /// The retrieval of an entry failed once more. Cleared when it is admitted or seeded, or missing from a complete
    /// listing that is observed.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn stumble(
        &self,
        account: &AccountId,
        listed: &Listed,
        reason: String,
        now: Timestamp,
    ) -> Result<Stumble>;

    /// Entries whose retrieval failed, by key.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn stumbles(&self, account: &AccountId) -> Result<Vec<Stumble>>;

    /// Forgets such failures, of one unique-id or all; answers how many. For the operator who wants them tried again.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn unstumble(&self, account: &AccountId, uid: Option<Uid>) -> Result<u64>;

    /// The note of [`Spool::learn`] on a server or an account.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn learnt(&self, scope: &str) -> Result<Option<String>>;

    /// Keeps an opaque note of at most [`NOTE`] octets, or takes it away. Writes nothing when it is the same.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is too long; when the state cannot be written.
    async fn learn(&self, scope: &str, text: Option<String>, now: Timestamp) -> Result<()>;

    /// When the last `limit` messages of an account were retrieved, newest first: the rhythm of the account.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn arrivals(&self, account: &AccountId, limit: usize) -> Result<Vec<Timestamp>>;

    /// Records how a poll ended, and by which clock. Writes nothing when nothing changed but the time.
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
    /// When what its steps found in their state has changed meanwhile, nothing of the plan happens: the message is due at
    /// once, and the attempt does not count. A second plan of the same lease is refused with [`Error::Conflict`]. After [`Spool::retry`] a message gets another
    /// plan: effects of the one before that have a receipt or wait stay as they are; parked ones are tried again where
    /// the new plan has them, and block nothing any more where it has not.
    ///
    /// # Errors
    /// As above, and when the state cannot be written.
    async fn plan(&self, lease: MessageLease, plan: Plan, now: Timestamp) -> Result<Planned>;

    /// The run failed: try again at `at`. `trace` is what the steps did; when it is empty, what is known of them stays.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn defer(
        &self,
        lease: MessageLease,
        at: Timestamp,
        reason: String,
        trace: Vec<StepTrace>,
        now: Timestamp,
    ) -> Result<()>;

    /// The run never began, or what ended it was surely not the message: as [`Spool::defer`], but the attempt is not counted.
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

    /// The run failed for good: set the message aside with its reason. Its body is kept. `trace` as for [`Spool::defer`].
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn quarantine(
        &self,
        lease: MessageLease,
        reason: String,
        trace: Vec<StepTrace>,
        now: Timestamp,
    ) -> Result<()>;

    // --- outbox ---

    /// Takes at most `limit` effects of one sink that are due, those due longest first, and durably counts the attempt.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn lease_effects(&self, sink: &Name, limit: usize, now: Timestamp) -> Result<Vec<EffectLease>>;

    /// The octets after which the other side may take the message are about to leave (the final dot of SMTP). Until the
    /// effect is settled, or when it is never settled because this process dies, the attempt counts as a doubt of the next
    /// [`EffectLease`]. Any settlement but [`Settlement::Doubt`] says that the outcome is known, and takes that back.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the lease no longer holds; when the state cannot be written. Nothing may be sent then.
    async fn sending(&self, lease: &EffectLease, now: Timestamp) -> Result<()>;

    /// Commit point 3. When the last open effect of a message is settled, the message is done; when a required effect
    /// is parked, the message is quarantined and its other effects go on.
    ///
    /// # Errors
    /// When the state cannot be written; the effect is then tried again, which its id makes harmless.
    async fn settle(&self, lease: EffectLease, settlement: Settlement, now: Timestamp) -> Result<()>;

    /// At most `limit` receipts of one sink, in the order in which they were recorded, after the one with number `after`.
    /// Those are the lines of the sink's manifest.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn receipts(&self, sink: &Name, after: u64, limit: usize) -> Result<Vec<Receipted>>;

    /// Gives back everything of one kind that is leased, due now, and returns how much that was. Attempts stay counted,
    /// as after a restart, but for [`Leases::Unrecorded`]. Only for a caller that knows that nobody works on any of it any more: a lease that is still
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

    /// Makes the messages of these accounts that wait for their pipeline due now, and returns how many those were. For when
    /// what they were held back for is over; effects and attempts stay as they are.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn hasten(&self, accounts: &[AccountId], now: Timestamp) -> Result<u64>;

    // --- plugin state ---

    /// Reads one value of a step's durable state. Synchronous: called from inside a plugin call.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn kv_get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>>;

    /// Octets that a step's durable state is counted as (`KvWrite::counted`). Synchronous, as [`Spool::kv_get`].
    ///
    /// # Errors
    /// When the state cannot be read.
    fn kv_total(&self, scope: &str) -> Result<u64>;

    // --- questions ---

    /// Messages whose id, body digest or unique-id (also the one the server has for it by now) starts with `prefix`, newest
    /// first, at most 20.
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

    // --- operator ---

    /// The messages that a verb of the operator would touch, oldest first. Reads only, so that a rehearsal and the deed
    /// see the same.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn select(&self, selection: Selection, now: Timestamp) -> Result<Vec<Selected>>;

    /// Has messages tried again now, their attempts counted anew and one doubt taken back. Where a plan stands, its effects that
    /// are parked or wait; where none does, or its verdict was to quarantine, the whole pipeline. What [`Spool::discard`] took
    /// is taken back, but for what was let go of before. One in quarantine of which nothing is left to do ends. Ids of effects
    /// stay, so that sinks recognise what they have. With a sink, only its effects. One transaction; messages that cannot be
    /// are refused each for itself.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn retry(
        &self,
        messages: Vec<MessageId>,
        sink: Option<Name>,
        now: Timestamp,
    ) -> Result<Vec<Decided>>;

    /// Lets messages go on without what set them aside: a verdict to quarantine counts as keep, parked effects block no more.
    /// That is no receipt: a deletion at the server still needs one for the whole message. With a sink, lets go of what
    /// waits for it or is parked there. One transaction, as for [`Spool::retry`].
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn let_go(
        &self,
        messages: Vec<MessageId>,
        sink: Option<Name>,
        now: Timestamp,
    ) -> Result<Vec<Decided>>;

    /// Gives messages up: nothing more of them is delivered. Until their bodies are swept, they can be taken back and are not
    /// deleted at the server. One transaction, as for [`Spool::retry`].
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn discard(&self, messages: Vec<MessageId>, now: Timestamp) -> Result<Vec<Decided>>;

    /// What the rule of [`Spool::removable`] says of each place a message has on the server, were it listed there as last
    /// time. Limits over the maildrop as a whole (`keep`, `over`) are left out: only a listing can tell.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn outlook(&self, message: MessageId, policy: DeletePolicy, now: Timestamp)
    -> Result<Vec<Outlook>>;

    /// Where every message stands that an account's server has.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn tally(&self, account: &AccountId) -> Result<Tally>;

    /// What bodies take up.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn usage(&self) -> Result<Usage>;

    // --- room ---

    /// What more the disk takes; `None` when there is none below. Cheap: asked before each message is retrieved.
    ///
    /// # Errors
    /// When the system does not say.
    fn free(&self) -> Result<Option<Free>>;

    /// How much mail is on its way. Takes longer the more that is.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn backlog(&self) -> Result<Backlog>;

    // --- upkeep ---

    /// Frees the bodies of messages that ended (done, or discarded) at least `keep` ago. The ledger keeps its rows. The body of
    /// one that was to be kept, and that no effect carried away whole, goes only while the ledger says that the server has it:
    /// else it may be the only copy, and stays.
    ///
    /// # Errors
    /// When the state cannot be written.
    async fn sweep(&self, keep: Duration, now: Timestamp) -> Result<Swept>;

    /// Reads bodies that were not read for a week, the longest first: about `limit` octets of them, and at least one. Each
    /// that is damaged is told to [`Spool::damaged`].
    ///
    /// # Errors
    /// When the state cannot be read or written.
    async fn scrub(&self, limit: u64, now: Timestamp) -> Result<Scrubbed>;

    /// A body could not be read because it is damaged ([`Error::Corrupt`] of [`Spool::open`]); `what` says how. It is read
    /// once more. When it is damaged, it is marked: [`Spool::reconcile`] lists it as new while the server has it,
    /// [`Spool::admit`] of the same message replaces the octets and makes due what waits for them, and nothing else of the
    /// message changes. When the server has it no more, a message that waits is quarantined (but one that is leased is its
    /// holder's to settle); one that ended stays as it is.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    async fn damaged(&self, message: MessageId, what: String, now: Timestamp) -> Result<Remedy>;
}
