//! Copies of an earlier time that are put back, copies made of a running state, and states of earlier versions.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postroom_mail::{Digest, MessageId, Timestamp};

use super::{fresh, rolling_at};
use crate::conformance::sample::{
    self, admit, arrival, effect, lease_one, listed, name, octets, plan, receipt, state,
};
use crate::{DeletePolicy, Error, MessageState, Settlement, Severity, Spool, SqliteSpool};

const NOW: Timestamp = Timestamp(2000);

fn examine(state: &Path) -> crate::Findings {
    SqliteSpool::examine(state, &mut |_, _| {}).unwrap()
}

/// What `.backup` of the stock `sqlite3` does.
fn copy_database(state: &Path, to: &Path) {
    let from = rusqlite::Connection::open(state.join("postroom.db")).unwrap();
    let mut to = rusqlite::Connection::open(to).unwrap();
    rusqlite::backup::Backup::new(&from, &mut to).unwrap().step(-1).unwrap();
}

fn put_back(copy: &Path, state: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(state.join(format!("postroom.db{suffix}")));
    }
    // Into the file that is there, so that it keeps its mode.
    fs::write(state.join("postroom.db"), fs::read(copy).unwrap()).unwrap();
}

async fn delete_at_server(spool: &SqliteSpool, uid: &str, size: u64) {
    let policy = DeletePolicy::Spooled { after: Duration::ZERO };
    let proofs = spool.removable(&name("shop"), &[listed(uid, size)], policy, NOW).await.unwrap().removable;
    assert_eq!(proofs.len(), 1);
    spool.deleting(&proofs, NOW).await.unwrap();
    spool.removed(proofs, NOW).await.unwrap();
}

#[tokio::test]
async fn mail_an_older_database_does_not_know_is_kept_and_can_be_brought_in() {
    for sizes in [rolling_at(1), rolling_at(1 << 20)] {
        let dir = fresh();
        let path = dir.path().join("state");
        let spool = SqliteSpool::open_with(&path, sizes).unwrap();
        let old = admit(&spool, "old", b"old octets").await;
        let copy = dir.path().join("copy.db");
        copy_database(&path, &copy);
        let lost = admit(&spool, "lost", b"lost octets").await;
        delete_at_server(&spool, "lost", 11).await;
        let there = admit(&spool, "there", b"there octets").await;
        let image = dir.path().join("image");
        super::image(&path, &image);
        put_back(&copy, &image);
        let spool = SqliteSpool::open_with(&image, sizes).unwrap();
        assert!(spool.learnt(crate::RESTORED).await.unwrap().unwrap().contains("older copy"));
        assert_eq!(octets(&spool.open(old).await.unwrap()), b"old octets");
        let listing = [listed("old", 10), listed("there", 12)];
        assert_eq!(spool.reconcile(&name("shop"), &listing).await.unwrap().new, [1]);
        spool.admit(vec![arrival(&spool, "there", b"there octets")]).await.unwrap();
        drop(spool);
        let found = examine(&image);
        assert_eq!(found.worst(), Some(Severity::Warning), "{found:#?}");
        let repaired = SqliteSpool::repair(&image, &found, NOW).await.unwrap();
        assert_eq!((repaired.adopted, repaired.marked), (1, 0));
        let spool = SqliteSpool::open_with(&image, sizes).unwrap();
        assert_eq!(octets(&spool.open(lost).await.unwrap()), b"lost octets");
        assert_eq!(state(&spool, lost).await, MessageState::Quarantined);
        assert_eq!(state(&spool, there).await, MessageState::Spooled);
        assert_eq!(octets(&spool.open(there).await.unwrap()), b"there octets");
        drop(spool);
        assert!(examine(&image).worst() < Some(Severity::Warning), "{:#?}", examine(&image));
    }
}

#[tokio::test]
async fn an_older_database_of_an_earlier_start_is_noticed_without_any_deletion() {
    let dir = fresh();
    let path = dir.path().join("state");
    let spool = SqliteSpool::open(&path).unwrap();
    admit(&spool, "old", b"old octets").await;
    drop(spool);
    let copy = dir.path().join("copy.db");
    copy_database(&path, &copy);
    let spool = SqliteSpool::open(&path).unwrap();
    admit(&spool, "lost", b"lost octets").await;
    drop(spool);
    put_back(&copy, &path);
    assert!(examine(&path).findings.iter().any(|finding| finding.what.contains("older copy")));
    drop(SqliteSpool::open(&path).unwrap());
    assert_eq!(fs::read_dir(path.join("orphans")).unwrap().count(), 1);
    drop(SqliteSpool::open(&path).unwrap());
    assert_eq!(fs::read_dir(path.join("orphans")).unwrap().count(), 1, "once");
}

#[tokio::test]
async fn an_ordinary_crash_keeps_nothing_aside() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    admit(&spool, "u1", b"octets").await;
    drop(spool);
    let segment = dir.path().join("segments/00000001.seg");
    let record = fs::read(&segment).unwrap();
    // A whole record of another message: synced, and then the power went before the commit.
    let other = fresh();
    admit(&SqliteSpool::open(other.path()).unwrap(), "u2", b"more octets").await;
    let uncommitted = fs::read(other.path().join("segments/00000001.seg")).unwrap();
    fs::OpenOptions::new().append(true).open(&segment).unwrap().write_all(&uncommitted).unwrap();
    drop(SqliteSpool::open(dir.path()).unwrap());
    assert_eq!(fs::read(&segment).unwrap(), record);
    assert!(!dir.path().join("orphans").exists());
    assert_eq!(examine(dir.path()).worst(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_load_is_whole_and_goes_on() {
    let dir = fresh();
    let path = dir.path().join("state");
    let spool = Arc::new(SqliteSpool::open_with(&path, rolling_at(20_000)).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let before: Vec<MessageId> = {
        let mut all = Vec::new();
        for number in 0..30 {
            all.push(admit(&*spool, &format!("a{number}"), &sample::noise(number, 2000)).await);
        }
        all
    };
    let load = tokio::spawn({
        let (spool, stop) = (spool.clone(), stop.clone());
        async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let arrival = arrival(&*spool, &format!("b{number}"), &sample::noise(1000 + number, 3000));
                spool.admit(vec![arrival]).await.unwrap();
                for lease in spool.lease_messages(3, NOW).await.unwrap() {
                    let effects = vec![effect(&lease, "vault", "a", true)];
                    spool.plan(lease, plan(effects), NOW).await.unwrap();
                }
                for lease in spool.lease_effects(&name("vault"), 3, NOW).await.unwrap() {
                    spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
                }
                if number % 10 == 9 {
                    spool.sweep(Duration::ZERO, NOW).await.unwrap();
                }
                number += 1;
            }
            number
        }
    });
    let mut copies = Vec::new();
    for round in 0..4 {
        let target = dir.path().join(format!("copy{round}"));
        let (from, to) = (path.clone(), target.clone());
        let copied =
            tokio::task::spawn_blocking(move || SqliteSpool::backup(&from, &to, NOW, &mut |_, _| {}));
        let copied = copied.await.unwrap().unwrap();
        assert!(copied.findings.worst() < Some(Severity::Warning), "{:#?}", copied.findings);
        copies.push(target);
    }
    let again = SqliteSpool::backup(&path, &copies[0], NOW, &mut |_, _| {});
    assert!(matches!(again, Err(Error::Conflict(_))), "it writes over nothing");
    stop.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap() > 0);
    for copy in copies {
        let spool = SqliteSpool::open_with(&copy, rolling_at(20_000)).unwrap();
        assert!(spool.learnt(crate::RESTORED).await.unwrap().unwrap().contains("restored from a backup"));
        for (number, message) in before.iter().enumerate() {
            let history = spool.history(*message).await.unwrap().expect("it was admitted before");
            match spool.open(*message).await {
                Ok(body) => {
                    body.verify(*message, &Digest::of(&sample::noise(number as u64, 2000))).unwrap();
                }
                Err(Error::Gone(_)) => assert_eq!(history.state, MessageState::Done),
                Err(error) => panic!("{error}"),
            }
        }
        admit(&spool, "after", b"after").await;
    }
}

#[tokio::test]
async fn a_migration_that_fails_halfway_leaves_the_old_state() {
    for (version, table) in [(1, "notes"), (1, "messages_checked"), (2, "messages_damaged")] {
        let dir = fresh();
        let sql = crate::sqlite::earlier_version(dir.path(), version);
        // The last step of what comes cannot be done.
        sql.execute_batch(&format!("CREATE TABLE {table} (x)")).unwrap();
        let tables = || -> Vec<String> {
            let mut query =
                sql.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
            query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let before = tables();
        assert!(matches!(SqliteSpool::open(dir.path()), Err(Error::Database { .. })), "{version} {table}");
        assert_eq!(tables(), before, "{version} {table}");
        let found: u32 = sql.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(found, version);
        sql.execute_batch(&format!("DROP TABLE {table}")).unwrap();
        drop(SqliteSpool::open(dir.path()).unwrap());
        let found: u32 = sql.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(found, 4);
        drop(lease_nothing(dir.path()).await);
    }
}

async fn lease_nothing(state: &Path) -> SqliteSpool {
    let spool = SqliteSpool::open(state).unwrap();
    admit(&spool, "u", b"octets").await;
    lease_one(&spool, NOW).await;
    spool
}

/// The child of the next test: admits, lets most of it end, and has it swept, until it is killed.
#[tokio::test]
async fn sweeping_child() {
    let Some(path) = std::env::var_os("POSTROOM_SPOOL_SWEEPER") else { return };
    let spool = SqliteSpool::open_with(Path::new(&path), rolling_at(10_000)).unwrap();
    let first = spool.counts(None).await.unwrap().admitted;
    let other = rusqlite::Connection::open(Path::new(&path).join("postroom.db")).unwrap();
    for number in first.. {
        let message = admit(&spool, &format!("u{number}"), &sample::noise(number, 1000)).await;
        let lease = lease_one(&spool, NOW).await;
        if number % 9 == 0 {
            spool.quarantine(lease, "odd".into(), Vec::new(), NOW).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nkept {message} {number}").and_then(|()| out.flush()).unwrap();
        } else {
            spool.plan(lease, sample::discard(), NOW).await.unwrap();
        }
        if number % 20 == 19 {
            spool.sweep(Duration::ZERO, NOW).await.unwrap();
            // Busy, it does nothing; that is all right.
            let _ = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            let _ = other.execute_batch("PRAGMA incremental_vacuum");
        }
    }
}

#[tokio::test]
async fn a_kill_amid_sweeps_and_checkpoints_loses_and_damages_nothing() {
    use std::io::BufRead as _;
    let dir = fresh();
    let mut random = sample::Random(43);
    let mut kept: Vec<(MessageId, u64)> = Vec::new();
    for _ in 0..8 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::restore::sweeping_child", "--nocapture"])
            .env("POSTROOM_SPOOL_SWEEPER", dir.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut left = 3 + random.below(12);
        for line in std::io::BufReader::new(child.stdout.take().unwrap()).lines() {
            let Ok(line) = line else { break };
            let ["kept", message, number] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let (Ok(message), Ok(number)) = (message.parse(), number.parse()) else { continue };
            kept.push((message, number));
            left = left.saturating_sub(1);
            if left == 0 {
                let _ = child.kill();
            }
        }
        child.wait().unwrap();
        let spool = SqliteSpool::open_with(dir.path(), rolling_at(10_000)).unwrap();
        for (message, number) in &kept {
            let body = spool.open(*message).await.unwrap();
            body.verify(*message, &Digest::of(&sample::noise(*number, 1000))).unwrap();
        }
        // What was under way counts as tried, and would disturb the next child.
        for lease in spool.lease_messages(9, NOW).await.unwrap() {
            spool.plan(lease, sample::discard(), NOW).await.unwrap();
        }
        drop(spool);
        let found = examine(dir.path());
        assert!(found.worst() < Some(Severity::Warning), "{found:#?}");
        assert!(!dir.path().join("orphans").exists());
    }
    assert!(kept.len() > 20);
}
