//! The one thread that writes. It takes what is queued as one batch: bodies are appended, synced once, and then one
//! transaction is committed. Owns the order "octets before rows before answers"; knows no rule of a message's life.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use postroom_failpoint::reach;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::epoch::Epoch;
use super::fault::{Fault, Outcome, database};
use super::segments::Segments;
use crate::{Error, Result};

/// Calls in one transaction at most.
const BATCH: usize = 256;
/// Calls that may wait for the writer; more wait outside.
const QUEUE: usize = 1024;
/// After so long without work the write-ahead log is folded into the database.
const IDLE: Duration = Duration::from_millis(250);

/// What one call works on: the open transaction, and the segments.
pub(super) struct Unit<'a> {
    pub(super) sql: &'a Connection,
    pub(super) segments: &'a mut Segments,
    /// It depends on octets that are not synced yet.
    pub(super) appended: bool,
    /// Segments that nothing points into once this is committed.
    pub(super) unneeded: Vec<u32>,
    /// A server is asked to delete something once this is committed.
    pub(super) deleting: bool,
}

/// One call on its way through the writer. The results differ in type, hence the trait object.
trait Job: Send {
    /// What it is called.
    fn name(&self) -> &'static str;
    /// Does the work; again, when the transaction had to be begun again.
    fn run(&mut self, unit: &mut Unit<'_>) -> Outcome<()>;
    /// The work is lost.
    fn fail(&mut self, error: Error);
    fn failed(&self) -> bool;
    /// Tells the caller. What was done is committed.
    fn answer(self: Box<Self>);
}

struct Call<T, U, F, G> {
    name: &'static str,
    work: F,
    /// Makes of what is committed what the caller gets. Never called for work that was rolled back.
    finish: G,
    result: Option<Result<T>>,
    caller: oneshot::Sender<Result<U>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<T, U, F, G> Job for Call<T, U, F, G>
where
    F: FnMut(&mut Unit<'_>) -> Outcome<T> + Send,
    G: FnOnce(T) -> U + Send,
    T: Send,
    U: Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, unit: &mut Unit<'_>) -> Outcome<()> {
        self.result = Some(Ok((self.work)(unit)?));
        Ok(())
    }

    fn fail(&mut self, error: Error) {
        self.result = Some(Err(error));
    }

    fn failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    fn answer(self: Box<Self>) {
        let Self { name: _, work, finish, result, caller, _place } = *self;
        // What it holds, temporary files above all, is gone when the caller goes on.
        drop(work);
        if let Some(result) = result {
            // A caller that is gone does not want to know.
            let _ = caller.send(result.map(finish));
        }
    }
}

/// A way to the writer.
#[derive(Clone)]
pub(super) struct Desk {
    jobs: Sender<Box<dyn Job>>,
    room: Arc<Semaphore>,
}

impl Desk {
    /// Does `work` inside a transaction; what it did is durable on return. It may be called more than once, and each
    /// time nothing of the time before remains. `finish` is called once, after the commit.
    pub(super) async fn call<T, U, F, G>(&self, name: &'static str, work: F, finish: G) -> Result<U>
    where
        F: FnMut(&mut Unit<'_>) -> Outcome<T> + Send + 'static,
        G: FnOnce(T) -> U + Send + 'static,
        T: Send + 'static,
        U: Send + 'static,
    {
        let place = self.room.clone().acquire_owned().await.map_err(|_| Error::WriterStopped)?;
        let (caller, answer) = oneshot::channel();
        let job = Call { name, work, finish, result: None, caller, _place: Some(place) };
        self.jobs.send(Box::new(job)).map_err(|_| Error::WriterStopped)?;
        answer.await.map_err(|_| Error::WriterStopped)?
    }

    /// Does `work` some time, with nobody waiting for it.
    pub(super) fn post<F>(&self, work: F)
    where
        F: FnMut(&mut Unit<'_>) -> Outcome<()> + Send + 'static,
    {
        let (caller, _) = oneshot::channel();
        // The next start does it when the writer is gone.
        let finish = |()| ();
        let _ = self.jobs.send(Box::new(Call {
            name: "spool.unlease",
            work,
            finish,
            result: None,
            caller,
            _place: None,
        }));
    }
}

/// The thread. Dropping it lets the queued work finish.
pub(super) struct Writer {
    desk: Option<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `flush` is called at the end of every transaction that changes something anyway.
    pub(super) fn start(
        sql: Connection,
        segments: Segments,
        epoch: Epoch,
        state: PathBuf,
        idle: Option<Duration>,
        flush: impl Fn(&Connection) -> Outcome<()> + Send + 'static,
    ) -> Result<Self> {
        let (jobs, queue) = channel();
        let idle = idle.unwrap_or(IDLE);
        let flush = Box::new(flush);
        let press = Press { sql, segments, epoch, deleting: false, state, idle, flush, stopped: false };
        let thread = std::thread::Builder::new()
            .name("spool-writer".into())
            .spawn(move || press.work_off(&queue))
            .map_err(|source| Error::Io { doing: "start its writer thread", source })?;
        let room = Arc::new(Semaphore::new(QUEUE));
        Ok(Self { desk: Some(Desk { jobs, room }), thread: Some(thread) })
    }

    /// A way to it.
    pub(super) fn desk(&self) -> Result<&Desk> {
        self.desk.as_ref().ok_or(Error::WriterStopped)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.desk = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Press {
    sql: Connection,
    segments: Segments,
    epoch: Epoch,
    /// One of the batch is about to delete at a server.
    deleting: bool,
    state: PathBuf,
    idle: Duration,
    flush: Flush,
    /// A commit failed on the disk: nothing that was synced since can be believed, so nothing more is written.
    stopped: bool,
}

type Flush = Box<dyn Fn(&Connection) -> Outcome<()> + Send>;

/// How a try at a batch ended.
enum Tried {
    Committed(Vec<u32>),
    /// Some jobs failed and took the transaction with them: again without those.
    Again,
}

impl Press {
    fn work_off(mut self, queue: &Receiver<Box<dyn Job>>) {
        let mut idle = true;
        loop {
            let first = if idle {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                queue.recv_timeout(self.idle)
            };
            match first {
                Ok(job) => {
                    let rest = queue.try_iter().take(BATCH - 1);
                    let jobs = std::iter::once(job).chain(rest).collect();
                    self.batch(jobs);
                    if self.stopped {
                        // Whoever waits, and whoever calls later, finds nobody here.
                        return;
                    }
                    idle = false;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.upkeep();
                    idle = true;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        reach("spool", "ending");
        if let Err(fault) = (self.flush)(&self.sql) {
            tracing::warn!(error = %fault.into_error(&self.state), "the last times of success are not recorded");
        }
        self.record_epoch();
        self.upkeep();
    }

    fn batch(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        while !jobs.is_empty() {
            let tried = self.try_batch(&mut jobs);
            self.segments.abandon_if_broken();
            if let Tried::Committed(unneeded) = tried {
                for number in unneeded {
                    self.segments.delete(number);
                }
                return jobs.into_iter().for_each(|job| {
                    let name = job.name();
                    job.answer();
                    reach(name, "answered");
                });
            }
            let (failed, rest): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.failed());
            failed.into_iter().for_each(|job| job.answer());
            jobs = rest;
        }
    }

    fn try_batch(&mut self, jobs: &mut [Box<dyn Job>]) -> Tried {
        let start = self.segments.mark();
        if let Err(error) = self.sql.execute_batch("BEGIN IMMEDIATE") {
            return self.lost(jobs, |state| database(&error, state, false));
        }
        let before = self.sql.total_changes();
        self.deleting = false;
        let mut appended = vec![false; jobs.len()];
        let mut unneeded = Vec::new();
        for (job, appended) in jobs.iter_mut().zip(&mut appended) {
            let sound = self.run(job.as_mut(), appended, &mut unneeded);
            if !sound {
                return self.back_to(start);
            }
            if self.segments.broken().is_some() {
                break;
            }
        }
        reach_all(jobs, "worked");
        if self.segments.broken().is_none() {
            // The one barrier: octets before rows. A failure is remembered by the segments.
            let _ = self.segments.sync();
        }
        if self.segments.broken().is_some() {
            // What was appended before the failure is in doubt too; the others are done again without it.
            for (job, _) in
                jobs.iter_mut().zip(&appended).filter(|(job, appended)| **appended && !job.failed())
            {
                self.segments.broken().into_iter().for_each(|error| job.fail(error));
            }
            return self.back_to(start);
        }
        if self.sql.total_changes() > before
            && let Err(fault) = (self.flush)(&self.sql)
        {
            tracing::warn!(error = %fault.into_error(&self.state), "times of success are not recorded");
        }
        reach_all(jobs, "synced");
        if let Err(error) = self.sql.execute_batch("COMMIT") {
            self.stopped = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
            let tried = self.lost(jobs, |state| database(&error, state, true));
            self.back_to(start);
            return tried;
        }
        self.segments.committed();
        reach_all(jobs, "committed");
        if self.deleting {
            self.record_epoch();
        }
        Tried::Committed(unneeded)
    }

    /// Runs one job so that its failure undoes only its own changes. `false` when the transaction is lost with it.
    fn run(&mut self, job: &mut dyn Job, appended: &mut bool, unneeded: &mut Vec<u32>) -> bool {
        reach(job.name(), "begun");
        let mark = self.segments.mark();
        let mut unit = Unit {
            sql: &self.sql,
            segments: &mut self.segments,
            appended: false,
            unneeded: Vec::new(),
            deleting: false,
        };
        let done = (unit.sql.execute_batch("SAVEPOINT job").map_err(Fault::from))
            .and_then(|()| job.run(&mut unit))
            .and_then(|()| Ok(unit.sql.execute_batch("RELEASE job")?));
        let Err(fault) = done else {
            *appended = unit.appended;
            self.deleting |= unit.deleting;
            unneeded.append(&mut unit.unneeded);
            return true;
        };
        job.fail(fault.into_error(&self.state));
        self.segments.rewind(mark);
        // A full disk, for one, makes SQLite roll back everything by itself.
        !self.sql.is_autocommit() && self.sql.execute_batch("ROLLBACK TO job; RELEASE job").is_ok()
    }

    fn back_to(&mut self, start: super::segments::Mark) -> Tried {
        if !self.sql.is_autocommit()
            && let Err(error) = self.sql.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the spool's transaction cannot be rolled back");
        }
        self.segments.rewind(start);
        Tried::Again
    }

    fn lost(&self, jobs: &mut [Box<dyn Job>], error: impl Fn(&Path) -> Error) -> Tried {
        jobs.iter_mut().filter(|job| !job.failed()).for_each(|job| job.fail(error(&self.state)));
        Tried::Again
    }

    fn record_epoch(&mut self) {
        if let Err(error) = self.epoch.record(&self.sql) {
            tracing::error!(%error, "should an older copy of the database be put back now, that would not be noticed");
        }
    }

    fn upkeep(&self) {
        reach("spool", "upkeep");
        let passive = "PRAGMA wal_checkpoint(PASSIVE)";
        if let Err(error) = self.sql.query_row(passive, [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log cannot be folded into the database now");
        }
    }
}

fn reach_all(jobs: &[Box<dyn Job>], stage: &str) {
    jobs.iter().filter(|job| !job.failed()).for_each(|job| reach(job.name(), stage));
}
