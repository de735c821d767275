//! Stands between SQLite and the system's files: each operation on a database or its log is told to a watch first, which
//! may refuse it; then SQLite's own unix VFS does it.
//!
//! Owns the translation of both ways: operations to [`Op`], refusals to SQLite's codes. Must not decide what fails. The
//! shared memory beside a log is passed through untold, since it never outlasts a crash.

mod file;
mod vfs;

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use postroom_spool::disk::{Op, Refusal, Watch};
use rusqlite::ffi;

pub use vfs::{NAME, register};

/// Who is told of the files below a directory.
static WATCHES: Mutex<BTreeMap<PathBuf, Arc<dyn Watch>>> = Mutex::new(BTreeMap::new());

/// While it lives, `watch` is told of the databases that are opened right in the directory; those that are open stay
/// watched.
#[must_use]
pub struct Watching(PathBuf);

impl Watching {
    /// Begins.
    pub fn begin(directory: &Path, watch: Arc<dyn Watch>) -> Self {
        WATCHES.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.to_owned(), watch);
        Self(directory.to_owned())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        WATCHES.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

fn watch_of(path: &Path) -> Option<Arc<dyn Watch>> {
    let watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    watches.get(path.parent()?).map(Arc::clone)
}

/// SQLite's code for an operation that failed with this error of the system.
fn code(op: &Op<'_>, refusal: Refusal) -> c_int {
    let full = [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT];
    let full = full.iter().any(|errno| errno.raw_os_error() == refusal.errno);
    match op {
        // As its own VFS says it: only a write tells that the disk is full.
        Op::Write { .. } if full => ffi::SQLITE_FULL,
        Op::Write { .. } => ffi::SQLITE_IOERR_WRITE,
        Op::Sync => ffi::SQLITE_IOERR_FSYNC,
        Op::SyncDir => ffi::SQLITE_IOERR_DIR_FSYNC,
        Op::SetLen(_) => ffi::SQLITE_IOERR_TRUNCATE,
        Op::Remove => ffi::SQLITE_IOERR_DELETE,
        Op::Create => ffi::SQLITE_CANTOPEN,
        Op::Rename { .. } | Op::MakeDir => ffi::SQLITE_IOERR,
    }
}
