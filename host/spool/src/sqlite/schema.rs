//! The database: its settings, its tables, its versions. Knows no rule of a message's life.
//!
//! Readable with the stock `sqlite3` beside a running host: states are words, times are milliseconds since 1970 UTC,
//! ids are blobs (`hex(id)`), plans are JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_failpoint::reach;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::fault::{Fault, Outcome};
use super::recover;
use crate::Error;
use crate::disk::{Disk, Kind};

/// The schema this version writes.
pub(super) const VERSION: u32 = 4;
pub(super) const FILE: &str = "postroom.db";
/// Pages of the write-ahead log before a commit must carry a checkpoint; the writer makes them earlier, when idle.
const CHECKPOINT_PAGES: u32 = 10_000;
/// `PRAGMA synchronous` reads back as this for FULL.
const FULL: i64 = 2;

const VERSION_1: &str = "
CREATE TABLE accounts (
    account TEXT PRIMARY KEY,
    last_success INTEGER,
    last_error_at INTEGER,
    last_error TEXT,
    failures INTEGER NOT NULL DEFAULT 0,
    listed INTEGER
) WITHOUT ROWID;

CREATE TABLE segments (
    number INTEGER PRIMARY KEY,
    end INTEGER NOT NULL
);

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    account TEXT NOT NULL,
    uid BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    retrieved INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('spooled', 'running', 'planned', 'done', 'discarded', 'quarantined')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL,
    reason TEXT,
    verdict TEXT,
    labels TEXT,
    trace TEXT,
    ended INTEGER,
    removed INTEGER,
    segment INTEGER REFERENCES segments (number),
    offset INTEGER NOT NULL,
    crc INTEGER NOT NULL
);
CREATE INDEX messages_inbox ON messages (seq, due) WHERE state = 'spooled';
CREATE INDEX messages_due ON messages (due) WHERE state = 'spooled';
CREATE INDEX messages_account ON messages (account, state);
CREATE INDEX messages_uid ON messages (uid);
CREATE INDEX messages_digest ON messages (digest);
CREATE INDEX messages_removed ON messages (account) WHERE removed IS NOT NULL;
CREATE INDEX messages_ended ON messages (ended) WHERE segment IS NOT NULL AND ended IS NOT NULL;
CREATE INDEX messages_segment ON messages (segment) WHERE segment IS NOT NULL;
CREATE INDEX messages_aside ON messages (seq) WHERE state IN ('running', 'quarantined');

CREATE TABLE ledger (
    account TEXT NOT NULL,
    uid BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    message INTEGER NOT NULL REFERENCES messages (seq),
    PRIMARY KEY (account, uid, ordinal)
) WITHOUT ROWID;
CREATE INDEX ledger_message ON ledger (message);

CREATE TABLE effects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    message INTEGER NOT NULL REFERENCES messages (seq),
    sink TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'inflight', 'done', 'parked')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL,
    required INTEGER NOT NULL,
    whole INTEGER NOT NULL,
    body TEXT NOT NULL,
    receipt TEXT,
    reason TEXT
);
CREATE INDEX effects_outbox ON effects (sink, seq, due) WHERE state = 'pending';
CREATE INDEX effects_due ON effects (sink, due) WHERE state = 'pending';
CREATE INDEX effects_message ON effects (message);
CREATE INDEX effects_aside ON effects (message) WHERE state IN ('pending', 'inflight', 'parked');

CREATE TABLE kv (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    message INTEGER NOT NULL REFERENCES messages (seq),
    at INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX events_message ON events (message);
";

/// The ledger knows entries without a message, what was last listed, and what is missing.
const VERSION_2: &str = "
ALTER TABLE accounts ADD COLUMN polled INTEGER;
ALTER TABLE accounts ADD COLUMN gap INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN held_at INTEGER;
ALTER TABLE accounts ADD COLUMN held TEXT;
UPDATE accounts SET polled = max(coalesce(last_success, last_error_at), coalesce(last_error_at, last_success));

CREATE TABLE ledger_2 (
    account TEXT NOT NULL,
    uid BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    message INTEGER REFERENCES messages (seq),
    how TEXT NOT NULL CHECK (how IN ('retrieved', 'seeded', 'imported', 'adopted')),
    at INTEGER NOT NULL,
    size INTEGER,
    header BLOB,
    deleting INTEGER,
    removed INTEGER,
    absent INTEGER NOT NULL DEFAULT 0,
    since INTEGER,
    shown INTEGER NOT NULL,
    PRIMARY KEY (account, uid, ordinal)
) WITHOUT ROWID;
INSERT INTO ledger_2 (account, uid, ordinal, message, how, at, removed, shown)
    SELECT l.account, l.uid, l.ordinal, l.message, 'retrieved', m.retrieved, m.removed, 1
    FROM ledger l JOIN messages m ON m.seq = l.message;
DROP TABLE ledger;
ALTER TABLE ledger_2 RENAME TO ledger;
CREATE INDEX ledger_message ON ledger (message) WHERE message IS NOT NULL;
CREATE INDEX ledger_header ON ledger (account, header) WHERE header IS NOT NULL;
CREATE INDEX messages_arrivals ON messages (account, retrieved);

CREATE TABLE stumbles (
    account TEXT NOT NULL,
    uid BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    times INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, uid, ordinal)
) WITHOUT ROWID;

CREATE TABLE notes (
    scope TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Doubts of sending, the operator's decisions, the health of bodies, and how many entries the last listing had.
const VERSION_3: &str = "
ALTER TABLE effects ADD COLUMN sending INTEGER;
ALTER TABLE effects ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE effects ADD COLUMN waived INTEGER;
ALTER TABLE messages ADD COLUMN dropped INTEGER;
ALTER TABLE messages ADD COLUMN damaged INTEGER;
ALTER TABLE messages ADD COLUMN checked INTEGER;
DROP INDEX effects_outbox;
CREATE INDEX messages_checked ON messages (checked) WHERE segment IS NOT NULL;
CREATE INDEX messages_damaged ON messages (damaged) WHERE damaged IS NOT NULL;
CREATE TABLE tallies (
    account TEXT PRIMARY KEY,
    listed INTEGER NOT NULL,
    there INTEGER NOT NULL
) WITHOUT ROWID;
";

/// The order in which receipts came. Those of before have the order of their plans, and about the time.
const VERSION_4: &str = "
CREATE TABLE receipts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    effect INTEGER NOT NULL REFERENCES effects (seq),
    sink TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX receipts_sink ON receipts (sink, number);
INSERT INTO receipts (effect, sink, at)
    SELECT e.seq, e.sink, coalesce(m.ended, m.retrieved) FROM effects e JOIN messages m ON m.seq = e.message
    WHERE e.state = 'done' ORDER BY e.seq;
";

/// The one connection that writes; makes or brings forward the tables.
pub(super) fn open_writer(state: &Path, disk: &Disk) -> Outcome<Connection> {
    let anew = recover::may_begin(state)?;
    // SQLite would make it readable for all, and gives its log the mode of the database.
    if !exists(state) {
        let private = disk.create(Kind::Database, &state.join(FILE));
        private.map_err(|source| Error::storage(state, "make its database", source))?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(state, disk, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Takes effect only while the file is empty, so it comes first.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"
    ))?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if mode != "wal" || synchronous != FULL {
        return Err(Fault::from(Error::Database {
            what: format!("it runs with journal_mode={mode} synchronous={synchronous}, not WAL and FULL"),
            maybe_applied: false,
        }));
    }
    connection.set_prepared_statement_cache_capacity(64);
    bring_forward(&mut connection, state, anew)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(state: &Path, disk: &Disk) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(state, disk, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn connect(state: &Path, disk: &Disk, flags: OpenFlags) -> Outcome<Connection> {
    let file = state.join(FILE);
    Ok(match disk.vfs() {
        None => Connection::open_with_flags(file, flags)?,
        Some(vfs) => Connection::open_with_flags_and_vfs(file, flags, vfs)?,
    })
}

/// The write-ahead log beside it.
pub(super) fn log(state: &Path) -> PathBuf {
    state.join(format!("{FILE}-wal"))
}

/// Whether the file is there at all.
pub(super) fn exists(state: &Path) -> bool {
    state.join(FILE).exists()
}

/// A connection that leaves the files as they are, also the log, when it ends.
pub(super) fn open_untouched(state: &Path, disk: &Disk) -> Outcome<Connection> {
    let connection = open_reader(state, disk)?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// The schema a database has; 0 is an empty one.
pub(super) fn version(connection: &Connection) -> Outcome<u32> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > VERSION {
        return Err(Error::NewerSchema { found, known: VERSION }.into());
    }
    Ok(found)
}

fn bring_forward(connection: &mut Connection, state: &Path, anew: bool) -> Outcome<()> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found == 0 && !anew {
        return Err(recover::lost(state, "has no tables").into());
    }
    for (version, step) in (1..).zip([VERSION_1, VERSION_2, VERSION_3, VERSION_4]) {
        if version > found {
            transaction.execute_batch(step)?;
            reach("start.schema", "step");
        }
    }
    if found < VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    reach("start.schema", "brought");
    transaction.commit()?;
    reach("start.schema", "committed");
    Ok(())
}

/// Makes a state as the first version left it.
#[cfg(test)]
pub(crate) fn first_version(state: &Path) -> Connection {
    earlier_version(state, 1)
}

/// Makes a state as an earlier version left it.
#[cfg(test)]
pub(crate) fn earlier_version(state: &Path, version: u32) -> Connection {
    let sql = Connection::open(state.join(FILE)).unwrap();
    for (_, step) in (1..=version).zip([VERSION_1, VERSION_2, VERSION_3, VERSION_4]) {
        sql.execute_batch(step).unwrap();
    }
    sql.pragma_update(None, "user_version", version).unwrap();
    sql
}
