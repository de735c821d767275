//! Every operation on a file of the spool goes through here. Owns the named places where tests stop or fail the
//! process, and, with the feature `simulation`, the watch that is told each operation before it is done and may refuse
//! it. Must not know what the files hold.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
#[cfg(any(test, feature = "simulation"))]
use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::{fail, reach};
use tempfile::NamedTempFile;

/// What a file or directory is for: half of the name of a failpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bodies at rest.
    Segment,
    /// A message that is arriving.
    Incoming,
    /// The database as the spool itself makes it; the rest is SQLite's.
    Database,
    /// The count of starts and messages beside the database.
    Epoch,
    /// The state directory and those in it.
    Directory,
}

/// One operation, told before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// A new, empty file.
    Create,
    /// Octets into a file.
    Write {
        /// Where they begin.
        offset: u64,
        /// The octets.
        octets: &'a [u8],
    },
    /// Everything written to a file is to be on disk.
    Sync,
    /// Cut, or made longer with zeros.
    SetLen(u64),
    /// The name is taken away.
    Remove,
    /// Another name; what had that is replaced.
    Rename {
        /// The new one.
        to: &'a Path,
    },
    /// The names in a directory are to be on disk.
    SyncDir,
    /// A new directory.
    MakeDir,
}

/// An operation that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The system's number of the error.
    pub errno: i32,
    /// So many octets of a write are done all the same.
    pub octets: usize,
}

/// Is told of each operation in the order they are done, by the thread that does it.
pub trait Watch: Send + Sync + 'static {
    /// Before the operation is done.
    ///
    /// # Errors
    /// When it is to fail instead.
    fn before(&self, path: &Path, op: &Op<'_>) -> Result<(), Refusal>;
}

/// The way to the disk. In a build for users it is the system's and nothing else.
#[derive(Clone, Default)]
pub struct Disk {
    #[cfg(any(test, feature = "simulation"))]
    watched: Option<Watched>,
}

/// What differs on a disk that is watched.
#[cfg(any(test, feature = "simulation"))]
#[derive(Clone)]
pub struct Watched {
    /// Is told.
    pub watch: Arc<dyn Watch>,
    /// The VFS of SQLite that tells the same watch.
    pub vfs: &'static str,
    /// So many octets of an arriving message are kept in memory; more goes to a file.
    pub in_memory: usize,
    /// After so long without work the write-ahead log is folded into the database.
    pub idle: Duration,
}

#[cfg(any(test, feature = "simulation"))]
impl Disk {
    /// A disk that is watched.
    #[must_use]
    pub fn watched(watched: Watched) -> Self {
        Self { watched: Some(watched) }
    }

    /// The VFS to open the database with.
    pub(crate) fn vfs(&self) -> Option<&'static str> {
        self.watched.as_ref().map(|watched| watched.vfs)
    }

    /// How much of an arriving message is kept in memory, where that is not the usual.
    pub(crate) fn in_memory(&self) -> Option<usize> {
        self.watched.as_ref().map(|watched| watched.in_memory)
    }

    /// After how long without work the writer tidies up, where that is not the usual.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.watched.as_ref().map(|watched| watched.idle)
    }

    fn told(&self, path: &Path, op: &Op<'_>) -> Result<(), Refusal> {
        self.watched.as_ref().map_or(Ok(()), |watched| watched.watch.before(path, op))
    }
}

#[cfg(not(any(test, feature = "simulation")))]
#[allow(clippy::unused_self, reason = "the watched disk answers otherwise")]
impl Disk {
    pub(crate) fn vfs(&self) -> Option<&'static str> {
        None
    }

    pub(crate) fn in_memory(&self) -> Option<usize> {
        None
    }

    pub(crate) fn idle(&self) -> Option<Duration> {
        None
    }

    fn told(&self, _: &Path, _: &Op<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Disk {
    /// Makes a file that must be new, for this user alone.
    pub(crate) fn create(&self, kind: Kind, path: &Path) -> io::Result<File> {
        let place = match kind {
            Kind::Segment => "disk.segment_create",
            Kind::Incoming => "disk.incoming_create",
            Kind::Database => "disk.database_create",
            Kind::Epoch => "disk.epoch_create",
            Kind::Directory => "disk.directory_create",
        };
        let make = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = self.perform(place, path, &Op::Create, make)?;
        Ok(File { file, path: path.to_owned(), kind, disk: self.clone() })
    }

    /// Opens a file that is there.
    pub(crate) fn open(&self, kind: Kind, path: &Path) -> io::Result<File> {
        let file = open_regular(path, true)?;
        Ok(File { file, path: path.to_owned(), kind, disk: self.clone() })
    }

    /// Opens what swallows writes and cannot be synced.
    #[cfg(test)]
    pub(crate) fn sink(&self, kind: Kind) -> File {
        let path = Path::new("/dev/null");
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        File { file, path: path.to_owned(), kind, disk: self.clone() }
    }

    /// Makes a file with a name of its own, which is gone when the value is.
    pub(crate) fn temporary(&self, directory: &Path) -> io::Result<Temporary> {
        let place = "disk.incoming_create";
        fail(place, "before")?;
        // `tempfile` opens with `O_EXCL` and 0600. The name is known only now.
        let file = NamedTempFile::new_in(directory)?;
        self.told(file.path(), &Op::Create)?;
        reach(place, "after");
        Ok(Temporary { file, written: 0, disk: self.clone() })
    }

    /// Takes a file away.
    pub(crate) fn remove(&self, kind: Kind, path: &Path) -> io::Result<()> {
        let place = match kind {
            Kind::Segment => "disk.segment_delete",
            Kind::Incoming => "disk.incoming_delete",
            Kind::Database => "disk.database_delete",
            Kind::Epoch => "disk.epoch_delete",
            Kind::Directory => "disk.directory_delete",
        };
        self.perform(place, path, &Op::Remove, || fs::remove_file(path))
    }

    /// The names in a directory are on disk on return.
    pub(crate) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let sync = || fs::File::open(path).and_then(|directory| directory.sync_all());
        self.perform("disk.directory_sync", path, &Op::SyncDir, sync)
    }

    /// Makes a directory for this user alone, and those above it, unless it is there; each new name is on disk on
    /// return.
    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        if let Some(above) = above {
            self.make_directory(above)?;
        }
        let made = self.perform("disk.directory_create", path, &Op::MakeDir, || {
            DirBuilder::new().mode(0o700).create(path)
        });
        match made {
            // Somebody else was faster, or it is a link to one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other?,
        }
        self.sync_directory(above.unwrap_or(Path::new(".")))
    }

    fn perform<T>(
        &self,
        place: &'static str,
        path: &Path,
        op: &Op<'_>,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        fail(place, "before")?;
        self.told(path, op)?;
        let done = act()?;
        reach(place, "after");
        Ok(done)
    }
}

/// Opens what must be a plain file: a link would lead elsewhere, a pipe would be waited for.
///
/// # Errors
/// `InvalidInput` when it is something else.
pub(crate) fn open_regular(path: &Path, write: bool) -> io::Result<fs::File> {
    use rustix::fs::OFlags;
    let other =
        || io::Error::new(io::ErrorKind::InvalidInput, "something that is no plain file is in its place");
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).write(write).custom_flags(flags).open(path);
    let file =
        file.map_err(|error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::LOOP | rustix::io::Errno::ISDIR | rustix::io::Errno::NXIO) => other(),
            _ => error,
        })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(other()) }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::from_raw_os_error(refusal.errno)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// An open file of the spool.
#[derive(Debug)]
pub(crate) struct File {
    file: fs::File,
    path: PathBuf,
    kind: Kind,
    disk: Disk,
}

impl File {
    /// Writes all of it at this offset.
    pub(crate) fn write_all_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        let place = match self.kind {
            Kind::Segment => "disk.segment_write",
            Kind::Incoming => "disk.incoming_write",
            Kind::Database => "disk.database_write",
            Kind::Epoch => "disk.epoch_write",
            Kind::Directory => "disk.directory_write",
        };
        fail(place, "before")?;
        if let Err(refusal) = self.disk.told(&self.path, &Op::Write { offset, octets }) {
            self.file.write_all_at(&octets[..refusal.octets.min(octets.len())], offset)?;
            return Err(refusal.into());
        }
        self.file.write_all_at(octets, offset)?;
        reach(place, "after");
        Ok(())
    }

    /// What was written is on disk on return. After an error nobody can say what is, and asking again would only
    /// pretend: the pages count as clean then.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        let place = match self.kind {
            Kind::Segment => "disk.segment_sync",
            Kind::Incoming => "disk.incoming_sync",
            Kind::Database => "disk.database_sync",
            Kind::Epoch => "disk.epoch_sync",
            Kind::Directory => "disk.directory_sync",
        };
        self.disk.perform(place, &self.path, &Op::Sync, || self.file.sync_data())
    }

    /// Cuts it off there.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        let place = match self.kind {
            Kind::Segment => "disk.segment_cut",
            Kind::Incoming => "disk.incoming_cut",
            Kind::Database => "disk.database_cut",
            Kind::Epoch => "disk.epoch_cut",
            Kind::Directory => "disk.directory_cut",
        };
        self.disk.perform(place, &self.path, &Op::SetLen(len), || self.file.set_len(len))
    }

    /// Writes every octet as it is found, so that all of it is to be synced.
    pub(crate) fn write_again(&self) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        loop {
            match self.file.read_at(&mut buffer, at)? {
                0 => return Ok(()),
                count => {
                    self.write_all_at(&buffer[..count], at)?;
                    at += count as u64;
                }
            }
        }
    }

    /// How long it is.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// A file that goes with its value.
#[derive(Debug)]
pub(crate) struct Temporary {
    file: NamedTempFile,
    written: u64,
    disk: Disk,
}

impl Temporary {
    /// Appends all of it.
    pub(crate) fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        let (place, offset) = ("disk.incoming_write", self.written);
        fail(place, "before")?;
        if let Err(refusal) = self.disk.told(self.file.path(), &Op::Write { offset, octets }) {
            let some = &octets[..refusal.octets.min(octets.len())];
            self.file.as_file().write_all_at(some, offset)?;
            return Err(refusal.into());
        }
        self.file.as_file().write_all_at(octets, offset)?;
        self.written += octets.len() as u64;
        reach(place, "after");
        Ok(())
    }

    /// To read from.
    pub(crate) fn as_file(&self) -> &fs::File {
        self.file.as_file()
    }
}

impl Drop for Temporary {
    /// The file itself is deleted right after this, by its own drop.
    fn drop(&mut self) {
        reach("disk.incoming_delete", "before");
        // Nobody is there to hear of a refusal; the next start deletes it.
        let _ = self.disk.told(self.file.path(), &Op::Remove);
    }
}
