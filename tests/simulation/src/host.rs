//! The host around the spool, one thread: it polls, runs the pipeline, delivers and sweeps in an order that the seed
//! chooses, and starts again when the spool says that going on would do harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Disposition, Timestamp};
use postroom_spool::disk::{Disk, Watched};
use postroom_spool::{DeletePolicy, Error, MessageState, Spool, SqliteSpool};
use postroom_vfs::Watching;
use tempfile::TempDir;

use crate::journal::{Entry, Journal};
use crate::maildrop::{Cut, Maildrop};
use crate::random::Random;
use crate::sinks::{Sink, Sinks};

/// A segment holds two of the middling messages.
const ROLL_AT: u64 = 2500;
/// More of a message than this goes through a file.
const IN_MEMORY: usize = 4096;
/// Nothing happens by itself in a simulation.
const NEVER: Duration = Duration::from_secs(86_400);
/// When the story begins.
const BEGIN: Timestamp = Timestamp(1_700_000_000_000);
/// What one round takes.
const ROUND: Duration = Duration::from_secs(20);
/// In so many rounds everything must have come to its end.
const ROUNDS: usize = 60;
/// Room is made so many rounds after it ran out.
const FULL: usize = 4;
/// Runs and deliveries that are tried at most.
pub const ATTEMPTS: u32 = 5;

/// The world outside that a host is set into.
#[derive(Clone, Debug)]
pub struct World {
    /// The server.
    pub maildrop: Maildrop,
    /// The sinks.
    pub sinks: Sinks,
}

impl World {
    /// As it was after these lines of a journal.
    #[must_use]
    pub fn after(entries: &[Entry]) -> Self {
        let mut world = Self { maildrop: Maildrop::new(Cut::Never), sinks: Sinks::default() };
        for entry in entries {
            match entry {
                Entry::World(event) => {
                    world.maildrop.happened(event);
                    world.sinks.happened(event);
                }
                Entry::Disk(_) => {}
            }
        }
        world
    }
}

/// The host must end, and be started again.
pub struct Halt;

/// One host on one state directory.
pub struct Host {
    /// `None` while it is not running.
    pub spool: Option<Arc<SqliteSpool>>,
    /// What happens.
    pub journal: Arc<Journal>,
    /// Outside.
    pub world: World,
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) policy: DeletePolicy,
    /// Leases that could not be given back, because the spool failed.
    pub(crate) owed: [bool; 2],
    /// How often it had to be started again.
    pub halts: usize,
    root: TempDir,
    watching: Option<Watching>,
}

impl Host {
    /// Not started yet. The seed decides when mail is deleted and what is done in which order.
    #[must_use]
    pub fn new(seed: u64, world: World) -> Self {
        postroom_vfs::register();
        let mut random = Random::new(seed, 2);
        let policy = match random.toss() {
            true => DeletePolicy::Spooled { after: Duration::ZERO },
            false => DeletePolicy::Done { after: Duration::ZERO, keep: None, over: None },
        };
        let host = Self {
            spool: None,
            journal: Arc::default(),
            world,
            now: BEGIN,
            random,
            policy,
            owed: [false; 2],
            halts: 0,
            root: directory(),
            watching: None,
        };
        host.journal.follow(host.root.path());
        host
    }

    /// Below this is the state directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// The spool of a host that runs.
    #[must_use]
    pub fn spool(&self) -> Arc<SqliteSpool> {
        Arc::clone(self.spool.as_ref().expect("the host runs"))
    }

    /// Opens the spool.
    ///
    /// # Errors
    /// What the spool says.
    pub fn start(&mut self) -> Result<(), Error> {
        self.journal.restarted();
        self.owed = [false; 2];
        let watch = Arc::clone(&self.journal);
        // The old one must have gone before the new one comes.
        self.stop();
        self.watching = Some(Watching::begin(&self.state(), watch));
        let (watch, vfs) = (Arc::clone(&self.journal), postroom_vfs::NAME);
        let disk = Disk::watched(Watched { watch, vfs, in_memory: IN_MEMORY, idle: NEVER });
        self.spool = Some(Arc::new(SqliteSpool::open_on(&self.state(), ROLL_AT, disk)?));
        Ok(())
    }

    /// Ends in good order.
    pub fn stop(&mut self) {
        self.spool = None;
        self.watching = None;
    }

    /// Ends at once: what the old process would still have done is never done.
    pub fn kill(&mut self) {
        // Its threads are waited for, so that nothing happens while the files are copied.
        self.journal.end();
        self.stop();
        let fresh = directory();
        copy(self.root.path(), fresh.path());
        self.journal.follow(fresh.path());
        self.root = fresh;
    }

    /// Goes on until every message has come to its end, or it took too long.
    ///
    /// # Errors
    /// What is still open when it took too long.
    pub async fn live(&mut self, pause_after: Option<usize>) -> Result<(), String> {
        let mut full = 0;
        for round in 0..ROUNDS {
            self.now = self.now.after(ROUND);
            if self.journal.hit() {
                full += 1;
            }
            if full == FULL {
                self.journal.free();
            }
            // Half way the operator has had enough of a disk that fails.
            if pause_after == Some(round) || (round == ROUNDS / 2 && self.journal.needs_a_restart()) {
                self.stop();
            }
            if self.spool.is_none() && self.start().is_err() {
                self.halts += 1;
                continue;
            }
            if self.round().await.is_err() {
                self.halts += 1;
                if self.random.toss() { self.kill() } else { self.stop() }
            } else if self.settled().await {
                return Ok(());
            }
        }
        Err(format!("not at rest after {ROUNDS} rounds: {}", crate::oracle::dump(self).await))
    }

    async fn round(&mut self) -> Result<(), Halt> {
        let mut stages = [0, 1, 2, 3, 4, 5, 6];
        self.random.shuffle(&mut stages);
        for stage in stages {
            let ended = match stage {
                0 => self.poll().await,
                1 => self.pipeline().await,
                2 => self.sweep().await,
                sink => self.deliver(Sink::ALL[sink - 3]).await,
            };
            match ended {
                Err(error) if error.disposition() == Disposition::Stop => return Err(Halt),
                // The schedule tries again.
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn sweep(&mut self) -> Result<(), Error> {
        self.spool().sweep(Duration::ZERO, self.now).await.map(drop)
    }

    async fn settled(&self) -> bool {
        let spool = self.spool();
        for (index, mail) in self.world.maildrop.mails().iter().enumerate() {
            let Ok(Some(history)) = spool.history(mail.message()).await else { return false };
            let ended = match history.state {
                MessageState::Done => {
                    history.removed.is_some() && self.world.maildrop.removed().contains(&index)
                }
                MessageState::Quarantined => true,
                MessageState::Spooled | MessageState::Running => false,
                MessageState::Planned | MessageState::Discarded => false,
            };
            if !ended {
                return false;
            }
        }
        true
    }
}

/// Somewhere fast, where there is such a place.
fn directory() -> TempDir {
    let named = std::env::var_os("POSTROOM_SIMULATION_DIR").map(PathBuf::from);
    let memory = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
    let place = named.or(memory).unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new().prefix("postroom-simulation").tempdir_in(place).unwrap()
}

/// The shared memory of the database is the old process's alone.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&path, &target);
        } else if !path.to_string_lossy().ends_with("-shm") {
            fs::copy(&path, target).unwrap();
        }
    }
}
