//! The lock on a state directory: the operating system's, so it ends with the process, however that ends. Knows nothing of
//! what is in there.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::{Error, Result};

/// A lock that is taken is asked for so often, with a pause between. A process that was started shares the lock of the one
/// that started it until its own program runs: a holder that is gone seems to be there for a moment longer.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Holds the state directory until the file is closed.
pub(super) fn hold(state: &Path) -> Result<File> {
    hold_after(state, || std::thread::sleep(PAUSE))
}

fn hold_after(state: &Path, pause: impl Fn()) -> Result<File> {
    let failed = |source| Error::storage(state, "lock its directory", source);
    let options =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).to_owned();
    let file = options.open(state.join("lock")).map_err(failed)?;
    for _ in 1..TRIES {
        if locked(&file).map_err(failed)? {
            return Ok(file);
        }
        pause();
    }
    match locked(&file).map_err(failed)? {
        true => Ok(file),
        false => Err(Error::InUse { path: state.display().to_string() }),
    }
}

fn locked(file: &File) -> std::io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn a_lock_that_a_started_process_still_shares_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let first = hold(dir.path()).unwrap();
        // As between fork and exec: the same lock, held by another handle.
        let shared = RefCell::new(Some(first.try_clone().unwrap()));
        drop(first);
        let pauses = Cell::new(0);
        let pause = || {
            pauses.set(pauses.get() + 1);
            if pauses.get() == 3 {
                shared.take();
            }
        };
        hold_after(dir.path(), pause).unwrap();
        assert_eq!(pauses.get(), 3);
    }

    #[test]
    fn a_lock_that_stays_held_is_told_after_a_bounded_time() {
        let dir = tempfile::tempdir().unwrap();
        let _held = hold(dir.path()).unwrap();
        let pauses = Cell::new(0);
        let refused = hold_after(dir.path(), || pauses.set(pauses.get() + 1));
        assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
        assert_eq!(pauses.get(), TRIES - 1);
        assert!(PAUSE * TRIES <= Duration::from_secs(2));
    }
}
