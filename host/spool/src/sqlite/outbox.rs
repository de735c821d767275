//! Effects from their plan to their receipt. Every function works inside one open transaction.

use postroom_mail::{Effect, EffectId, Name, Timestamp, Verdict};
use rusqlite::{OptionalExtension as _, params};

use super::fault::Outcome;
use super::inbox::set_aside;
use super::rows::{self, PROVENANCE, event, repeating_event};
use super::writer::Unit;
use crate::life;
use crate::records::{EffectLease, EffectState, MessageState, Settlement};

/// Takes due effects of one sink, those that are due longest first: one that always fails comes after the others.
pub(super) fn lease(
    unit: &mut Unit<'_>,
    sink: &Name,
    limit: usize,
    now: Timestamp,
) -> Outcome<Vec<EffectLease>> {
    let mut due = unit.sql.prepare_cached(&format!(
        "SELECT {PROVENANCE}, m.id, e.seq, e.attempts, e.body, m.seq,
                e.doubts + (e.sending IS NOT NULL) FROM effects e INDEXED BY effects_due
         JOIN messages m ON m.seq = e.message
         WHERE e.state = 'pending' AND e.sink = ?1 AND e.due <= ?2 ORDER BY e.due, e.seq LIMIT ?3"
    ))?;
    // A mark that nobody settled is a doubt: the attempt that set it ended with its process.
    let mut take = unit.sql.prepare_cached(
        "UPDATE effects SET state = 'inflight', attempts = attempts + 1,
            doubts = doubts + (sending IS NOT NULL), sending = NULL
         WHERE seq = ?1",
    )?;
    let (mut leases, mut unreadable) = (Vec::new(), Vec::new());
    let mut rows = due.query(params![sink.as_str(), now.0, rows::limit(limit)])?;
    while let Some(row) = rows.next()? {
        let (attempts, body): (u32, String) = (row.get(8)?, row.get(9)?);
        let effect: Effect = match serde_json::from_str(&body) {
            Ok(effect) => effect,
            Err(error) => {
                unreadable.push((row.get::<_, i64>(7)?, row.get::<_, i64>(10)?, error.to_string()));
                continue;
            }
        };
        let lease = EffectLease {
            effect,
            message: rows::message_id(row, 6)?,
            provenance: rows::provenance(row)?,
            attempt: attempts.saturating_add(1),
            doubts: row.get(11)?,
        };
        leases.push((row.get::<_, i64>(7)?, lease));
    }
    drop(rows);
    for (seq, message, error) in &unreadable {
        // It must not stop the others of its sink.
        let reason = format!("the stored effect cannot be read: {error}");
        let mut park =
            unit.sql.prepare_cached("UPDATE effects SET state = 'parked', reason = ?2 WHERE seq = ?1")?;
        park.execute(params![seq, reason])?;
        set_aside(unit, *message, &reason, now)?;
    }
    for (seq, _) in &leases {
        take.execute(params![seq])?;
    }
    Ok(leases.into_iter().map(|(_, lease)| lease).collect())
}

/// Puts back what was taken but never reached its caller.
pub(super) fn unlease(unit: &mut Unit<'_>, leases: &[EffectLease]) -> Outcome<()> {
    let mut back = unit.sql.prepare_cached(
        "UPDATE effects SET state = 'pending', attempts = attempts - 1
         WHERE id = ?1 AND state = 'inflight' AND attempts = ?2",
    )?;
    for lease in leases {
        back.execute(params![lease.effect.id.0.0, lease.attempt])?;
    }
    Ok(())
}

/// Puts back everything that is inflight.
pub(super) fn release(unit: &mut Unit<'_>, now: Timestamp) -> Outcome<u64> {
    // The condition is there twice so that the partial index serves it.
    let mut back = unit.sql.prepare_cached(
        "UPDATE effects SET state = 'pending', due = ?1
         WHERE state IN ('pending', 'inflight', 'parked') AND state = 'inflight'",
    )?;
    Ok(back.execute(params![now.0])? as u64)
}

/// Marks the attempt as one that may have happened from here on.
pub(super) fn sending(unit: &mut Unit<'_>, effect: EffectId, attempt: u32) -> Outcome<()> {
    let (seq, _) = leased(unit, effect, attempt)?;
    let mut mark = unit.sql.prepare_cached("UPDATE effects SET sending = attempts WHERE seq = ?1")?;
    mark.execute(params![seq])?;
    Ok(())
}

/// Commit point 3.
pub(super) fn settle(
    unit: &mut Unit<'_>,
    lease: &EffectLease,
    settlement: &Settlement,
    now: Timestamp,
) -> Outcome<()> {
    let (seq, message) = leased(unit, lease.effect.id, lease.attempt)?;
    match settlement {
        Settlement::Done(receipt) => {
            let mut set = unit.sql.prepare_cached(
                "UPDATE effects SET state = 'done', receipt = ?2, reason = NULL, sending = NULL WHERE seq = ?1",
            )?;
            set.execute(params![seq, serde_json::to_string(receipt)?])?;
            let mut number = unit.sql.prepare_cached(
                "INSERT INTO receipts (effect, sink, at) SELECT seq, sink, ?2 FROM effects WHERE seq = ?1",
            )?;
            number.execute(params![seq, now.0])?;
            event(unit.sql, message, now, &life::effect_done(&lease.effect, receipt))?;
        }
        Settlement::Retry { at, reason } | Settlement::Hold { at, reason } => {
            let uncounted = matches!(settlement, Settlement::Hold { .. });
            let mut set = unit.sql.prepare_cached(
                "UPDATE effects SET state = 'pending', due = ?2, reason = ?3, attempts = attempts - ?4,
                    sending = NULL
                 WHERE seq = ?1",
            )?;
            let reason = life::clip(reason.clone());
            set.execute(params![seq, at.0, reason, uncounted])?;
            return repeating_event(unit.sql, message, now, &life::effect_retried(&lease.effect, &reason));
        }
        Settlement::Doubt { at, reason } => {
            let mut set = unit.sql.prepare_cached(
                "UPDATE effects SET state = 'pending', due = coalesce(?2, due), reason = ?3,
                    doubts = doubts + 1, sending = NULL
                 WHERE seq = ?1",
            )?;
            let reason = life::clip(reason.clone());
            set.execute(params![seq, at.map(|at| at.0), reason])?;
            event(unit.sql, message, now, &life::effect_doubted(&lease.effect, &reason))?;
            if at.is_some() {
                return Ok(());
            }
            if park(unit, seq, message, &lease.effect, reason, now)? {
                return Ok(());
            }
        }
        Settlement::Park { reason } => {
            if park(unit, seq, message, &lease.effect, life::clip(reason.clone()), now)? {
                return Ok(());
            }
        }
    }
    complete(unit, message, now)
}

/// Sets the effect aside, and with it the message if it needs the effect; whether it did.
fn park(
    unit: &Unit<'_>,
    seq: i64,
    message: i64,
    effect: &Effect,
    reason: String,
    now: Timestamp,
) -> Outcome<bool> {
    let mut set = unit
        .sql
        .prepare_cached("UPDATE effects SET state = 'parked', reason = ?2, sending = NULL WHERE seq = ?1")?;
    set.execute(params![seq, reason])?;
    event(unit.sql, message, now, &life::effect_parked(effect, &reason))?;
    let aside = effect.required && state(unit, message)?.0 == MessageState::Planned;
    if aside {
        set_aside(unit, message, &life::parked_reason(effect, &reason), now)?;
    }
    Ok(aside)
}

/// Ends a planned message whose last open effect was settled.
fn complete(unit: &Unit<'_>, message: i64, now: Timestamp) -> Outcome<()> {
    let (MessageState::Planned, Some(verdict)) = state(unit, message)? else { return Ok(()) };
    if is_open(unit, message)? {
        return Ok(());
    }
    let mut set = unit.sql.prepare_cached("UPDATE messages SET state = ?2, ended = ?3 WHERE seq = ?1")?;
    set.execute(params![message, rows::message_word(life::state_by_plan(&verdict, false)), now.0])?;
    Ok(())
}

/// Whether an effect of it waits or is being carried out.
pub(super) fn is_open(unit: &Unit<'_>, message: i64) -> Outcome<bool> {
    let mut open = unit
        .sql
        .prepare_cached("SELECT 1 FROM effects WHERE message = ?1 AND state IN ('pending', 'inflight')")?;
    Ok(open.exists(params![message])?)
}

fn state(unit: &Unit<'_>, message: i64) -> Outcome<(MessageState, Option<Verdict>)> {
    let mut query = unit.sql.prepare_cached("SELECT state, verdict FROM messages WHERE seq = ?1")?;
    let (state, verdict): (String, Option<String>) =
        query.query_row(params![message], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((rows::message_state(&state)?, rows::json(verdict)?))
}

/// The rows of the effect and its message, when the lease still holds.
fn leased(unit: &Unit<'_>, effect: EffectId, attempt: u32) -> Outcome<(i64, i64)> {
    let mut query =
        unit.sql.prepare_cached("SELECT seq, message, state, attempts FROM effects WHERE id = ?1")?;
    let found = query.query_row(params![effect.0.0], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, u32>(3)?))
    });
    match found.optional()? {
        Some((seq, message, state, counted))
            if rows::effect_state(&state)? == EffectState::Inflight && counted == attempt =>
        {
            Ok((seq, message))
        }
        _ => Err(life::effect_not_leased(effect, attempt).into()),
    }
}
