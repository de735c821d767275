//! The start after a stop of any kind: what was leased is put back, what was never committed is cut off. Doing it
//! twice changes nothing more. A state whose database is gone is not begun anew, and what an older copy of the database
//! does not know is kept.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::Outcome;
use super::rows::unsigned;
use super::segments::{self, Segments, Sizes};
use super::{epoch, orphans, schema, upkeep};
use crate::disk::{Disk, Kind};
use crate::{Error, Result};

/// Puts back messages and effects that were leased. Their attempts stay counted; they are due as they were.
pub(super) fn leases(sql: &mut Connection) -> Outcome<()> {
    let transaction = Transaction::new(sql, TransactionBehavior::Immediate)?;
    // Each condition is there twice so that a partial index serves it.
    let messages = transaction.execute(
        "UPDATE messages SET state = 'spooled' WHERE state IN ('running', 'quarantined') AND state = 'running'",
        [],
    )?;
    let effects = transaction.execute(
        "UPDATE effects SET state = 'pending'
         WHERE state IN ('pending', 'inflight', 'parked') AND state = 'inflight'",
        [],
    )?;
    transaction.commit()?;
    if messages + effects > 0 {
        tracing::info!(messages, effects, "took back what the last run had begun");
    }
    Ok(())
}

/// Writes the database's log once more as it is found, and syncs it. Should the last process have seen a sync fail, octets
/// that never reached the disk are still in the cache and count as clean: read from there they look committed, and a power
/// cut would take them, and everything committed after them, away.
pub(super) fn log(disk: &Disk, state: &Path) -> Result<()> {
    let failed = |source| Error::storage(state, "write the database's log once more", source);
    let path = schema::log(state);
    if !path.exists() {
        return Ok(());
    }
    let file = disk.open(Kind::Database, &path).map_err(failed)?;
    file.write_again().and_then(|()| file.sync_data()).map_err(failed)
}

/// Deletes what was arriving when the last run ended; the servers still have it.
pub(super) fn incoming(disk: &Disk, directory: &Path) -> Result<()> {
    let failed = |source| Error::Io { doing: "clear away unfinished arrivals", source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            tracing::warn!(path = %entry.path().display(), "a directory is where mail arrives; it is left alone");
            continue;
        }
        disk.remove(Kind::Incoming, &entry.path()).map_err(failed)?;
    }
    Ok(())
}

/// Whether a new database may be made here: not where there was one.
///
/// # Errors
/// [`Error::Corrupt`] when the database is gone from a state that has been used.
pub(super) fn may_begin(state: &Path) -> Result<bool> {
    let used = used(state);
    match fs::symlink_metadata(state.join(schema::FILE)) {
        Ok(meta) if !meta.is_file() => Err(lost(state, "is no plain file")),
        Ok(meta) if meta.len() == 0 && used => Err(lost(state, "is empty")),
        Err(_) if used => Err(lost(state, "is missing")),
        Ok(_) | Err(_) => Ok(!used),
    }
}

/// Whether mail was here.
fn used(state: &Path) -> bool {
    let segments = fs::read_dir(state.join("segments"));
    let kept = segments.into_iter().flatten().flatten().any(|entry| {
        segments::number(&entry.path()).is_some() && entry.metadata().is_ok_and(|meta| meta.len() > 0)
    });
    kept || epoch::path(state).exists() || orphans::any(state)
}

/// The database is not what it was.
pub(super) fn lost(state: &Path, how: &str) -> Error {
    Error::Corrupt {
        what: format!(
            "the database {} {how}, but this state has been used: put back a backup of it, or run `postroom doctor --rebuild`, \
             which makes a new one from the mail in the segments; nothing was changed",
            state.join(schema::FILE).display()
        ),
    }
}

/// Cuts every segment to what is committed of it, deletes those of which nothing is, and goes on with the last. With
/// `keep`, whole records that the database does not know go there first.
pub(super) fn bodies(
    sql: &Connection,
    disk: &Disk,
    directory: &Path,
    sizes: Sizes,
    keep: Option<&Path>,
) -> Outcome<Segments> {
    let mut committed = BTreeMap::new();
    let mut query = sql.prepare("SELECT number, end FROM segments")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        committed.insert(row.get::<_, u32>(0)?, unsigned(row.get(1)?));
    }
    let mut last = committed.last_key_value().map_or(0, |(number, _)| *number).max(upkeep::freed(sql)?);
    let failed = |source| Error::Io { doing: "look through its segments", source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(number) = segments::number(&path) else { continue };
        last = last.max(number);
        if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
            tracing::error!(path = %path.display(), "something that is no plain file is in the place of a segment");
            continue;
        }
        let end = committed.get(&number).copied();
        if let Some(keep) = keep {
            orphans::keep(sql, &path, keep)?;
        }
        cut(disk, &path, end).map_err(failed)?;
    }
    for (number, end) in &committed {
        let path = segments::path(directory, *number);
        let found = fs::metadata(&path).map_or(0, |meta| meta.len());
        if found < *end {
            // Each message in it says so when it is opened; the others go on.
            tracing::error!(path = %path.display(), expected = end, found, "a segment lost octets");
        }
    }
    let open = committed
        .last_key_value()
        .map(|(number, end)| (*number, *end))
        .filter(|(_, end)| *end < sizes.roll_at);
    Ok(Segments::open(directory.to_owned(), disk.clone(), sizes, open, last.saturating_add(1)))
}

fn cut(disk: &Disk, path: &Path, committed: Option<u64>) -> io::Result<()> {
    let Some(end) = committed else { return disk.remove(Kind::Segment, path) };
    let len = fs::metadata(path)?.len();
    if len > end {
        tracing::info!(path = %path.display(), octets = len - end, "cut off what was never committed");
        disk.open(Kind::Segment, path)?.set_len(end)?;
    }
    Ok(())
}
