//! What happens to a batch whose octets cannot be synced, and to what shares it.

use std::sync::mpsc;

use postroom_mail::Timestamp;

use super::{Sizes, SqliteSpool, segments, upkeep};
use crate::conformance::sample::{self, admit, arrival, lease_one, octets, plan};
use crate::{Error, MessageState, Spool};

const NOW: Timestamp = Timestamp(2000);

#[tokio::test]
async fn a_failed_sync_fails_the_admissions_of_its_batch_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let first = admit(&spool, "u1", b"first").await;
    // The writer waits until everything below is queued, so that it becomes one batch.
    let (open, gate) = mpsc::channel::<()>();
    let sabotage = spool.write("test", move |unit| {
        let _ = gate.recv();
        unit.segments.sabotage();
        Ok(())
    });
    let two = spool.admit(vec![arrival(&spool, "u2", b"second")]);
    let leases = spool.lease_messages(9, NOW);
    let three = spool.admit(vec![arrival(&spool, "u3", b"third")]);
    let go = async {
        tokio::task::yield_now().await;
        drop(open);
    };
    let (sabotaged, two, leases, three, ()) = tokio::join!(sabotage, two, leases, three, go);
    sabotaged.unwrap();
    assert!(matches!(two, Err(Error::Io { .. })), "{two:?}");
    assert!(matches!(three, Err(Error::Io { .. })), "{three:?}");
    let mut leases = leases.unwrap();
    assert_eq!((leases.len(), leases[0].message, leases[0].attempt), (1, first, 1));
    assert_eq!(sample::state(&spool, first).await, MessageState::Running, "the lease holds");
    assert!(spool.lease_messages(9, NOW).await.unwrap().is_empty());
    spool.plan(leases.remove(0), plan(Vec::new()), NOW).await.unwrap();
    assert_eq!(spool.counts(None).await.unwrap().admitted, 1);
    // The file is not trusted any more: the next message goes to another.
    let second = admit(&spool, "u2", b"second").await;
    for (message, expected, segment) in [(first, &b"first"[..], 1), (second, b"second", 2)] {
        assert_eq!(octets(&spool.open(message).await.unwrap()), expected);
        let place = spool.readers.with(|sql| super::rows::place(sql, message)).unwrap().flatten().unwrap().0;
        assert_eq!(place.segment, segment);
    }
}

#[tokio::test]
async fn a_damaged_survivor_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open_with(dir.path(), Sizes { roll_at: 2000, ..Sizes::default() }).unwrap();
    let mut kept = Vec::new();
    for number in 0..10 {
        let message = admit(&spool, &format!("u{number}"), &sample::noise(number, 100)).await;
        let lease = lease_one(&spool, NOW).await;
        if number == 0 || number == 1 {
            spool.quarantine(lease, "odd".into(), Vec::new(), NOW).await.unwrap();
            kept.push(message);
        } else {
            spool.plan(lease, sample::discard(), NOW).await.unwrap();
        }
    }
    let path = segments::path(&dir.path().join("segments"), 1);
    let mut file = std::fs::read(&path).unwrap();
    file[60] ^= 1;
    std::fs::write(&path, file).unwrap();
    spool.sweep(std::time::Duration::ZERO, NOW).await.unwrap();
    let freed = spool.write("test", |unit| upkeep::copy_out(unit, 1)).await.unwrap();
    assert_eq!(freed, 0);
    assert!(matches!(spool.open(kept[0]).await, Err(Error::Corrupt { .. })));
    assert_eq!(octets(&spool.open(kept[1]).await.unwrap()), sample::noise(1, 100));
    assert!(path.exists());
}

/// Whoever calls must learn that calling again is of no use.
#[tokio::test]
async fn a_writer_that_is_gone_stops_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let ending = spool.write::<(), _>("test", |_| panic!("a fault of the spool's own")).await.unwrap_err();
    let later = spool.release(crate::Leases::Effects, NOW).await.unwrap_err();
    for error in [ending, later] {
        assert!(matches!(error, Error::WriterStopped), "{error:?}");
        assert_eq!(error.disposition(), postroom_mail::Disposition::Stop);
    }
    assert_eq!(spool.counts(None).await.unwrap().admitted, 0, "questions are answered all the same");
}

/// Plans of the statements that run for every message must not look at every row.
#[test]
fn the_hot_statements_use_their_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let sql = super::schema::open_writer(dir.path(), &crate::disk::Disk::default()).unwrap();
    for statement in [
        "SELECT seq FROM messages m INDEXED BY messages_inbox WHERE m.state = 'spooled' AND m.due <= ?1 ORDER BY m.seq LIMIT ?2",
        "SELECT e.seq, m.id FROM effects e INDEXED BY effects_due
            JOIN messages m ON m.seq = e.message
            WHERE e.state = 'pending' AND e.sink = ?1 AND e.due <= ?2 ORDER BY e.due, e.seq LIMIT ?3",
        "SELECT min(due) FROM messages WHERE state = 'spooled'",
        "SELECT min(due) FROM effects WHERE state = 'pending' AND sink = ?1",
        "SELECT 1 FROM effects WHERE message = ?1 AND state IN ('pending', 'inflight')",
        "SELECT count(*) FROM events WHERE message = ?1",
        "SELECT uid, CASE WHEN size IS NULL THEN (SELECT m.size FROM messages m WHERE m.seq = ledger.message) END
            FROM ledger WHERE account = ?1 ORDER BY uid, ordinal",
        "SELECT l.uid, m.id FROM ledger l LEFT JOIN messages m ON m.seq = l.message
            WHERE l.account = ?1 ORDER BY l.uid, l.ordinal",
        "SELECT l.uid FROM ledger l WHERE l.account = ?1 AND l.header = ?2 AND l.removed IS NULL
            ORDER BY l.uid, l.ordinal",
        "SELECT uid FROM ledger l WHERE l.account = ?1 AND (l.uid, l.ordinal) > (?3, ?4)
            ORDER BY l.uid, l.ordinal LIMIT ?2",
        "SELECT retrieved FROM messages WHERE account = ?1 ORDER BY retrieved DESC LIMIT ?2",
        "SELECT m.seq FROM messages m WHERE m.segment IS NOT NULL AND m.ended IS NOT NULL AND m.ended <= ?1
            AND m.state IN ('done', 'discarded') LIMIT ?2",
        "SELECT seq FROM messages WHERE id BETWEEN ?1 AND ?2",
        "SELECT seq FROM messages WHERE digest BETWEEN ?1 AND ?2",
        "SELECT seq FROM messages WHERE uid >= ?1 AND uid < ?2",
        "SELECT state, count(*) FROM messages WHERE account = ?1 GROUP BY state",
        "UPDATE messages SET state = 'spooled' WHERE state IN ('running', 'quarantined') AND state = 'running'",
        "UPDATE messages SET state = 'spooled', due = ?1
            WHERE state IN ('running', 'quarantined') AND state = 'running'",
        "UPDATE effects SET state = 'pending', due = ?1
            WHERE state IN ('pending', 'inflight', 'parked') AND state = 'inflight'",
    ] {
        let mut explain = sql.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let count = explain.parameter_count();
        let rows = explain.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3)).unwrap();
        let details: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
        for detail in &details {
            let full = detail.starts_with("SCAN") && !detail.contains("INDEX");
            assert!(!full && !detail.contains("TEMP B-TREE"), "{statement}: {details:?}");
        }
    }
}
