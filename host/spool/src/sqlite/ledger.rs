//! What a server listed against what is here: what is new, what may be deleted there, how polls went.

use std::collections::HashMap;

use postroom_mail::{AccountId, Digest, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Outcome;
use super::inbox::known;
use super::rows::{self, repeating_event, signed, unsigned};
use super::writer::Unit;
use crate::ledger::{DeletePolicy, Listed, PollOutcome, Reconciled, Removable};
use crate::life;
use crate::records::{AccountStatus, MessageState};

/// Holds a listing against the ledger.
pub(super) fn reconcile(sql: &Connection, account: &AccountId, listing: &[Listed]) -> Outcome<Reconciled> {
    let mut reconciled = Reconciled::default();
    for (index, entry) in listing.iter().enumerate() {
        match known(sql, account.as_str(), entry)? {
            true => reconciled.known += 1,
            false => reconciled.new.push(index),
        }
    }
    Ok(reconciled)
}

/// Proves which entries of a listing may be deleted at the server.
pub(super) fn removable(
    sql: &Connection,
    account: &AccountId,
    listing: &[Listed],
    policy: DeletePolicy,
    now: Timestamp,
) -> Outcome<Vec<Removable>> {
    let DeletePolicy::Done { after } = policy else { return Ok(Vec::new()) };
    let mut times: HashMap<&[u8], usize> = HashMap::new();
    for entry in listing {
        *times.entry(&entry.uid.0).or_default() += 1;
    }
    let mut proved = Vec::new();
    for (index, entry) in listing.iter().enumerate() {
        let all = messages_of(sql, account, entry)?;
        let Some(held) = all.iter().find(|held| held.ordinal == entry.ordinal) else { continue };
        // With a unique-id that is not unique, nobody knows which entry is which message: all of them must be
        // expendable, and none unknown.
        let listed = times.get(entry.uid.0.as_slice()).copied().unwrap_or(0);
        let old = |held: &Held| life::ended(held.state) && held.retrieved.after(after) <= now;
        if listed > all.len() || !life::sizes_agree(entry.size, held.size) || !all.iter().all(old) {
            continue;
        }
        let mut expendable = true;
        for held in &all {
            expendable = expendable && is_expendable(sql, held)?;
        }
        if expendable {
            let (account, uid, ordinal) = (account.clone(), entry.uid.clone(), entry.ordinal);
            proved.push(Removable { account, uid, ordinal, message: held.message, index });
        }
    }
    Ok(proved)
}

fn is_expendable(sql: &Connection, held: &Held) -> Outcome<bool> {
    let mut query = sql.prepare_cached(
        "SELECT count(*) FILTER (WHERE state = 'done' AND whole), count(*) FILTER (WHERE state <> 'done')
         FROM effects WHERE message = ?1 AND required",
    )?;
    let (copies, missing) = query.query_row(params![held.seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(life::expendable(held.state, unsigned(copies), unsigned(missing)))
}

/// A message the ledger has under some unique-id, and the server may still have.
struct Held {
    seq: i64,
    message: MessageId,
    ordinal: u32,
    size: u64,
    retrieved: Timestamp,
    state: MessageState,
}

fn messages_of(sql: &Connection, account: &AccountId, entry: &Listed) -> Outcome<Vec<Held>> {
    let mut query = sql.prepare_cached(
        "SELECT m.id, l.ordinal, m.size, m.retrieved, m.state, m.seq FROM ledger l JOIN messages m ON m.seq = l.message
         WHERE l.account = ?1 AND l.uid = ?2 AND m.removed IS NULL",
    )?;
    let mut rows = query.query(params![account.as_str(), entry.uid.0])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(Held {
            seq: row.get(5)?,
            message: MessageId(Digest(row.get(0)?)),
            ordinal: row.get(1)?,
            size: unsigned(row.get(2)?),
            retrieved: Timestamp(row.get(3)?),
            state: rows::message_state(&row.get::<_, String>(4)?)?,
        });
    }
    Ok(all)
}

/// Commit point 4.
pub(super) fn removed(unit: &mut Unit<'_>, removed: &[Removable], now: Timestamp) -> Outcome<()> {
    let mut set = unit.sql.prepare_cached("UPDATE messages SET removed = ?2 WHERE seq = ?1")?;
    for removable in removed {
        if let Some(seq) = rows::sequence(unit.sql, removable.message)? {
            set.execute(params![seq, now.0])?;
            repeating_event(unit.sql, seq, now, life::REMOVED)?;
        }
    }
    Ok(())
}

/// How the last poll of an account ended, as it is recorded.
pub(super) fn account(sql: &Connection, account: &AccountId) -> Outcome<Option<AccountStatus>> {
    let mut query = sql.prepare_cached(
        "SELECT account, last_success, last_error_at, last_error, failures, listed FROM accounts WHERE account = ?1",
    )?;
    let status = query.query_row(params![account.as_str()], |row| Ok(read_status(row))).optional()?;
    status.transpose()
}

/// All accounts, by name.
pub(super) fn accounts(sql: &Connection) -> Outcome<Vec<AccountStatus>> {
    let mut query = sql.prepare_cached(
        "SELECT account, last_success, last_error_at, last_error, failures, listed FROM accounts ORDER BY account",
    )?;
    let mut rows = query.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read_status(row)?);
    }
    Ok(all)
}

fn read_status(row: &rusqlite::Row<'_>) -> Outcome<AccountStatus> {
    let (at, reason): (Option<i64>, Option<String>) = (row.get(2)?, row.get(3)?);
    Ok(AccountStatus {
        account: rows::name(row.get(0)?)?,
        last_success: row.get::<_, Option<i64>>(1)?.map(Timestamp),
        last_error: at.map(Timestamp).zip(reason),
        failures: row.get(4)?,
        listed: row.get::<_, Option<i64>>(5)?.map(unsigned),
    })
}

/// Records how a poll ended.
pub(super) fn close_poll(
    unit: &mut Unit<'_>,
    account: &AccountId,
    outcome: &PollOutcome,
    now: Timestamp,
) -> Outcome<()> {
    match outcome {
        PollOutcome::Complete { listed } => {
            let mut set = unit.sql.prepare_cached(
                "INSERT INTO accounts (account, last_success, listed) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET last_success = excluded.last_success, listed = excluded.listed,
                    failures = 0, last_error = NULL, last_error_at = NULL",
            )?;
            set.execute(params![account.as_str(), now.0, signed(*listed)])?;
        }
        PollOutcome::Failed { reason } => {
            let mut set = unit.sql.prepare_cached(
                "INSERT INTO accounts (account, failures, last_error_at, last_error) VALUES (?1, 1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET failures = failures + 1, last_error_at = excluded.last_error_at,
                    last_error = excluded.last_error",
            )?;
            set.execute(params![account.as_str(), now.0, life::clip(reason.clone())])?;
        }
    }
    Ok(())
}

/// Records a later time of success, where nothing else changed.
pub(super) fn record_success(sql: &Connection, account: &AccountId, at: Timestamp) -> Outcome<()> {
    let mut set = sql.prepare_cached(
        "UPDATE accounts SET last_success = ?2 WHERE account = ?1 AND (last_success IS NULL OR last_success < ?2)",
    )?;
    set.execute(params![account.as_str(), at.0])?;
    Ok(())
}
