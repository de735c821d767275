//! A new database from the segments alone, and mail brought in that the database does not know. Owns what becomes of a
//! record without a row; never changes a segment, and deletes nothing but the second name of one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use postroom_mail::{MessageId, Provenance, Timestamp, Uid};
use rusqlite::{Connection, params};

use super::epoch::{self, Count};
use super::fault::{Fault, Outcome};
use super::rows::{self, event, signed};
use super::scan::{self, Piece, Whole};
use super::{SqliteSpool, lock, orphans, schema, segment_directory, segments, upkeep};
use crate::disk::{Disk, open_regular};
use crate::health::{Rebuilt, Told, recovered};
use crate::{Error, Result, life};

/// Where the new database is made.
const WORKSHOP: &str = "rebuild";

impl SqliteSpool {
    /// Makes a new database from the segments, when there is none or it is damaged; the files of the old one are moved to
    /// `damaged-NOW` in the state directory. Segments stay as they are. The messages are quarantined, since what was done
    /// with them is not known any more; with `rerun` they run again, which sinks that recognise their own work absorb.
    ///
    /// # Errors
    /// [`Error::InUse`] when a process holds the state, [`Error::Conflict`] when the database is sound, and whatever the
    /// storage says.
    pub fn rebuild(state: &Path, rerun: bool, now: Timestamp, told: Told<'_>) -> Result<Rebuilt> {
        let _lock = lock::hold(state)?;
        if sound(state) {
            return Err(Error::Conflict("the database is sound, there is nothing to rebuild".to_owned()));
        }
        let failed = |source| Error::storage(state, "make a new database", source);
        take_in_orphans(state).map_err(failed)?;
        let workshop = state.join(WORKSHOP);
        if workshop.exists() {
            fs::remove_dir_all(&workshop).map_err(failed)?;
        }
        DirBuilder::new().mode(0o700).create(&workshop).map_err(failed)?;
        let mut rebuilt =
            fill(state, &workshop, rerun, now, told).map_err(|fault| fault.into_error(state))?;
        let count = count_on(state, &workshop).map_err(|fault| fault.into_error(state))?;
        rebuilt.aside = swap(state, &workshop, count, now).map_err(failed)?;
        Ok(rebuilt)
    }
}

/// Whether the database can be read whole.
fn sound(state: &Path) -> bool {
    let checked = schema::open_untouched(state, &Disk::default()).and_then(|sql| {
        let answer: String = sql.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok(answer == "ok" && schema::version(&sql)? > 0)
    });
    // A newer one is not ours to replace.
    matches!(checked, Ok(true) | Err(Fault::Spool(Error::NewerSchema { .. })))
}

/// What was kept aside becomes segments like the others.
fn take_in_orphans(state: &Path) -> io::Result<()> {
    let directory = segment_directory(state);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    let mut last = numbers(&directory)?.last().copied().unwrap_or(0);
    let segments = inodes(&directory)?;
    for path in orphans::files(state).map_err(io::Error::other)? {
        if segments.contains_key(&inode(&path)?) {
            fs::remove_file(&path)?;
            continue;
        }
        last += 1;
        fs::rename(&path, segments::path(&directory, last))?;
    }
    File::open(&directory)?.sync_all()
}

/// What a file is besides its name: two segments must never be one file.
fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Which files the segments are. One that was kept aside and brought in has two names until the first is removed.
fn inodes(directory: &Path) -> io::Result<HashMap<(u64, u64), u32>> {
    let mut inodes = HashMap::new();
    for number in numbers(directory)? {
        inodes.insert(inode(&segments::path(directory, number))?, number);
    }
    Ok(inodes)
}

/// The numbers of the segments that are there as plain files.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(number) = segments::number(&entry.path())
            && entry.file_type()?.is_file()
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn fill(state: &Path, workshop: &Path, rerun: bool, now: Timestamp, told: Told<'_>) -> Outcome<Rebuilt> {
    let directory = segment_directory(state);
    let reading = |source| Error::Io { doing: "read its segments", source };
    let mut files = Vec::new();
    for number in numbers(&directory).map_err(reading)? {
        let file = open_regular(&segments::path(&directory, number), false).map_err(reading)?;
        let len = file.metadata().map_err(reading)?.len();
        files.push((number, file, len));
    }
    let total = files.iter().map(|(_, _, len)| len).sum();
    let mut sql = schema::open_writer(workshop, &Disk::default())?;
    let transaction = sql.transaction()?;
    let mut rebuilt = Rebuilt::default();
    let mut done = 0;
    for (number, file, len) in &files {
        let found = Found { sql: &transaction, segment: *number, rerun, now };
        let before = done;
        let damaged = rebuilt.damaged;
        // All of the file counts as committed, so that nothing of it is ever cut off.
        found.segment(*len)?;
        let mut fault = None;
        let scanned = scan::scan(file, 0, *len, &mut |piece| {
            match piece {
                Piece::Whole(whole) => {
                    done = before + whole.end;
                    if let Err(error) = found.bring_in(&whole, &mut rebuilt) {
                        fault = Some(error);
                        return Err(io::Error::other("the database failed"));
                    }
                }
                Piece::Damaged { to, .. } => {
                    done = before + to;
                    rebuilt.damaged += 1;
                }
            }
            told(done, total);
            Ok(())
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        scanned.map_err(reading)?;
        done = before + len;
        if rebuilt.damaged > damaged {
            let kept = link_aside(state, &segments::path(&directory, *number), now);
            rebuilt.unread.push(kept.map_err(reading)?);
        }
    }
    transaction.commit()?;
    let known = "SELECT count(*) FROM ledger";
    rebuilt.known = rows::unsigned(sql.query_row(known, [], |row| row.get(0))?);
    let known = "SELECT count(*) FROM messages";
    rebuilt.messages = rows::unsigned(sql.query_row(known, [], |row| row.get(0))?);
    sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(rebuilt)
}

/// The new database counts on from what the old one and the file beside it counted, so that each earlier copy of the old
/// one is older than it. Answers its count.
fn count_on(state: &Path, workshop: &Path) -> Outcome<Count> {
    let file = epoch::of_file(state).unwrap_or_default();
    // As far as it can be read.
    let old = schema::open_untouched(state, &Disk::default())
        .and_then(|sql| Ok((epoch::of_database(&sql)?, upkeep::freed(&sql)?)));
    let (old, freed) = old.unwrap_or_default();
    let from = Count { epoch: file.epoch.max(old.epoch) + 1, messages: file.messages.max(old.messages) };
    let sql = schema::open_writer(workshop, &Disk::default())?;
    epoch::count_on(&sql, from)?;
    upkeep::set_freed(&sql, freed)?;
    let count = epoch::of_database(&sql)?;
    sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(count)
}

/// The new database takes the place of the old one, whose files are moved aside. Interrupted anywhere, there is either the
/// old one with its log, or none, or the new one; without a database no start goes on, and this can be done again.
fn swap(state: &Path, workshop: &Path, count: Count, now: Timestamp) -> io::Result<Option<PathBuf>> {
    File::open(workshop.join(schema::FILE))?.sync_all()?;
    let mut aside = None;
    // The log last: without it the old database would pass for a sound one of an earlier time.
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{}{suffix}", schema::FILE);
        if fs::symlink_metadata(state.join(&name)).is_ok() {
            aside = Some(move_aside(state, &state.join(&name), now)?);
            File::open(state)?.sync_all()?;
        }
    }
    fs::rename(workshop.join(schema::FILE), state.join(schema::FILE))?;
    File::open(state)?.sync_all()?;
    epoch::write(state, count)?;
    fs::remove_dir_all(workshop)?;
    File::open(state)?.sync_all()?;
    Ok(aside)
}

/// Moves a file of the state out of the way; answers the directory it is in now.
pub(super) fn move_aside(state: &Path, path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let (directory, target) = place_aside(state, path, now)?;
    fs::rename(path, target)?;
    File::open(&directory)?.sync_all()?;
    Ok(directory)
}

/// Gives a segment of which something could not be read a second name out of the way: what it holds outlasts the first.
/// It is no copy, since what cannot be read cannot be copied. Answers that name.
fn link_aside(state: &Path, segment: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let (directory, target) = place_aside(state, segment, now)?;
    fs::hard_link(segment, &target)?;
    File::open(&directory)?.sync_all()?;
    File::open(state)?.sync_all()?;
    Ok(target)
}

/// The directory for what is moved out of the way, and a name in it that is free.
fn place_aside(state: &Path, path: &Path, now: Timestamp) -> io::Result<(PathBuf, PathBuf)> {
    let directory = state.join(format!("damaged-{}", now.0));
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    let name = path.file_name().unwrap_or_default();
    let mut target = directory.join(name);
    let mut number = 0;
    while fs::symlink_metadata(&target).is_ok() {
        number += 1;
        target = directory.join(format!("{}.{number}", name.to_string_lossy()));
    }
    Ok((directory, target))
}

/// Records of one segment that have no row.
pub(super) struct Found<'a> {
    pub(super) sql: &'a Connection,
    pub(super) segment: u32,
    /// They run again.
    pub(super) rerun: bool,
    pub(super) now: Timestamp,
}

impl Found<'_> {
    /// The segment is committed up to `end`.
    pub(super) fn segment(&self, end: u64) -> Outcome<()> {
        let mut set = self.sql.prepare_cached("INSERT INTO segments (number, end) VALUES (?1, ?2)")?;
        set.execute(params![self.segment, signed(end)])?;
        Ok(())
    }

    /// A message for a record, or, when it is known, its place for the message. Answers whether it was unknown.
    pub(super) fn bring_in(&self, whole: &Whole, rebuilt: &mut Rebuilt) -> Outcome<bool> {
        if let Some(seq) = rows::sequence(self.sql, whole.message)? {
            let mut point = self.sql.prepare_cached(
                "UPDATE messages SET segment = ?2, offset = ?3, crc = ?4, damaged = NULL WHERE seq = ?1",
            )?;
            point.execute(params![seq, self.segment, signed(whole.offset), whole.crc])?;
            return Ok(false);
        }
        let Some(provenance) = self.provenance(whole) else { return Ok(false) };
        rebuilt.without_origin += u64::from(whole.origin.is_none());
        let (state, reason) = match self.rerun {
            true => ("spooled", None),
            false => ("quarantined", Some(life::REBUILT)),
        };
        let mut add = self.sql.prepare_cached(
            "INSERT INTO messages
                (id, account, uid, ordinal, digest, size, retrieved, state, due, reason, segment, offset, crc, checked)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?9)",
        )?;
        let seq = add.insert(params![
            whole.message.0.0,
            provenance.account.as_str(),
            provenance.uid.0,
            provenance.ordinal,
            provenance.digest.0,
            signed(provenance.size),
            provenance.retrieved.0,
            state,
            self.now.0,
            reason,
            self.segment,
            signed(whole.offset),
            whole.crc,
        ])?;
        event(self.sql, seq, provenance.retrieved, &life::retrieved(&provenance))?;
        event(self.sql, seq, self.now, life::REBUILT_EVENT)?;
        // What only looks like a record, inside a mail, must not keep a server's mail from being retrieved.
        if whole.origin.is_some() && whole.certain {
            self.know(&provenance, seq)?;
        }
        Ok(true)
    }

    fn provenance(&self, whole: &Whole) -> Option<Provenance> {
        let (digest, size) = (whole.digest, whole.size);
        Some(match &whole.origin {
            Some(origin) => Provenance {
                account: origin.account.clone(),
                uid: origin.uid.clone(),
                ordinal: origin.ordinal,
                digest,
                size,
                retrieved: origin.retrieved,
            },
            None => {
                let uid = Uid(whole.message.to_string().into_bytes());
                Provenance { account: recovered()?, uid, ordinal: 0, digest, size, retrieved: self.now }
            }
        })
    }

    /// The ledger knows the unique-id again; of several messages that had it, the last one. Not as shown: it may be gone.
    fn know(&self, provenance: &Provenance, seq: i64) -> Outcome<()> {
        let mut add = self.sql.prepare_cached(
            "INSERT INTO ledger (account, uid, ordinal, message, how, at, shown)
             VALUES (?1, ?2, ?3, ?4, 'retrieved', ?5, 0)
             ON CONFLICT DO UPDATE SET message = excluded.message, at = excluded.at
                WHERE shown = 0 AND excluded.at >= at",
        )?;
        let account = provenance.account.as_str();
        add.execute(params![account, provenance.uid.0, provenance.ordinal, seq, provenance.retrieved.0])?;
        Ok(())
    }
}

/// What was brought in.
pub(super) struct Adopted {
    /// Unknown messages.
    pub(super) messages: u64,
    /// The files they were kept in: segments by now, and not needed under this name.
    pub(super) files: Vec<PathBuf>,
    /// Those of which something could not be read, under the name that outlasts a sweep.
    pub(super) unread: Vec<PathBuf>,
}

/// Brings in what was kept aside: unknown messages, and bodies that are not where the database says. The segments come
/// first, so that a stop in between leaves both.
pub(super) fn adopt(state: &Path, sql: &mut Connection, now: Timestamp) -> Outcome<Adopted> {
    let files = orphans::files(state)?;
    let directory = segment_directory(state);
    let failed = |source| Error::storage(state, "bring in mail that was kept aside", source);
    let in_directory = numbers(&directory).map_err(failed)?.last().copied().unwrap_or(0);
    let in_database: HashSet<u32> = {
        let mut query = sql.prepare("SELECT number FROM segments")?;
        let numbers = query.query_map([], |row| row.get(0))?;
        numbers.collect::<std::result::Result<_, _>>()?
    };
    let highest = in_database.iter().copied().max().unwrap_or(0);
    let mut last = in_directory.max(highest).max(upkeep::freed(sql)?);
    let segments = inodes(&directory).map_err(failed)?;
    let (mut brought, mut unread) = (0, Vec::new());
    let transaction = sql.transaction()?;
    for path in &files {
        // A repair was stopped before it removed this name of it.
        let same = segments.get(&inode(path).map_err(failed)?);
        if same.is_some_and(|number| in_database.contains(number)) {
            continue;
        }
        last += 1;
        let target = segments::path(&directory, last);
        fs::hard_link(path, &target).map_err(failed)?;
        let file = open_regular(&target, false).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let found = Found { sql: &transaction, segment: last, rerun: false, now };
        found.segment(len)?;
        let mut all: HashMap<MessageId, Whole> = HashMap::new();
        let mut damaged = false;
        let collect = &mut |piece| {
            match piece {
                Piece::Whole(whole) => drop(all.insert(whole.message, whole)),
                Piece::Damaged { .. } => damaged = true,
            }
            Ok(())
        };
        scan::scan(&file, 0, len, collect).map_err(failed)?;
        if damaged {
            unread.push(link_aside(state, &target, now).map_err(failed)?);
        }
        for whole in all.values() {
            if needed(&transaction, &directory, whole.message)? {
                brought += u64::from(found.bring_in(whole, &mut Rebuilt::default())?);
            }
        }
    }
    File::open(&directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    transaction.commit()?;
    Ok(Adopted { messages: brought, files, unread })
}

/// Whether nobody has the octets of a message where they should be.
fn needed(sql: &Connection, directory: &Path, message: MessageId) -> Outcome<bool> {
    Ok(match rows::place(sql, message)? {
        None => true,
        Some(None) => false,
        Some(Some((place, size))) => segments::read(directory, message, place, size).is_err(),
    })
}
