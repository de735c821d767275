//! Reads files in whose place others may put anything: a pipe that nobody writes to must not hold up the host, and a device
//! or a file without an end must not fill its memory. Must not know what is in them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use postroom_mail::Digest;
use postroom_mail::ids::Digester;
use rustix::fs::OFlags;

/// Octets that are hashed at a time.
const PIECE: usize = 64 << 10;

/// Opens a regular file, also one that a link points at. Looks at what was opened, not at the name.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    // Without waiting for a writer, should it be a pipe.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// The octets of a regular file of at most `most` octets.
///
/// # Errors
/// When it cannot be read, is something else, or is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if file.metadata()?.len() > most {
        return Err(too_large(most));
    }
    let mut octets = Vec::new();
    // It may have grown since.
    file.take(most.saturating_add(1)).read_to_end(&mut octets)?;
    if octets.len() as u64 > most { Err(too_large(most)) } else { Ok(octets) }
}

/// The same of a text.
///
/// # Errors
/// As [`read`], and when it is no UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// The digest of a regular file of at most `most` octets, which are never held all at once.
///
/// # Errors
/// As [`read`].
pub fn digest(path: &Path, most: u64) -> io::Result<Digest> {
    let file = open(path)?;
    if file.metadata()?.len() > most {
        return Err(too_large(most));
    }
    let (mut whole, mut left) = (Digester::default(), file.take(most));
    let mut piece = vec![0; PIECE];
    loop {
        match left.read(&mut piece)? {
            0 => return Ok(whole.finish()),
            octets => whole.update(&piece[..octets]),
        }
    }
}

fn too_large(most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} octets"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_pipe_that_nobody_writes_to_and_a_device_without_an_end_are_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [pipe.as_path(), &link, Path::new("/dev/null"), directory.path()] {
            let kinds = [read(path, 9).unwrap_err().kind(), digest(path, 9).unwrap_err().kind()];
            assert_eq!(kinds, [io::ErrorKind::InvalidInput; 2], "{}", path.display());
        }
    }

    #[test]
    fn a_file_without_an_end_is_refused_before_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        File::create(&path).unwrap().set_len(8 << 30).unwrap();
        let error = read(&path, 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1048576 octets");
        assert!(digest(&path, 1 << 20).is_err());
    }

    #[test]
    fn a_file_may_have_just_as_much_as_is_allowed_and_may_be_linked_to() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&path, "abc").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link, 3).unwrap(), b"abc");
        assert_eq!(digest(&link, 3).unwrap(), Digest::of(b"abc"));
        assert!(read(&path, 2).is_err() && digest(&path, 2).is_err());
    }
}
