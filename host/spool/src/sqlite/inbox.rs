//! Messages from admission to their plan. Every function works inside one open transaction.

use postroom_mail::{Digest, MessageId, Plan, StepTrace, Timestamp, Verdict};
use rusqlite::{OptionalExtension as _, params};

use super::fault::Outcome;
use super::origin::Origin;
use super::rows::{self, PROVENANCE, event, repeating_event, signed};
use super::segments::Place;
use super::writer::Unit;
use super::{health, notes, operator, outbox, questions};
use crate::Error;
use crate::life;
use crate::records::{Admitted, Arrival, MessageLease, MessageState, Planned};

/// Commit point 1: octets to the segment, a row for the message, a row for the ledger.
pub(super) fn admit(unit: &mut Unit<'_>, arrivals: &[Arrival]) -> Outcome<Vec<Admitted>> {
    arrivals.iter().map(|arrival| admit_one(unit, arrival)).collect()
}

fn admit_one(unit: &mut Unit<'_>, arrival: &Arrival) -> Outcome<Admitted> {
    life::check_arrival(arrival)?;
    let provenance = &arrival.provenance;
    let message = provenance.message();
    let (seq, new) = match rows::sequence(unit.sql, message)? {
        Some(seq) => {
            shown_again(unit, seq, provenance.retrieved)?;
            health::restore(unit, arrival, seq)?;
            (seq, false)
        }
        None => (insert(unit, arrival, message)?, true),
    };
    point(unit, arrival, seq)?;
    Ok(Admitted { message, new })
}

/// The ledger points at what the server last showed under this unique-id.
fn point(unit: &Unit<'_>, arrival: &Arrival, seq: i64) -> Outcome<()> {
    let provenance = &arrival.provenance;
    let mut point = unit.sql.prepare_cached(
        "INSERT INTO ledger (account, uid, ordinal, message, how, at, size, header, shown)
         VALUES (?1, ?2, ?3, ?4, 'retrieved', ?5, ?6, ?7, 1)
         ON CONFLICT DO UPDATE SET how = 'retrieved', message = excluded.message,
            at = iif(message IS NULL OR message = excluded.message, at, excluded.at),
            size = iif(message = excluded.message, coalesce(excluded.size, size), excluded.size),
            header = iif(message = excluded.message, coalesce(excluded.header, header), excluded.header),
            deleting = NULL, removed = NULL, absent = 0, since = NULL, shown = 1",
    )?;
    let (account, uid) = (provenance.account.as_str(), &provenance.uid);
    point.execute(params![
        account,
        uid.0,
        provenance.ordinal,
        seq,
        provenance.retrieved.0,
        arrival.listed.map(signed),
        arrival.header.map(|header| header.0),
    ])?;
    notes::steady(unit, account, uid, provenance.ordinal)
}

/// The server has a message that was removed: it may, and must, be removed once more.
fn shown_again(unit: &Unit<'_>, seq: i64, retrieved: Timestamp) -> Outcome<()> {
    let mut clear = unit
        .sql
        .prepare_cached("UPDATE messages SET removed = NULL WHERE seq = ?1 AND removed IS NOT NULL")?;
    match clear.execute(params![seq])? {
        0 => Ok(()),
        _ => repeating_event(unit.sql, seq, retrieved, life::SHOWN_AGAIN),
    }
}

fn insert(unit: &mut Unit<'_>, arrival: &Arrival, message: MessageId) -> Outcome<i64> {
    let provenance = &arrival.provenance;
    let place = append(unit, arrival, message)?;
    let mut add = unit.sql.prepare_cached(
        "INSERT INTO messages (id, account, uid, ordinal, digest, size, retrieved, state, due, segment, offset, crc, checked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'spooled', ?7, ?8, ?9, ?10, ?7)",
    )?;
    let seq = add.insert(params![
        message.0.0,
        provenance.account.as_str(),
        provenance.uid.0,
        provenance.ordinal,
        provenance.digest.0,
        signed(provenance.size),
        provenance.retrieved.0,
        place.segment,
        signed(place.offset),
        place.crc,
    ])?;
    event(unit.sql, seq, provenance.retrieved, &life::retrieved(provenance))?;
    Ok(seq)
}

/// The octets to the segment; where they are now.
pub(super) fn append(unit: &mut Unit<'_>, arrival: &Arrival, message: MessageId) -> Outcome<Place> {
    unit.appended = true;
    let place = unit.segments.append(&Origin::of(&arrival.provenance), message, &arrival.body)?;
    let mut extend = unit.sql.prepare_cached(
        "INSERT INTO segments (number, end) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET end = excluded.end",
    )?;
    extend.execute(params![place.segment, signed(place.end(arrival.provenance.size))])?;
    Ok(place)
}

/// Takes due messages, oldest admission first.
pub(super) fn lease(unit: &mut Unit<'_>, limit: usize, now: Timestamp) -> Outcome<Vec<MessageLease>> {
    let mut due = unit.sql.prepare_cached(&format!(
        "SELECT {PROVENANCE}, m.id, m.seq, m.attempts FROM messages m INDEXED BY messages_inbox
         WHERE m.state = 'spooled' AND m.due <= ?1 ORDER BY m.seq LIMIT ?2"
    ))?;
    let mut take = unit
        .sql
        .prepare_cached("UPDATE messages SET state = 'running', attempts = attempts + 1 WHERE seq = ?1")?;
    let mut leases = Vec::new();
    // All rows are read before the first is changed.
    let mut rows = due.query(params![now.0, rows::limit(limit)])?;
    while let Some(row) = rows.next()? {
        let attempts: u32 = row.get(8)?;
        let lease = MessageLease {
            provenance: rows::provenance(row)?,
            message: rows::message_id(row, 6)?,
            attempt: attempts.saturating_add(1),
        };
        leases.push((row.get::<_, i64>(7)?, lease));
    }
    drop(rows);
    for (seq, lease) in &leases {
        take.execute(params![seq])?;
        repeating_event(unit.sql, *seq, now, &life::started(lease.attempt))?;
    }
    Ok(leases.into_iter().map(|(_, lease)| lease).collect())
}

/// Puts back what was taken but never reached its caller; no octet of it was parsed.
pub(super) fn unlease(unit: &mut Unit<'_>, leases: &[MessageLease]) -> Outcome<()> {
    let mut back = unit.sql.prepare_cached(
        "UPDATE messages SET state = 'spooled', attempts = attempts - 1
         WHERE id = ?1 AND state = 'running' AND attempts = ?2",
    )?;
    for lease in leases {
        back.execute(params![lease.message.0.0, lease.attempt])?;
    }
    Ok(())
}

/// Puts back everything that is running.
pub(super) fn release(unit: &mut Unit<'_>, counted: bool, now: Timestamp) -> Outcome<u64> {
    // The condition is there twice so that the partial index serves it.
    let mut back = unit.sql.prepare_cached(
        "UPDATE messages SET state = 'spooled', due = ?1, attempts = attempts - ?2
         WHERE state IN ('running', 'quarantined') AND state = 'running'",
    )?;
    Ok(back.execute(params![now.0, !counted])? as u64)
}

/// Commit point 2.
pub(super) fn plan(
    unit: &mut Unit<'_>,
    lease: &MessageLease,
    plan: &Plan,
    now: Timestamp,
) -> Outcome<Planned> {
    let seq = leased(unit, lease)?;
    if is_stale(unit, plan)? {
        put_back(unit, lease, now, life::STALE, now)?;
        return Ok(Planned::Stale);
    }
    let mut add = unit.sql.prepare_cached(
        "INSERT INTO effects (id, message, sink, state, due, required, whole, body)
         VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
    )?;
    let mut added = operator::plan_again(unit, seq, plan, lease.provenance.size, now)?;
    for effect in &plan.effects {
        let body = serde_json::to_string(effect)?;
        let whole = effect.carries_whole(lease.provenance.size);
        let (id, sink) = (effect.id.0.0, effect.sink.as_str());
        added += add.execute(params![id, seq, sink, now.0, effect.required, whole, body])?;
    }
    write_kv(unit, plan)?;
    let state = life::state_by_plan(&plan.verdict, outbox::is_open(unit, seq)?);
    let mut set = unit.sql.prepare_cached(
        "UPDATE messages SET state = ?2, reason = ?3, verdict = ?4, labels = ?5, trace = ?6, ended = ?7
         WHERE seq = ?1",
    )?;
    set.execute(params![
        seq,
        rows::message_word(state),
        life::reason(&plan.verdict),
        serde_json::to_string(&plan.verdict)?,
        serde_json::to_string(&plan.labels)?,
        serde_json::to_string(&plan.trace)?,
        life::ended(state).then_some(now.0),
    ])?;
    event(unit.sql, seq, now, &life::planned(added, &plan.verdict))?;
    if let (Verdict::Quarantine { .. }, Some(reason)) = (&plan.verdict, life::reason(&plan.verdict)) {
        event(unit.sql, seq, now, &life::quarantined(&reason))?;
    }
    Ok(Planned::Committed)
}

/// Whether a step decided by a state that is another one now: two messages of an account may run at once.
fn is_stale(unit: &Unit<'_>, plan: &Plan) -> Outcome<bool> {
    for seen in &plan.kv_seen {
        let value = questions::kv_get(unit.sql, &seen.scope, &seen.key)?;
        if value.as_deref().map(Digest::of) != seen.digest {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write_kv(unit: &Unit<'_>, plan: &Plan) -> Outcome<()> {
    let mut put = unit.sql.prepare_cached(
        "INSERT INTO kv (scope, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    let mut delete = unit.sql.prepare_cached("DELETE FROM kv WHERE scope = ?1 AND key = ?2")?;
    for write in &plan.kv {
        match &write.value {
            Some(value) => put.execute(params![write.scope, write.key, value])?,
            None => delete.execute(params![write.scope, write.key])?,
        };
    }
    Ok(())
}

/// What the steps of a failed run did.
pub(super) fn traced(unit: &Unit<'_>, lease: &MessageLease, trace: &[StepTrace]) -> Outcome<()> {
    if trace.is_empty() {
        return Ok(());
    }
    let seq = leased(unit, lease)?;
    let mut set = unit.sql.prepare_cached("UPDATE messages SET trace = ?2 WHERE seq = ?1")?;
    set.execute(params![seq, serde_json::to_string(trace)?])?;
    Ok(())
}

/// The run failed for now.
pub(super) fn defer(
    unit: &mut Unit<'_>,
    lease: &MessageLease,
    at: Timestamp,
    reason: &str,
    now: Timestamp,
) -> Outcome<()> {
    let seq = leased(unit, lease)?;
    let mut set = unit
        .sql
        .prepare_cached("UPDATE messages SET state = 'spooled', due = ?2, reason = ?3 WHERE seq = ?1")?;
    set.execute(params![seq, at.0, reason])?;
    repeating_event(unit.sql, seq, now, &life::deferred(reason))
}

/// The run never began.
pub(super) fn put_back(
    unit: &mut Unit<'_>,
    lease: &MessageLease,
    at: Timestamp,
    reason: &str,
    now: Timestamp,
) -> Outcome<()> {
    defer(unit, lease, at, reason, now)?;
    let mut forget = unit.sql.prepare_cached("UPDATE messages SET attempts = attempts - 1 WHERE id = ?1")?;
    forget.execute(params![lease.message.0.0])?;
    Ok(())
}

/// The run failed for good.
pub(super) fn quarantine(
    unit: &mut Unit<'_>,
    lease: &MessageLease,
    reason: &str,
    now: Timestamp,
) -> Outcome<()> {
    let seq = leased(unit, lease)?;
    set_aside(unit, seq, reason, now)
}

/// Sets a message aside.
pub(super) fn set_aside(unit: &Unit<'_>, seq: i64, reason: &str, now: Timestamp) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached(
        "UPDATE messages SET state = 'quarantined', reason = ?2, ended = NULL WHERE seq = ?1",
    )?;
    set.execute(params![seq, reason])?;
    event(unit.sql, seq, now, &life::quarantined(reason))
}

/// The message's row, when the lease still holds.
fn leased(unit: &Unit<'_>, lease: &MessageLease) -> Outcome<i64> {
    let mut query = unit.sql.prepare_cached("SELECT seq, state, attempts FROM messages WHERE id = ?1")?;
    let found = query.query_row(params![lease.message.0.0], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
    });
    let Some((seq, state, attempts)) = found.optional()? else {
        return Err(Error::Conflict(format!("message {} was never admitted", lease.message)).into());
    };
    if rows::message_state(&state)? != MessageState::Running || attempts != lease.attempt {
        return Err(life::not_leased(lease.message, lease.attempt).into());
    }
    Ok(seq)
}
