//! What an interrupted or repeated repair, a copy put back over newer segments, and a sweep of tiny mail must not do.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_mail::{MessageId, Timestamp};

use super::{fresh, rolling_at};
use crate::conformance::sample::{self, admit, effect, lease_one, name, octets, plan, state};
use crate::{Error, MessageState, Severity, Spool, SqliteSpool};

const NOW: Timestamp = Timestamp(2000);

fn segment(state: &Path, number: u32) -> PathBuf {
    state.join(format!("segments/{number:08}.seg"))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn examine(state: &Path) -> crate::Findings {
    SqliteSpool::examine(state, &mut |_, _| {}).unwrap()
}

async fn repair(state: &Path) -> crate::Repaired {
    SqliteSpool::repair(state, &examine(state), NOW).await.unwrap()
}

fn rebuild(state: &Path) -> crate::Result<crate::Rebuilt> {
    SqliteSpool::rebuild(state, false, NOW, &mut |_, _| {})
}

fn copy_database(state: &Path, to: &Path) {
    let from = rusqlite::Connection::open(state.join("postroom.db")).unwrap();
    let mut to = rusqlite::Connection::open(to).unwrap();
    rusqlite::backup::Backup::new(&from, &mut to).unwrap().step(-1).unwrap();
}

fn put_back(copy: &Path, state: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(state.join(format!("postroom.db{suffix}")));
    }
    fs::write(state.join("postroom.db"), fs::read(copy).unwrap()).unwrap();
}

/// Admits a message that ends at once.
async fn discarded(spool: &SqliteSpool, uid: &str, content: &[u8]) -> MessageId {
    let message = admit(spool, uid, content).await;
    spool.plan(lease_one(spool, NOW).await, sample::discard(), NOW).await.unwrap();
    message
}

/// As a kill leaves it: what was committed is in the log only.
async fn hot(image: &Path) -> Vec<(MessageId, &'static [u8])> {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let mut all = Vec::new();
    for (uid, content) in [("u1", &b"first octets"[..]), ("u2", b"second octets")] {
        all.push((admit(&spool, uid, content).await, content));
    }
    super::image(dir.path(), image);
    all
}

#[tokio::test]
async fn a_database_that_cannot_be_moved_aside_keeps_its_log_and_the_epoch() {
    let dir = fresh();
    let path = dir.path().join("state");
    hot(&path).await;
    let (log, epoch) = (path.join("postroom.db-wal"), fs::read(path.join("epoch")).unwrap());
    // A directory cannot be moved into itself.
    fs::remove_file(path.join("postroom.db")).unwrap();
    fs::create_dir_all(path.join("postroom.db/inside")).unwrap();
    symlink("postroom.db/inside", path.join(format!("damaged-{}", NOW.0))).unwrap();
    let before = fs::read(&log).unwrap();
    assert!(!before.is_empty());
    let error = rebuild(&path).expect_err("it cannot be moved");
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(fs::read(&log).unwrap(), before);
    assert_eq!(fs::read(path.join("epoch")).unwrap(), epoch);
}

#[tokio::test]
async fn a_rebuilding_interrupted_between_its_moves_is_refused_and_done_again() {
    for moved in [&[""][..], &["", "-wal"], &["", "-wal", "-shm"]] {
        let dir = fresh();
        let path = dir.path().join("state");
        let all = hot(&path).await;
        let segment_before = fs::read(segment(&path, 1)).unwrap();
        fs::create_dir(path.join("damaged-1")).unwrap();
        for suffix in moved {
            let name = format!("postroom.db{suffix}");
            fs::rename(path.join(&name), path.join("damaged-1").join(&name)).unwrap();
        }
        let error = SqliteSpool::open(&path).err().expect("there is no database");
        assert!(matches!(error, Error::Corrupt { .. }), "{moved:?}: {error}");
        assert_eq!(fs::read(segment(&path, 1)).unwrap(), segment_before, "{moved:?}");
        assert_eq!(rebuild(&path).unwrap().messages, 2, "{moved:?}");
        let spool = SqliteSpool::open(&path).unwrap();
        for (message, expected) in all {
            assert_eq!(octets(&spool.open(message).await.unwrap()), expected, "{moved:?}");
        }
    }
}

#[tokio::test]
async fn a_copy_from_before_a_rebuilding_is_noticed_as_older() {
    let dir = fresh();
    let path = dir.path().join("state");
    let epoch = || fs::read_to_string(path.join("epoch")).unwrap();
    for number in 0..3 {
        admit(&SqliteSpool::open(&path).unwrap(), &format!("u{number}"), b"octets").await;
    }
    let copy = dir.path().join("copy.db");
    copy_database(&path, &copy);
    let before = epoch();
    fs::write(path.join("postroom.db"), sample::noise(1, 8192)).unwrap();
    rebuild(&path).unwrap();
    assert!(epoch() > before, "{before:?} {:?}", epoch());
    assert!(examine(&path).worst() < Some(Severity::Warning), "{:#?}", examine(&path));
    put_back(&copy, &path);
    assert!(examine(&path).findings.iter().any(|finding| finding.what.contains("older copy")));
}

#[tokio::test]
async fn the_number_of_a_freed_segment_is_not_given_again() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    discarded(&spool, "u1", b"octets").await;
    assert!(spool.sweep(Duration::ZERO, Timestamp(9000)).await.unwrap().octets > 0);
    drop(spool);
    assert!(names(&dir.path().join("segments")).is_empty());
    let spool = SqliteSpool::open(dir.path()).unwrap();
    admit(&spool, "u2", b"octets").await;
    assert_eq!(names(&dir.path().join("segments")), ["00000002.seg"]);
}

#[tokio::test]
async fn a_newer_file_under_a_number_an_older_database_knows_is_kept_whole() {
    let dir = fresh();
    let path = dir.path().join("state");
    let spool = SqliteSpool::open(&path).unwrap();
    discarded(&spool, "old", &sample::noise(1, 150)).await;
    drop(spool);
    let copy = dir.path().join("copy.db");
    copy_database(&path, &copy);
    let spool = SqliteSpool::open(&path).unwrap();
    let mut newer = Vec::new();
    // The first below the older database's end, the second across it.
    for number in 0..2 {
        newer.push(admit(&spool, &format!("n{number}"), &sample::noise(50 + number, 100)).await);
    }
    drop(spool);
    // As an earlier version left it: the sweep freed the old record's segment, and its number was given again.
    let whole = fs::read(segment(&path, 1)).unwrap();
    let old = 48 + 12 + 13 + 4 + 3 + 150;
    fs::write(segment(&path, 1), &whole[old..]).unwrap();
    put_back(&copy, &path);
    drop(SqliteSpool::open(&path).unwrap());
    assert_eq!(repair(&path).await.adopted, 2);
    let spool = SqliteSpool::open(&path).unwrap();
    for (number, message) in (50..).zip(newer) {
        assert_eq!(octets(&spool.open(message).await.unwrap()), sample::noise(number, 100));
        assert_eq!(state(&spool, message).await, MessageState::Quarantined);
    }
}

/// A state with one message that was kept aside and not brought in.
async fn with_orphan(path: &Path) -> MessageId {
    admit(&SqliteSpool::open(path).unwrap(), "old", b"old octets").await;
    let other = fresh();
    let copy = other.path().join("copy.db");
    copy_database(path, &copy);
    let lost = admit(&SqliteSpool::open(path).unwrap(), "lost", b"lost octets").await;
    put_back(&copy, path);
    drop(SqliteSpool::open(path).unwrap());
    assert_eq!(names(&path.join("orphans")), ["00000001-0.seg"]);
    lost
}

#[tokio::test]
async fn a_file_that_is_a_segment_already_is_not_brought_in_again() {
    for rebuilding in [false, true] {
        let dir = fresh();
        let path = dir.path().join("state");
        let lost = with_orphan(&path).await;
        assert_eq!(repair(&path).await.adopted, 1);
        // As a kill before the removal of the other name leaves it.
        fs::hard_link(segment(&path, 2), path.join("orphans/00000001-0.seg")).unwrap();
        let spool = SqliteSpool::open(&path).unwrap();
        let later = admit(&spool, "later", b"later octets").await;
        drop(spool);
        if rebuilding {
            fs::remove_file(path.join("postroom.db")).unwrap();
            rebuild(&path).unwrap();
        } else {
            assert_eq!(repair(&path).await.adopted, 0);
        }
        assert!(names(&path.join("orphans")).is_empty(), "{rebuilding}");
        assert_eq!(names(&path.join("segments")), ["00000001.seg", "00000002.seg"], "{rebuilding}");
        let spool = SqliteSpool::open(&path).unwrap();
        for (message, expected) in [(lost, &b"lost octets"[..]), (later, b"later octets")] {
            assert_eq!(octets(&spool.open(message).await.unwrap()), expected, "{rebuilding}");
        }
    }
}

#[tokio::test]
async fn what_could_not_be_read_outlasts_the_sweep_that_frees_its_segment() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    admit(&spool, "u1", b"first octets").await;
    drop(spool);
    let file = OpenOptions::new().append(true).open(segment(dir.path(), 1));
    file.unwrap().write_all(b"nobody can read this").unwrap();
    let before = fs::read(segment(dir.path(), 1)).unwrap();
    fs::remove_file(dir.path().join("postroom.db")).unwrap();
    let rebuilt = SqliteSpool::rebuild(dir.path(), true, NOW, &mut |_, _| {}).unwrap();
    assert_eq!((rebuilt.damaged, rebuilt.unread.len()), (1, 1));
    let spool = SqliteSpool::open(dir.path()).unwrap();
    spool.plan(lease_one(&spool, NOW).await, sample::discard(), NOW).await.unwrap();
    assert!(spool.sweep(Duration::ZERO, Timestamp(9000)).await.unwrap().octets > 0);
    drop(spool);
    assert!(!segment(dir.path(), 1).exists());
    assert_eq!(fs::read(&rebuilt.unread[0]).unwrap(), before);
}

#[tokio::test]
async fn what_was_kept_aside_and_could_not_all_be_read_outlasts_its_adoption() {
    let dir = fresh();
    with_orphan(dir.path()).await;
    let orphan = dir.path().join("orphans/00000001-0.seg");
    OpenOptions::new().append(true).open(&orphan).unwrap().write_all(b"odd").unwrap();
    let before = fs::read(&orphan).unwrap();
    let repaired = repair(dir.path()).await;
    assert_eq!((repaired.adopted, repaired.unread.len()), (1, 1));
    assert_eq!(fs::read(&repaired.unread[0]).unwrap(), before);
}

#[tokio::test]
async fn what_waits_in_a_restored_database_may_have_been_delivered() {
    let dir = fresh();
    let (path, copy) = (dir.path().join("state"), dir.path().join("copy"));
    let spool = SqliteSpool::open(&path).unwrap();
    admit(&spool, "u1", b"first octets").await;
    let lease = lease_one(&spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    drop(spool);
    // An ordinary start doubts nothing.
    drop(SqliteSpool::open(&path).unwrap());
    SqliteSpool::backup(&path, &copy, NOW, &mut |_, _| {}).unwrap();
    for (state, doubts) in [(&path, 0), (&copy, 1)] {
        let spool = SqliteSpool::open(state).unwrap();
        let lease = spool.lease_effects(&name("vault"), 9, NOW).await.unwrap().remove(0);
        assert_eq!((lease.attempt, lease.doubts), (1, doubts));
    }
    let spool = SqliteSpool::open(&copy).unwrap();
    assert!(spool.learnt(crate::RESTORED).await.unwrap().unwrap().contains("once at most"));
    let lease = spool.lease_effects(&name("vault"), 9, NOW).await.unwrap().remove(0);
    assert_eq!(lease.doubts, 1, "counted once");
}

#[tokio::test]
async fn a_backup_holds_the_mail_that_was_kept_aside() {
    let dir = fresh();
    let (path, copy) = (dir.path().join("state"), dir.path().join("copy"));
    let lost = with_orphan(&path).await;
    let copied = SqliteSpool::backup(&path, &copy, NOW, &mut |_, _| {}).unwrap();
    assert_eq!(copied.findings.worst(), Some(Severity::Warning), "{:#?}", copied.findings);
    assert_eq!(repair(&copy).await.adopted, 1);
    let spool = SqliteSpool::open(&copy).unwrap();
    assert_eq!(octets(&spool.open(lost).await.unwrap()), b"lost octets");
}

#[tokio::test]
async fn segments_of_tiny_mail_are_not_copied_again_and_again() {
    let dir = fresh();
    let spool = SqliteSpool::open_with(dir.path(), rolling_at(400)).unwrap();
    for number in 0..20 {
        admit(&spool, &format!("u{number}"), &[b'a' + number]).await;
    }
    spool.sweep(Duration::ZERO, NOW).await.unwrap();
    let before = names(&dir.path().join("segments"));
    assert!(before.len() > 2, "{before:?}");
    assert_eq!(spool.sweep(Duration::ZERO, NOW).await.unwrap().octets, 0);
    assert_eq!(names(&dir.path().join("segments")), before);
}
