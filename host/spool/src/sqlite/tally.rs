//! How many entries a server has, and where each stands. Leaves the counting to the shared rules.

use postroom_mail::{AccountId, Uid};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::{Fault, Outcome};
use super::polls;
use super::rows::{self, signed, unsigned};
use super::writer::Unit;
use crate::tally::{Said, Tally, Usage};

/// Entries of the last recorded listing without those removed since, and with them.
pub(super) fn listed(sql: &Connection, account: &AccountId) -> Outcome<Option<(u64, u64)>> {
    let mut query = sql.prepare_cached("SELECT there, listed FROM tallies WHERE account = ?1")?;
    let found =
        query.query_row(params![account.as_str()], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))));
    Ok(found.optional()?)
}

/// A listing was recorded.
pub(super) fn observed(unit: &Unit<'_>, account: &str, there: u64) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached(
        "INSERT INTO tallies (account, listed, there) VALUES (?1, ?2, ?2)
         ON CONFLICT DO UPDATE SET listed = excluded.listed, there = excluded.there",
    )?;
    set.execute(params![account, signed(there)])?;
    Ok(())
}

/// The server is about to be recorded to have deleted an entry; it counts once.
pub(super) fn removed(unit: &Unit<'_>, account: &str, uid: &Uid, ordinal: u32, message: i64) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached(
        "UPDATE tallies SET there = max(there - 1, 0) WHERE account = ?1 AND EXISTS (
            SELECT 1 FROM ledger WHERE account = ?1 AND uid = ?2 AND ordinal = ?3 AND message = ?4
                AND shown AND absent = 0 AND removed IS NULL)",
    )?;
    set.execute(params![account, uid.0, ordinal, message])?;
    Ok(())
}

/// Where every message stands that the server has.
pub(super) fn tally(sql: &Connection, account: &AccountId) -> Outcome<Tally> {
    let mut query = sql.prepare_cached(
        "SELECT m.state, m.seq, m.digest FROM ledger l LEFT JOIN messages m ON m.seq = l.message
         WHERE l.account = ?1 AND l.shown AND l.absent = 0 AND l.removed IS NULL",
    )?;
    let mut copied =
        sql.prepare_cached("SELECT 1 FROM effects WHERE message = ?1 AND state = 'done' AND whole")?;
    let mut again =
        sql.prepare_cached("SELECT 1 FROM messages WHERE digest = ?1 AND seq < ?2 AND account = ?3 LIMIT 1")?;
    let mut rows = query.query(params![account.as_str()])?;
    let mut tally = Tally::default();
    while let Some(row) = rows.next()? {
        let state = row.get::<_, Option<String>>(0)?.as_deref().map(rows::message_state).transpose()?;
        let (seq, digest): (Option<i64>, Option<[u8; 32]>) = (row.get(1)?, row.get(2)?);
        let copied = || Ok::<_, Fault>(copied.exists(params![seq])?);
        let again = || Ok(again.exists(params![digest, seq, account.as_str()])?);
        tally.count(state, copied, again)?;
    }
    let (there, listed) = listed(sql, account)?.unzip();
    let status = polls::account(sql, account)?.filter(|status| status.failures == 0);
    let polled = status.and_then(|status| status.listed);
    Ok(tally.complete(Said {
        listed: there,
        nameless: Said::nameless(polled, listed),
        stumbled: stumbled(sql, account)?,
    }))
}

fn stumbled(sql: &Connection, account: &AccountId) -> Outcome<u64> {
    let mut query = sql.prepare_cached(
        "SELECT count(*) FROM stumbles s WHERE s.account = ?1 AND NOT EXISTS (
            SELECT 1 FROM ledger l WHERE l.account = s.account AND l.uid = s.uid AND l.ordinal = s.ordinal
                AND l.shown AND l.absent = 0 AND l.removed IS NULL)",
    )?;
    Ok(unsigned(query.query_row(params![account.as_str()], |row| row.get(0))?))
}

/// What bodies take up.
pub(super) fn usage(sql: &Connection) -> Outcome<Usage> {
    let mut query = sql
        .prepare_cached("SELECT count(*), coalesce(sum(size), 0) FROM messages WHERE segment IS NOT NULL")?;
    let read =
        query.query_row([], |row| Ok(Usage { bodies: unsigned(row.get(0)?), octets: unsigned(row.get(1)?) }));
    Ok(read?)
}
