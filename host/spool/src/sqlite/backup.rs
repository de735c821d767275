//! A copy of a state while a host works on it. The database is copied first, at one moment; segments are append-only, so
//! their octets up to what that copy says is committed are the same later. Changes nothing of the original.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use postroom_mail::Timestamp;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::fault::Outcome;
use super::rows::unsigned;
use super::{SqliteSpool, epoch, orphans, schema, segment_directory, segments};
use crate::body::each_chunk;
use crate::disk::{Disk, open_regular};
use crate::health::{BackedUp, Severity, Told};
use crate::{Error, Result};

/// A sweep may free a segment between the copy of the database and its own; so often it is begun again.
const TRIES: usize = 5;

/// A segment that is not there as the copy of the database says.
struct Missing {
    number: u32,
    end: u64,
}

impl SqliteSpool {
    /// Copies the state to a directory that does not exist yet or is empty, beside a host that may be running, and examines
    /// the copy. To restore it, its files take the place of the state's while no host runs.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something is in the directory already; when there is no state, or the storage fails. A copy
    /// that was begun stays.
    pub fn backup(state: &Path, target: &Path, now: Timestamp, told: Told<'_>) -> Result<BackedUp> {
        // It says why there is none.
        drop(Self::open_readonly(state)?);
        let failed = |source| Error::storage(target, "write the backup", source);
        let bodies = segment_directory(target);
        DirBuilder::new().recursive(true).mode(0o700).create(target).map_err(failed)?;
        if fs::read_dir(target).map_err(failed)?.next().is_some() {
            let what = format!("{} is not empty: name a directory that does not exist yet", target.display());
            return Err(Error::Conflict(what));
        }
        DirBuilder::new().mode(0o700).create(&bodies).map_err(failed)?;
        // Before the database: a repair in between makes them segments of it.
        copy_orphans(state, target)?;
        let mut copied = HashMap::new();
        let mut missing = Vec::new();
        for _ in 0..TRIES {
            let wanted = database(state, target).map_err(|fault| fault.into_error(target))?;
            let before = missing.iter().map(|missing: &Missing| (missing.number, missing.end)).collect();
            missing = copy_segments(state, target, &wanted, &mut copied, told).map_err(failed)?;
            let before: Vec<(u32, u64)> = before;
            // Missing twice in a row, it is not a sweep's doing.
            if missing.iter().all(|missing| before.contains(&(missing.number, missing.end))) {
                break;
            }
        }
        finish(target, now).map_err(|fault| fault.into_error(target))?;
        let mut findings = Self::examine(target, &mut |_, _| {})?;
        for Missing { number, end } in &missing {
            let what = format!("segment {number} of the state is not as long as it was ({end} octets)");
            findings.find(Severity::Damage, what, "run `postroom doctor` on the state");
        }
        let octets = copied.values().sum();
        Ok(BackedUp { directory: target.to_owned(), segments: copied.len() as u64, octets, findings })
    }
}

/// Copies the database as it is at one moment; answers the segments it knows, with their ends.
fn database(state: &Path, target: &Path) -> Outcome<Vec<(u32, u64)>> {
    let path = target.join(schema::FILE);
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).to_owned();
    options.open(&path).map_err(|source| Error::storage(target, "write the backup", source))?;
    let from = schema::open_untouched(state, &Disk::default())?;
    let mut to = Connection::open(&path)?;
    let step = Backup::new(&from, &mut to)?.step(-1)?;
    if step != StepResult::Done {
        let what = "its database is busy: try again".to_owned();
        return Err(Error::Database { what, maybe_applied: false }.into());
    }
    let mut query = to.prepare("SELECT number, end FROM segments ORDER BY number")?;
    let segments = query.query_map([], |row| Ok((row.get::<_, u32>(0)?, unsigned(row.get(1)?))))?;
    Ok(segments.collect::<Result<_, _>>()?)
}

/// Copies the mail that was kept aside.
fn copy_orphans(state: &Path, target: &Path) -> Result<()> {
    let files = orphans::files(state)?;
    if files.is_empty() {
        return Ok(());
    }
    let failed = |source| Error::storage(target, "write the backup", source);
    let to = orphans::directory(target);
    DirBuilder::new().mode(0o700).create(&to).map_err(failed)?;
    for path in files {
        let source = match open_regular(&path, false) {
            // A repair brought it in meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // A stranger, of which an examination tells.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => continue,
            opened => opened.map_err(failed)?,
        };
        let len = source.metadata().map_err(failed)?.len();
        let target = to.join(path.file_name().unwrap_or_default());
        let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
        let mut target = target.map_err(failed)?;
        each_chunk(&source, 0, len, |octets| target.write_all(octets)).map_err(failed)?;
        target.sync_all().map_err(failed)?;
    }
    File::open(&to).and_then(|to| to.sync_all()).map_err(failed)
}

/// Copies what was not copied yet, and deletes what the newest copy of the database does not need.
fn copy_segments(
    state: &Path,
    target: &Path,
    wanted: &[(u32, u64)],
    copied: &mut HashMap<u32, u64>,
    told: Told<'_>,
) -> io::Result<Vec<Missing>> {
    let (from, to) = (segment_directory(state), segment_directory(target));
    let total = wanted.iter().map(|(_, end)| end).sum();
    let mut done = 0;
    let mut missing = Vec::new();
    for number in copied.keys().copied().collect::<Vec<_>>() {
        if !wanted.iter().any(|(wanted, _)| *wanted == number) {
            fs::remove_file(segments::path(&to, number))?;
            copied.remove(&number);
        }
    }
    for (number, end) in wanted {
        let have = copied.get(number).copied().unwrap_or(0);
        if have < *end || !copied.contains_key(number) {
            match copy(&segments::path(&from, *number), &segments::path(&to, *number), have, *end) {
                Ok(()) => drop(copied.insert(*number, *end)),
                Err(error) if gone(&error) => missing.push(Missing { number: *number, end: *end }),
                Err(error) => return Err(error),
            }
        }
        done += end;
        told(done, total);
    }
    File::open(&to)?.sync_all()?;
    Ok(missing)
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput
    )
}

/// Copies the octets from `have` to `end`; what is there of them is kept should the rest be missing.
fn copy(from: &Path, to: &Path, have: u64, end: u64) -> io::Result<()> {
    let source = open_regular(from, false)?;
    let mut target = OpenOptions::new().append(true).create(true).mode(0o600).open(to)?;
    target.set_len(have)?;
    each_chunk(&source, have, end.saturating_sub(have), |octets| target.write_all(octets))?;
    target.sync_all()
}

/// Makes the copy one that a host can be started on.
fn finish(target: &Path, now: Timestamp) -> Outcome<()> {
    let failed = |source| Error::storage(target, "write the backup", source);
    let sql = Connection::open(target.join(schema::FILE))?;
    let count = epoch::of_database(&sql)?;
    sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    drop(sql);
    epoch::write(target, count).map_err(failed)?;
    let marker =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(target.join(orphans::MARKER));
    let mut marker = marker.map_err(failed)?;
    writeln!(marker, "made at {} (milliseconds since 1970 UTC), after start {}", now.0, count.epoch)
        .and_then(|()| marker.sync_all())
        .map_err(failed)?;
    for path in [target.join(schema::FILE), target.to_owned()] {
        File::open(path).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
    }
    Ok(())
}
