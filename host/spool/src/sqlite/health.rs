//! The health of bodies: which are read next, what is recorded of those that are damaged, and how one comes back. Reads
//! no file itself.

use postroom_mail::{Digest, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Outcome;
use super::inbox::{append, set_aside};
use super::rows::{self, repeating_event, signed, unsigned};
use super::segments::Place;
use super::writer::Unit;
use crate::health::{Remedy, recovered};
use crate::life;
use crate::records::{Arrival, MessageState};

/// A body is read again after so many milliseconds: a week.
const INTERVAL: i64 = 7 * 24 * 3_600_000;
/// Bodies looked up at once.
const SLICE: usize = 1000;

/// A body to be read.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) message: MessageId,
    pub(super) digest: Digest,
    pub(super) place: Place,
    pub(super) size: u64,
}

/// The bodies that were not read for the longest time, when that is long enough ago.
pub(super) fn due(sql: &Connection, now: Timestamp) -> Outcome<Vec<Check>> {
    let mut query = sql.prepare_cached(
        "SELECT id, digest, segment, offset, crc, size, checked FROM messages INDEXED BY messages_checked
         WHERE segment IS NOT NULL ORDER BY checked LIMIT ?1",
    )?;
    let mut rows = query.query([rows::limit(SLICE)])?;
    let mut checks = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<i64>>(6)?.is_some_and(|checked| checked > now.0.saturating_sub(INTERVAL)) {
            break;
        }
        let place = Place { segment: row.get(2)?, offset: unsigned(row.get(3)?), crc: row.get(4)? };
        let (message, digest) = (MessageId(Digest(row.get(0)?)), Digest(row.get(1)?));
        checks.push(Check { message, digest, place, size: unsigned(row.get(5)?) });
    }
    Ok(checks)
}

/// Where the body of one message is, and what it should be.
pub(super) fn of(sql: &Connection, message: MessageId) -> Outcome<Option<Check>> {
    let Some(Some((place, size))) = rows::place(sql, message)? else { return Ok(None) };
    let digest = "SELECT digest FROM messages WHERE id = ?1";
    let digest = Digest(sql.query_row(digest, params![message.0.0], |row| row.get(0))?);
    Ok(Some(Check { message, digest, place, size }))
}

/// These were read whole.
pub(super) fn sound(unit: &mut Unit<'_>, checks: &[Check], now: Timestamp) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached(
        "UPDATE messages SET checked = ?4, damaged = NULL WHERE id = ?1 AND segment = ?2 AND offset = ?3",
    )?;
    for check in checks {
        set.execute(params![check.message.0.0, check.place.segment, signed(check.place.offset), now.0])?;
    }
    Ok(())
}

/// A body is damaged where it is now. What still has to be done with it is set aside, unless the server has it still.
pub(super) fn damaged(
    unit: &mut Unit<'_>,
    message: MessageId,
    place: Place,
    what: &str,
    now: Timestamp,
) -> Outcome<Remedy> {
    let mut query = unit.sql.prepare_cached(
        "SELECT seq, state, damaged IS NULL FROM messages WHERE id = ?1 AND segment = ?2 AND offset = ?3",
    )?;
    let key = params![message.0.0, place.segment, signed(place.offset)];
    let found = query
        .query_row(key, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?)));
    // Moved, replaced or freed meanwhile.
    let Some((seq, state, news)) = found.optional()? else { return Ok(Remedy::Sound) };
    let mut mark = unit
        .sql
        .prepare_cached("UPDATE messages SET damaged = coalesce(damaged, ?2), checked = ?2 WHERE seq = ?1")?;
    mark.execute(params![seq, now.0])?;
    if news {
        repeating_event(unit.sql, seq, now, &life::damaged(what))?;
    }
    if at_server(unit.sql, seq)? {
        return Ok(Remedy::Retrieve);
    }
    match rows::message_state(&state)? {
        MessageState::Spooled | MessageState::Planned => set_aside(unit, seq, &life::lost(what), now)?,
        // Who runs it finds out, and settles it; the others need it no more.
        MessageState::Running | MessageState::Done | MessageState::Discarded | MessageState::Quarantined => {}
    }
    Ok(Remedy::Lost)
}

/// Whether the server had the message when it was last listed, and nobody asked for its deletion.
fn at_server(sql: &Connection, seq: i64) -> Outcome<bool> {
    let mut query = sql.prepare_cached(
        "SELECT 1 FROM ledger WHERE message = ?1 AND removed IS NULL AND deleting IS NULL AND absent = 0",
    )?;
    Ok(query.exists(params![seq])?)
}

/// A known message was retrieved again: its octets take the place of a damaged body, and whose it is becomes known where
/// it was not. What waits for the octets is due.
pub(super) fn restore(unit: &mut Unit<'_>, arrival: &Arrival, seq: i64) -> Outcome<()> {
    let provenance = &arrival.provenance;
    let mut query = unit.sql.prepare_cached(
        "SELECT damaged IS NOT NULL AND segment IS NOT NULL, account FROM messages WHERE seq = ?1",
    )?;
    let (replace, account): (bool, String) =
        query.query_row(params![seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (message, now) = (provenance.message(), provenance.retrieved);
    if replace {
        let place = append(unit, arrival, message)?;
        let mut point = unit.sql.prepare_cached(
            "UPDATE messages SET segment = ?2, offset = ?3, crc = ?4, damaged = NULL, checked = ?5,
                due = iif(state = 'spooled', min(due, ?5), due)
             WHERE seq = ?1",
        )?;
        point.execute(params![seq, place.segment, signed(place.offset), place.crc, now.0])?;
        let mut hasten = unit.sql.prepare_cached(
            "UPDATE effects SET due = ?2 WHERE message = ?1 AND state = 'pending' AND due > ?2",
        )?;
        hasten.execute(params![seq, now.0])?;
        repeating_event(unit.sql, seq, now, life::RESTORED)?;
    }
    if recovered().is_some_and(|nobody| nobody.as_str() == account) && provenance.account.as_str() != account
    {
        let mut name = unit
            .sql
            .prepare_cached("UPDATE messages SET account = ?2, uid = ?3, ordinal = ?4 WHERE seq = ?1")?;
        name.execute(params![seq, provenance.account.as_str(), provenance.uid.0, provenance.ordinal])?;
    }
    Ok(())
}
