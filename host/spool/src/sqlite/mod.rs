//! The spool of one machine: an SQLite database and segment files in one directory that one process holds.
//!
//! All changes go through one thread (`writer`), reads through connections of their own. SQL stays in here.

mod backup;
mod calls;
mod doctor;
mod epoch;
mod fault;
mod health;
mod inbox;
mod ledger;
mod lock;
mod notes;
mod operator;
mod origin;
mod orphans;
mod outbox;
mod polls;
mod questions;
mod readers;
mod rebuild;
mod receipts;
mod recover;
mod rows;
mod scan;
mod schema;
mod seen;
mod segments;
#[cfg(test)]
mod sync_failure;
mod tally;
mod upkeep;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroom_failpoint::reach;
use rusqlite::Connection;

use self::epoch::Epoch;
use self::fault::Outcome;
use self::polls::Polled;
use self::readers::Readers;
#[cfg(test)]
pub(crate) use self::schema::{earlier_version, first_version};
pub(crate) use self::segments::Sizes;
use self::writer::{Desk, Unit, Writer};
use crate::disk::Disk;
use crate::{Error, Result};

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
        Self::open_in(state, Sizes::default(), Disk::default())
    }

    /// On a disk that is watched, with segments of `roll_at` octets and no room kept free.
    ///
    /// # Errors
    /// As [`SqliteSpool::open`].
    #[cfg(feature = "simulation")]
    pub fn open_on(state: &Path, roll_at: u64, disk: Disk) -> Result<Self> {
        Self::open_in(state, Sizes { roll_at, reserve: 0 }, disk)
    }

    #[cfg(test)]
    pub(crate) fn open_with(state: &Path, sizes: Sizes) -> Result<Self> {
        Self::open_in(state, sizes, Disk::default())
    }

    fn open_in(state: &Path, sizes: Sizes, disk: Disk) -> Result<Self> {
        let making = |source| Error::storage(state, "make its directory", source);
        for directory in [state.to_owned(), incoming_directory(state), segment_directory(state)] {
            disk.make_directory(&directory).map_err(making)?;
        }
        // The last start may have ended between making it and syncing its name.
        if let Some(above) = state.parent().filter(|above| !above.as_os_str().is_empty()) {
            match disk.sync_directory(above) {
                // Then it is not ours, and neither was the name.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced.map_err(making)?,
            }
        }
        reach("start.spool", "directories");
        let lock = lock::hold(state)?;
        reach("start.spool", "locked");
        recover::incoming(&disk, &incoming_directory(state))?;
        recover::log(&disk, state)?;
        reach("start.spool", "cleared");
        let opened = schema::open_writer(state, &disk).and_then(|mut sql| {
            reach("start.spool", "opened");
            recover::leases(&mut sql)?;
            reach("start.spool", "leases");
            let keep = orphans::wanted(state, &sql)?;
            let directory = segment_directory(state);
            let segments = recover::bodies(&sql, &disk, &directory, sizes, keep.as_deref())?;
            orphans::noticed(state)?;
            reach("start.spool", "bodies");
            // The names of new files and directories must outlast a power cut too, and the database what counts it.
            disk.sync_directory(state).map_err(making)?;
            let epoch = Epoch::begin(state, &sql, &disk)?;
            Ok((sql, segments, epoch))
        });
        let (sql, segments, epoch) = opened.map_err(|fault| fault.into_error(state))?;
        let polled = Arc::new(Mutex::new(Polled::default()));
        let unwritten = polled.clone();
        let flush = move |sql: &Connection| polls::flush(sql, &unwritten);
        reach("start.spool", "synced");
        let writer = Writer::start(sql, segments, epoch, state.to_owned(), disk.idle(), flush)?;
        Ok(Self { writer: Some(writer), readers: Readers::new(state, disk), polled, _lock: Some(lock) })
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
        let readers = Readers::new(state, Disk::default());
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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error: tokio::task::JoinError| Error::Io { doing: "finish reading", source: error.into() };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
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
