//! A copy of what a state keeps of manifests: the key, and the chains of sinks that cannot hold their own. Must not change
//! what it copies.
//!
//! It is taken before the database is: lines that a copy of the database knows and the copy of a chain lacks are written
//! again from the receipts, the other way round there would be two.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::key::FILE;

/// The directory of the chains.
const CHAINS: &str = "manifest";

/// A copy that lies beside its place until that is there.
pub struct Aside(tempfile::TempDir);

impl Aside {
    /// Copies it from a state to beside a directory that may not be there yet.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn take(state: &Path, beside: &Path) -> io::Result<Self> {
        let parent =
            beside.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let staged = tempfile::Builder::new().prefix(".postroom-backup-").tempdir_in(parent)?;
        copy_if_there(&state.join(FILE), &staged.path().join(FILE))?;
        for sink in entries(&state.join(CHAINS))? {
            let to = staged.path().join(CHAINS).join(sink.file_name());
            fs::create_dir_all(&to)?;
            for file in entries(&sink.path())? {
                copy_if_there(&file.path(), &to.join(file.file_name()))?;
            }
            File::open(&to)?.sync_all()?;
        }
        Ok(Self(staged))
    }

    /// Puts it into the directory, which is there now.
    ///
    /// # Errors
    /// When it cannot be moved there.
    pub fn put(self, directory: &Path) -> io::Result<()> {
        for name in [FILE, CHAINS] {
            match fs::rename(self.0.path().join(name), directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        File::open(directory)?.sync_all()
    }
}

/// What is in a directory; nothing when it is not there.
fn entries(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Copies a regular file with its rights, durably; one that is not there, or is something else, is left out.
fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(from) {
        Ok(meta) if meta.is_file() => {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_and_the_chains_are_copied_and_nothing_is_left_beside() {
        let root = tempfile::tempdir().unwrap();
        let (state, copy) = (root.path().join("state"), root.path().join("copy"));
        fs::create_dir_all(state.join("manifest/vault")).unwrap();
        fs::write(state.join("manifest.key"), "secret").unwrap();
        fs::set_permissions(state.join("manifest.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(state.join("manifest/vault/2026-11-24.jsonl"), "line\n").unwrap();
        let aside = Aside::take(&state, &copy).unwrap();
        fs::create_dir(&copy).unwrap();
        aside.put(&copy).unwrap();
        assert_eq!(fs::read(copy.join("manifest/vault/2026-11-24.jsonl")).unwrap(), b"line\n");
        assert_eq!(fs::metadata(copy.join("manifest.key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_state_without_manifests_has_nothing_to_copy() {
        let root = tempfile::tempdir().unwrap();
        let copy = root.path().join("copy");
        fs::create_dir(&copy).unwrap();
        Aside::take(&root.path().join("state"), &copy).unwrap().put(&copy).unwrap();
        assert_eq!(fs::read_dir(&copy).unwrap().count(), 0);
    }
}
