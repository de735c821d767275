//! The rows of the ledger beside those of a poll: seeding, adopting, forgetting, and the questions about them.

use postroom_mail::{AccountId, Digest, MessageId, Timestamp, Uid};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::fault::Outcome;
use super::ledger::slot;
use super::notes;
use super::rows::{self, corrupt, repeating_event, signed, unsigned};
use super::writer::Unit;
use crate::judge;
use crate::life;
use crate::seen::{Adoption, Forget, Seen, SeenBy, SeenRow};

const COLUMNS: &str = "l.uid, l.ordinal, l.size, l.at, l.how, m.id, l.header, l.removed, l.absent
    FROM ledger l LEFT JOIN messages m ON m.seq = l.message";

fn word(by: SeenBy) -> &'static str {
    match by {
        SeenBy::Retrieved => "retrieved",
        SeenBy::Seeded => "seeded",
        SeenBy::Imported => "imported",
        SeenBy::Adopted => "adopted",
    }
}

fn seen_by(word: &str) -> Outcome<SeenBy> {
    Ok(match word {
        "retrieved" => SeenBy::Retrieved,
        "seeded" => SeenBy::Seeded,
        "imported" => SeenBy::Imported,
        "adopted" => SeenBy::Adopted,
        other => return Err(corrupt(&format!("a ledger row came by {other:?}"))),
    })
}

fn read(row: &Row<'_>) -> Outcome<SeenRow> {
    Ok(SeenRow {
        uid: Uid(row.get(0)?),
        ordinal: row.get(1)?,
        size: row.get::<_, Option<i64>>(2)?.map(unsigned),
        at: Timestamp(row.get(3)?),
        by: seen_by(&row.get::<_, String>(4)?)?,
        message: row.get::<_, Option<[u8; 32]>>(5)?.map(|id| MessageId(Digest(id))),
        header: row.get::<_, Option<[u8; 32]>>(6)?.map(Digest),
        removed: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        absent: row.get(8)?,
    })
}

fn ask(sql: &Connection, rest: &str, values: &[&dyn ToSql]) -> Outcome<Vec<SeenRow>> {
    let mut query = sql.prepare_cached(&format!("SELECT {COLUMNS} {rest}"))?;
    let mut rows = query.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// Rows with this fingerprint.
pub(super) fn resembling(sql: &Connection, account: &AccountId, header: Digest) -> Outcome<Vec<SeenRow>> {
    let rest = "WHERE l.account = ?1 AND l.header = ?2 ORDER BY l.uid, l.ordinal";
    ask(sql, rest, &[&account.as_str(), &header.0])
}

/// Rows whose message has these octets.
pub(super) fn holding(sql: &Connection, account: &AccountId, digest: Digest) -> Outcome<Vec<SeenRow>> {
    let rest = "WHERE l.message IN (SELECT seq FROM messages WHERE digest = ?2) AND l.account = ?1
                ORDER BY l.uid, l.ordinal";
    ask(sql, rest, &[&account.as_str(), &digest.0])
}

/// A page of rows by key.
pub(super) fn seen(
    sql: &Connection,
    account: &AccountId,
    after: Option<&(Uid, u32)>,
    limit: usize,
) -> Outcome<Vec<SeenRow>> {
    let (account, limit) = (account.as_str(), rows::limit(limit));
    match after {
        None => ask(sql, "WHERE l.account = ?1 ORDER BY l.uid, l.ordinal LIMIT ?2", &[&account, &limit]),
        Some((uid, ordinal)) => ask(
            sql,
            "WHERE l.account = ?1 AND (l.uid, l.ordinal) > (?3, ?4) ORDER BY l.uid, l.ordinal LIMIT ?2",
            &[&account, &limit, &uid.0, ordinal],
        ),
    }
}

/// Marks as seen, without a message. What is known, and not removed, is left alone.
pub(super) fn seed(
    unit: &mut Unit<'_>,
    account: &AccountId,
    entries: &[Seen],
    by: SeenBy,
    now: Timestamp,
) -> Outcome<u64> {
    let account = account.as_str();
    // What was removed is another message now, of which nothing is here.
    let mut add = unit.sql.prepare_cached(
        "INSERT INTO ledger (account, uid, ordinal, how, at, size, shown) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET message = NULL, how = excluded.how, at = excluded.at, size = excluded.size,
            header = NULL, deleting = NULL, removed = NULL, absent = 0, since = NULL, shown = excluded.shown
            WHERE removed IS NOT NULL",
    )?;
    let stumbled = !notes::stumbled(unit.sql, account)?.is_empty();
    let mut added = 0;
    for entry in entries {
        let at = entry.at.unwrap_or(now);
        let (size, shown) = (entry.size.map(signed), by == SeenBy::Seeded);
        added += add.execute(params![account, entry.uid.0, entry.ordinal, word(by), at.0, size, shown])?;
        if stumbled {
            notes::steady(unit, account, &entry.uid, entry.ordinal)?;
        }
    }
    Ok(added as u64)
}

/// Moves rows to the unique-ids the server has for them now.
pub(super) fn adopt(
    unit: &mut Unit<'_>,
    account: &AccountId,
    adoptions: &[Adoption],
    now: Timestamp,
) -> Outcome<u64> {
    let name = account.as_str();
    let mut slots = Vec::with_capacity(adoptions.len());
    for adoption in adoptions {
        let ((uid, ordinal), to) = (&adoption.from, &adoption.to);
        slots.push((slot(unit.sql, name, uid, *ordinal)?, slot(unit.sql, name, &to.uid, to.ordinal)?));
    }
    let able = judge::adoptable(adoptions, &slots);
    let able: Vec<&Adoption> = able.into_iter().filter_map(|index| adoptions.get(index)).collect();
    let mut take = unit.sql.prepare_cached(
        "DELETE FROM ledger WHERE account = ?1 AND uid = ?2 AND ordinal = ?3 RETURNING message, at, size, header",
    )?;
    // All leave before the first arrives, so that two can swap.
    let mut moving = Vec::with_capacity(able.len());
    for adoption in able {
        let (uid, ordinal) = &adoption.from;
        let row = take.query_row(params![name, uid.0, ordinal], |row| {
            let message: Option<i64> = row.get(0)?;
            Ok((
                message,
                row.get::<_, i64>(1)?,
                row.get::<_, Option<i64>>(2)?,
                row.get::<_, Option<[u8; 32]>>(3)?,
            ))
        });
        moving.push((adoption, row?));
    }
    let mut put = unit.sql.prepare_cached(
        "INSERT OR REPLACE INTO ledger (account, uid, ordinal, message, how, at, size, header, shown)
         VALUES (?1, ?2, ?3, ?4, 'adopted', ?5, ?6, ?7, 1)",
    )?;
    for (adoption, (message, at, size, header)) in &moving {
        let to = &adoption.to;
        let size = to.size.map(signed).or(*size);
        put.execute(params![name, to.uid.0, to.ordinal, message, at, size, header])?;
        if let Some(seq) = message {
            repeating_event(unit.sql, *seq, now, &life::adopted(&adoption.from.0, &to.uid))?;
        }
    }
    Ok(moving.len() as u64)
}

/// The ledger forgets, the messages and their histories stay.
pub(super) fn forget(
    unit: &mut Unit<'_>,
    account: &AccountId,
    which: &Forget,
    now: Timestamp,
) -> Outcome<u64> {
    let (name, uid) = match which {
        Forget::All => (account.as_str(), None),
        Forget::Uid(uid) => (account.as_str(), Some(&uid.0)),
    };
    let mut tell = unit.sql.prepare_cached(
        "INSERT INTO events (message, at, text) SELECT message, ?3, ?4 FROM ledger
         WHERE account = ?1 AND (?2 IS NULL OR uid = ?2) AND message IS NOT NULL ORDER BY uid, ordinal",
    )?;
    tell.execute(params![name, uid, now.0, life::FORGOTTEN])?;
    let mut drop =
        unit.sql.prepare_cached("DELETE FROM ledger WHERE account = ?1 AND (?2 IS NULL OR uid = ?2)")?;
    let forgotten = drop.execute(params![name, uid])?;
    notes::unstumble(unit, name, uid.map(|uid| Uid(uid.clone())).as_ref())?;
    Ok(forgotten as u64)
}

/// The last times something was retrieved, newest first.
pub(super) fn arrivals(sql: &Connection, account: &AccountId, limit: usize) -> Outcome<Vec<Timestamp>> {
    let mut query = sql.prepare_cached(
        "SELECT retrieved FROM messages WHERE account = ?1 ORDER BY retrieved DESC LIMIT ?2",
    )?;
    let times =
        query.query_map(params![account.as_str(), rows::limit(limit)], |row| Ok(Timestamp(row.get(0)?)))?;
    Ok(times.collect::<Result<_, _>>()?)
}

/// A note on a server or an account.
pub(super) fn learnt(sql: &Connection, scope: &str) -> Outcome<Option<String>> {
    let mut query = sql.prepare_cached("SELECT text FROM notes WHERE scope = ?1")?;
    Ok(query.query_row(params![scope], |row| row.get(0)).optional()?)
}

/// Writes or takes away a note.
pub(super) fn learn(unit: &mut Unit<'_>, scope: &str, text: Option<&str>, now: Timestamp) -> Outcome<()> {
    match text {
        Some(text) => unit
            .sql
            .prepare_cached(
                "INSERT INTO notes (scope, text, at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET text = excluded.text, at = excluded.at WHERE text <> excluded.text",
            )?
            .execute(params![scope, text, now.0])?,
        None => unit.sql.prepare_cached("DELETE FROM notes WHERE scope = ?1")?.execute(params![scope])?,
    };
    Ok(())
}
