//! Which entries of a maildrop could not be retrieved, and how often.

use postroom_mail::{AccountId, Timestamp, Uid};
use rusqlite::{Connection, Row, params};

use super::fault::Outcome;
use super::writer::Unit;
use crate::ledger::Listed;
use crate::seen::Stumble;

const COLUMNS: &str = "uid, ordinal, times, first, last, reason";

fn read(row: &Row<'_>) -> rusqlite::Result<Stumble> {
    Ok(Stumble {
        uid: Uid(row.get(0)?),
        ordinal: row.get(1)?,
        times: row.get(2)?,
        first: Timestamp(row.get(3)?),
        last: Timestamp(row.get(4)?),
        reason: row.get(5)?,
    })
}

/// The retrieval of this one failed once more.
pub(super) fn stumble(
    unit: &mut Unit<'_>,
    account: &AccountId,
    listed: &Listed,
    reason: &str,
    now: Timestamp,
) -> Outcome<Stumble> {
    let mut count = unit.sql.prepare_cached(&format!(
        "INSERT INTO stumbles (account, uid, ordinal, times, first, last, reason) VALUES (?1, ?2, ?3, 1, ?4, ?4, ?5)
         ON CONFLICT DO UPDATE SET times = min(times + 1, 4294967295), last = excluded.last, reason = excluded.reason
         RETURNING {COLUMNS}"
    ))?;
    Ok(count.query_row(params![account.as_str(), listed.uid.0, listed.ordinal, now.0, reason], read)?)
}

/// All of an account, by key.
pub(super) fn stumbles(sql: &Connection, account: &AccountId) -> Outcome<Vec<Stumble>> {
    let mut query = sql.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM stumbles WHERE account = ?1 ORDER BY uid, ordinal"
    ))?;
    let all = query.query_map(params![account.as_str()], read)?;
    Ok(all.collect::<Result<_, _>>()?)
}

/// Their keys alone.
pub(super) fn stumbled(sql: &Connection, account: &str) -> Outcome<Vec<(Uid, u32)>> {
    let mut query = sql.prepare_cached("SELECT uid, ordinal FROM stumbles WHERE account = ?1")?;
    let keys = query.query_map(params![account], |row| Ok((Uid(row.get(0)?), row.get(1)?)))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

/// It went well, or it is gone.
pub(super) fn steady(unit: &Unit<'_>, account: &str, uid: &Uid, ordinal: u32) -> Outcome<()> {
    let mut clear =
        unit.sql.prepare_cached("DELETE FROM stumbles WHERE account = ?1 AND uid = ?2 AND ordinal = ?3")?;
    clear.execute(params![account, uid.0, ordinal])?;
    Ok(())
}

/// The operator wants them tried again: those with this unique-id, or all.
pub(super) fn unstumble(unit: &Unit<'_>, account: &str, uid: Option<&Uid>) -> Outcome<u64> {
    let mut clear =
        unit.sql.prepare_cached("DELETE FROM stumbles WHERE account = ?1 AND (?2 IS NULL OR uid = ?2)")?;
    Ok(clear.execute(params![account, uid.map(|uid| &uid.0)])? as u64)
}
