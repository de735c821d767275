//! Owns the durable, create-only appearance of one file: temporary file, fsync, rename without replacing, fsync of the
//! directory. Works relative to directory handles and never follows a symbolic link, so that nothing swapped in beneath
//! the root leads out of it. Must not overwrite a file and must not decide what a taken name means.
//!
//! Every call to the system that changes something has a failpoint before and after it, called after the kind of sink.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use postroom_failpoint::{fail, reach};
use postroom_mail::Effect;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::error::Fault;

/// An open directory at or beneath a sink's root, and whose it is.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd, Owner);

/// The kinds of sinks that publish files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Directory,
    Maildir,
}

impl Owner {
    /// The failpoint before a call to the system.
    pub(super) fn before(self, call: &str) -> io::Result<()> {
        fail(format_args!("{self:?}.{call}"), "before")
    }

    /// The one after it, whatever came of it.
    pub(super) fn after(self, call: &str) {
        reach(format_args!("{self:?}.{call}"), "after");
    }

    /// A call to the system between its failpoints.
    fn call<T>(self, name: &str, call: impl FnOnce() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
        self.before(name).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let done = call();
        self.after(name);
        done
    }
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// The file has its name.
    New,
    /// Another file has it; the temporary file is still there.
    Taken,
}

/// Directories whose own entry in their parent is known to be durable, so that each is synced once, not once per file.
/// Whoever finds a directory that another thread made a moment ago must not rely on that thread's sync.
#[derive(Debug)]
pub(super) struct Settled(Mutex<HashSet<String>>, Owner);

impl Settled {
    /// Beyond this many it starts over; that costs a sync for each, nothing else.
    const MOST: usize = 10_000;

    /// None yet, of a sink of this kind.
    pub(super) fn of(owner: Owner) -> Self {
        Self(Mutex::default(), owner)
    }

    fn contains(&self, path: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn insert(&self, path: &str) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() >= Self::MOST {
            paths.clear();
        }
        paths.insert(path.to_owned());
    }
}

impl Dir {
    /// Opens the root, following symbolic links: the operator named it. Made if only its last part is missing.
    pub(super) fn root(path: &Path, mode: u32, settled: &Settled) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let owner = settled.1;
        match owner.call("open-root", || rustix::fs::open(path, flags, Mode::empty())) {
            Ok(root) => {
                // Another thread may have made it a moment ago. A parent that may not be read did not change by us.
                if !settled.contains("") {
                    let _ = File::open(parent).and_then(|parent| parent.sync_all());
                    settled.insert("");
                }
                Ok(Self(root, owner))
            }
            Err(Errno::NOENT) => {
                let made = owner.call("make-root", || rustix::fs::mkdir(path, Mode::from_raw_mode(mode)));
                if !matches!(made, Ok(()) | Err(Errno::EXIST)) {
                    made?;
                }
                owner.before("sync-parent")?;
                File::open(parent)?.sync_all()?;
                owner.after("sync-parent");
                settled.insert("");
                let root = rustix::fs::open(path, flags, Mode::empty())?;
                if made.is_ok() {
                    // Whatever the process's own mask says.
                    rustix::fs::fchmod(&root, Mode::from_raw_mode(mode))?;
                }
                Ok(Self(root, owner))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the root, which must be there.
    pub(super) fn there(path: &Path, owner: Owner) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?, owner))
    }

    /// Goes down `parts`, one directory at a time, making and syncing what is missing.
    pub(super) fn descend(self, parts: &[&str], mode: u32, settled: &Settled) -> io::Result<Self> {
        let mut dir = self;
        let mut path = String::new();
        for part in parts {
            path.push('/');
            path.push_str(part);
            dir = dir.enter(part, mode, &path, settled)?;
        }
        Ok(dir)
    }

    /// Another handle of the same directory.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?, self.1))
    }

    /// The directory `name` in this one; `None` when it is missing.
    pub(super) fn open(&self, name: &str) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(dir) => Ok(Some(Self(dir, self.1))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn enter(&self, name: &str, mode: u32, path: &str, settled: &Settled) -> io::Result<Self> {
        let made = self.1.call("make", || rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode)));
        match made {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) if settled.contains(path) => {}
            Err(Errno::EXIST) => self.sync()?,
            Err(error) => return Err(error.into()),
        }
        settled.insert(path);
        let dir = self.open(name)?.ok_or(io::ErrorKind::NotFound)?;
        if made.is_ok() {
            rustix::fs::fchmod(&dir.0, Mode::from_raw_mode(mode))?;
        }
        Ok(dir)
    }

    /// A new empty file, private until [`Dir::publish`]. One that an earlier crash left under that name is removed.
    pub(super) fn temporary(&self, name: &str) -> io::Result<File> {
        match self.1.call("clear", || rustix::fs::unlinkat(&self.0, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o600));
        Ok(File::from(self.1.call("create", create)?))
    }

    /// Opens a regular file for reading; `None` when the name is free. Anything else under that name is an error.
    pub(super) fn file(&self, name: &str) -> io::Result<Option<File>> {
        // NONBLOCK so that a FIFO under that name cannot hang the delivery.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match self.1.call("look", || rustix::fs::openat(&self.0, name, flags, Mode::empty())) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(Some(file)),
            _ => Err(Errno::LOOP.into()),
        }
    }

    /// Gives the temporary file `from` of this directory the name `to` in `into`, with `mode`, if that name is free.
    /// Durable on return. `file` is the open temporary file, completely written.
    pub(super) fn publish(
        &self,
        file: &File,
        from: &str,
        into: &Self,
        to: &str,
        mode: u32,
    ) -> io::Result<Published> {
        self.1.call("mode", || rustix::fs::fchmod(file, Mode::from_raw_mode(mode)))?;
        self.1.call("sync", || rustix::fs::fsync(file))?;
        let rename = || rustix::fs::renameat_with(&self.0, from, &into.0, to, RenameFlags::NOREPLACE);
        let renamed = match self.1.call("rename", rename) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link(from, into, to),
            outcome => outcome,
        };
        match renamed {
            Ok(()) => {
                into.sync()?;
                Ok(Published::New)
            }
            Err(Errno::EXIST) => Ok(Published::Taken),
            Err(error) => Err(error.into()),
        }
    }

    /// The same by hard link, for file systems that cannot rename without replacing.
    fn link(&self, from: &str, into: &Self, to: &str) -> rustix::io::Result<()> {
        rustix::fs::linkat(&self.0, from, &into.0, to, AtFlags::empty())?;
        rustix::fs::unlinkat(&self.0, from, AtFlags::empty())
    }

    /// Makes an empty file if the name is free.
    pub(super) fn mark(&self, name: &str, mode: u32) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self.1.call("mark", || rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))) {
            Ok(_) => self.sync(),
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a name, which may be gone already.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match self.1.call("remove", || rustix::fs::unlinkat(&self.0, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The first name in this directory that satisfies `wanted`.
    pub(super) fn find(&self, wanted: impl Fn(&[u8]) -> bool) -> io::Result<Option<String>> {
        for entry in self.1.call("scan", || rustix::fs::Dir::read_from(&self.0))? {
            let entry = entry?;
            if wanted(entry.file_name().to_bytes()) {
                return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    /// The names in this directory, with whether each is a directory. What is neither that nor a regular file, such as a
    /// symbolic link, is left out.
    pub(super) fn names(&self) -> io::Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                known => known,
            };
            if matches!(kind, FileType::RegularFile | FileType::Directory) {
                names.push((name.to_string_lossy().into_owned(), kind == FileType::Directory));
            }
        }
        Ok(names)
    }

    /// Makes the names in this directory durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(self.1.call("sync-directory", || rustix::fs::fsync(&self.0))?)
    }

    /// Proves that a file can be made, written, synced and removed here.
    pub(super) fn prove_writable(&self) -> io::Result<()> {
        const NAME: &str = ".postroom-probe.tmp";
        let mut file = self.temporary(NAME)?;
        let outcome = io::Write::write_all(&mut file, b"probe").and_then(|()| file.sync_all());
        self.remove(NAME)?;
        outcome
    }
}

/// The name of the temporary file of an effect: the same at each attempt, so that none is left behind for ever.
pub(super) fn temporary_name(effect: &Effect) -> String {
    format!(".postroom-{}.tmp", effect.id.0.short(32))
}

/// What a failure of the file system means. `place` is what was being written, for people.
pub(super) fn fault(place: &str, error: io::Error) -> Fault {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    let what = |rest: &str| format!("{place}: {error}; {rest}");
    match code {
        Some(Errno::NOSPC | Errno::DQUOT) => Fault::unavailable(what(
            "the disk or the quota is full: free space, the delivery goes on by itself",
        )),
        Some(Errno::ROFS) => {
            Fault::unavailable(what("the file system is read-only: look at its mount and its health"))
        }
        Some(Errno::IO) => Fault::unavailable(what("the disk reports errors: look at the kernel log")),
        Some(Errno::ACCESS | Errno::PERM) => Fault::configuration(what(
            "the user this runs as may not write there: change the owner or the mode",
        )),
        Some(Errno::NOENT) => {
            Fault::configuration(what("the directory is missing: make it, mount it, or correct `path`"))
        }
        Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::MLINK) => Fault::permanent(what(
            "a symbolic link, or something that is not a directory or a regular file, stands in the way; \
             nothing was written: move it away and retry the effect",
        )),
        Some(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL) => Fault::permanent(what(
            "the file system does not take this name: choose another key in the step's settings",
        )),
        Some(Errno::XDEV) => Fault::configuration(what(
            "the parts of this sink lie on different file systems, so that nothing can appear in one step: put all of it \
             on one",
        )),
        _ => Fault::unavailable(what("the file system failed")),
    }
    .because(error)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_systems_that_cannot_rename_without_replacing_get_a_hard_link_that_does_not_either() {
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::root(base.path(), 0o700, &Settled::of(Owner::Directory)).unwrap();
        fs::write(base.path().join("temporary"), b"new").unwrap();
        fs::write(base.path().join("taken"), b"old").unwrap();
        assert_eq!(dir.link("temporary", &dir, "taken"), Err(Errno::EXIST));
        assert_eq!(fs::read(base.path().join("taken")).unwrap(), b"old");
        dir.link("temporary", &dir, "free").unwrap();
        assert_eq!(fs::read(base.path().join("free")).unwrap(), b"new");
        assert!(!base.path().join("temporary").exists());
    }

    #[test]
    fn the_memory_of_settled_directories_is_bounded() {
        let settled = Settled::of(Owner::Directory);
        for number in 0..=Settled::MOST {
            settled.insert(&number.to_string());
        }
        assert!(settled.contains(&Settled::MOST.to_string()));
        assert_eq!(settled.0.lock().unwrap().len(), 1);
    }
}
