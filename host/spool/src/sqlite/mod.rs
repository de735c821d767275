//! The spool of one machine: an SQLite database and segment files in one directory that one process holds.
//!
//! All changes go through one thread (`writer`), reads through connections of their own. SQL stays in here.

mod backup;
mod doctor;
mod epoch;
mod fault;
mod health;
mod inbox;
mod ledger;
mod notes;
mod origin;
mod orphans;
mod outbox;
mod polls;
mod questions;
mod readers;
mod rebuild;
mod recover;
mod rows;
mod scan;
mod schema;
mod seen;
mod segments;
#[cfg(test)]
mod sync_failure;
mod upkeep;
mod writer;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use postroom_mail::{AccountId, Digest, MessageId, Name, Plan, Timestamp, Uid};
use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};

use self::epoch::Epoch;
use self::fault::Outcome;
use self::ledger::Observing;
use self::polls::Polled;
use self::readers::{Checked, Readers};
#[cfg(test)]
pub(crate) use self::schema::{earlier_version, first_version};
pub(crate) use self::segments::Sizes;
use self::writer::{Desk, Unit, Writer};
use crate::health::{Remedy, Scrubbed};
use crate::judge::Judge;
use crate::ledger::{DeletePolicy, Listed, PollOutcome, Reconciled, Removable, Removals};
use crate::records::{
    AccountStatus, Admitted, Arrival, Counts, EffectLease, History, Leases, MessageLease, QueueFilter,
    QueueRow, Settlement, Swept,
};
use crate::seen::{Adoption, Forget, Observed, Seen, SeenBy, SeenRow, Stumble};
use crate::{Body, Error, Incoming, Result, Spool, life};

/// The embedded spool.
pub struct SqliteSpool {
    /// First, so that the thread ends before the lock is given up.
    writer: Option<Writer>,
    readers: Readers,
    polled: Arc<Mutex<Polled>>,
    _lock: Option<File>,
}

impl SqliteSpool {
    /// Opens the state directory, makes it when there is none, holds it against other processes, and puts right what
    /// the last run left.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process holds it, [`Error::NewerSchema`] when a newer version wrote it, and
    /// whatever the storage says.
    pub fn open(state: &Path) -> Result<Self> {
        Self::open_with(state, Sizes::default())
    }

    pub(crate) fn open_with(state: &Path, sizes: Sizes) -> Result<Self> {
        let making = |source| Error::storage(state, "make its directory", source);
        for directory in [state.to_owned(), incoming_directory(state), segment_directory(state)] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(making)?;
        }
        let lock = hold(state)?;
        recover::incoming(&incoming_directory(state))?;
        let opened = schema::open_writer(state).and_then(|mut sql| {
            recover::leases(&mut sql)?;
            let keep = orphans::wanted(state, &sql)?;
            let segments = recover::bodies(&sql, &segment_directory(state), sizes, keep.as_deref())?;
            orphans::noticed(state)?;
            // The names of new files and directories must outlast a power cut too, and the database what counts it.
            File::open(state).and_then(|directory| directory.sync_all()).map_err(making)?;
            let epoch = Epoch::begin(state, &sql)?;
            Ok((sql, segments, epoch))
        });
        let (sql, segments, epoch) = opened.map_err(|fault| fault.into_error(state))?;
        let polled = Arc::new(Mutex::new(Polled::default()));
        let unwritten = polled.clone();
        let flush = move |sql: &Connection| polls::flush(sql, &unwritten);
        let writer = Writer::start(sql, segments, epoch, state.to_owned(), flush)?;
        Ok(Self { writer: Some(writer), readers: Readers::new(state), polled, _lock: Some(lock) })
    }

    /// Opens the state directory for questions only, beside a host that may be running on it. Calls that would change
    /// something are refused with [`Error::InUse`].
    ///
    /// # Errors
    /// When there is no state, or a newer version wrote it.
    pub fn open_readonly(state: &Path) -> Result<Self> {
        if !schema::exists(state) {
            if state.is_dir() {
                recover::may_begin(state)?;
            }
            let source =
                io::Error::new(io::ErrorKind::NotFound, format!("nothing is in {}", state.display()));
            return Err(Error::Io { doing: "find its database", source });
        }
        let readers = Readers::new(state);
        readers.with(|sql| match schema::version(sql)? {
            0 => Err(rows::corrupt("the database has no tables yet")),
            older if older < schema::VERSION => Err(Error::Database {
                what: format!(
                    "the state has schema {older}, this postroom reads {}: run it on the state once, which brings it forward",
                    schema::VERSION
                ),
                maybe_applied: false,
            }
            .into()),
            _ => Ok(()),
        })?;
        Ok(Self { writer: None, readers, polled: Arc::default(), _lock: None })
    }

    fn desk(&self) -> Result<&Desk> {
        match &self.writer {
            Some(writer) => writer.desk(),
            None => Err(Error::InUse { path: self.readers.state.display().to_string() }),
        }
    }

    async fn write<T, F>(&self, name: &'static str, work: F) -> Result<T>
    where
        F: FnMut(&mut Unit<'_>) -> Outcome<T> + Send + 'static,
        T: Send + 'static,
    {
        self.desk()?.call(name, work, |done| done).await
    }

    /// Like `write`, for leases: when the caller is gone before they reach it, they are put back.
    async fn lease<L, F>(&self, name: &'static str, take: F, put_back: PutBack<L>) -> Result<Vec<L>>
    where
        F: FnMut(&mut Unit<'_>) -> Outcome<Vec<L>> + Send + 'static,
        L: Send + 'static,
    {
        let desk = self.desk()?;
        let back = desk.clone();
        let finish = move |leases| Unclaimed { leases, desk: back, put_back };
        Ok(desk.call(name, take, finish).await?.claim())
    }

    async fn read<T, F>(&self, question: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
        T: Send + 'static,
    {
        let readers = self.readers.clone();
        blocking(move || readers.with(question)).await
    }
}

type PutBack<L> = fn(&mut Unit<'_>, &[L]) -> Outcome<()>;

/// Leases on the way to their caller.
struct Unclaimed<L: Send + 'static> {
    leases: Vec<L>,
    desk: Desk,
    put_back: PutBack<L>,
}

impl<L: Send + 'static> Unclaimed<L> {
    fn claim(mut self) -> Vec<L> {
        std::mem::take(&mut self.leases)
    }
}

impl<L: Send + 'static> Drop for Unclaimed<L> {
    fn drop(&mut self) {
        let (leases, put_back) = (std::mem::take(&mut self.leases), self.put_back);
        if !leases.is_empty() {
            self.desk.post(move |unit| put_back(unit, &leases));
        }
    }
}

#[async_trait]
impl Spool for SqliteSpool {
    fn incoming(&self, limit: u64) -> Result<Incoming> {
        self.desk()?;
        Ok(Incoming::new(limit, Some(incoming_directory(&self.readers.state))))
    }

    async fn open(&self, message: MessageId) -> Result<Body> {
        let readers = self.readers.clone();
        blocking(move || readers.body(message)).await
    }

    async fn reconcile(&self, account: &AccountId, listing: &[Listed]) -> Result<Reconciled> {
        let (account, listing) = (account.clone(), listing.to_vec());
        self.read(move |sql| ledger::reconcile(sql, &account, &listing)).await
    }

    async fn observe(
        &self,
        account: &AccountId,
        listing: &[Listed],
        complete: bool,
        keep: Duration,
        now: Timestamp,
    ) -> Result<Observed> {
        self.desk()?;
        let pace = locked(&self.polled).closed.get(account).map(|closed| closed.pace);
        let (account, listing) = (account.clone(), listing.to_vec());
        let observing = Observing { account, listing, complete, keep, pace, now };
        let looked = observing.clone();
        // Most listings tell nothing, and the writer is not troubled with them.
        match self.read(move |sql| looked.changes(sql)).await? {
            true => self.write("spool.observe", move |unit| observing.record(unit)).await,
            false => Ok(Observed::default()),
        }
    }

    async fn adopt(&self, account: &AccountId, adoptions: Vec<Adoption>, now: Timestamp) -> Result<u64> {
        let account = account.clone();
        self.write("spool.adopt", move |unit| seen::adopt(unit, &account, &adoptions, now)).await
    }

    async fn resized(&self, account: &AccountId, listed: &Listed) -> Result<()> {
        let (account, listed) = (account.clone(), listed.clone());
        self.write("spool.resized", move |unit| ledger::resized(unit, &account, &listed)).await
    }

    async fn returned(&self, account: &AccountId, listed: &Listed, now: Timestamp) -> Result<()> {
        let (account, listed) = (account.clone(), listed.clone());
        self.write("spool.returned", move |unit| ledger::returned(unit, &account, &listed, now)).await
    }

    async fn resembling(&self, account: &AccountId, header: Digest) -> Result<Vec<SeenRow>> {
        let account = account.clone();
        self.read(move |sql| seen::resembling(sql, &account, header)).await
    }

    async fn holding(&self, account: &AccountId, digest: Digest) -> Result<Vec<SeenRow>> {
        let account = account.clone();
        self.read(move |sql| seen::holding(sql, &account, digest)).await
    }

    async fn seed(&self, account: &AccountId, entries: Vec<Seen>, by: SeenBy, now: Timestamp) -> Result<u64> {
        life::check_seed(by)?;
        let account = account.clone();
        self.write("spool.seed", move |unit| seen::seed(unit, &account, &entries, by, now)).await
    }

    async fn seen(
        &self,
        account: &AccountId,
        after: Option<(Uid, u32)>,
        limit: usize,
    ) -> Result<Vec<SeenRow>> {
        let account = account.clone();
        self.read(move |sql| seen::seen(sql, &account, after.as_ref(), limit)).await
    }

    async fn forget(&self, account: &AccountId, which: Forget, now: Timestamp) -> Result<u64> {
        let account = account.clone();
        self.write("spool.forget", move |unit| seen::forget(unit, &account, &which, now)).await
    }

    async fn admit(&self, arrivals: Vec<Arrival>) -> Result<Vec<Admitted>> {
        self.write("spool.admit", move |unit| inbox::admit(unit, &arrivals)).await
    }

    async fn removable(
        &self,
        account: &AccountId,
        listing: &[Listed],
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Result<Removals> {
        let pace = locked(&self.polled).closed.get(account).map(|closed| closed.pace);
        let (account, listing) = (account.clone(), listing.to_vec());
        self.read(move |sql| {
            let pace = match pace {
                Some(pace) => pace,
                None => polls::pace(sql, &account)?,
            };
            let judge = Judge { policy, now, jumped: pace.jumped(now) };
            ledger::removable(sql, &account, &listing, judge)
        })
        .await
    }

    async fn deleting(&self, removables: &[Removable], now: Timestamp) -> Result<()> {
        let marked: Vec<ledger::Marked> = removables.iter().map(ledger::Marked::from).collect();
        self.write("spool.deleting", move |unit| ledger::deleting(unit, &marked, now)).await
    }

    async fn removed(&self, removed: Vec<Removable>, now: Timestamp) -> Result<()> {
        self.write("spool.removed", move |unit| ledger::removed(unit, &removed, now)).await
    }

    async fn stumble(
        &self,
        account: &AccountId,
        listed: &Listed,
        reason: String,
        now: Timestamp,
    ) -> Result<Stumble> {
        let (account, listed, reason) = (account.clone(), listed.clone(), life::clip(reason));
        self.write("spool.stumble", move |unit| notes::stumble(unit, &account, &listed, &reason, now)).await
    }

    async fn stumbles(&self, account: &AccountId) -> Result<Vec<Stumble>> {
        let account = account.clone();
        self.read(move |sql| notes::stumbles(sql, &account)).await
    }

    async fn unstumble(&self, account: &AccountId, uid: Option<Uid>) -> Result<u64> {
        let account = account.clone();
        self.write("spool.unstumble", move |unit| notes::unstumble(unit, account.as_str(), uid.as_ref()))
            .await
    }

    async fn learnt(&self, scope: &str) -> Result<Option<String>> {
        let scope = scope.to_owned();
        self.read(move |sql| seen::learnt(sql, &scope)).await
    }

    async fn learn(&self, scope: &str, text: Option<String>, now: Timestamp) -> Result<()> {
        self.desk()?;
        life::check_note(scope, text.as_ref())?;
        if self.learnt(scope).await? == text {
            return Ok(());
        }
        let scope = scope.to_owned();
        self.write("spool.learn", move |unit| seen::learn(unit, &scope, text.as_deref(), now)).await
    }

    async fn arrivals(&self, account: &AccountId, limit: usize) -> Result<Vec<Timestamp>> {
        let account = account.clone();
        self.read(move |sql| seen::arrivals(sql, &account, limit)).await
    }

    async fn close_poll(&self, account: &AccountId, outcome: PollOutcome, now: Timestamp) -> Result<()> {
        self.desk()?;
        let (account, asked) = (account.clone(), account.clone());
        let (status, pace) =
            self.read(move |sql| Ok((polls::account(sql, &asked)?, polls::pace(sql, &asked)?))).await?;
        let quiet = polls::quiet(status.as_ref(), &outcome);
        let success = matches!(outcome, PollOutcome::Complete { .. });
        let pace = locked(&self.polled).close(&account, pace, success, quiet, now);
        if quiet {
            return Ok(());
        }
        self.write("spool.close_poll", move |unit| polls::close_poll(unit, &account, &outcome, pace, now))
            .await
    }

    async fn lease_messages(&self, limit: usize, now: Timestamp) -> Result<Vec<MessageLease>> {
        self.lease("spool.lease_messages", move |unit| inbox::lease(unit, limit, now), inbox::unlease).await
    }

    async fn plan(&self, lease: MessageLease, plan: Plan, now: Timestamp) -> Result<()> {
        self.write("spool.plan", move |unit| inbox::plan(unit, &lease, &plan, now)).await
    }

    async fn defer(&self, lease: MessageLease, at: Timestamp, reason: String, now: Timestamp) -> Result<()> {
        let reason = life::clip(reason);
        self.write("spool.defer", move |unit| inbox::defer(unit, &lease, at, &reason, now)).await
    }

    async fn put_back(
        &self,
        lease: MessageLease,
        at: Timestamp,
        reason: String,
        now: Timestamp,
    ) -> Result<()> {
        let reason = life::clip(reason);
        self.write("spool.put_back", move |unit| inbox::put_back(unit, &lease, at, &reason, now)).await
    }

    async fn quarantine(&self, lease: MessageLease, reason: String, now: Timestamp) -> Result<()> {
        let reason = life::clip(reason);
        self.write("spool.quarantine", move |unit| inbox::quarantine(unit, &lease, &reason, now)).await
    }

    async fn lease_effects(&self, sink: &Name, limit: usize, now: Timestamp) -> Result<Vec<EffectLease>> {
        let sink = sink.clone();
        self.lease("spool.lease_effects", move |unit| outbox::lease(unit, &sink, limit, now), outbox::unlease)
            .await
    }

    async fn settle(&self, lease: EffectLease, settlement: Settlement, now: Timestamp) -> Result<()> {
        self.write("spool.settle", move |unit| outbox::settle(unit, &lease, &settlement, now)).await
    }

    async fn release(&self, leases: Leases, now: Timestamp) -> Result<u64> {
        match leases {
            Leases::Messages => {
                self.write("spool.release_messages", move |unit| inbox::release(unit, now)).await
            }
            Leases::Effects => {
                self.write("spool.release_effects", move |unit| outbox::release(unit, now)).await
            }
        }
    }

    async fn next_due(&self, sinks: &[Name]) -> Result<Option<Timestamp>> {
        let sinks = sinks.to_vec();
        self.read(move |sql| questions::next_due(sql, &sinks)).await
    }

    async fn expedite(&self, now: Timestamp) -> Result<u64> {
        self.write("spool.expedite", move |unit| upkeep::expedite(unit, now)).await
    }

    fn kv_get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>> {
        self.readers.with(|sql| questions::kv_get(sql, scope, key))
    }

    async fn find(&self, prefix: &str) -> Result<Vec<MessageId>> {
        let prefix = prefix.to_owned();
        self.read(move |sql| questions::find(sql, &prefix)).await
    }

    async fn history(&self, message: MessageId) -> Result<Option<History>> {
        self.read(move |sql| questions::history(sql, message)).await
    }

    async fn queue(&self, filter: QueueFilter) -> Result<Vec<QueueRow>> {
        self.read(move |sql| questions::queue(sql, &filter)).await
    }

    async fn counts(&self, account: Option<&AccountId>) -> Result<Counts> {
        let account = account.cloned();
        self.read(move |sql| questions::counts(sql, account.as_ref())).await
    }

    async fn accounts(&self) -> Result<Vec<AccountStatus>> {
        let mut accounts = self.read(polls::accounts).await?;
        let polled = locked(&self.polled);
        for status in &mut accounts {
            let later = polled.closed.get(&status.account).and_then(|closed| closed.success);
            status.last_success = status.last_success.max(later);
        }
        Ok(accounts)
    }

    async fn sweep(&self, keep: Duration, now: Timestamp) -> Result<Swept> {
        let until = earlier(now, keep);
        let mut bodies = 0;
        loop {
            let forgotten = self.write("spool.sweep_forget", move |unit| upkeep::forget(unit, until)).await?;
            bodies += forgotten as u64;
            if forgotten < upkeep::SLICE {
                break;
            }
        }
        let mut octets = self.write("spool.sweep_free", upkeep::free_empty).await?;
        // One at a time, so that the mail does not wait for it.
        for segment in self.write("spool.sweep_sparse", upkeep::sparse).await? {
            octets += self.write("spool.sweep_copy", move |unit| upkeep::copy_out(unit, segment)).await?;
        }
        Ok(Swept { bodies, octets })
    }

    async fn scrub(&self, limit: u64, now: Timestamp) -> Result<Scrubbed> {
        let readers = self.readers.clone();
        let Checked { sound, damaged, octets } = blocking(move || readers.check(limit, now)).await?;
        let checked = (sound.len() + damaged.len()) as u64;
        if !sound.is_empty() {
            self.write("spool.scrub", move |unit| health::sound(unit, &sound, now)).await?;
        }
        let mut told = Vec::new();
        for (message, what) in damaged {
            match self.damaged(message, what.clone(), now).await? {
                Remedy::Sound => {}
                Remedy::Retrieve | Remedy::Lost => told.push((message, what)),
            }
        }
        Ok(Scrubbed { checked, octets, damaged: told })
    }

    async fn damaged(&self, message: MessageId, what: String, now: Timestamp) -> Result<Remedy> {
        let readers = self.readers.clone();
        // Whoever says so may have looked before it was replaced.
        let Some(place) = blocking(move || readers.damaged_at(message)).await? else {
            return Ok(Remedy::Sound);
        };
        let what = life::clip(what);
        self.write("spool.damaged", move |unit| health::damaged(unit, message, place, &what, now)).await
    }
}

/// The lock is the operating system's: it ends with the process, however that ends.
fn hold(state: &Path) -> Result<File> {
    let failed = |source| Error::storage(state, "lock its directory", source);
    let options =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).to_owned();
    let file = options.open(state.join("lock")).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse { path: state.display().to_string() }),
        Err(errno) => Err(failed(errno.into())),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error: tokio::task::JoinError| Error::Io { doing: "finish reading", source: error.into() };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn incoming_directory(state: &Path) -> PathBuf {
    state.join("incoming")
}

fn segment_directory(state: &Path) -> PathBuf {
    state.join("segments")
}
