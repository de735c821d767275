//! One process for each maildrop of this machine, whatever state directory it uses: two would handle every message twice.
//! The lock is the operating system's and ends with the process. What two machines do to each other is for their
//! server's lock, or a shared spool.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use postroom_mail::{AccountId, Digest};
use rustix::fs::{FlockOperation, flock};

use crate::config::AccountConfig;

/// Why a maildrop is not ours to poll.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Another process, or another account of this one, has it.
    #[error("the maildrop of {user} at {host} is handled already, by {owner}")]
    Taken {
        /// Who logs in.
        user: String,
        /// Where.
        host: String,
        /// Which process and account, as far as it says.
        owner: String,
    },
    /// The lock cannot be made.
    #[error("cannot lock the maildrop at {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
}

/// The maildrops that this process handles, until it ends or lets one go.
pub struct Leases {
    directory: PathBuf,
    held: Mutex<BTreeMap<AccountId, Held>>,
}

struct Held {
    file: File,
    path: PathBuf,
}

impl Leases {
    /// Locks are made in `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, held: Mutex::default() }
    }

    /// The place all processes of this user share: that of the login session, else that of the machine.
    pub fn shared_directory() -> PathBuf {
        let user = rustix::process::getuid().as_raw();
        let session =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        match session {
            Some(session) => session.join("postroom"),
            None => std::env::temp_dir().join(format!("postroom-{user}")),
        }
    }

    /// Makes the maildrop ours, or keeps it.
    pub(super) fn take(&self, id: &AccountId, account: &AccountConfig) -> Result<(), NotOurs> {
        let path = self.directory.join(name(account));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(id).is_some_and(|held| held.path == path && is_at(&held.file, &path)) {
            return Ok(());
        }
        let failed = |source| NotOurs::Io { path: path.display().to_string(), source };
        private(&self.directory).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let (user, host) = (account.user.clone(), account.host.clone());
                return Err(NotOurs::Taken { user, host, owner: owner(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        let text = format!("account `{id}` of the postroom process {}", std::process::id());
        // Only for the message above: a lock that nobody can read still holds.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        held.insert(id.clone(), Held { file, path });
        Ok(())
    }

    /// Lets go of all maildrops but those of `accounts`.
    pub(super) fn retain(&self, wanted: impl Fn(&AccountId) -> bool) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| wanted(id));
    }
}

/// One name for each maildrop; nothing of the user's name shows.
fn name(account: &AccountConfig) -> String {
    let host = account.host.to_ascii_lowercase();
    let port = account.port.to_be_bytes();
    let of = Digest::of_parts("maildrop/1", &[host.as_bytes(), &port, account.user.as_bytes()]);
    format!("{}.lock", of.short(32))
}

/// A directory of our own: in a shared place somebody else might have made it first, to keep us out or to look in.
fn private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = std::fs::symlink_metadata(directory)?;
    if found.is_dir() && found.uid() == rustix::process::getuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "its directory belongs to somebody else"))
}

/// Whether the locked file is still the one others would open: temporary directories are swept.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        _ => false,
    }
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    match read {
        Ok(1..) => postroom_mail::rules::neutral(&text, 120),
        _ => "another postroom process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::account;

    fn id(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    #[test]
    fn a_maildrop_has_one_owner_and_the_other_is_told_who() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (Leases::new(directory.path().join("l")), Leases::new(directory.path().join("l")));
        one.take(&id("home"), &account()).unwrap();
        one.take(&id("home"), &account()).unwrap();
        let error = two.take(&id("other"), &account()).unwrap_err().to_string();
        assert!(error.contains("account `home` of the postroom process"), "{error}");
        let error = one.take(&id("twice"), &account()).unwrap_err().to_string();
        assert!(error.contains("account `home`"), "{error}");
        one.retain(|_| false);
        two.take(&id("other"), &account()).unwrap();
    }

    #[test]
    fn another_user_or_port_is_another_maildrop() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::new(directory.path().to_owned());
        let mut other = account();
        leases.take(&id("a"), &other).unwrap();
        other.user.push('x');
        leases.take(&id("b"), &other).unwrap();
        other.port = 1;
        leases.take(&id("c"), &other).unwrap();
    }

    #[test]
    fn a_lock_that_was_swept_away_is_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::new(directory.path().to_owned());
        leases.take(&id("home"), &account()).unwrap();
        std::fs::remove_file(directory.path().join(name(&account()))).unwrap();
        leases.take(&id("home"), &account()).unwrap();
        assert!(directory.path().join(name(&account())).exists());
    }
}
