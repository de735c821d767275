//! Owns the private directory of a run and the user the programs under test run as. Must not start anything.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::HarnessError;
use crate::process::{self, User};

/// What every maildrop's user has.
pub(super) const PASSWORD: &str = "correct horse";

/// A private directory. As root the programs under test run as `nobody`, who can be kept from writing; as an ordinary user,
/// as that user.
#[derive(Debug)]
pub(super) struct Arena {
    directory: TempDir,
    owner: User,
}

impl Arena {
    pub(super) fn make() -> Result<Self, HarnessError> {
        let failed = |source| HarnessError::Io { doing: "making a directory", source };
        let directory = tempfile::Builder::new().prefix("postroom-chaos-").tempdir().map_err(failed)?;
        let owner = if process::is_root() { User::named("nobody") } else { User::current() };
        let owner = owner.ok_or_else(|| HarnessError::Answer {
            expected: "the user that programs are to run as in /etc/passwd".to_owned(),
            got: "no such user".to_owned(),
        })?;
        process::directory(directory.path(), 0o755, Some((owner.uid, owner.gid)))?;
        Ok(Self { directory, owner })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn owner(&self) -> &User {
        &self.owner
    }

    /// A directory of the owner's alone.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, HarnessError> {
        let path = self.path(name);
        process::directory(&path, 0o700, Some((self.owner.uid, self.owner.gid)))?;
        Ok(path)
    }

    /// A file of the owner's alone.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, HarnessError> {
        let path = self.path(name);
        process::write(&path, text.as_bytes())?;
        process::give(&path, Some((self.owner.uid, self.owner.gid)))?;
        Ok(path)
    }

    /// A copy of a program: the owner may not be able to reach the original, which may also be built anew meanwhile.
    pub(super) fn program(&self, original: &Path) -> Result<PathBuf, HarnessError> {
        let copy = self.path("postroom-host");
        std::fs::copy(original, &copy)
            .map_err(|source| HarnessError::File { path: original.to_owned(), source })?;
        Ok(copy)
    }

    /// Leaves the directory where it is, to be looked at.
    pub(super) fn keep(self) -> PathBuf {
        self.directory.keep()
    }
}

/// All files below a directory; none where there is none yet.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                Ok(_) | Err(_) => found.push(entry.path()),
            }
        }
    }
    found
}
