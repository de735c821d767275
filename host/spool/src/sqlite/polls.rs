//! How the polls of an account went, and by which clock. Times of success alone are kept in memory until something is
//! written anyway.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use postroom_mail::{AccountId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Outcome;
use super::locked;
use super::rows::{self, signed, unsigned};
use super::writer::Unit;
use crate::judge::Pace;
use crate::ledger::PollOutcome;
use crate::life;
use crate::records::AccountStatus;

const COLUMNS: &str =
    "account, last_success, last_error_at, last_error, failures, listed, held_at, held FROM accounts";

/// What this run knows of its polls; later than what is recorded.
#[derive(Default)]
pub(super) struct Polled {
    pub(super) closed: HashMap<AccountId, Closed>,
    unwritten: HashSet<AccountId>,
}

/// The last poll of an account.
#[derive(Clone, Copy)]
pub(super) struct Closed {
    /// Of the last that succeeded, when it did in this run.
    pub(super) success: Option<Timestamp>,
    pub(super) pace: Pace,
}

impl Polled {
    /// Takes note of the end of a poll; `recorded` is what the database says. Answers what is to be written.
    pub(super) fn close(
        &mut self,
        account: &AccountId,
        recorded: Pace,
        success: bool,
        quiet: bool,
        now: Timestamp,
    ) -> Pace {
        let before = self.closed.get(account).copied();
        let pace = before.map_or(recorded, |closed| closed.pace).closed(now);
        let success = if success { Some(now) } else { before.and_then(|closed| closed.success) };
        self.closed.insert(account.clone(), Closed { success, pace });
        match quiet {
            true => drop(self.unwritten.insert(account.clone())),
            false => drop(self.unwritten.remove(account)),
        }
        pace
    }
}

/// Whether the end of a poll says nothing that is not recorded, but for its time.
pub(super) fn quiet(recorded: Option<&AccountStatus>, outcome: &PollOutcome) -> bool {
    let Some(status) = recorded else { return false };
    match outcome {
        PollOutcome::Complete { listed } => {
            let sound = status.last_success.is_some() && status.failures == 0 && status.held.is_none();
            sound && status.listed == Some(*listed)
        }
        PollOutcome::Held { reason } => {
            let reason = life::clip(reason.clone());
            status.held.as_ref().is_some_and(|(_, held)| *held == reason)
        }
        PollOutcome::Failed { .. } => false,
    }
}

/// How the last poll of an account ended, as it is recorded.
pub(super) fn account(sql: &Connection, account: &AccountId) -> Outcome<Option<AccountStatus>> {
    let mut query = sql.prepare_cached(&format!("SELECT {COLUMNS} WHERE account = ?1"))?;
    let status = query.query_row(params![account.as_str()], |row| Ok(read_status(row))).optional()?;
    status.transpose()
}

/// All accounts, by name.
pub(super) fn accounts(sql: &Connection) -> Outcome<Vec<AccountStatus>> {
    let mut query = sql.prepare_cached(&format!("SELECT {COLUMNS} ORDER BY account"))?;
    let mut rows = query.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read_status(row)?);
    }
    Ok(all)
}

fn read_status(row: &rusqlite::Row<'_>) -> Outcome<AccountStatus> {
    let (at, reason): (Option<i64>, Option<String>) = (row.get(2)?, row.get(3)?);
    let (held_at, held): (Option<i64>, Option<String>) = (row.get(6)?, row.get(7)?);
    Ok(AccountStatus {
        account: rows::name(row.get(0)?)?,
        last_success: row.get::<_, Option<i64>>(1)?.map(Timestamp),
        last_error: at.map(Timestamp).zip(reason),
        failures: row.get(4)?,
        listed: row.get::<_, Option<i64>>(5)?.map(unsigned),
        held: held_at.map(Timestamp).zip(held),
    })
}

/// By which clock the account was polled, as it is recorded.
pub(super) fn pace(sql: &Connection, account: &AccountId) -> Outcome<Pace> {
    let mut query = sql.prepare_cached("SELECT polled, gap FROM accounts WHERE account = ?1")?;
    let found = query.query_row(params![account.as_str()], |row| {
        Ok(Pace { last: row.get::<_, Option<i64>>(0)?.map(Timestamp), gap: row.get(1)? })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Records how a poll ended.
pub(super) fn close_poll(
    unit: &mut Unit<'_>,
    account: &AccountId,
    outcome: &PollOutcome,
    pace: Pace,
    now: Timestamp,
) -> Outcome<()> {
    let name = account.as_str();
    match outcome {
        PollOutcome::Complete { listed } => unit
            .sql
            .prepare_cached(
                "INSERT INTO accounts (account, last_success, listed) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET last_success = excluded.last_success, listed = excluded.listed,
                    failures = 0, last_error = NULL, last_error_at = NULL, held = NULL, held_at = NULL",
            )?
            .execute(params![name, now.0, signed(*listed)])?,
        PollOutcome::Failed { reason } => unit
            .sql
            .prepare_cached(
                "INSERT INTO accounts (account, failures, last_error_at, last_error) VALUES (?1, 1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET failures = failures + 1, last_error_at = excluded.last_error_at,
                    last_error = excluded.last_error",
            )?
            .execute(params![name, now.0, life::clip(reason.clone())])?,
        PollOutcome::Held { reason } => unit
            .sql
            .prepare_cached(
                "INSERT INTO accounts (account, held_at, held) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET held_at = excluded.held_at, held = excluded.held
                    WHERE held IS NOT excluded.held",
            )?
            .execute(params![name, now.0, life::clip(reason.clone())])?,
    };
    record_pace(unit.sql, account, pace)
}

fn record_pace(sql: &Connection, account: &AccountId, pace: Pace) -> Outcome<()> {
    let mut set = sql.prepare_cached("UPDATE accounts SET polled = ?2, gap = ?3 WHERE account = ?1")?;
    set.execute(params![account.as_str(), pace.last.map(|at| at.0), pace.gap])?;
    Ok(())
}

/// Writes what was kept in memory, in a transaction that changes something anyway.
pub(super) fn flush(sql: &Connection, polled: &Mutex<Polled>) -> Outcome<()> {
    let mut polled = locked(polled);
    let unwritten = std::mem::take(&mut polled.unwritten);
    let mut set = sql.prepare_cached(
        "UPDATE accounts SET last_success = ?2 WHERE account = ?1 AND (last_success IS NULL OR last_success < ?2)",
    )?;
    for account in &unwritten {
        let Some(closed) = polled.closed.get(account) else { continue };
        if let Some(at) = closed.success {
            set.execute(params![account.as_str(), at.0])?;
        }
        record_pace(sql, account, closed.pace)?;
    }
    Ok(())
}
