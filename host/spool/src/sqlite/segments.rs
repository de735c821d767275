//! Bodies on disk: append-only files of records. Owns their layout, their syncing and what happens when that fails;
//! the rows that point into them belong to the database, and only they make a record exist.
//!
//! A record is: magic (4 octets), length (u64), message id (32), CRC32C of the octets (u32), the octets; numbers are
//! big-endian. Before it stands its origin (`origin`), so that a segment alone says whose mail it holds; what the first
//! versions wrote has none. Rows point at the record, not at the origin.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use postroom_mail::MessageId;

use super::origin::Origin;
use crate::body::{Body, Sealed, each_chunk};
use crate::disk::{self, Disk, Kind, open_regular};
use crate::{Error, Result};

pub(super) const MAGIC: [u8; 4] = *b"PMR1";
/// Length of what precedes the octets of a record.
pub(super) const HEADER: u64 = 4 + 8 + 32 + 4;

/// How much goes where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// A segment that would grow beyond this is closed and another begun.
    pub(crate) roll_at: u64,
    /// So much of the disk is not for arriving mail: the outbox and the sweep need room to make room.
    pub(crate) reserve: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { roll_at: 256 << 20, reserve: 16 << 20 }
    }
}

/// Where the octets of a body are: the segment, the offset of the record in it, and the CRC32C of the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) crc: u32,
}

impl Place {
    /// Where the record of `size` octets ends.
    pub(super) fn end(&self, size: u64) -> u64 {
        self.offset + HEADER + size
    }
}

/// How far the segments were written at some moment.
#[derive(Clone, Copy)]
pub(super) struct Mark(Option<(u32, u64)>);

/// The segments as the writer sees them.
pub(super) struct Segments {
    directory: PathBuf,
    disk: Disk,
    sizes: Sizes,
    active: Option<Active>,
    next: u32,
    /// A write or a sync failed: what is not committed is not to be trusted any more.
    broken: Option<Error>,
}

struct Active {
    number: u32,
    file: disk::File,
    len: u64,
    /// Committed up to here.
    committed: u64,
    unsynced: bool,
}

impl Segments {
    /// Goes on with segment `last`, whose committed records end at the given offset, when it is sound.
    pub(super) fn open(
        directory: PathBuf,
        disk: Disk,
        sizes: Sizes,
        last: Option<(u32, u64)>,
        next: u32,
    ) -> Self {
        let active = last.and_then(|(number, end)| reopen(&disk, &path(&directory, number), number, end));
        Self { directory, disk, sizes, active, next, broken: None }
    }

    /// Appends a record. It is durable only after [`Segments::sync`].
    pub(super) fn append(&mut self, origin: &Origin, message: MessageId, body: &Sealed) -> Result<Place> {
        self.check_room(body.size())?;
        self.append_with(origin, message, body.size(), body.crc(), |take| body.each(take))
    }

    /// Appends a record read from another segment.
    pub(super) fn copy(
        &mut self,
        origin: &Origin,
        message: MessageId,
        from: Place,
        size: u64,
    ) -> Result<Place> {
        let file = open_checked(&self.directory, message, from, size)?;
        let octets = from.offset + HEADER;
        self.append_with(origin, message, size, from.crc, |take| each_chunk(&file, octets, size, take))
    }

    /// Refuses mail before the disk is full to the last block. Where the system does not say, writing will tell.
    fn check_room(&self, size: u64) -> Result<()> {
        match rustix::fs::statvfs(&self.directory) {
            Ok(disk)
                if disk.f_bavail.saturating_mul(disk.f_frsize) < size.saturating_add(self.sizes.reserve) =>
            {
                Err(Error::Full { path: self.directory.display().to_string() })
            }
            _ => Ok(()),
        }
    }

    fn append_with(
        &mut self,
        origin: &Origin,
        message: MessageId,
        size: u64,
        crc: u32,
        each: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> Result<Place> {
        let directory = self.directory.clone();
        let origin = origin.encode();
        let before = origin.len() as u64;
        let written = self.room_for(before.saturating_add(size)).and_then(|active| {
            let place = Place { segment: active.number, offset: active.len + before, crc };
            active.unsynced = true;
            active.file.write_all_at(&origin, active.len)?;
            write_record(&active.file, place, message, size, each)?;
            active.len = place.end(size);
            Ok(place)
        });
        written.map_err(|source| self.break_off(Error::storage(&directory, "write a message", source)))
    }

    fn room_for(&mut self, size: u64) -> io::Result<&mut Active> {
        let fits = |active: &Active| active.len == 0 || active.len + HEADER + size <= self.sizes.roll_at;
        if self.active.as_ref().is_some_and(|active| !fits(active)) {
            self.sync_active()?;
            self.active = None;
        }
        match &mut self.active {
            Some(active) => Ok(active),
            none => {
                let number = self.next;
                self.next += 1;
                let file = create(&self.disk, &self.directory, number)?;
                Ok(none.insert(Active { number, file, len: 0, committed: 0, unsynced: false }))
            }
        }
    }

    /// The one barrier of a batch: everything appended so far is durable on return.
    pub(super) fn sync(&mut self) -> Result<()> {
        let synced = self.sync_active();
        synced.map_err(|source| {
            let error = Error::storage(&self.directory, "sync a message to disk", source);
            self.break_off(error)
        })
    }

    fn break_off(&mut self, error: Error) -> Error {
        let told = again(&error);
        self.broken = Some(error);
        told
    }

    fn sync_active(&mut self) -> io::Result<()> {
        match &mut self.active {
            Some(active) if active.unsynced => {
                active.file.sync_data()?;
                active.unsynced = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What failed since the last [`Segments::abandon_if_broken`].
    pub(super) fn broken(&self) -> Option<Error> {
        self.broken.as_ref().map(again)
    }

    /// After a failed write or sync nobody can say what the file holds, and a second sync would only pretend:
    /// another segment is begun instead.
    pub(super) fn abandon_if_broken(&mut self) {
        if self.broken.take().is_none() {
            return;
        }
        // Best effort: the next start does the same.
        match self.active.take() {
            Some(active) if active.committed == 0 => {
                let _ = self.disk.remove(Kind::Segment, &path(&self.directory, active.number));
            }
            Some(active) => {
                let _ = active.file.set_len(active.committed);
            }
            None => {}
        }
    }

    /// How far it was written.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.active.as_ref().map(|active| (active.number, active.len)))
    }

    /// Forgets what was appended since the mark; it is written over.
    pub(super) fn rewind(&mut self, mark: Mark) {
        if let Some(active) = &mut self.active {
            active.len = match mark.0 {
                Some((number, len)) if number == active.number => len,
                _ => 0,
            };
        }
    }

    /// The rows that point at everything appended so far are committed.
    pub(super) fn committed(&mut self) {
        if let Some(active) = &mut self.active {
            active.committed = active.len;
        }
    }

    /// The segment that is being written, if any.
    pub(super) fn active(&self) -> Option<u32> {
        self.active.as_ref().map(|active| active.number)
    }

    /// Writes no more to the segment that is being written, so that it can be freed.
    pub(super) fn close_active(&mut self) -> Result<()> {
        self.sync()?;
        self.active = None;
        Ok(())
    }

    /// Deletes the file of a segment nothing points into any more; answers how many octets that freed.
    pub(super) fn delete(&self, number: u32) -> u64 {
        let path = path(&self.directory, number);
        let len = fs::metadata(&path).map_or(0, |meta| meta.len());
        match self.disk.remove(Kind::Segment, &path) {
            Ok(()) => len,
            // It has no row any more, so the next start removes it.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a segment that is not needed cannot be deleted");
                0
            }
        }
    }
}

#[cfg(test)]
impl Segments {
    /// Writes go nowhere from now on, and cannot be synced.
    pub(super) fn sabotage(&mut self) {
        if let Some(active) = &mut self.active {
            active.file = self.disk.sink(Kind::Segment);
        }
    }
}

/// Opens a body and checks every octet of it.
pub(super) fn read(directory: &Path, message: MessageId, place: Place, size: u64) -> Result<Body> {
    let file = open_checked(directory, message, place, size)?;
    Ok(Body::in_segment(file, place.offset + HEADER, size))
}

fn open_checked(directory: &Path, message: MessageId, place: Place, size: u64) -> Result<File> {
    let path = path(directory, place.segment);
    let damaged = |how: &str| Error::Corrupt {
        what: format!("message {message} in {} at octet {}: {how}", path.display(), place.offset),
    };
    let sorted = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => damaged("the file is missing"),
        io::ErrorKind::UnexpectedEof => damaged("the file ends inside the message"),
        io::ErrorKind::InvalidInput => damaged(&source.to_string()),
        _ if source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            damaged("the disk cannot read it any more")
        }
        _ => Error::Io { doing: "read a message", source },
    };
    let file = open_regular(&path, false).map_err(sorted)?;
    let mut found = [0; HEADER as usize];
    file.read_exact_at(&mut found, place.offset).map_err(sorted)?;
    if found != header(message, size, place.crc) {
        return Err(damaged("the record's header is not the one that was written"));
    }
    let mut crc = 0;
    let sum = |octets: &[u8]| {
        crc = crc32c::crc32c_append(crc, octets);
        Ok(())
    };
    each_chunk(&file, place.offset + HEADER, size, sum).map_err(sorted)?;
    if crc != place.crc {
        return Err(damaged("the checksum does not match"));
    }
    Ok(file)
}

pub(super) fn header(message: MessageId, size: u64, crc: u32) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..4].copy_from_slice(&MAGIC);
    header[4..12].copy_from_slice(&size.to_be_bytes());
    header[12..44].copy_from_slice(&message.0.0);
    header[44..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// What goes to disk must be what arrived, octet for octet: the checksum is taken again on the way.
fn write_record(
    file: &disk::File,
    place: Place,
    message: MessageId,
    size: u64,
    each: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
) -> io::Result<()> {
    file.write_all_at(&header(message, size, place.crc), place.offset)?;
    let (mut at, mut crc) = (place.offset + HEADER, 0);
    each(&mut |octets| {
        file.write_all_at(octets, at)?;
        at += octets.len() as u64;
        crc = crc32c::crc32c_append(crc, octets);
        Ok(())
    })?;
    if at != place.end(size) || crc != place.crc {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the arriving message changed on disk"));
    }
    Ok(())
}

/// The same failure for another caller.
fn again(error: &Error) -> Error {
    match error {
        Error::Full { path } => Error::Full { path: path.clone() },
        Error::ReadOnly { path } => Error::ReadOnly { path: path.clone() },
        Error::Io { doing, source } => {
            Error::Io { doing, source: io::Error::new(source.kind(), source.to_string()) }
        }
        other => Error::Io { doing: "write a message", source: io::Error::other(other.to_string()) },
    }
}

fn create(disk: &Disk, directory: &Path, number: u32) -> io::Result<disk::File> {
    let file = disk.create(Kind::Segment, &path(directory, number))?;
    disk.sync_directory(directory)?;
    Ok(file)
}

fn reopen(disk: &Disk, path: &Path, number: u32, end: u64) -> Option<Active> {
    let file = disk.open(Kind::Segment, path).ok()?;
    let sound = file.len().ok()? >= end;
    sound.then_some(Active { number, file, len: end, committed: end, unsynced: false })
}

/// Path of a segment.
pub(super) fn path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:08}.seg"))
}

/// The number of a segment by its file name.
pub(super) fn number(path: &Path) -> Option<u32> {
    if path.extension()? != "seg" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}
