//! The operator's verbs over the database. Finds the messages, leaves to the shared rules what becomes of them, and writes
//! that down; every function that changes something works inside one open transaction.

use postroom_mail::{Effect, EffectId, MessageId, Plan, Timestamp};
use rusqlite::{Connection, Row, params};

use super::fault::Outcome;
use super::rows::{self, event};
use super::writer::Unit;
use crate::life;
use crate::operator::{
    self as rules, Aside, Case, Change, Decided, Decision, Fate, Part, Refusal, Selected, Selection, Turn,
};

/// A message with the rows it is stored in.
struct Found {
    seq: i64,
    case: Case,
    parts: Vec<i64>,
}

/// The messages that a verb would touch, oldest first.
pub(super) fn select(sql: &Connection, selection: &Selection, now: Timestamp) -> Outcome<Vec<Selected>> {
    let mut all = Vec::new();
    for message in candidates(sql, selection)? {
        if let Some(found) = find(sql, message)? {
            all.extend(selection.takes(&found.case, now).map(|selected| (found.seq, selected)));
        }
    }
    all.sort_by_key(|(seq, _)| *seq);
    Ok(all.into_iter().map(|(_, selected)| selected).collect())
}

/// All that the selection may take; the conditions on states are those of the partial indexes.
fn candidates(sql: &Connection, selection: &Selection) -> Outcome<Vec<MessageId>> {
    if !selection.messages.is_empty() {
        let mut messages = selection.messages.clone();
        messages.sort();
        messages.dedup();
        return Ok(messages);
    }
    let mut query = sql.prepare_cached(match selection.state {
        Some(Aside::Dropped) => {
            "SELECT id FROM messages WHERE dropped IS NOT NULL AND state = 'discarded'
                AND (?1 IS NULL OR account = ?1)"
        }
        Some(Aside::Quarantined | Aside::Parked | Aside::Waiting) | None => {
            "SELECT id FROM messages
             WHERE seq IN (SELECT seq FROM messages WHERE state = 'spooled'
                     UNION SELECT seq FROM messages WHERE state IN ('running', 'quarantined')
                     UNION SELECT message FROM effects WHERE state IN ('pending', 'inflight', 'parked'))
                AND (?1 IS NULL OR account = ?1)"
        }
    })?;
    let account = selection.account.as_ref().map(|account| account.as_str());
    let found = query.query_map(params![account], |row| row.get(0))?;
    Ok(found.map(|id| id.map(|id| MessageId(postroom_mail::Digest(id)))).collect::<Result<_, _>>()?)
}

fn find(sql: &Connection, message: MessageId) -> Outcome<Option<Found>> {
    let mut query = sql.prepare_cached(
        "SELECT seq, account, retrieved, segment IS NOT NULL, state, reason, verdict, attempts, due, ended, dropped
         FROM messages WHERE id = ?1",
    )?;
    let mut rows = query.query(params![message.0.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp));
    let seq = row.get(0)?;
    let (parts, rows): (Vec<_>, Vec<_>) = parts(sql, seq)?.into_iter().unzip();
    let fate = Fate {
        state: rows::message_state(&row.get::<_, String>(4)?)?,
        reason: row.get(5)?,
        verdict: rows::json(row.get(6)?)?,
        attempts: row.get(7)?,
        due: Timestamp(row.get(8)?),
        ended: time(9)?,
        dropped: time(10)?,
    };
    let (account, retrieved) = (rows::name(row.get(1)?)?, Timestamp(row.get(2)?));
    let case = Case { message, account, retrieved, here: row.get(3)?, fate, parts };
    Ok(Some(Found { seq, case, parts: rows }))
}

/// The effects of a message in order, each with its row.
fn parts(sql: &Connection, message: i64) -> Outcome<Vec<(Part, i64)>> {
    let mut query = sql.prepare_cached(
        "SELECT id, sink, state, required, waived, reason, body, seq FROM effects
         WHERE message = ?1 ORDER BY seq",
    )?;
    let mut rows = query.query(params![message])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push((part(row)?, row.get(7)?));
    }
    Ok(all)
}

fn part(row: &Row<'_>) -> Outcome<Part> {
    let sink = rows::name(row.get(1)?)?;
    // One that cannot be read is parked for that, and the operator must be able to let go of it.
    let summary = match serde_json::from_str::<Effect>(&row.get::<_, String>(6)?) {
        Ok(effect) => effect.summary(),
        Err(_) => format!("an effect of sink {sink} that cannot be read"),
    };
    Ok(Part {
        id: EffectId(postroom_mail::Digest(row.get(0)?)),
        sink,
        state: rows::effect_state(&row.get::<_, String>(2)?)?,
        required: row.get(3)?,
        waived: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        reason: row.get(5)?,
        summary,
    })
}

/// Decides over each message, and writes down what that changes.
pub(super) fn decide(
    unit: &mut Unit<'_>,
    messages: &[MessageId],
    now: Timestamp,
    rule: impl Fn(&Case) -> Decision,
) -> Outcome<Vec<Decided>> {
    let mut all = Vec::with_capacity(messages.len());
    for message in messages {
        let outcome = match find(unit.sql, *message)? {
            None => Err(Refusal::Unknown),
            Some(found) => match rule(&found.case) {
                Err(refusal) => Err(refusal),
                Ok(decided) => Ok(change(unit, &found, &decided, now)?),
            },
        };
        all.push(Decided { message: *message, outcome });
    }
    Ok(all)
}

fn change(unit: &Unit<'_>, found: &Found, change: &Change, now: Timestamp) -> Outcome<String> {
    turn(unit, &found.parts, &change.turns, now)?;
    let fate = &change.fate;
    let mut set = unit.sql.prepare_cached(
        "UPDATE messages SET state = ?2, reason = ?3, verdict = ?4, attempts = ?5, due = ?6, ended = ?7, dropped = ?8
         WHERE seq = ?1",
    )?;
    set.execute(params![
        found.seq,
        rows::message_word(fate.state),
        fate.reason,
        fate.verdict.as_ref().map(serde_json::to_string).transpose()?,
        fate.attempts,
        fate.due.0,
        fate.ended.map(|at| at.0),
        fate.dropped.map(|at| at.0),
    ])?;
    for text in &change.events {
        event(unit.sql, found.seq, now, text)?;
    }
    Ok(change.events.first().cloned().unwrap_or_default())
}

fn turn(unit: &Unit<'_>, parts: &[i64], turns: &[(usize, Turn)], now: Timestamp) -> Outcome<()> {
    for (index, turn) in turns {
        let Some(seq) = parts.get(*index) else { continue };
        let mut set = unit.sql.prepare_cached(match turn {
            Turn::Again => {
                // One stays counted where there was one, so that sinks look for what it may have left. One doubt is
                // taken back, not all: whoever tries again allows one more copy. An unsettled mark is a doubt.
                "UPDATE effects SET state = 'pending', attempts = min(attempts, 1),
                    doubts = max(doubts + (sending IS NOT NULL) - 1, 0), sending = NULL,
                    due = ?2, reason = NULL, waived = NULL
                 WHERE seq = ?1"
            }
            Turn::Hasten => "UPDATE effects SET due = ?2 WHERE seq = ?1",
            Turn::Waive => "UPDATE effects SET state = 'parked', waived = ?2 WHERE seq = ?1",
            Turn::Unasked => "UPDATE effects SET state = 'parked', waived = ?2, reason = ?3 WHERE seq = ?1",
            Turn::Reclaim => "UPDATE effects SET waived = NULL WHERE seq = ?1",
        })?;
        match turn {
            Turn::Again | Turn::Hasten | Turn::Waive => set.execute(params![seq, now.0])?,
            Turn::Unasked => set.execute(params![seq, now.0, life::UNASKED])?,
            Turn::Reclaim => set.execute(params![seq])?,
        };
    }
    Ok(())
}

/// What a later plan does to the effects of an earlier one; answers how many are tried again.
pub(super) fn plan_again(
    unit: &Unit<'_>,
    message: i64,
    plan: &Plan,
    size: u64,
    now: Timestamp,
) -> Outcome<usize> {
    let (parts, seqs): (Vec<_>, Vec<_>) = parts(unit.sql, message)?.into_iter().unzip();
    if parts.is_empty() {
        return Ok(0);
    }
    let ids: Vec<EffectId> = plan.effects.iter().map(|effect| effect.id).collect();
    let turns = rules::planned_again(&parts, &ids);
    turn(unit, &seqs, &turns, now)?;
    let mut renew =
        unit.sql.prepare_cached("UPDATE effects SET required = ?2, whole = ?3, body = ?4 WHERE id = ?1")?;
    let mut again = 0;
    for (part, turn) in turns.iter().filter_map(|(index, turn)| Some((parts.get(*index)?, *turn))) {
        match turn {
            Turn::Again | Turn::Hasten => again += 1,
            Turn::Unasked => event(unit.sql, message, now, &life::effect_unasked(&part.summary))?,
            Turn::Waive | Turn::Reclaim => {}
        }
        let renewed = plan.effects.iter().find(|effect| turn == Turn::Again && effect.id == part.id);
        if let Some(effect) = renewed {
            let (whole, body) = (effect.carries_whole(size), serde_json::to_string(effect)?);
            renew.execute(params![effect.id.0.0, effect.required, whole, body])?;
        }
    }
    Ok(again)
}
