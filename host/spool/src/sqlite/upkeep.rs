//! Frees the disk from bodies nobody needs any more. Owns the decision which segment goes; never touches a body whose
//! message is not ended.

use postroom_mail::{AccountId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::{Fault, Outcome};
use super::origin::{self, Origin};
use super::rows::{self, PROVENANCE, signed, unsigned};
use super::segments::{HEADER, Place};
use super::writer::Unit;
use crate::Error;

/// The note of the highest number of a segment that was ever freed.
const FREED: &str = "spool/segments";

/// Bodies in one transaction at most.
pub(super) const SLICE: usize = 2000;
/// A segment of which less than one in so many octets is needed is copied together.
const SPARSE: u64 = 5;

/// Marks bodies that ended until `until` as gone: at most [`SLICE`]; answers how many. What was to be kept, and nobody
/// has a whole copy of, goes only while the ledger says that the server has it.
pub(super) fn forget(unit: &mut Unit<'_>, until: Timestamp) -> Outcome<usize> {
    let mut set = unit.sql.prepare_cached(
        "UPDATE messages SET segment = NULL, damaged = NULL WHERE seq IN (
            SELECT m.seq FROM messages m
            WHERE m.segment IS NOT NULL AND m.ended IS NOT NULL AND m.ended <= ?1
                AND m.state IN ('done', 'discarded')
                AND NOT EXISTS (SELECT 1 FROM effects e
                    WHERE e.message = m.seq AND e.state IN ('pending', 'inflight'))
                AND (m.state = 'discarded' AND (m.dropped IS NOT NULL
                        OR NOT EXISTS (SELECT 1 FROM effects e WHERE e.message = m.seq
                            AND e.required AND e.whole AND e.state <> 'done' AND e.waived IS NOT NULL))
                    OR EXISTS (SELECT 1 FROM effects e
                        WHERE e.message = m.seq AND e.state = 'done' AND e.whole)
                    OR EXISTS (SELECT 1 FROM ledger l WHERE l.message = m.seq
                        AND l.shown AND l.absent = 0 AND l.removed IS NULL AND l.deleting IS NULL))
            LIMIT ?2)",
    )?;
    Ok(set.execute(params![until.0, rows::limit(SLICE)])?)
}

/// Frees the segments nothing points into; answers how many octets.
pub(super) fn free_empty(unit: &mut Unit<'_>) -> Outcome<u64> {
    let mut freed = 0;
    for segment in usage(unit)?.into_iter().filter(|segment| segment.needed == 0) {
        if unit.segments.active() == Some(segment.number) {
            unit.segments.close_active()?;
        }
        freed += free(unit, segment.number)?;
    }
    Ok(freed)
}

/// The segments, but for the one being written, of which so little is needed that it is worth copying.
pub(super) fn sparse(unit: &mut Unit<'_>) -> Outcome<Vec<u32>> {
    let mut segments = usage(unit)?;
    segments.retain(|segment| {
        unit.segments.active() != Some(segment.number) && segment.needed.saturating_mul(SPARSE) < segment.end
    });
    Ok(segments.into_iter().map(|segment| segment.number).collect())
}

struct Usage {
    number: u32,
    /// Committed octets.
    end: u64,
    /// Octets of records that are still needed, each with its header and origin.
    needed: u64,
}

fn usage(unit: &Unit<'_>) -> Outcome<Vec<Usage>> {
    // Counted like `end`, else segments of very small mail would be copied again and again.
    let mut query = unit.sql.prepare_cached(&format!(
        "SELECT s.number, s.end,
            coalesce(sum(m.size + length(CAST(m.account AS BLOB)) + length(m.uid) + {}), 0)
         FROM segments s LEFT JOIN messages m ON m.segment = s.number GROUP BY s.number",
        HEADER + origin::FIXED
    ))?;
    let rows = query.query_map([], |row| {
        Ok(Usage { number: row.get(0)?, end: unsigned(row.get(1)?), needed: unsigned(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Lets go of a segment. That nothing points into it any more is the database's own constraint.
fn free(unit: &mut Unit<'_>, number: u32) -> Outcome<u64> {
    let mut end = unit.sql.prepare_cached("DELETE FROM segments WHERE number = ?1 RETURNING end")?;
    let end: i64 = end.query_row(params![number], |row| row.get(0))?;
    set_freed(unit.sql, freed(unit.sql)?.max(number))?;
    unit.unneeded.push(number);
    Ok(unsigned(end))
}

/// The highest number of a segment that was ever freed. Numbers are given once: a file of a number is never something else
/// than what an older copy of the database has under it.
pub(super) fn freed(sql: &Connection) -> Outcome<u32> {
    let mut note = sql.prepare_cached("SELECT text FROM notes WHERE scope = ?1")?;
    let text: Option<String> = note.query_row([FREED], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Remembers it.
pub(super) fn set_freed(sql: &Connection, number: u32) -> Outcome<()> {
    let mut note = sql.prepare_cached(
        "INSERT INTO notes (scope, text, at) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET text = excluded.text",
    )?;
    note.execute(params![FREED, number.to_string(), signed(0)])?;
    Ok(())
}

/// Copies what is needed of a segment to the one being written, and frees it. When something of it is damaged, that
/// stays where it is, and so does the segment.
pub(super) fn copy_out(unit: &mut Unit<'_>, number: u32) -> Outcome<u64> {
    let mut query = unit.sql.prepare_cached(&format!(
        "SELECT {PROVENANCE}, m.seq, m.id, m.offset, m.crc FROM messages m WHERE m.segment = ?1"
    ))?;
    let mut rows = query.query(params![number])?;
    let mut bodies = Vec::new();
    while let Some(row) = rows.next()? {
        let place = Place { segment: number, offset: unsigned(row.get(8)?), crc: row.get(9)? };
        bodies.push((row.get::<_, i64>(6)?, rows::message_id(row, 7)?, place, rows::provenance(row)?));
    }
    drop(rows);
    let mut point =
        unit.sql.prepare_cached("UPDATE messages SET segment = ?2, offset = ?3 WHERE seq = ?1")?;
    let mut extend = unit.sql.prepare_cached(
        "INSERT INTO segments (number, end) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET end = excluded.end",
    )?;
    let mut whole = true;
    for (seq, message, place, provenance) in bodies {
        let size = provenance.size;
        let copied = match unit.segments.copy(&Origin::of(&provenance), message, place, size) {
            Ok(copied) => copied,
            Err(Error::Corrupt { what }) => {
                tracing::error!(what, "a damaged message keeps its segment");
                whole = false;
                continue;
            }
            Err(error) => return Err(Fault::from(error)),
        };
        unit.appended = true;
        extend.execute(params![copied.segment, signed(copied.end(size))])?;
        point.execute(params![seq, copied.segment, signed(copied.offset)])?;
    }
    drop((query, point, extend));
    if whole { free(unit, number) } else { Ok(0) }
}

/// Everything that waits becomes due.
pub(super) fn expedite(unit: &mut Unit<'_>, now: Timestamp) -> Outcome<u64> {
    let messages = "UPDATE messages SET due = ?1 WHERE state = 'spooled' AND due > ?1";
    let effects = "UPDATE effects SET due = ?1 WHERE state = 'pending' AND due > ?1";
    let mut hastened = 0;
    for update in [messages, effects] {
        hastened += unit.sql.prepare_cached(update)?.execute([now.0])?;
    }
    Ok(hastened as u64)
}

/// Every message of these accounts that waits becomes due.
pub(super) fn hasten(unit: &mut Unit<'_>, accounts: &[AccountId], now: Timestamp) -> Outcome<u64> {
    let mut update = unit.sql.prepare_cached(
        "UPDATE messages SET due = ?1 WHERE state = 'spooled' AND due > ?1 AND account = ?2",
    )?;
    let mut hastened = 0;
    for account in accounts {
        hastened += update.execute(params![now.0, account.as_str()])?;
    }
    Ok(hastened as u64)
}
