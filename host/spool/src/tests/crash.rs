//! Whatever stops the process, and whatever happens to its files meanwhile: nothing acknowledged is lost, and damage
//! is told, not delivered.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Digest, MessageId, Timestamp};

use super::rolling_at;
use crate::conformance::sample::{
    self, Random, admit, arrival, effect, lease_one, name, octets, plan, receipt, state,
};
use crate::sqlite::Sizes;
use crate::{EffectState, Error, MessageState, Settlement, Spool, SqliteSpool};

const NOW: Timestamp = Timestamp(2000);

fn segments(state: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(state.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn a_restart_takes_back_what_was_leased_and_keeps_the_count() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let planned = admit(&spool, "planned", b"one").await;
    let lease = lease_one(&spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let _in_flight = spool.lease_effects(&name("vault"), 1, NOW).await.unwrap();
    let running = admit(&spool, "running", b"two").await;
    let _run = lease_one(&spool, NOW).await;
    drop(spool);
    for attempt in 2..4 {
        let spool = SqliteSpool::open(dir.path()).unwrap();
        assert_eq!(state(&spool, running).await, MessageState::Spooled);
        assert_eq!(lease_one(&spool, NOW).await.attempt, attempt);
        let record = spool.history(planned).await.unwrap().unwrap().effects.remove(0);
        assert_eq!((record.state, record.attempts), (EffectState::Pending, attempt - 1));
        assert_eq!(spool.lease_effects(&name("vault"), 1, NOW).await.unwrap()[0].attempt, attempt);
    }
}

#[tokio::test]
async fn an_attempt_that_was_sending_when_the_process_died_is_a_doubt_of_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let planned = admit(&spool, "planned", b"one").await;
    let lease = lease_one(&spool, NOW).await;
    let effects = vec![sample::send(&lease, "relay")];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    drop(spool);
    for doubts in 0..3 {
        let spool = SqliteSpool::open(dir.path()).unwrap();
        let record = spool.history(planned).await.unwrap().unwrap().effects.remove(0);
        assert_eq!((record.state, record.doubts), (EffectState::Pending, doubts));
        let lease = spool.lease_effects(&name("relay"), 1, NOW).await.unwrap().remove(0);
        assert_eq!(lease.doubts, doubts);
        spool.sending(&lease, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn a_second_process_is_kept_out_but_may_ask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    assert!(matches!(SqliteSpool::open_readonly(&path), Err(Error::Io { .. })), "there is none yet");
    let spool = SqliteSpool::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(matches!(SqliteSpool::open(&path), Err(Error::InUse { .. })));
    let message = admit(&spool, "u", b"octets").await;
    let asking = SqliteSpool::open_readonly(&path).unwrap();
    assert_eq!(asking.counts(None).await.unwrap().waiting, 1);
    assert_eq!(octets(&asking.open(message).await.unwrap()), b"octets");
    assert!(matches!(asking.lease_messages(1, NOW).await, Err(Error::InUse { .. })));
    assert!(matches!(asking.incoming(1), Err(Error::InUse { .. })));
    lease_one(&spool, NOW).await;
    assert_eq!(state(&asking, message).await, MessageState::Running, "it sees what the host commits");
    drop(spool);
    assert_eq!(asking.counts(None).await.unwrap().waiting, 1, "also when the host has stopped");
    SqliteSpool::open(&path).unwrap();
}

#[tokio::test]
async fn the_state_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteSpool::open(dir.path()).unwrap());
    let sql = rusqlite::Connection::open(dir.path().join("postroom.db")).unwrap();
    sql.pragma_update(None, "user_version", 99).unwrap();
    for refused in [SqliteSpool::open(dir.path()), SqliteSpool::open_readonly(dir.path())] {
        assert!(matches!(refused.err(), Some(Error::NewerSchema { found: 99, known: 4 })));
    }
    let version: u32 = sql.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn the_state_of_the_first_version_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let sql = crate::sqlite::first_version(dir.path());
    let digest = Digest::of(b"octets");
    sql.execute_batch("INSERT INTO accounts (account, last_success, failures) VALUES ('shop', 1500, 0)")
        .unwrap();
    for (uid, removed) in [("here", None), ("gone", Some(1800))] {
        let id = MessageId::derive(&name("shop"), &postroom_mail::Uid(uid.into()), 0, &digest);
        sql.execute(
            "INSERT INTO messages (id, account, uid, ordinal, digest, size, retrieved, state, due, ended, removed, offset, crc)
             VALUES (?1, 'shop', ?2, 0, ?3, 6, 1000, 'discarded', 1000, 1100, ?4, 0, 0)",
            rusqlite::params![id.0.0, uid.as_bytes(), digest.0, removed],
        )
        .unwrap();
        let seq = sql.last_insert_rowid();
        sql.execute("INSERT INTO ledger VALUES ('shop', ?1, 0, ?2)", rusqlite::params![uid.as_bytes(), seq])
            .unwrap();
    }
    drop(sql);
    assert!(
        matches!(SqliteSpool::open_readonly(dir.path()), Err(Error::Database { .. })),
        "not for reading alone"
    );
    for _ in 0..2 {
        let spool = SqliteSpool::open(dir.path()).unwrap();
        let listing = [sample::listed("here", 7), sample::listed("gone", 6), sample::listed("fresh", 1)];
        let found = spool.reconcile(&name("shop"), &listing).await.unwrap();
        assert_eq!((found.new, found.known, found.vanished, found.first), (vec![1, 2], 1, 0, false));
        let rows = spool.seen(&name("shop"), None, 9).await.unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.at, row.by, row.size, row.removed)).collect();
        let by = crate::SeenBy::Retrieved;
        assert_eq!(told[0], (Timestamp(1000), by, None, Some(Timestamp(1800))));
        assert_eq!(told[1], (Timestamp(1000), by, None, None));
        let policy = crate::DeletePolicy::Spooled { after: Duration::from_millis(500) };
        let removals = spool.removable(&name("shop"), &listing, policy, NOW).await.unwrap();
        assert_eq!(removals.removable.iter().map(crate::Removable::index).collect::<Vec<_>>(), [0]);
        let status = spool.accounts().await.unwrap().remove(0);
        assert_eq!((status.last_success, status.held), (Some(Timestamp(1500)), None));
        let late = Timestamp(1500 + 8 * 24 * 3_600_000);
        let removals = spool.removable(&name("shop"), &listing, policy, late).await.unwrap();
        assert_eq!(removals.kept[0].why, crate::Why::ClockJumped, "the last poll is known by its clock");
    }
}

#[tokio::test]
async fn marks_adoptions_and_listings_outlast_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let (shop, policy) = (name("shop"), crate::DeletePolicy::Spooled { after: Duration::ZERO });
    let message = admit(&spool, "old", b"octets").await;
    let to = sample::listed("new", 6);
    let adoption = crate::Adoption { from: (postroom_mail::Uid(b"old".to_vec()), 0), to: to.clone() };
    assert_eq!(spool.adopt(&shop, vec![adoption], NOW).await.unwrap(), 1);
    drop(spool);
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let listing = [to, sample::listed("other", 1)];
    assert_eq!(spool.reconcile(&shop, &listing).await.unwrap().new, [1]);
    let proofs = spool.removable(&shop, &listing, policy, NOW).await.unwrap().removable;
    spool.deleting(&proofs, NOW).await.unwrap();
    spool.stumble(&shop, &listing[1], "cut".into(), NOW).await.unwrap();
    drop((proofs, spool));
    let spool = SqliteSpool::open(dir.path()).unwrap();
    assert_eq!(spool.stumbles(&shop).await.unwrap()[0].times, 1);
    let observed = spool.observe(&shop, &listing[1..], true, Duration::MAX, Timestamp(3000)).await.unwrap();
    assert_eq!(observed.removed, 1);
    drop(spool);
    let spool = SqliteSpool::open(dir.path()).unwrap();
    assert_eq!(spool.history(message).await.unwrap().unwrap().removed, Some(Timestamp(3000)));
}

#[tokio::test]
async fn a_listing_that_tells_nothing_new_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let (shop, listing) = (name("shop"), [sample::listed("here", 6)]);
    admit(&spool, "here", b"octets").await;
    admit(&spool, "gone", b"octets").await;
    let sql = rusqlite::Connection::open(dir.path().join("postroom.db")).unwrap();
    let commits = || sql.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut writes = 0;
    for round in 0..6 {
        let before = commits();
        spool.observe(&shop, &listing, true, Duration::MAX, Timestamp(3000 + round)).await.unwrap();
        spool.learn("shop", Some("slow".into()), NOW).await.unwrap();
        writes += i32::from(commits() != before);
    }
    assert_eq!(writes, 3, "three times it was missing, then nothing is new");
}

/// How long a large maildrop takes; run with `--release -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_hundred_thousand_entries() {
    use std::time::Instant;
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let shop = name("shop");
    let listing: Vec<_> =
        (0..100_000).map(|n| sample::listed(&format!("{:016x}-{n}", n * 7_919 % 100_003), 4000)).collect();
    let entries =
        listing.iter().map(|entry| crate::Seen { uid: entry.uid.clone(), ordinal: 0, size: None, at: None });
    let entries: Vec<_> = entries.collect();
    let start = Instant::now();
    assert_eq!(spool.seed(&shop, entries, crate::SeenBy::Seeded, NOW).await.unwrap(), 100_000);
    println!("seed {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(spool.reconcile(&shop, &listing).await.unwrap().known, 100_000);
    println!("reconcile {:?}", start.elapsed());
    for what in ["observe, all change", "observe, none changes"] {
        let start = Instant::now();
        spool.observe(&shop, &listing, true, Duration::MAX, NOW).await.unwrap();
        println!("{what} {:?}", start.elapsed());
    }
    let start = Instant::now();
    let policy = crate::DeletePolicy::Spooled { after: Duration::ZERO };
    assert_eq!(spool.removable(&shop, &listing, policy, NOW).await.unwrap().kept.len(), 100_000);
    println!("removable {:?}", start.elapsed());
}

#[tokio::test]
async fn what_was_never_committed_is_cut_off_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let message = admit(&spool, "u1", b"octets").await;
    drop(spool);
    let segment = segments(dir.path()).remove(0);
    let committed = fs::metadata(&segment).unwrap().len();
    OpenOptions::new().append(true).open(&segment).unwrap().write_all(b"PMR1 torn").unwrap();
    fs::write(dir.path().join("segments/00000099.seg"), b"nobody's").unwrap();
    fs::write(dir.path().join("incoming/half"), b"half a message").unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    assert_eq!(segments(dir.path()), std::slice::from_ref(&segment));
    assert_eq!(fs::metadata(&segment).unwrap().len(), committed);
    assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    let next = admit(&spool, "u2", b"more").await;
    assert_eq!(octets(&spool.open(message).await.unwrap()), b"octets");
    assert_eq!(octets(&spool.open(next).await.unwrap()), b"more");
}

#[tokio::test]
async fn an_arriving_message_leaves_nothing_behind_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let files = || fs::read_dir(dir.path().join("incoming")).unwrap().count();
    let large = sample::noise(1, 3 << 20);
    let mut incoming = spool.incoming(8 << 20).unwrap();
    incoming.write(&large).unwrap();
    assert_eq!(files(), 1);
    drop(incoming);
    assert_eq!(files(), 0);
    let message = admit(&spool, "u", &large).await;
    assert_eq!(files(), 0, "nor when it is admitted");
    assert!(octets(&spool.open(message).await.unwrap()) == large);
}

#[tokio::test]
async fn a_flipped_octet_anywhere_in_a_record_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let first = admit(&spool, "u1", b"first").await;
    // The record comes after its origin: 12 octets, 13 more, `shop`, `u2`.
    let start = fs::metadata(&segments(dir.path())[0]).unwrap().len() + 31;
    let damaged = admit(&spool, "u2", &sample::noise(2, 300)).await;
    let last = admit(&spool, "u3", b"last").await;
    let segment = segments(dir.path()).remove(0);
    let file = OpenOptions::new().read(true).write(true).open(&segment).unwrap();
    for at in [0, 4, 11, 12, 43, 44, 47, 48, 200, 347] {
        let mut octet = [0];
        file.read_exact_at(&mut octet, start + at).unwrap();
        file.write_all_at(&[octet[0] ^ 0x10], start + at).unwrap();
        let Err(Error::Corrupt { what }) = spool.open(damaged).await else {
            panic!("octet {at} was not missed")
        };
        assert!(what.contains(&damaged.to_string()) && what.contains("00000001.seg"), "{what}");
        assert_eq!(octets(&spool.open(first).await.unwrap()), b"first");
        assert_eq!(octets(&spool.open(last).await.unwrap()), b"last");
        file.write_all_at(&octet, start + at).unwrap();
        spool.open(damaged).await.unwrap();
    }
    drop(spool);
    file.set_len(start + 100).unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    assert!(matches!(spool.open(damaged).await, Err(Error::Corrupt { .. })), "cut short");
    assert!(matches!(spool.open(last).await, Err(Error::Corrupt { .. })));
    let next = admit(&spool, "u4", b"next").await;
    assert_eq!(
        octets(&spool.open(next).await.unwrap()),
        b"next",
        "new mail does not go to a damaged segment"
    );
    assert_eq!(segments(dir.path()).len(), 2);
    fs::remove_file(&segment).unwrap();
    assert!(matches!(spool.open(first).await, Err(Error::Corrupt { .. })), "missing");
}

#[tokio::test]
async fn one_refused_call_does_not_disturb_the_others_of_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(SqliteSpool::open(dir.path()).unwrap());
    let calls: Vec<_> = (0..300)
        .map(|number| {
            let mut arrival = arrival(&*spool, &format!("u{number}"), format!("octets {number}").as_bytes());
            arrival.provenance.size += u64::from(number % 10 == 3);
            let spool = spool.clone();
            tokio::spawn(async move { spool.admit(vec![arrival]).await })
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        let admitted = call.await.unwrap();
        if number % 10 == 3 {
            assert!(matches!(admitted, Err(Error::Conflict(_))), "{admitted:?}");
        } else {
            let body = spool.open(admitted.unwrap()[0].message).await.unwrap();
            assert_eq!(octets(&body), format!("octets {number}").as_bytes());
        }
    }
    assert_eq!(spool.counts(None).await.unwrap().admitted, 270);
}

#[tokio::test]
async fn a_failed_write_fails_the_admission_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(SqliteSpool::open_with(dir.path(), rolling_at(1)).unwrap());
    let first = admit(&*spool, "u1", b"first").await;
    let lease = lease_one(&*spool, NOW).await;
    let (directory, away) = (dir.path().join("segments"), dir.path().join("away"));
    fs::rename(&directory, &away).unwrap();
    let arrival = arrival(&*spool, "u2", b"second");
    let (other, settled) = (spool.clone(), spool.clone());
    let refused = tokio::spawn(async move { other.admit(vec![arrival]).await });
    let planned = tokio::spawn(async move { settled.plan(lease, plan(Vec::new()), NOW).await });
    let refused = refused.await.unwrap();
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    planned.await.unwrap().unwrap();
    assert_eq!(spool.counts(None).await.unwrap().admitted, 1);
    fs::rename(&away, &directory).unwrap();
    let second = admit(&*spool, "u2", b"second").await;
    for (message, expected) in [(first, &b"first"[..]), (second, b"second")] {
        assert_eq!(octets(&spool.open(message).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn a_lease_whose_caller_is_gone_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    admit(&spool, "u", b"octets").await;
    for _ in 0..20 {
        tokio::select! {
            biased;
            // On a busy machine the writer may have answered already: then nobody is gone.
            leases = spool.lease_messages(1, NOW) => {
                for lease in leases.unwrap() {
                    spool.put_back(lease, NOW, "not meant".into(), NOW).await.unwrap();
                }
            }
            () = std::future::ready(()) => {}
        }
    }
    for _ in 0..10_000 {
        // Each round trip lets the writer go on.
        if let Some(lease) = spool.lease_messages(1, NOW).await.unwrap().pop() {
            assert_eq!(lease.attempt, 1, "what nobody began does not count");
            return;
        }
    }
    panic!("the lease is lost");
}

#[tokio::test]
async fn sweeping_frees_the_disk_and_copies_the_survivors_together() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SqliteSpool::open_with(dir.path(), rolling_at(10_000)).unwrap();
    let mut kept = Vec::new();
    for number in 0..60 {
        let message = admit(&spool, &format!("u{number}"), &sample::noise(number, 1000)).await;
        let lease = lease_one(&spool, NOW).await;
        if number % 12 == 0 {
            spool.quarantine(lease, "odd".into(), Vec::new(), NOW).await.unwrap();
            kept.push((message, number));
        } else {
            spool.plan(lease, sample::discard(), NOW).await.unwrap();
        }
    }
    let before = segments(dir.path()).len();
    let swept = spool.sweep(Duration::ZERO, NOW).await.unwrap();
    assert_eq!(swept.bodies, 55);
    let after = segments(dir.path()).len();
    assert!(before >= 7 && after <= 2, "{before} segments, then {after}");
    drop(spool);
    let spool = SqliteSpool::open_with(dir.path(), rolling_at(10_000)).unwrap();
    for (message, number) in kept {
        assert!(octets(&spool.open(message).await.unwrap()) == sample::noise(number, 1000));
    }
}

/// The child of the next test: admits, plans and settles until it is killed, and says what was acknowledged.
#[tokio::test]
async fn child() {
    let Some(path) = std::env::var_os("POSTROOM_SPOOL_CHILD") else { return };
    let spool = Arc::new(SqliteSpool::open_with(Path::new(&path), rolling_at(300_000)).unwrap());
    let first = spool.counts(None).await.unwrap().admitted;
    let say = |word: &str, message: MessageId, number: u64| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{word} {message} {number}").and_then(|()| out.flush()).unwrap();
    };
    let numbers = Arc::new(std::sync::atomic::AtomicU64::new(first + 1000));
    for _ in 0..3 {
        let (spool, numbers) = (spool.clone(), numbers.clone());
        tokio::spawn(async move {
            loop {
                let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let arrival = arrival(&*spool, &format!("u{number}"), &content(number));
                let admitted = spool.admit(vec![arrival]).await.unwrap();
                say("admitted", admitted[0].message, number);
            }
        });
    }
    loop {
        for lease in spool.lease_messages(5, NOW).await.unwrap() {
            let (message, effects) = (lease.message, vec![effect(&lease, "vault", "a", true)]);
            spool.plan(lease, plan(effects), NOW).await.unwrap();
            say("planned", message, 0);
        }
        for lease in spool.lease_effects(&name("vault"), 3, NOW).await.unwrap() {
            let message = lease.message;
            spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
            say("settled", message, 0);
        }
        tokio::task::yield_now().await;
    }
}

fn content(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(7) { 1_200_000 } else { 2000 };
    sample::noise(number, len)
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(42);
    let mut admitted: HashMap<MessageId, u64> = HashMap::new();
    let (mut planned, mut settled) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::child", "--nocapture"])
            .env("POSTROOM_SPOOL_CHILD", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 20 + random.below(60);
        // What it said before it died counts, even when it is read later.
        while let Some(Ok(line)) = lines.next() {
            let words: Vec<_> = line.split(' ').collect();
            let [word @ ("admitted" | "planned" | "settled"), message, number] = words[..] else { continue };
            let Ok(message) = message.parse::<MessageId>() else { continue };
            match word {
                "admitted" => drop(admitted.insert(message, number.parse().unwrap())),
                "planned" => planned.push(message),
                _ => settled.push(message),
            }
            left = left.saturating_sub(1);
            if left == 0 {
                let _ = child.kill();
            }
        }
        child.wait().unwrap();
        let spool = SqliteSpool::open_with(dir.path(), rolling_at(300_000)).unwrap();
        for (message, number) in &admitted {
            let body = spool.open(*message).await.unwrap();
            body.verify(*message, &Digest::of(&content(*number))).unwrap();
        }
        for message in &planned {
            let state = state(&spool, *message).await;
            assert!(matches!(state, MessageState::Planned | MessageState::Done), "{state:?}");
        }
        for message in &settled {
            let history = spool.history(*message).await.unwrap().unwrap();
            assert_eq!((history.state, history.effects[0].state), (MessageState::Done, EffectState::Done));
        }
        let counts = spool.counts(None).await.unwrap();
        assert!(counts.admitted >= admitted.len() as u64);
        let files = segments(dir.path());
        assert!(fs::read_dir(dir.path().join("incoming")).unwrap().count() == 0 && !files.is_empty());
    }
    assert!(admitted.len() > 40 && !planned.is_empty() && !settled.is_empty());
}

/// A file system that is gone with the test.
pub(super) struct Tiny(pub(super) tempfile::TempDir);

impl Tiny {
    fn mount() -> Option<Self> {
        Self::mount_with("size=3m")
    }

    pub(super) fn mount_with(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .output()
            .ok()?;
        mounted.status.success().then_some(Self(dir))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

/// Admits messages until one is refused for want of room; answers the others.
async fn fill(spool: &SqliteSpool) -> Vec<MessageId> {
    let mut admitted = Vec::new();
    loop {
        let number = admitted.len() as u64;
        let arrival = arrival(spool, &format!("u{number}"), &sample::noise(number, 200_000));
        match spool.admit(vec![arrival]).await {
            Ok(answer) => admitted.push(answer[0].message),
            Err(Error::Full { .. }) => return admitted,
            Err(error) => panic!("{error:?}"),
        }
        assert!(number < 20, "3 MiB hold no 20 messages of 200 kB");
    }
}

#[tokio::test]
async fn a_disk_full_to_the_last_block_loses_no_mail() {
    let Some(tiny) = Tiny::mount() else {
        println!("skipped: this user cannot mount a small file system to fill");
        return;
    };
    let path = tiny.0.path().join("state");
    let sizes = Sizes { reserve: 0, ..Sizes::default() };
    fs::write(tiny.0.path().join("ballast"), vec![0; 512 << 10]).unwrap();
    let spool = SqliteSpool::open_with(&path, sizes).unwrap();
    let admitted = fill(&spool).await;
    assert!(admitted.len() > 3);
    // Until nothing at all fits any more.
    fs::write(tiny.0.path().join("other"), vec![0; 4 << 20]).unwrap_err();
    let refused = spool.admit(vec![arrival(&spool, "late", b"late")]).await;
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert_eq!(spool.counts(None).await.unwrap().admitted, admitted.len() as u64);
    drop(spool);
    for name in ["other", "ballast"] {
        fs::remove_file(tiny.0.path().join(name)).unwrap();
    }
    let spool = SqliteSpool::open_with(&path, sizes).unwrap();
    for (number, message) in admitted.iter().enumerate() {
        assert!(octets(&spool.open(*message).await.unwrap()) == sample::noise(number as u64, 200_000));
    }
    let late = admit(&spool, "late", b"late").await;
    assert_eq!(octets(&spool.open(late).await.unwrap()), b"late");
}

#[tokio::test]
async fn arriving_mail_leaves_room_to_make_room() {
    let Some(tiny) = Tiny::mount() else {
        println!("skipped: this user cannot mount a small file system to fill");
        return;
    };
    let sizes = Sizes { reserve: 1 << 20, ..Sizes::default() };
    let spool = SqliteSpool::open_with(&tiny.0.path().join("state"), sizes).unwrap();
    let admitted = fill(&spool).await;
    for lease in spool.lease_messages(100, NOW).await.unwrap() {
        spool.plan(lease, sample::discard(), NOW).await.unwrap();
    }
    let swept = spool.sweep(Duration::ZERO, NOW).await.unwrap();
    assert_eq!(swept.bodies, admitted.len() as u64);
    let next = admit(&spool, "next", &sample::noise(9, 200_000)).await;
    assert!(octets(&spool.open(next).await.unwrap()) == sample::noise(9, 200_000));
}
