//! The start after a stop of any kind: what was leased is put back, what was never committed is cut off. Doing it
//! twice changes nothing more.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::Outcome;
use super::rows::unsigned;
use super::schema;
use super::segments::{self, Segments, Sizes};
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
        disk.remove(Kind::Incoming, &entry.map_err(failed)?.path()).map_err(failed)?;
    }
    Ok(())
}

/// Cuts every segment to what is committed of it, deletes those of which nothing is, and goes on with the last.
pub(super) fn bodies(sql: &Connection, disk: &Disk, directory: &Path, sizes: Sizes) -> Outcome<Segments> {
    let mut committed = BTreeMap::new();
    let mut query = sql.prepare("SELECT number, end FROM segments")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        committed.insert(row.get::<_, u32>(0)?, unsigned(row.get(1)?));
    }
    let mut last = committed.last_key_value().map_or(0, |(number, _)| *number);
    let failed = |source| Error::Io { doing: "look through its segments", source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(number) = segments::number(&path) else { continue };
        last = last.max(number);
        cut(disk, &path, committed.get(&number).copied()).map_err(failed)?;
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
