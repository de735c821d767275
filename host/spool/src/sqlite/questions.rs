//! Answers about what is here. Reads only.

use postroom_mail::{AccountId, Digest, KvWrite, MessageId, Provenance, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::Outcome;
use super::rows::{self, PROVENANCE, unsigned};
use crate::life;
use crate::records::{
    Backlog, Counts, EffectRecord, EffectState, Event, History, MessageState, QueueFilter, QueueRow,
};

/// In counts, instead of the state of an effect the operator let go of.
const WAIVED: &str = "waived";

/// Whose a message is.
pub(super) fn account(sql: &Connection, message: MessageId) -> Outcome<Option<AccountId>> {
    let mut query = sql.prepare_cached("SELECT account FROM messages WHERE id = ?1")?;
    let found: Option<String> = query.query_row(params![message.0.0], |row| row.get(0)).optional()?;
    found.map(rows::name).transpose()
}

/// Messages by the beginning of an id, a digest or a unique-id.
pub(super) fn find(sql: &Connection, prefix: &str) -> Outcome<Vec<MessageId>> {
    // Text below the next text of the same length: exactly those that begin with it.
    let (from, mut below) = (prefix.as_bytes().to_vec(), prefix.as_bytes().to_vec());
    match below.last_mut() {
        Some(last) => *last = last.saturating_add(1),
        None => below.push(u8::MAX),
    }
    let (least, most) = hexadecimal_range(prefix).unwrap_or(([1; 32], [0; 32]));
    let mut query = sql.prepare_cached(
        "WITH RECURSIVE names (account) AS (
            SELECT min(account) FROM ledger
            UNION ALL SELECT (SELECT min(l.account) FROM ledger l WHERE l.account > names.account) FROM names
                WHERE names.account IS NOT NULL)
         SELECT id FROM messages WHERE seq IN (
            SELECT * FROM (SELECT seq FROM messages WHERE id BETWEEN ?1 AND ?2 ORDER BY seq DESC LIMIT ?5)
            UNION SELECT * FROM (SELECT seq FROM messages WHERE digest BETWEEN ?1 AND ?2 ORDER BY seq DESC LIMIT ?5)
            UNION SELECT * FROM (SELECT seq FROM messages WHERE uid >= ?3 AND uid < ?4 ORDER BY seq DESC LIMIT ?5)
            UNION SELECT * FROM (SELECT l.message FROM names CROSS JOIN ledger l ON l.account = names.account
                AND l.uid >= ?3 AND l.uid < ?4 WHERE l.message IS NOT NULL ORDER BY l.message DESC LIMIT ?5)
         ) ORDER BY seq DESC LIMIT ?5",
    )?;
    let found =
        query.query_map(params![least, most, from, below, rows::limit(life::FOUND)], |row| row.get(0))?;
    Ok(found.map(|id| id.map(|id| MessageId(Digest(id)))).collect::<Result<_, _>>()?)
}

/// The least and the greatest digest that begin with these hexadecimal digits.
fn hexadecimal_range(digits: &str) -> Option<([u8; 32], [u8; 32])> {
    let end = |fill: char| -> Option<[u8; 32]> {
        let full: String = digits.chars().chain(std::iter::repeat(fill)).take(64.max(digits.len())).collect();
        full.parse::<Digest>().ok().map(|digest| digest.0)
    };
    end('0').zip(end('f'))
}

/// Everything known of one message.
pub(super) fn history(sql: &Connection, message: MessageId) -> Outcome<Option<History>> {
    let mut query = sql.prepare_cached(&format!(
        "SELECT {PROVENANCE}, m.seq, m.state, m.attempts, m.reason, m.labels, m.verdict, m.trace, m.removed, m.dropped
         FROM messages m WHERE m.id = ?1"
    ))?;
    let mut rows = query.query(params![message.0.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let provenance: Provenance = rows::provenance(row)?;
    let seq: i64 = row.get(6)?;
    Ok(Some(History {
        message,
        provenance,
        state: rows::message_state(&row.get::<_, String>(7)?)?,
        attempts: row.get(8)?,
        reason: row.get(9)?,
        labels: rows::json(row.get(10)?)?,
        verdict: rows::json(row.get(11)?)?,
        trace: rows::json(row.get(12)?)?,
        effects: effects(sql, seq)?,
        removed: row.get::<_, Option<i64>>(13)?.map(Timestamp),
        dropped: row.get::<_, Option<i64>>(14)?.map(Timestamp),
        events: events(sql, seq)?,
    }))
}

fn effects(sql: &Connection, message: i64) -> Outcome<Vec<EffectRecord>> {
    let mut query = sql.prepare_cached(
        "SELECT body, state, attempts, due, receipt, reason, waived,
            doubts + (state <> 'inflight' AND sending IS NOT NULL)
         FROM effects WHERE message = ?1 ORDER BY seq",
    )?;
    let mut rows = query.query(params![message])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let state = rows::effect_state(&row.get::<_, String>(1)?)?;
        let due = Timestamp(row.get(3)?);
        all.push(EffectRecord {
            effect: serde_json::from_str(&row.get::<_, String>(0)?)?,
            state,
            attempts: row.get(2)?,
            doubts: row.get(7)?,
            due: (state == EffectState::Pending).then_some(due),
            receipt: rows::json(row.get(4)?)?,
            reason: row.get(5)?,
            waived: row.get::<_, Option<i64>>(6)?.map(Timestamp),
        });
    }
    Ok(all)
}

fn events(sql: &Connection, message: i64) -> Outcome<Vec<Event>> {
    let mut query = sql.prepare_cached("SELECT at, text FROM events WHERE message = ?1 ORDER BY seq")?;
    let events = query
        .query_map(params![message], |row| Ok(Event { at: Timestamp(row.get(0)?), text: row.get(1)? }))?;
    Ok(events.collect::<Result<_, _>>()?)
}

/// Messages and effects that wait or were set aside. The conditions on states are those of the partial indexes.
pub(super) fn queue(sql: &Connection, filter: &QueueFilter) -> Outcome<Vec<QueueRow>> {
    let mut query = sql.prepare_cached(
        "SELECT m.id, m.account, m.state, NULL, NULL, NULL, NULL, m.attempts, m.due, m.reason, m.seq AS a, 0 AS b
         FROM messages m
         WHERE m.seq IN (SELECT seq FROM messages WHERE state = 'spooled'
                   UNION SELECT seq FROM messages WHERE state IN ('running', 'quarantined'))
            AND ?2 IS NULL AND (?1 IS NULL OR m.account = ?1)
         UNION ALL
         SELECT m.id, m.account, m.state, e.id, e.state, e.body, e.sink, e.attempts, e.due, e.reason, m.seq, e.seq
         FROM effects e JOIN messages m ON m.seq = e.message
         WHERE e.state IN ('pending', 'inflight', 'parked') AND e.waived IS NULL
            AND (?2 IS NULL OR e.sink = ?2) AND (?1 IS NULL OR m.account = ?1)
         ORDER BY a, b LIMIT ?3",
    )?;
    let limit = if filter.limit == 0 { -1 } else { rows::limit(filter.limit) };
    let account = filter.account.as_ref().map(AccountId::as_str);
    let sink = filter.sink.as_ref().map(|sink| sink.as_str());
    let mut rows = query.query(params![account, sink, limit])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(queue_row(row)?);
    }
    Ok(all)
}

fn queue_row(row: &Row<'_>) -> Outcome<QueueRow> {
    let state = rows::message_state(&row.get::<_, String>(2)?)?;
    let effect_state = row.get::<_, Option<String>>(4)?.as_deref().map(rows::effect_state).transpose()?;
    let effect: Option<postroom_mail::Effect> = rows::json(row.get(5)?)?;
    let waits = match effect_state {
        Some(effect) => effect == EffectState::Pending,
        None => state == MessageState::Spooled,
    };
    Ok(QueueRow {
        message: rows::message_id(row, 0)?,
        account: rows::name(row.get(1)?)?,
        state,
        effect: rows::effect_id(row, 3)?,
        effect_state,
        summary: effect.map(|effect| effect.summary()),
        sink: row.get::<_, Option<String>>(6)?.map(rows::name).transpose()?,
        attempts: row.get(7)?,
        due: waits.then_some(Timestamp(row.get(8)?)),
        reason: row.get(9)?,
    })
}

/// Totals, for one account or all.
pub(super) fn counts(sql: &Connection, account: Option<&AccountId>) -> Outcome<Counts> {
    let account = account.map(AccountId::as_str);
    let mut counts = Counts::default();
    let mut query = sql.prepare_cached(match account {
        Some(_) => "SELECT state, count(*) FROM messages WHERE account = ?1 GROUP BY state",
        None => "SELECT state, count(*) FROM messages WHERE ?1 IS NULL GROUP BY state",
    })?;
    for (word, count) in counted(&mut query, account)? {
        counts.admitted += count;
        match rows::message_state(&word)? {
            MessageState::Spooled | MessageState::Running => counts.waiting += count,
            MessageState::Planned => counts.planned += count,
            MessageState::Done => counts.done += count,
            MessageState::Discarded => counts.discarded += count,
            MessageState::Quarantined => counts.quarantined += count,
        }
    }
    let mut query = sql.prepare_cached(match account {
        Some(_) => {
            "SELECT iif(e.waived IS NULL, e.state, 'waived') AS word, count(*) FROM messages m JOIN effects e ON e.message = m.seq
             WHERE m.account = ?1 GROUP BY word"
        }
        None => {
            "SELECT iif(waived IS NULL, state, 'waived') AS word, count(*) FROM effects WHERE ?1 IS NULL GROUP BY word"
        }
    })?;
    for (word, count) in counted(&mut query, account)? {
        if word == WAIVED {
            counts.effects_waived += count;
            continue;
        }
        match rows::effect_state(&word)? {
            EffectState::Pending | EffectState::Inflight => counts.effects_open += count,
            EffectState::Done => counts.effects_done += count,
            EffectState::Parked => counts.effects_parked += count,
        }
    }
    let mut query = sql.prepare_cached(
        "SELECT count(*) FROM messages WHERE removed IS NOT NULL AND (?1 IS NULL OR account = ?1)",
    )?;
    counts.removed = unsigned(query.query_row(params![account], |row| row.get(0))?);
    Ok(counts)
}

/// How much mail is on its way. The first part walks from account to account, so that the index on account and state serves.
pub(super) fn backlog(sql: &Connection) -> Outcome<Backlog> {
    let mut query = sql.prepare_cached(
        "WITH RECURSIVE owners (account) AS (
            SELECT min(account) FROM messages
            UNION ALL
            SELECT (SELECT min(m.account) FROM messages m WHERE m.account > owners.account)
            FROM owners WHERE owners.account IS NOT NULL)
         SELECT count(*), coalesce(sum(m.size), 0)
         FROM owners CROSS JOIN messages m INDEXED BY messages_account
            ON m.account = owners.account AND m.state IN ('spooled', 'running', 'planned')",
    )?;
    let (messages, octets) = query.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Backlog { messages: unsigned(messages), octets: unsigned(octets) })
}

fn counted(query: &mut rusqlite::Statement<'_>, account: Option<&str>) -> Outcome<Vec<(String, u64)>> {
    let rows = query.query_map(params![account], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the next message or effect becomes due.
pub(super) fn next_due(sql: &Connection, sinks: &[postroom_mail::Name]) -> Outcome<Option<Timestamp>> {
    let mut first = sql.prepare_cached("SELECT min(due) FROM messages WHERE state = 'spooled'")?;
    let mut due: Option<i64> = first.query_row([], |row| row.get(0))?;
    let mut next =
        sql.prepare_cached("SELECT min(due) FROM effects WHERE state = 'pending' AND sink = ?1")?;
    for sink in sinks {
        let other: Option<i64> = next.query_row(params![sink.as_str()], |row| row.get(0))?;
        due = due.into_iter().chain(other).min();
    }
    Ok(due.map(Timestamp))
}

/// A value of a step's state.
pub(super) fn kv_get(sql: &Connection, scope: &str, key: &str) -> Outcome<Option<Vec<u8>>> {
    let mut query = sql.prepare_cached("SELECT value FROM kv WHERE scope = ?1 AND key = ?2")?;
    Ok(query.query_row(params![scope, key], |row| row.get(0)).optional()?)
}

/// Octets that a step's state is counted as. Reads its rows, but not their values: SQLite knows the length of a value without it.
pub(super) fn kv_total(sql: &Connection, scope: &str) -> Outcome<u64> {
    let mut query = sql.prepare_cached(
        "SELECT coalesce(sum(octet_length(key) + octet_length(value) + ?2), 0) FROM kv WHERE scope = ?1",
    )?;
    let octets: i64 = query.query_row(params![scope, rows::signed(KvWrite::ENTRY)], |row| row.get(0))?;
    Ok(u64::try_from(octets).unwrap_or(0))
}
