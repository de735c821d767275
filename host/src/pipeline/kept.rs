//! The octets of plugins that a step may fall back to, in a private directory of the state: `plugins/SHA256.wasm`, and their
//! signature beside them, `SHA256.wasm.minisig`. Owns their form, and that what is read is what was kept; must not decide which
//! are wanted, nor whom to trust.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use postroom_mail::Digest;
use postroom_sandbox::SIZE_CAP;

/// The largest signature that is kept, in octets.
const SIGNATURE: u64 = 16 << 10;

/// The directory.
pub(super) struct Kept(PathBuf);

impl Kept {
    /// That of the state.
    pub(super) fn of(state: &Path) -> Self {
        Self(state.join("plugins"))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{digest}.wasm"))
    }

    fn signature_path(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{digest}.wasm.minisig"))
    }

    /// Whether something is kept under that digest.
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Keeps them and their signature, each whole and durably or not at all. Writes nothing that is kept already.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn keep(&self, digest: &Digest, octets: &[u8], signature: Option<&str>) -> io::Result<()> {
        if !self.holds(digest) {
            write_private(&self.path(digest), octets)?;
        }
        match signature {
            Some(text) if self.signature(digest)?.as_deref() != Some(text) => {
                write_private(&self.signature_path(digest), text.as_bytes())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The signature that was kept with them.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn signature(&self, digest: &Digest) -> io::Result<Option<String>> {
        match read_private(&self.signature_path(digest), SIGNATURE) {
            Ok(octets) => Ok(String::from_utf8(octets).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What was kept.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was kept.
    pub(super) fn read(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let octets = read_private(&self.path(digest), SIZE_CAP)?;
        if Digest::of(&octets) != *digest {
            return Err(io::Error::other("it is not what was kept: its digest is another"));
        }
        Ok(octets)
    }

    /// Removes everything else. What cannot be removed stops nothing.
    ///
    /// # Errors
    /// When the directory cannot be read; the first of those that could not be removed, and how many they are.
    pub(super) fn prune(&self, wanted: &BTreeSet<Digest>) -> io::Result<()> {
        let names = wanted.iter().flat_map(|digest| [self.path(digest), self.signature_path(digest)]);
        prune(&self.0, &names.collect())
    }
}

/// Removes every file of a directory but those.
///
/// # Errors
/// As [`Kept::prune`].
pub(super) fn prune(directory: &Path, wanted: &BTreeSet<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut left = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if !wanted.contains(&path)
            && let Err(error) = fs::remove_file(&path)
        {
            left.push(format!("{}: {error}", path.display()));
        }
    }
    match left.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let text = format!("{} could not be removed, the first is {first}", left.len());
            Err(io::Error::other(text))
        }
    }
}

/// Writes a file that only we can read, in a directory of the same kind, whole and durably or not at all.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_private(path: &Path, octets: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        }
        Err(error) => return Err(error),
    }
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(octets)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Reads a regular file, never what a link points at, of at most `most` octets.
///
/// # Errors
/// When it cannot be read, is no such file, or is larger.
pub(super) fn read_private(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > most {
        return Err(io::Error::other("it is no file of ours"));
    }
    let mut octets = Vec::new();
    file.take(most).read_to_end(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_is_kept_is_private_and_read_back_and_the_rest_is_removed() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::of(state.path());
        kept.prune(&BTreeSet::new()).unwrap();
        let digests = [b"one", b"two"].map(|octets| {
            let digest = Digest::of(octets);
            kept.keep(&digest, octets, Some("signed")).unwrap();
            digest
        });
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.path().join("plugins")), 0o700);
        assert_eq!(mode(&kept.path(&digests[0])), 0o600);
        assert_eq!(kept.read(&digests[1]).unwrap(), b"two");
        assert_eq!(kept.signature(&digests[1]).unwrap().as_deref(), Some("signed"));
        fs::write(state.path().join("plugins/.tmpleft"), "half").unwrap();
        kept.prune(&BTreeSet::from([digests[1]])).unwrap();
        assert_eq!(fs::read_dir(state.path().join("plugins")).unwrap().count(), 2);
        assert!(!kept.holds(&digests[0]) && kept.holds(&digests[1]));
        assert_eq!(kept.signature(&digests[0]).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_removed_is_told_and_keeps_nothing_else_there() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::of(state.path());
        let digests: Vec<_> = (0..8_u8)
            .map(|number| {
                let digest = Digest::of(&[number]);
                kept.keep(&digest, &[number], None).unwrap();
                digest
            })
            .collect();
        for name in ["a directory", "another"] {
            fs::create_dir(state.path().join("plugins").join(name)).unwrap();
        }
        let told = kept.prune(&BTreeSet::new()).unwrap_err().to_string();
        assert!(told.starts_with("2 could not be removed"), "{told}");
        assert!(digests.iter().all(|digest| !kept.holds(digest)));
    }

    #[test]
    fn a_signature_made_with_another_key_takes_the_place_of_the_one_before() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::of(state.path());
        let digest = Digest::of(b"good");
        for text in ["first", "second"] {
            kept.keep(&digest, b"good", Some(text)).unwrap();
            assert_eq!(kept.signature(&digest).unwrap().as_deref(), Some(text));
        }
        kept.keep(&digest, b"good", None).unwrap();
        assert_eq!(kept.signature(&digest).unwrap().as_deref(), Some("second"));
    }

    #[test]
    fn a_file_that_was_changed_or_is_a_link_is_not_taken() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::of(state.path());
        let digest = Digest::of(b"good");
        kept.keep(&digest, b"good", None).unwrap();
        fs::write(kept.path(&digest), "evil").unwrap();
        assert!(kept.read(&digest).is_err());
        fs::remove_file(kept.path(&digest)).unwrap();
        fs::write(state.path().join("elsewhere"), "good").unwrap();
        std::os::unix::fs::symlink(state.path().join("elsewhere"), kept.path(&digest)).unwrap();
        assert!(kept.read(&digest).is_err());
    }
}
