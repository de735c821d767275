//! Between rows and the spool's own records. Knows columns, no rules.

use postroom_mail::{Digest, EffectId, MessageId, Name, Provenance, Timestamp, Uid};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::fault::{Fault, Outcome};
use super::segments::Place;
use crate::records::{EffectState, MessageState};
use crate::{Error, life};

/// The columns [`provenance`] reads, from the first on.
pub(super) const PROVENANCE: &str = "m.account, m.uid, m.ordinal, m.digest, m.size, m.retrieved";

/// Reads [`PROVENANCE`].
pub(super) fn provenance(row: &Row<'_>) -> Outcome<Provenance> {
    Ok(Provenance {
        account: name(row.get(0)?)?,
        uid: Uid(row.get(1)?),
        ordinal: row.get(2)?,
        digest: Digest(row.get(3)?),
        size: unsigned(row.get(4)?),
        retrieved: Timestamp(row.get(5)?),
    })
}

/// Reads a message id.
pub(super) fn message_id(row: &Row<'_>, column: usize) -> Outcome<MessageId> {
    Ok(MessageId(Digest(row.get(column)?)))
}

/// Reads an effect id, where there is one.
pub(super) fn effect_id(row: &Row<'_>, column: usize) -> Outcome<Option<EffectId>> {
    let id: Option<[u8; 32]> = row.get(column)?;
    Ok(id.map(|id| EffectId(Digest(id))))
}

/// Checks a stored name.
pub(super) fn name(text: String) -> Outcome<Name> {
    Name::new(text).map_err(|error| corrupt(&error.to_string()))
}

/// Reads JSON; `NULL` is the default.
pub(super) fn json<T: DeserializeOwned + Default>(text: Option<String>) -> Outcome<T> {
    Ok(text.as_deref().map(serde_json::from_str).transpose()?.unwrap_or_default())
}

/// SQLite's integers are signed; sizes and counts are far below the border.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// For `LIMIT`.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The word of a state in the database.
pub(super) fn message_word(state: MessageState) -> &'static str {
    match state {
        MessageState::Spooled => "spooled",
        MessageState::Running => "running",
        MessageState::Planned => "planned",
        MessageState::Done => "done",
        MessageState::Discarded => "discarded",
        MessageState::Quarantined => "quarantined",
    }
}

/// The state of a word in the database.
pub(super) fn message_state(word: &str) -> Outcome<MessageState> {
    Ok(match word {
        "spooled" => MessageState::Spooled,
        "running" => MessageState::Running,
        "planned" => MessageState::Planned,
        "done" => MessageState::Done,
        "discarded" => MessageState::Discarded,
        "quarantined" => MessageState::Quarantined,
        other => return Err(corrupt(&format!("a message has the state {other:?}"))),
    })
}

/// The state of a word in the database.
pub(super) fn effect_state(word: &str) -> Outcome<EffectState> {
    Ok(match word {
        "pending" => EffectState::Pending,
        "inflight" => EffectState::Inflight,
        "done" => EffectState::Done,
        "parked" => EffectState::Parked,
        other => return Err(corrupt(&format!("an effect has the state {other:?}"))),
    })
}

/// Where a body is, and how long; `None` when it was swept.
pub(super) fn place(sql: &Connection, message: MessageId) -> Outcome<Option<Option<(Place, u64)>>> {
    let mut query = sql.prepare_cached("SELECT segment, offset, crc, size FROM messages WHERE id = ?1")?;
    let found = query.query_row(params![message.0.0], |row| {
        let segment: Option<u32> = row.get(0)?;
        let (offset, crc, size): (i64, u32, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(segment.map(|segment| (Place { segment, offset: unsigned(offset), crc }, unsigned(size))))
    });
    Ok(found.optional()?)
}

/// The row number of a message.
pub(super) fn sequence(sql: &Connection, message: MessageId) -> Outcome<Option<i64>> {
    let mut query = sql.prepare_cached("SELECT seq FROM messages WHERE id = ?1")?;
    Ok(query.query_row(params![message.0.0], |row| row.get(0)).optional()?)
}

/// Adds a line to a history.
pub(super) fn event(sql: &Connection, message: i64, at: Timestamp, text: &str) -> Outcome<()> {
    let mut add = sql.prepare_cached("INSERT INTO events (message, at, text) VALUES (?1, ?2, ?3)")?;
    add.execute(params![message, at.0, text])?;
    Ok(())
}

/// Adds a line that may repeat without end to a history, while that is short.
pub(super) fn repeating_event(sql: &Connection, message: i64, at: Timestamp, text: &str) -> Outcome<()> {
    let mut count = sql.prepare_cached("SELECT count(*) FROM events WHERE message = ?1")?;
    let lines: u32 = count.query_row(params![message], |row| row.get(0))?;
    if lines < life::EVENTS { event(sql, message, at, text) } else { Ok(()) }
}

/// Something in the database that this crate never writes.
pub(super) fn corrupt(what: &str) -> Fault {
    Error::Corrupt { what: what.to_owned() }.into()
}
