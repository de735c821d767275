//! The files of one manifest. Owns their names and their durability: a line is synced before the next is thought of, and
//! what a crash left of one is cut off. Follows no symbolic link below the sink's root. Knows no receipt.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use postroom_failpoint::{fail, reach};
use postroom_mail::{Digest, EffectId};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Day, Line, ORIGIN};
use crate::sinks::ManifestPlace;

/// Lines are read back so far from the end of a file, to find the last whole one: more than a batch of them takes.
const BACK: u64 = 4 << 20;
/// No line is longer.
pub(super) const LONGEST_LINE: u64 = 64 << 10;
const DRAFT: &str = ".head.tmp";

/// Where a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The day of the last line.
    pub day: Option<Day>,
    /// Number of the first line of that day.
    pub first: u64,
    /// Number of the last line.
    pub seq: u64,
    /// Its digest.
    pub hash: Digest,
    /// The last of the spool's receipts that is covered.
    pub receipt: u64,
    /// Of which effect that was.
    pub effect: Option<EffectId>,
    /// The day is signed as one that is over.
    pub closed: bool,
}

impl Default for Tail {
    fn default() -> Self {
        Self { day: None, first: 1, seq: 0, hash: ORIGIN, receipt: 0, effect: None, closed: false }
    }
}

impl Tail {
    /// The day to which a line of `day` goes: days never go back, and none that is over gets another line.
    pub fn day_for(&self, day: Day) -> Day {
        match self.day {
            None => day,
            Some(last) if self.closed => day.max(last.next()),
            Some(last) => day.max(last),
        }
    }

    /// Where it stands after this line.
    pub(super) fn followed(&mut self, day: Day, line: &Line, octets: &[u8]) {
        if self.day != Some(day) {
            (self.day, self.first, self.closed) = (Some(day), line.seq, false);
        }
        (self.seq, self.hash) = (line.seq, Digest::of(octets));
        (self.receipt, self.effect) = (line.receipt, Some(line.effect));
    }
}

/// The open directory of a manifest.
#[derive(Debug)]
pub struct Book {
    dir: OwnedFd,
}

/// Held while lines or heads are written, also by another process.
pub(super) struct Lock<'a>(&'a Book);

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0.dir, FlockOperation::Unlock);
    }
}

impl Book {
    /// Opens it; `None` when there is none and none is to be made. What it lies in must be there.
    ///
    /// # Errors
    /// When it cannot be opened or made.
    pub fn open(place: &ManifestPlace, make: bool) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut dir = match rustix::fs::open(&place.base, flags, Mode::empty()) {
            Err(Errno::NOENT) if !make => return Ok(None),
            opened => opened?,
        };
        for part in &place.parts {
            if make {
                match rustix::fs::mkdirat(&dir, part.as_str(), Mode::from_raw_mode(0o750)) {
                    Err(Errno::EXIST) => {}
                    made => {
                        made?;
                        reach("manifest.make", "made");
                        rustix::fs::fsync(&dir)?;
                    }
                }
            }
            let below = rustix::fs::openat(&dir, part.as_str(), flags | OFlags::NOFOLLOW, Mode::empty());
            dir = match below {
                Err(Errno::NOENT) if !make => return Ok(None),
                opened => opened?,
            };
        }
        Ok(Some(Self { dir }))
    }

    pub(super) fn lock(&self) -> io::Result<Lock<'_>> {
        rustix::fs::flock(&self.dir, FlockOperation::LockExclusive)?;
        Ok(Lock(self))
    }

    /// The days that have lines, in order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn days(&self) -> io::Result<Vec<Day>> {
        self.named(Day::of_lines)
    }

    /// The days that have a head, in order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn heads(&self) -> io::Result<Vec<Day>> {
        self.named(Day::of_head)
    }

    /// Names of what was cut off, see [`Book::tail`].
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn cuts(&self) -> io::Result<Vec<String>> {
        let mut names = self.names()?;
        names.retain(|name| name.contains(".cut-"));
        Ok(names)
    }

    fn named(&self, of: impl Fn(&str) -> Option<Day>) -> io::Result<Vec<Day>> {
        let mut days: Vec<Day> = self.names()?.iter().filter_map(|name| of(name)).collect();
        days.sort();
        Ok(days)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// A file of it; `None` when there is none.
    fn file(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The octets of a day's head.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn head(&self, day: Day) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(&day.head())? else { return Ok(None) };
        let mut octets = Vec::new();
        file.take(LONGEST_LINE).read_to_end(&mut octets)?;
        Ok(Some(octets))
    }

    /// The octets of a day's lines.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn whole_day(&self, day: Day) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        if let Some(mut file) = self.file(&day.lines())? {
            file.read_to_end(&mut octets)?;
        }
        Ok(octets)
    }

    /// The lines of a day, without their line ends; the last one is marked when it has none.
    ///
    /// # Errors
    /// When the file is not there or cannot be read.
    pub fn lines(&self, day: Day) -> io::Result<Lines> {
        let file = self.file(&day.lines())?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Lines(BufReader::with_capacity(256 * 1024, file)))
    }

    /// Where the chain stands. What a crash left after the last whole line is cut off when `mend`, kept in a file of its own,
    /// and its name returned.
    ///
    /// # Errors
    /// When it cannot be read, or not be cut.
    pub fn tail(&self, mend: bool) -> io::Result<(Tail, Option<String>)> {
        let mut cut = None;
        for day in self.days()?.into_iter().rev() {
            let Some(file) = self.file(&day.lines())? else { continue };
            let length = file.metadata()?.len();
            let (last, end) = last_whole(&file, length)?;
            if mend && end < length {
                cut = Some(self.cut(day, &file, end, length)?);
            }
            let Some(octets) = last else { continue };
            let line = Line::read(&octets).map_err(io::Error::other)?;
            let mut tail = Tail::default();
            tail.followed(day, &line, &octets);
            let first = self.lines(day)?.next().transpose()?;
            let first = first.and_then(|(octets, _)| Line::read(&octets).ok());
            tail.first = first.map_or(line.seq, |first| first.seq);
            let head = self.head(day)?.and_then(|head| super::Signed::read(&head).ok());
            tail.closed = head.is_some_and(|signed| signed.head.closed);
            return Ok((tail, cut));
        }
        Ok((Tail::default(), cut))
    }

    fn cut(&self, day: Day, file: &File, end: u64, length: u64) -> io::Result<String> {
        let mut rest = vec![0; usize::try_from(length - end).map_err(io::Error::other)?];
        file.read_exact_at(&mut rest, end)?;
        let name = format!("{day}.cut-{}", Digest::of(&rest).short(16));
        self.replace(&name, &rest)?;
        reach("manifest.cut", "kept");
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.dir, day.lines(), flags, Mode::empty())?);
        file.set_len(end)?;
        file.sync_all()?;
        reach("manifest.cut", "cut");
        Ok(name)
    }

    /// Adds whole lines to the file of a day. Durable on return.
    ///
    /// # Errors
    /// When they could not be written whole; part of them may lie there, for [`Book::tail`] to cut off.
    pub(super) fn append(&self, day: Day, octets: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (file, new) = match rustix::fs::openat(&self.dir, day.lines(), flags, Mode::empty()) {
            Ok(file) => (file, false),
            Err(Errno::NOENT) => {
                let make = flags | OFlags::CREATE;
                (rustix::fs::openat(&self.dir, day.lines(), make, Mode::from_raw_mode(0o640))?, true)
            }
            Err(error) => return Err(error.into()),
        };
        fail("manifest.append", "before")?;
        // Two writes, so that a process killed between them leaves a torn line, as a power cut does.
        let mut file = File::from(file);
        let (one, other) = octets.split_at(octets.len() / 2);
        file.write_all(one)?;
        reach("manifest.append", "half");
        file.write_all(other)?;
        fail("manifest.sync", "before")?;
        file.sync_all()?;
        if new {
            rustix::fs::fsync(&self.dir)?;
        }
        reach("manifest.sync", "after");
        Ok(())
    }

    /// Puts a small file in place of the one with that name, or none. Durable on return.
    ///
    /// # Errors
    /// When it cannot be; the one that was there stays.
    pub(super) fn replace(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, DRAFT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let draft = rustix::fs::openat(&self.dir, DRAFT, flags, Mode::from_raw_mode(0o640))?;
        let mut draft = File::from(draft);
        fail("manifest.head", "before")?;
        draft.write_all(octets)?;
        draft.sync_all()?;
        reach("manifest.head", "written");
        rustix::fs::renameat(&self.dir, DRAFT, &self.dir, name)?;
        rustix::fs::fsync(&self.dir)?;
        reach("manifest.head", "renamed");
        Ok(())
    }
}

/// The last whole line that can be read before the first that cannot, and where it ends, with its line end.
fn last_whole(mut file: &File, length: u64) -> io::Result<(Option<Vec<u8>>, u64)> {
    let start = length.saturating_sub(BACK);
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(file.take(length - start));
    let mut end = start;
    if start > 0 {
        end += reader.read_until(b'\n', &mut Vec::new())? as u64;
    }
    let (mut last, mut line) = (None, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)? as u64;
        let whole = line.pop_if(|octet| *octet == b'\n').is_some();
        if !whole || Line::read(&line).is_err() {
            break;
        }
        end += read;
        last = Some(line.clone());
    }
    if last.is_none() && start > 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no whole line is found near the end of the manifest; `postroom verify` says what is damaged",
        ));
    }
    Ok((last, end))
}

/// Lines of a file, each with whether it has a line end.
#[derive(Debug)]
pub struct Lines(BufReader<File>);

impl Iterator for Lines {
    type Item = io::Result<(Vec<u8>, bool)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match (&mut self.0).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                let whole = line.pop_if(|octet| *octet == b'\n').is_some();
                Some(Ok((line, whole)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use tempfile::TempDir;

    use super::super::testing::{day, place, write};
    use super::*;

    const ON: &str = "2026-11-24";

    fn book() -> (TempDir, Book, Tail) {
        let root = TempDir::new().unwrap();
        let book = Book::open(&place(root.path()), true).unwrap().unwrap();
        let mut tail = Tail::default();
        write(&book, &mut tail, "2026-11-23", 1..=2);
        write(&book, &mut tail, ON, 3..=5);
        (root, book, tail)
    }

    #[test]
    fn where_a_chain_stands_is_read_from_the_end_of_its_last_day() {
        let (root, book, tail) = book();
        assert_eq!(book.tail(true).unwrap(), (tail.clone(), None));
        assert_eq!((tail.seq, tail.first, tail.receipt), (5, 3, 5));
        fs::write(place(root.path()).path().join("2026-11-25.jsonl"), b"").unwrap();
        assert_eq!(book.tail(true).unwrap().0, tail, "a file that got no line");
        assert!(Book::open(&place(&root.path().join("gone")), false).unwrap().is_none());
        assert!(Book::open(&place(&root.path().join("gone")), true).is_err(), "no root is made");
    }

    #[test]
    fn what_a_crash_left_after_the_last_whole_line_is_cut_off_and_kept() {
        let (root, book, tail) = book();
        let path = place(root.path()).path().join("2026-11-24.jsonl");
        let whole = fs::read(&path).unwrap();
        let third = whole.split_inclusive(|octet| *octet == b'\n').next().unwrap();
        let zeros = [0; 600];
        let later = [&zeros[..], b"\n", third].concat();
        for torn in [&third[..1], &third[..third.len() - 1], &zeros, b"{}\n", &later] {
            fs::write(&path, [&whole, torn].concat()).unwrap();
            assert_eq!(book.tail(false).unwrap(), (tail.clone(), None), "only a look");
            let (mended, kept) = book.tail(true).unwrap();
            assert_eq!((mended, fs::read(&path).unwrap()), (tail.clone(), whole.clone()));
            assert_eq!(fs::read(place(root.path()).path().join(kept.unwrap())).unwrap(), torn);
        }
        // Nothing whole of the day is left: the chain stands at the day before.
        fs::write(&path, &third[..9]).unwrap();
        let (before, _) = book.tail(true).unwrap();
        assert_eq!((before.seq, before.day), (2, Some(day("2026-11-23"))));
    }

    #[test]
    fn days_never_go_back_and_one_that_is_over_gets_no_line() {
        let (_root, _book, mut tail) = book();
        assert_eq!(tail.day_for(day("2026-11-20")), day(ON));
        assert_eq!(tail.day_for(day("2026-12-01")), day("2026-12-01"));
        tail.closed = true;
        assert_eq!(tail.day_for(day(ON)), day("2026-11-25"));
        assert_eq!(Tail::default().day_for(day("2001-01-01")), day("2001-01-01"));
    }

    #[test]
    fn a_symbolic_link_in_place_of_the_directory_is_not_followed() {
        let (root, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join(".postroom")).unwrap();
        assert!(Book::open(&place(root.path()), true).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
