//! What a server listed against what is here: what is new, what a listing tells, what may be deleted there. Reads all
//! rows of the account once, in order, and leaves the judgement to `judge`.

use std::time::Duration;

use postroom_mail::{AccountId, Digest, MessageId, Timestamp, Uid};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};

use super::fault::Outcome;
use super::rows::{self, repeating_event, signed, unsigned};
use super::writer::Unit;
use super::{notes, polls, tally};
use crate::judge::{self, Candidate, Copies, Held, Judge, Mark, Observation, Pace, Place, Row};
use crate::ledger::{DeletePolicy, Listed, Outlook, Reconciled, Removable, Removals};
use crate::life;
use crate::seen::Observed;

/// The rows of an account, sorted. The stored size is looked up only where no listed one is recorded.
fn load(sql: &Connection, account: &AccountId) -> Outcome<Vec<Row>> {
    let mut query = sql.prepare_cached(
        "SELECT uid, ordinal, size, deleting, removed, absent, since, shown,
            CASE WHEN size IS NULL THEN (SELECT m.size FROM messages m WHERE m.seq = ledger.message) END,
            coalesce(message IN (SELECT d.seq FROM messages d WHERE d.damaged IS NOT NULL AND d.segment IS NOT NULL), 0)
         FROM ledger WHERE account = ?1 ORDER BY uid, ordinal",
    )?;
    let rows = query.query_map(params![account.as_str()], |row| {
        let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp));
        let mark = Mark {
            size: row.get::<_, Option<i64>>(2)?.map(unsigned),
            deleting: time(3)?,
            removed: time(4)?,
            absent: row.get(5)?,
            since: time(6)?,
            shown: row.get(7)?,
        };
        let stored = row.get::<_, Option<i64>>(8)?.map(unsigned);
        Ok(Row { uid: Uid(row.get(0)?), ordinal: row.get(1)?, mark, stored, damaged: row.get(9)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Holds a listing against the ledger.
pub(super) fn reconcile(sql: &Connection, account: &AccountId, listing: &[Listed]) -> Outcome<Reconciled> {
    let polled = polls::account(sql, account)?.is_some_and(|status| status.last_success.is_some());
    Ok(judge::reconcile(&load(sql, account)?, listing, polled))
}

/// A listing to be recorded.
#[derive(Clone)]
pub(super) struct Observing {
    pub(super) account: AccountId,
    pub(super) listing: Vec<Listed>,
    pub(super) complete: bool,
    pub(super) keep: Duration,
    pub(super) pace: Option<Pace>,
    pub(super) now: Timestamp,
}

impl Observing {
    fn look(&self, sql: &Connection) -> Outcome<(Vec<Row>, Observation)> {
        let rows = load(sql, &self.account)?;
        let pace = match self.pace {
            Some(pace) => pace,
            None => polls::pace(sql, &self.account)?,
        };
        let keep = (!pace.jumped(self.now)).then_some(self.keep);
        let seen = judge::observe(&rows, &self.listing, self.complete, keep, self.now);
        Ok((rows, seen))
    }

    /// Failed retrievals of what is not there any more.
    fn over(&self, sql: &Connection, seen: &Observation) -> Outcome<Vec<(Uid, u32)>> {
        Ok(match seen.believed {
            true => judge::missing(&notes::stumbled(sql, self.account.as_str())?, &self.listing),
            false => Vec::new(),
        })
    }

    /// Whether recording it would change anything.
    pub(super) fn changes(&self, sql: &Connection) -> Outcome<bool> {
        let (_, seen) = self.look(sql)?;
        let counted = tally::listed(sql, &self.account)?;
        let counts = counted != Some((seen.there, seen.there));
        Ok(counts || !seen.changes.is_empty() || !self.over(sql, &seen)?.is_empty())
    }

    /// Records it.
    pub(super) fn record(&self, unit: &mut Unit<'_>) -> Outcome<Observed> {
        let (rows, seen) = self.look(unit.sql)?;
        let account = self.account.as_str();
        let mut set = unit.sql.prepare_cached(
            "UPDATE ledger SET size = ?4, deleting = ?5, removed = ?6, absent = ?7, since = ?8, shown = ?9
             WHERE account = ?1 AND uid = ?2 AND ordinal = ?3",
        )?;
        let mut drop =
            unit.sql.prepare_cached("DELETE FROM ledger WHERE account = ?1 AND uid = ?2 AND ordinal = ?3")?;
        for (index, mark) in &seen.changes {
            let Some(row) = rows.get(*index) else { continue };
            let Some(mark) = mark else {
                drop.execute(params![account, row.uid.0, row.ordinal])?;
                continue;
            };
            let (deleting, removed) = (mark.deleting.map(|at| at.0), mark.removed.map(|at| at.0));
            let (size, since) = (mark.size.map(signed), mark.since.map(|at| at.0));
            set.execute(params![
                account,
                row.uid.0,
                row.ordinal,
                size,
                deleting,
                removed,
                mark.absent,
                since,
                mark.shown
            ])?;
            if let (None, Some(at)) = (row.mark.removed, mark.removed) {
                told_removed(unit, account, row, at)?;
            }
        }
        for (uid, ordinal) in self.over(unit.sql, &seen)? {
            notes::steady(unit, account, &uid, ordinal)?;
        }
        tally::observed(unit, account, seen.there)?;
        Ok(seen.observed)
    }
}

fn told_removed(unit: &Unit<'_>, account: &str, row: &Row, at: Timestamp) -> Outcome<()> {
    let mut query = unit
        .sql
        .prepare_cached("SELECT message FROM ledger WHERE account = ?1 AND uid = ?2 AND ordinal = ?3")?;
    let message = query.query_row(params![account, row.uid.0, row.ordinal], |row| row.get(0))?;
    match message {
        Some(seq) => message_removed(unit, seq, at, life::FOUND_REMOVED),
        None => Ok(()),
    }
}

fn message_removed(unit: &Unit<'_>, seq: i64, at: Timestamp, text: &str) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached("UPDATE messages SET removed = ?2 WHERE seq = ?1")?;
    set.execute(params![seq, at.0])?;
    repeating_event(unit.sql, seq, at, text)
}

/// Proves which entries of a listing may be deleted at the server.
pub(super) fn removable(
    sql: &Connection,
    account: &AccountId,
    listing: &[Listed],
    judge: Judge,
) -> Outcome<Removals> {
    let rows = match judge.policy {
        DeletePolicy::Never => Vec::new(),
        DeletePolicy::Spooled { .. } | DeletePolicy::Done { .. } => candidates(sql, account, None)?,
    };
    let rows: Vec<_> = rows.into_iter().map(|(row, _)| row).collect();
    judge.removals(account, &rows, listing, |message| effects(sql, *message))
}

/// What would become of each place that a message has on the server.
pub(super) fn outlook(sql: &Connection, message: MessageId, judge: Judge) -> Outcome<Vec<Outlook>> {
    let mut query = sql.prepare_cached(
        "SELECT DISTINCT l.account, l.uid FROM ledger l JOIN messages m ON m.seq = l.message
         WHERE m.id = ?1 ORDER BY l.uid",
    )?;
    let places = query.query_map(params![message.0.0], |row| Ok((row.get(0)?, Uid(row.get(1)?))))?;
    let places: Vec<(String, Uid)> = places.collect::<Result<_, _>>()?;
    let mut all = Vec::new();
    for (account, uid) in places {
        let account = rows::name(account)?;
        let rows = candidates(sql, &account, Some(&uid))?;
        all.extend(judge.outlook(&account, &rows, message, |message| effects(sql, *message))?);
    }
    Ok(all)
}

/// Columns of [`candidate`].
const CANDIDATE: &str = "l.uid, l.ordinal, l.size, l.removed, m.seq, m.id, m.size, m.retrieved, m.state,
    m.segment IS NOT NULL AND m.damaged IS NULL, m.segment IS NOT NULL, m.dropped IS NOT NULL, l.absent
    FROM ledger l LEFT JOIN messages m ON m.seq = l.message";

/// The rows of an account, or of one unique-id of it, sorted.
fn candidates(
    sql: &Connection,
    account: &AccountId,
    uid: Option<&Uid>,
) -> Outcome<Vec<(Candidate<i64>, Place)>> {
    let mut query = sql.prepare_cached(&format!(
        "SELECT {CANDIDATE} WHERE l.account = ?1 AND (?2 IS NULL OR l.uid = ?2) ORDER BY l.uid, l.ordinal"
    ))?;
    let mut rows = query.query(params![account.as_str(), uid.map(|uid| &uid.0)])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let removed = row.get::<_, Option<i64>>(3)?.map(Timestamp);
        all.push((candidate(row)?, Place { absent: row.get(12)?, removed }));
    }
    Ok(all)
}

fn candidate(row: &SqlRow<'_>) -> Outcome<Candidate<i64>> {
    let held = match row.get::<_, Option<i64>>(4)? {
        None => None,
        Some(place) => Some(Held {
            place,
            message: MessageId(Digest(row.get(5)?)),
            size: unsigned(row.get(6)?),
            retrieved: Timestamp(row.get(7)?),
            state: rows::message_state(row.get_ref(8)?.as_str().map_err(rusqlite::Error::from)?)?,
            here: row.get(9)?,
            stored: row.get(10)?,
            dropped: row.get(11)?,
        }),
    };
    Ok(Candidate {
        uid: Uid(row.get(0)?),
        ordinal: row.get(1)?,
        size: row.get::<_, Option<i64>>(2)?.map(unsigned),
        removed: row.get::<_, Option<i64>>(3)?.is_some(),
        held,
    })
}

fn effects(sql: &Connection, message: i64) -> Outcome<Copies> {
    let mut query = sql.prepare_cached(
        "SELECT count(*) FILTER (WHERE state = 'done' AND whole),
            count(*) FILTER (WHERE state <> 'done' AND waived IS NULL),
            count(*) FILTER (WHERE state <> 'done' AND waived IS NOT NULL AND whole)
         FROM effects WHERE message = ?1 AND required",
    )?;
    Ok(query.query_row(params![message], |row| {
        let (done, missing) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
        Ok(Copies { done, missing, waived: unsigned(row.get(2)?) })
    })?)
}

/// What identifies a proof once it left the caller's hands.
#[derive(Clone)]
pub(super) struct Marked {
    account: AccountId,
    uid: Uid,
    ordinal: u32,
    size: Option<u64>,
    message: MessageId,
}

impl From<&Removable> for Marked {
    fn from(proof: &Removable) -> Self {
        let (account, uid) = (proof.account.clone(), proof.uid.clone());
        Self { account, uid, ordinal: proof.ordinal, size: proof.size, message: proof.message }
    }
}

/// Whether what proved it holds still: a reader proved it, and the writer may have changed things since.
fn stands(sql: &Connection, proof: &Marked) -> Outcome<bool> {
    let mut query = sql.prepare_cached(&format!(
        "SELECT {CANDIDATE} WHERE l.account = ?1 AND l.uid = ?2 AND l.ordinal = ?3"
    ))?;
    let mut rows = query.query(params![proof.account.as_str(), proof.uid.0, proof.ordinal])?;
    let row = rows.next()?.map(candidate).transpose()?;
    judge::stands(row.as_ref(), proof.message, |message| effects(sql, *message))
}

/// `DELE` is about to be sent for these; for none of them when one must not go any more.
pub(super) fn deleting(unit: &mut Unit<'_>, marked: &[Marked], now: Timestamp) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached(
        "UPDATE ledger SET deleting = ?5, size = coalesce(size, ?6)
         WHERE account = ?1 AND uid = ?2 AND ordinal = ?3 AND message = ?4 AND removed IS NULL",
    )?;
    for proof in marked {
        if !stands(unit.sql, proof)? {
            return Err(life::out_of_date(&proof.uid, proof.message).into());
        }
    }
    unit.deleting = true;
    for proof in marked {
        if let Some(seq) = rows::sequence(unit.sql, proof.message)? {
            let (account, size) = (proof.account.as_str(), proof.size.map(signed));
            set.execute(params![account, proof.uid.0, proof.ordinal, seq, now.0, size])?;
        }
    }
    Ok(())
}

/// Commit point 4.
pub(super) fn removed(unit: &mut Unit<'_>, removed: &[Removable], now: Timestamp) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached(
        "UPDATE ledger SET removed = ?5, deleting = NULL
         WHERE account = ?1 AND uid = ?2 AND ordinal = ?3 AND message = ?4",
    )?;
    for proof in removed {
        if let Some(seq) = rows::sequence(unit.sql, proof.message)? {
            tally::removed(unit, proof.account.as_str(), &proof.uid, proof.ordinal, seq)?;
            set.execute(params![proof.account.as_str(), proof.uid.0, proof.ordinal, seq, now.0])?;
            message_removed(unit, seq, now, life::REMOVED)?;
        }
    }
    Ok(())
}

/// The message was verified to be the same, and is there all the same.
pub(super) fn returned(
    unit: &mut Unit<'_>,
    account: &AccountId,
    listed: &Listed,
    now: Timestamp,
) -> Outcome<()> {
    let mut point = unit.sql.prepare_cached(
        "UPDATE ledger SET removed = NULL, deleting = NULL, absent = 0, since = NULL, shown = 1
         WHERE account = ?1 AND uid = ?2 AND ordinal = ?3 AND removed IS NOT NULL RETURNING message",
    )?;
    let key = params![account.as_str(), listed.uid.0, listed.ordinal];
    let found: Option<Option<i64>> = point.query_row(key, |row| row.get(0)).optional()?;
    if let Some(Some(seq)) = found {
        unit.sql
            .prepare_cached("UPDATE messages SET removed = NULL WHERE seq = ?1")?
            .execute(params![seq])?;
        repeating_event(unit.sql, seq, now, life::STILL_THERE)?;
    }
    Ok(())
}

/// The message was verified to be the same: its new listed size counts.
pub(super) fn resized(unit: &mut Unit<'_>, account: &AccountId, listed: &Listed) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached(
        "UPDATE ledger SET size = ?4 WHERE account = ?1 AND uid = ?2 AND ordinal = ?3 AND size IS NOT ?4",
    )?;
    if let Some(size) = listed.size {
        set.execute(params![account.as_str(), listed.uid.0, listed.ordinal, signed(size)])?;
    }
    Ok(())
}

/// What the ledger has under a key.
pub(super) fn slot(sql: &Connection, account: &str, uid: &Uid, ordinal: u32) -> Outcome<judge::Slot> {
    let mut query =
        sql.prepare_cached("SELECT removed FROM ledger WHERE account = ?1 AND uid = ?2 AND ordinal = ?3")?;
    let found = query.query_row(params![account, uid.0, ordinal], |row| row.get::<_, Option<i64>>(0));
    Ok(match found.optional()? {
        None => judge::Slot::Free,
        Some(None) => judge::Slot::Taken,
        Some(Some(_)) => judge::Slot::Removed,
    })
}
