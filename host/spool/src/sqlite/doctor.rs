//! Looks whether a state is as it was written, beside a host that may be running on it, and mends what can be mended
//! without harm. An examination changes nothing; a repair moves files aside and marks bodies, and deletes nothing.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use postroom_mail::{Digest, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::fault::Outcome;
use super::readers::Readers;
use super::rows::unsigned;
use super::scan::{self, Piece, Whole};
use super::{
    SqliteSpool, epoch, incoming_directory, lock, orphans, rebuild, schema, segment_directory, segments,
};
use crate::disk::{Disk, open_regular};
use crate::ground::Ground;
use crate::health::{Findings, RESTORED, Repaired, Severity, Told};
use crate::{Error, Result, Spool as _};

/// Less free room than this is told.
const LITTLE: u64 = 256 << 20;
/// Damage of one kind that is told one by one; more is only counted.
const TOLD: usize = 20;
const REBUILD: &str = "stop postroom, then put back a backup, or run `postroom doctor --rebuild`";
const REPAIR: &str =
    "stop postroom and run `postroom doctor --repair`: what the servers still have is then retrieved again";

impl SqliteSpool {
    /// Examines a state. Reads every octet of every segment; `told` hears how far it is.
    ///
    /// # Errors
    /// When there is no state, or it cannot be read at all. Damage is no error.
    pub fn examine(state: &Path, told: Told<'_>) -> Result<Findings> {
        let listed = fs::read_dir(state);
        listed.map_err(|source| Error::Io { doing: "look into its directory", source })?;
        let mut found = Findings { state: state.to_owned(), ..Findings::default() };
        place(state, &mut found);
        holder(state, &mut found);
        files(state, &mut found);
        let rows = match database(state, &mut found) {
            Ok(rows) => Some(rows),
            Err(fault) => {
                let error = fault.into_error(state);
                let remedy = if matches!(error, Error::NewerSchema { .. }) { "" } else { REBUILD };
                found.find(Severity::Damage, error.to_string(), remedy);
                None
            }
        };
        bodies(state, rows, &mut found, told)?;
        found.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(found)
    }

    /// Mends what can be mended without harm: what is in the place of a segment and is none is moved to `damaged-NOW`,
    /// mail kept aside is brought in, damaged bodies are marked so that they are retrieved again.
    ///
    /// # Errors
    /// [`Error::InUse`] when a process holds the state; when the database cannot be opened.
    pub async fn repair(state: &Path, findings: &Findings, now: Timestamp) -> Result<Repaired> {
        let mut repaired = Repaired::default();
        let lock = lock::hold(state)?;
        for path in strangers(state) {
            let moved = rebuild::move_aside(state, &path, now);
            repaired.aside =
                Some(moved.map_err(|source| Error::storage(state, "move damaged files aside", source))?);
            repaired.moved.push(path);
        }
        drop(lock);
        // Opening it is what recovers it.
        drop(Self::open(state)?);
        let lock = lock::hold(state)?;
        let adopted = schema::open_writer(state, &Disk::default()).and_then(|mut sql| {
            let adopted = rebuild::adopt(state, &mut sql, now)?;
            sql.execute("DELETE FROM notes WHERE scope = ?1", [RESTORED])?;
            Ok(adopted)
        });
        let adopted = adopted.map_err(|fault| fault.into_error(state))?;
        repaired.adopted = adopted.messages;
        repaired.unread = adopted.unread;
        for path in adopted.files {
            // The segment it became is the same file.
            let removed = fs::remove_file(path);
            removed.map_err(|source| Error::storage(state, "bring in mail that was kept aside", source))?;
        }
        drop(lock);
        let spool = Self::open(state)?;
        for message in &findings.damaged {
            let what = "an examination found it".to_owned();
            repaired.marked +=
                u64::from(spool.damaged(*message, what, now).await? != crate::health::Remedy::Sound);
        }
        Ok(repaired)
    }
}

/// Where the state is: file system and room.
fn place(state: &Path, found: &mut Findings) {
    if let Some(ground) = Ground::of(state) {
        let remedy = "the state belongs on a local file system whose fsync reaches the disk";
        found.find(Severity::Warning, format!("the state is on {}", ground.words()), remedy);
    }
    if let Ok(disk) = rustix::fs::statvfs(state) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < LITTLE {
            found.find(
                Severity::Warning,
                format!("only {} MiB are free: mail stays on the servers when the disk is full", free >> 20),
                "free some space",
            );
        }
    }
}

/// Who holds the lock, by the kernel's own list.
fn holder(state: &Path, found: &mut Findings) {
    let Ok(meta) = fs::metadata(state.join("lock")) else { return };
    let Ok(locks) = fs::read_to_string("/proc/locks") else { return };
    let inode = format!(":{}", meta.ino());
    for line in locks.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        // NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
        let Some((kind, holder)) = words.get(1).zip(words.get(4)) else { continue };
        let same = words.get(5).is_some_and(|file| file.ends_with(&inode));
        if *kind == "FLOCK" && same {
            found.running = true;
            found.process = holder.parse().ok();
        }
    }
}

/// Things that are in the place of files and are none.
fn strangers(state: &Path) -> Vec<PathBuf> {
    let mut strangers = Vec::new();
    for directory in [segment_directory(state), orphans::directory(state)] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                strangers.push(entry.path());
            }
        }
    }
    strangers.sort();
    strangers
}

/// Kinds and permissions of files.
fn files(state: &Path, found: &mut Findings) {
    let own = [state.to_owned(), segment_directory(state), incoming_directory(state)];
    for directory in &own {
        match fs::symlink_metadata(directory) {
            Ok(meta) => private(directory, &meta, found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.find(Severity::Warning, format!("{}: {error}", directory.display()), ""),
        }
    }
    for stranger in strangers(state) {
        let what = format!("{} is no plain file", stranger.display());
        found.find(Severity::Damage, what, "`postroom doctor --repair` moves it aside");
    }
    for directory in [state, &segment_directory(state)] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.starts_with(schema::FILE)
                || name.ends_with(".seg")
                || ["lock", "epoch"].contains(&name.as_str());
            if ours && let Ok(meta) = entry.metadata() {
                if meta.is_file() {
                    private(&entry.path(), &meta, found);
                } else if directory == state {
                    let what = format!("{} is no plain file", entry.path().display());
                    found.find(Severity::Damage, what, "put back the file that was there");
                }
            }
        }
    }
    let arriving = fs::read_dir(incoming_directory(state)).into_iter().flatten().flatten().count();
    if arriving > 0 && !found.running {
        let what = format!("{arriving} unfinished arrivals are left from the last run");
        found.find(Severity::Note, what, "the next start removes them; the servers still have the mail");
    }
}

fn private(path: &Path, meta: &fs::Metadata, found: &mut Findings) {
    if meta.permissions().mode() & 0o077 != 0 {
        let mode = meta.permissions().mode() & 0o777;
        let what = format!("{} can be used by others (mode {mode:o})", path.display());
        found.find(Severity::Warning, what, "chmod go= on it: there is mail in the state");
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        let what = format!("{} belongs to another user ({})", path.display(), meta.uid());
        found.find(Severity::Note, what, "");
    }
}

/// What a row says of its body.
#[derive(Clone, Copy)]
struct Row {
    message: MessageId,
    digest: Digest,
    size: u64,
    crc: u32,
    /// It is known to be damaged.
    marked: bool,
}

/// Committed ends, and the rows of each segment by offset; the ids of all messages.
#[derive(Default)]
struct Rows {
    ends: HashMap<u32, u64>,
    rows: HashMap<u32, HashMap<u64, Row>>,
    known: HashSet<MessageId>,
}

fn database(state: &Path, found: &mut Findings) -> Outcome<Rows> {
    if !schema::exists(state) {
        super::recover::may_begin(state)?;
        found.find(Severity::Note, "there is no database yet: nothing was retrieved so far", "");
        return Ok(Rows::default());
    }
    let mut sql = schema::open_untouched(state, &Disk::default())?;
    let sql = sql.transaction()?;
    let version = schema::version(&sql)?;
    if version == 0 {
        super::recover::may_begin(state)?;
        return Err(Error::Corrupt { what: "the database has no tables".to_owned() }.into());
    }
    found.schema = Some(version);
    let mode: String = sql.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        let what = format!("the database's journal mode is {mode}, not wal");
        found.find(Severity::Warning, what, "the next start sets it; another program changed it");
    }
    integrity(&sql, found)?;
    if version != schema::VERSION {
        let what = format!("the state has schema {version}; this postroom brings it to {}", schema::VERSION);
        found.find(Severity::Note, what, "the next start does that");
        return Ok(Rows::default());
    }
    age(state, &sql, found)?;
    rows(&sql, found)
}

fn integrity(sql: &Connection, found: &mut Findings) -> Outcome<()> {
    let mut check = sql.prepare("PRAGMA integrity_check(20)")?;
    let lines = check.query_map([], |row| row.get::<_, String>(0))?;
    for line in lines.collect::<Result<Vec<_>, _>>()? {
        if line != "ok" {
            found.find(Severity::Damage, format!("the database is damaged: {line}"), REBUILD);
        }
    }
    let mut check = sql.prepare("PRAGMA foreign_key_check")?;
    let lines = check.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(2)?)))?;
    let lines: HashSet<_> = lines.collect::<Result<_, _>>()?;
    for (table, parent) in lines {
        let what =
            format!("the database is damaged: rows of {table} point to rows of {parent} that are missing");
        found.find(Severity::Damage, what, REBUILD);
    }
    Ok(())
}

fn age(state: &Path, sql: &Connection, found: &mut Findings) -> Outcome<()> {
    const ONLY: &str = "mail that was kept aside comes back with `postroom doctor --repair`; what else came in between is only \
                        where it was delivered";
    let note: Option<String> =
        sql.query_row("SELECT text FROM notes WHERE scope = ?1", [RESTORED], |row| row.get(0)).optional()?;
    if let Some(text) = note {
        found.find(Severity::Warning, text, ONLY);
    }
    match epoch::age(state, sql)? {
        epoch::Age::Current => {}
        // It looked when it started, and counts on meanwhile.
        epoch::Age::Older { .. } | epoch::Age::Unknown if found.running => {}
        epoch::Age::Older { .. } => {
            let what = "the database is an older copy than its state directory";
            found.find(Severity::Warning, what, "the next start keeps mail that it does not know aside");
        }
        epoch::Age::Unknown => {
            let what = "the file `epoch` is missing or unreadable: an older copy of the database would not be noticed";
            found.find(Severity::Warning, what, "the next start writes it");
        }
    }
    let kept = orphans::files(state)?.len();
    if kept > 0 {
        let what = format!("mail that the database does not know was kept aside in {kept} files");
        found.find(
            Severity::Warning,
            what,
            "stop postroom and run `postroom doctor --repair` to bring it in",
        );
    }
    Ok(())
}

fn rows(sql: &Connection, found: &mut Findings) -> Outcome<Rows> {
    let mut all = Rows::default();
    let mut query = sql.prepare("SELECT number, end FROM segments")?;
    let ends = query.query_map([], |row| Ok((row.get::<_, u32>(0)?, unsigned(row.get(1)?))))?;
    all.ends = ends.collect::<Result<_, _>>()?;
    let mut query =
        sql.prepare("SELECT id, digest, size, segment, offset, crc, damaged IS NOT NULL FROM messages")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let message = MessageId(Digest(row.get(0)?));
        all.known.insert(message);
        let Some(segment) = row.get::<_, Option<u32>>(3)? else { continue };
        let (digest, size) = (Digest(row.get(1)?), unsigned(row.get(2)?));
        let body = Row { message, digest, size, crc: row.get(5)?, marked: row.get(6)? };
        all.rows.entry(segment).or_default().insert(unsigned(row.get(4)?), body);
    }
    found.messages = all.known.len() as u64;
    Ok(all)
}

/// Every record of every segment, against the rows.
fn bodies(state: &Path, rows: Option<Rows>, found: &mut Findings, told: Told<'_>) -> Result<()> {
    let directory = segment_directory(state);
    let reading = |source| Error::Io { doing: "read its segments", source };
    let mut numbers = match rebuild::numbers(&directory) {
        Ok(numbers) => numbers,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(reading(error)),
    };
    let blind = rows.is_none();
    let rows = rows.unwrap_or_default();
    numbers.extend(rows.ends.keys());
    numbers.sort_unstable();
    numbers.dedup();
    let length =
        |number: &u32| fs::metadata(segments::path(&directory, *number)).map_or(0, |meta| meta.len());
    let total: u64 = numbers.iter().map(length).sum();
    let mut counted = Counted { blind, ..Counted::default() };
    for number in numbers {
        let path = segments::path(&directory, number);
        let none = HashMap::new();
        let here = rows.rows.get(&number).unwrap_or(&none);
        let before = found.octets;
        let mut seen = HashSet::new();
        if let Ok(file) = open_regular(&path, false) {
            let len = file.metadata().map_err(reading)?.len();
            let end = rows.ends.get(&number).map_or(len, |end| len.min(*end));
            scan::scan(&file, 0, end, &mut |piece| {
                match piece {
                    Piece::Whole(whole) => {
                        told(before + whole.end, total);
                        counted.whole(&whole, here.get(&whole.offset), &rows.known, &mut seen);
                    }
                    Piece::Damaged { from, to } => {
                        told(before + to, total);
                        counted.gaps.push(format!("{} from octet {from} to {to}", path.display()));
                    }
                }
                Ok(())
            })
            .map_err(reading)?;
            found.octets += len;
        }
        let missing = here.iter().filter(|(offset, _)| !seen.contains(*offset));
        counted.suspects.extend(missing.map(|(_, row)| *row));
        found.sound += seen.len() as u64;
    }
    confirm(state, &counted, found);
    counted.tell(found);
    Ok(())
}

#[derive(Default)]
struct Counted {
    blind: bool,
    records: u64,
    unknown: u64,
    without_origin: u64,
    gaps: Vec<String>,
    suspects: Vec<Row>,
}

impl Counted {
    fn whole(
        &mut self,
        whole: &Whole,
        row: Option<&Row>,
        known: &HashSet<MessageId>,
        seen: &mut HashSet<u64>,
    ) {
        self.records += 1;
        self.without_origin += u64::from(whole.origin.is_none());
        self.unknown += u64::from(!known.contains(&whole.message));
        let same = |row: &&Row| {
            (row.message, row.digest, row.size, row.crc)
                == (whole.message, whole.digest, whole.size, whole.crc)
        };
        if row.filter(same).is_some() {
            seen.insert(whole.offset);
        }
    }

    fn tell(&self, found: &mut Findings) {
        if self.blind {
            let what = format!("{} whole messages are in the segments", self.records);
            found.find(Severity::Note, what, "a rebuilding brings them back");
        } else if self.unknown > 0 {
            let what = format!("{} records in the segments have no row", self.unknown);
            found.find(
                Severity::Note,
                what,
                "an admission that was undone leaves such; they are freed with their segment",
            );
        }
        if self.without_origin > 0 {
            let what = format!("{} records do not say whose they are", self.without_origin);
            found.find(Severity::Note, what, "an earlier version wrote them, or that part is damaged");
        }
        let severity = if self.blind { Severity::Damage } else { Severity::Note };
        for gap in self.gaps.iter().take(TOLD) {
            found.find(severity, format!("no record can be read in {gap}"), "");
        }
        if self.gaps.len() > TOLD {
            found.find(severity, format!("and {} more such places", self.gaps.len() - TOLD), "");
        }
    }
}

/// Reads once more what did not match: a running host may have moved or freed it meanwhile.
fn confirm(state: &Path, counted: &Counted, found: &mut Findings) {
    let readers = Readers::untouched(state);
    let mut told = 0;
    for row in &counted.suspects {
        let read = readers.body(row.message).and_then(|body| body.verify(row.message, &row.digest));
        match read {
            Ok(()) => found.sound += 1,
            Err(Error::Gone(_)) => {}
            Err(error) => {
                found.damaged.push(row.message);
                told += 1;
                if told <= TOLD {
                    let known = if row.marked { "; this is known" } else { "" };
                    found.find(Severity::Damage, format!("{error}{known}"), REPAIR);
                }
            }
        }
    }
    if told > TOLD {
        found.find(Severity::Damage, format!("and {} more damaged messages", told - TOLD), REPAIR);
    }
}
