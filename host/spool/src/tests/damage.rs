//! Octets that changed on disk: they are found, retrieved again or set aside, and never handed out.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use postroom_mail::{MessageId, Timestamp};

use super::fresh;
use crate::conformance::sample::{
    self, admit, arrival, effect, lease_one, listed, name, octets, plan, receipt, state,
};
use crate::{
    DeletePolicy, EffectState, Error, MessageState, Refusal, Remedy, Settlement, Severity, Spool,
    SqliteSpool, Why,
};

const NOW: Timestamp = Timestamp(2000);
/// When everything is to be read again.
const LATER: Timestamp = Timestamp(2000 + 8 * 24 * 3_600_000);

fn segment(state: &Path, number: u32) -> PathBuf {
    state.join(format!("segments/{number:08}.seg"))
}

/// Changes one bit of the first place in a file that holds these octets.
fn flip(path: &Path, what: &[u8]) {
    let file = fs::read(path).unwrap();
    let at = file.windows(what.len()).position(|octets| octets == what).expect("it is there");
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[what[0] ^ 4], at as u64).unwrap();
}

fn examine(state: &Path) -> crate::Findings {
    SqliteSpool::examine(state, &mut |_, _| {}).unwrap()
}

async fn history(spool: &SqliteSpool, message: MessageId) -> String {
    let events = spool.history(message).await.unwrap().unwrap().events;
    events.into_iter().map(|event| event.text).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_scrub_finds_a_flipped_bit_and_the_next_poll_mends_it() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let (shop, listing) = (name("shop"), [listed("u1", 12), listed("u2", 12)]);
    let hurt = admit(&spool, "u1", b"first octets").await;
    let lease = lease_one(&spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let fine = admit(&spool, "u2", b"other octets").await;
    assert_eq!(spool.scrub(1 << 20, NOW).await.unwrap().checked, 0, "they were just written");
    assert_eq!(spool.reconcile(&shop, &listing).await.unwrap().known, 2);
    flip(&segment(dir.path(), 1), b"first octets");
    let scrubbed = spool.scrub(1 << 20, LATER).await.unwrap();
    assert_eq!((scrubbed.checked, scrubbed.damaged.len(), scrubbed.damaged[0].0), (2, 1, hurt));
    assert_eq!(spool.scrub(1 << 20, LATER).await.unwrap().checked, 0, "once a week");
    assert!(history(&spool, hurt).await.contains("its body is damaged: "));
    assert_eq!(state(&spool, hurt).await, MessageState::Planned);
    let found = spool.reconcile(&shop, &listing).await.unwrap();
    assert_eq!((found.new, found.known, found.returned.len(), found.vanished), (vec![0], 1, 0, 0));
    let policy = DeletePolicy::Spooled { after: Duration::ZERO };
    let removals = spool.removable(&shop, &listing, policy, NOW).await.unwrap();
    assert_eq!((removals.kept.len(), removals.kept[0].why), (1, Why::NoCopy), "the server's is the only one");
    let again = spool.admit(vec![arrival(&spool, "u1", b"first octets")]).await.unwrap();
    assert!(!again[0].new);
    assert_eq!(octets(&spool.open(hurt).await.unwrap()), b"first octets");
    assert!(history(&spool, hurt).await.ends_with("its body was damaged and has been retrieved again"));
    assert_eq!(spool.reconcile(&shop, &listing).await.unwrap().known, 2);
    let lease = spool.lease_effects(&name("vault"), 9, LATER).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Done(receipt()), LATER).await.unwrap();
    assert_eq!(state(&spool, hurt).await, MessageState::Done);
    drop(spool);
    let spool = SqliteSpool::open(dir.path()).unwrap();
    for (message, expected) in [(hurt, &b"first octets"[..]), (fine, b"other octets")] {
        assert_eq!(octets(&spool.open(message).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn a_scrub_reads_no_more_than_it_may_and_goes_on_where_it_ended() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    for number in 0..10 {
        admit(&spool, &format!("u{number}"), &sample::noise(number, 1000)).await;
    }
    let mut counts = Vec::new();
    for _ in 0..5 {
        counts.push(spool.scrub(3000, LATER).await.unwrap().checked);
    }
    assert_eq!(counts, [3, 3, 3, 1, 0]);
    let large = admit(&spool, "large", &sample::noise(1, 9000)).await;
    let scrubbed = spool.scrub(10, Timestamp(LATER.0 * 2)).await.unwrap();
    assert_eq!((scrubbed.checked, scrubbed.octets), (1, 9000), "one at least: {large}");
}

#[tokio::test]
async fn what_the_server_has_no_more_is_set_aside_unless_it_is_done() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let shop = name("shop");
    let done = admit(&spool, "done", b"done octets").await;
    spool.plan(lease_one(&spool, NOW).await, plan(Vec::new()), NOW).await.unwrap();
    let planned = admit(&spool, "planned", b"planned octets").await;
    let lease = lease_one(&spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let waiting = admit(&spool, "waiting", b"waiting octets").await;
    // Nothing of them is listed any more.
    spool.observe(&shop, &[], true, Duration::MAX, NOW).await.unwrap();
    for what in [&b"done octets"[..], b"planned octets", b"waiting octets"] {
        flip(&segment(dir.path(), 1), what);
    }
    assert_eq!(spool.scrub(1 << 20, LATER).await.unwrap().damaged.len(), 3);
    assert_eq!(state(&spool, done).await, MessageState::Done);
    for message in [planned, waiting] {
        assert_eq!(state(&spool, message).await, MessageState::Quarantined);
        let reason = spool.history(message).await.unwrap().unwrap().reason.unwrap();
        assert!(reason.contains("damaged") && reason.contains("the server has it no more"), "{reason}");
        assert!(matches!(spool.open(message).await, Err(Error::Corrupt { .. })));
    }
    assert_eq!(spool.damaged(waiting, "again".into(), LATER).await.unwrap(), Remedy::Lost);
    let found = spool.reconcile(&shop, &[listed("waiting", 14)]).await.unwrap();
    assert_eq!(found.new, [0], "should it be listed again, it is welcome");
}

#[tokio::test]
async fn a_dropped_message_keeps_its_grace_whatever_the_health_of_its_body() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let (shop, listing) = (name("shop"), [listed("u", 6)]);
    let message = admit(&spool, "u", b"octets").await;
    spool.discard(vec![message], NOW).await.unwrap().remove(0).outcome.unwrap();
    flip(&segment(dir.path(), 1), b"octets");
    assert_eq!(spool.damaged(message, "torn".into(), NOW).await.unwrap(), Remedy::Retrieve);
    let after = Duration::ZERO;
    for policy in [DeletePolicy::Spooled { after }, DeletePolicy::Done { after, keep: None, over: None }] {
        let removals = spool.removable(&shop, &listing, policy, NOW).await.unwrap();
        assert!(removals.removable.is_empty(), "{policy:?}");
        assert_eq!(removals.kept[0].why, Why::Dropped, "{policy:?}");
    }
}

#[tokio::test]
async fn what_was_damaged_after_its_proof_is_not_deleted() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let (shop, listing) = (name("shop"), [listed("fine", 6), listed("hurt", 6)]);
    admit(&spool, "fine", b"octets").await;
    let hurt = admit(&spool, "hurt", b"mangle").await;
    let policy = DeletePolicy::Spooled { after: Duration::ZERO };
    let proofs = spool.removable(&shop, &listing, policy, NOW).await.unwrap().removable;
    assert_eq!(proofs.len(), 2);
    flip(&segment(dir.path(), 1), b"mangle");
    assert_eq!(spool.damaged(hurt, "torn".into(), NOW).await.unwrap(), Remedy::Retrieve);
    let Err(Error::Conflict(what)) = spool.deleting(&proofs, NOW).await else { panic!("it was announced") };
    assert!(what.contains("out of date"), "{what}");
    assert_eq!(spool.observe(&shop, &[], true, Duration::MAX, NOW).await.unwrap().removed, 0);
}

#[tokio::test]
async fn a_lost_message_whose_effects_are_done_can_be_let_out_of_quarantine() {
    for verb in ["retry", "release"] {
        let dir = fresh();
        let spool = SqliteSpool::open(dir.path()).unwrap();
        let message = admit(&spool, "u", b"octets").await;
        let lease = lease_one(&spool, NOW).await;
        let effects = vec![effect(&lease, "vault", "a", true)];
        spool.plan(lease, plan(effects), NOW).await.unwrap();
        let lease = spool.lease_effects(&name("vault"), 9, NOW).await.unwrap().remove(0);
        spool.observe(&name("shop"), &[], true, Duration::MAX, NOW).await.unwrap();
        flip(&segment(dir.path(), 1), b"octets");
        assert_eq!(spool.damaged(message, "torn".into(), NOW).await.unwrap(), Remedy::Lost);
        spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
        assert_eq!(state(&spool, message).await, MessageState::Quarantined);
        let decide = async |sink: Option<&str>| {
            let (messages, sink) = (vec![message], sink.map(name));
            let decided = match verb {
                "retry" => spool.retry(messages, sink, LATER).await,
                _ => spool.let_go(messages, sink, LATER).await,
            };
            decided.unwrap().remove(0).outcome
        };
        assert_eq!(
            decide(Some("vault")).await,
            Err(Refusal::NothingAside),
            "{verb}: nothing of that sink is"
        );
        decide(None).await.unwrap();
        assert_eq!(state(&spool, message).await, MessageState::Done, "{verb}");
        assert!(history(&spool, message).await.ends_with("all that its plan asked for is settled"), "{verb}");
        assert_eq!(decide(None).await, Err(Refusal::NothingAside), "{verb}: once is enough");
    }
}

#[tokio::test]
async fn whoever_looked_before_a_body_was_replaced_marks_nothing() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let message = admit(&spool, "u", b"octets").await;
    assert_eq!(spool.damaged(message, "so it seemed".into(), NOW).await.unwrap(), Remedy::Sound);
    assert!(!history(&spool, message).await.contains("damaged"));
    let lease = lease_one(&spool, NOW).await;
    flip(&segment(dir.path(), 1), b"octets");
    assert_eq!(spool.damaged(message, "torn".into(), NOW).await.unwrap(), Remedy::Retrieve);
    spool.put_back(lease, LATER, "damaged".into(), NOW).await.unwrap();
    assert!(spool.lease_messages(1, NOW).await.unwrap().is_empty());
    spool.admit(vec![arrival(&spool, "u", b"octets")]).await.unwrap();
    let lease = lease_one(&spool, NOW).await;
    assert_eq!(lease.attempt, 1, "due at once, and nothing was counted");
    assert_eq!(octets(&spool.open(message).await.unwrap()), b"octets");
}

#[tokio::test]
async fn something_else_in_the_place_of_a_segment_is_told_and_moved_aside() {
    for kind in ["symlink", "fifo", "directory"] {
        let dir = fresh();
        let spool = SqliteSpool::open(dir.path()).unwrap();
        let message = admit(&spool, "u", b"octets").await;
        drop(spool);
        let (path, away) = (segment(dir.path(), 1), dir.path().join("away"));
        fs::rename(&path, &away).unwrap();
        match kind {
            "symlink" => symlink(&away, &path).unwrap(),
            "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
            _ => fs::create_dir(&path).unwrap(),
        }
        let spool = SqliteSpool::open(dir.path()).unwrap();
        let Err(Error::Corrupt { what }) = spool.open(message).await else { panic!("{kind}") };
        assert!(what.contains("no plain file"), "{what}");
        let next = admit(&spool, "next", b"more").await;
        assert_eq!(octets(&spool.open(next).await.unwrap()), b"more", "{kind}");
        drop(spool);
        let found = examine(dir.path());
        assert_eq!(found.damaged, [message], "{kind}: {found:#?}");
        let repaired = SqliteSpool::repair(dir.path(), &found, NOW).await.unwrap();
        assert_eq!((repaired.marked, repaired.moved), (1, vec![path]), "{kind}");
        assert!(dir.path().join("damaged-2000/00000001.seg").symlink_metadata().is_ok());
        let spool = SqliteSpool::open(dir.path()).unwrap();
        assert_eq!(spool.reconcile(&name("shop"), &[listed("u", 6)]).await.unwrap().new, [0]);
        spool.admit(vec![arrival(&spool, "u", b"octets")]).await.unwrap();
        drop(spool);
        assert_eq!(examine(dir.path()).worst(), None, "{kind}: {:#?}", examine(dir.path()));
        assert_eq!(fs::read(&away).unwrap().len(), 31 - 1 + 48 + 6, "what a link pointed to is untouched");
    }
}

#[tokio::test]
async fn something_else_in_the_place_of_the_database_is_refused() {
    for kind in ["symlink", "fifo", "directory"] {
        let dir = fresh();
        let path = dir.path().join("postroom.db");
        match kind {
            "symlink" => symlink("elsewhere", &path).unwrap(),
            "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
            _ => fs::create_dir(&path).unwrap(),
        }
        assert!(matches!(SqliteSpool::open(dir.path()), Err(Error::Corrupt { .. })), "{kind}");
        assert!(!dir.path().join("elsewhere").exists());
    }
}

/// A state with committed work in the database and more in its log, as a power cut leaves it.
async fn hot(image: &Path) -> Vec<(MessageId, Vec<u8>)> {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let mut all = Vec::new();
    for number in 0..20 {
        let content = sample::noise(number, 200);
        all.push((admit(&spool, &format!("u{number}"), &content).await, content));
        if number == 9 {
            drop(rusqlite::Connection::open(dir.path().join("postroom.db")).unwrap().query_row(
                "PRAGMA wal_checkpoint(TRUNCATE)",
                [],
                |_| Ok(()),
            ));
        }
    }
    super::image(dir.path(), image);
    all
}

#[tokio::test]
async fn no_flipped_bit_of_the_database_or_its_log_hands_out_wrong_octets() {
    let image = fresh();
    let all = hot(image.path()).await;
    let mut random = sample::Random(7);
    let (mut refused, mut missing, mut sound) = (0, 0, 0);
    for round in 0..120 {
        let dir = fresh();
        super::image(image.path(), dir.path());
        let path = dir.path().join(if round % 2 == 0 { "postroom.db" } else { "postroom.db-wal" });
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let at = random.below(file.metadata().unwrap().len());
        let mut octet = [0];
        file.read_exact_at(&mut octet, at).unwrap();
        file.write_all_at(&[octet[0] ^ (1 << random.below(8))], at).unwrap();
        let spool = match SqliteSpool::open(dir.path()) {
            Ok(spool) => spool,
            Err(error) => {
                assert!(!matches!(error, Error::Full { .. }), "{error}");
                refused += 1;
                continue;
            }
        };
        for (message, content) in &all {
            match spool.open(*message).await {
                Ok(body) => {
                    assert_eq!(octets(&body), *content, "octet {at} of {}", path.display());
                    sound += 1;
                }
                // What the log lost is still on the server, and is new there.
                Err(_) => missing += 1,
            }
        }
    }
    println!("{refused} times refused, {missing} bodies told as missing, {sound} handed out");
    assert!(missing > 0 && sound > 100);
}

#[tokio::test]
async fn a_state_whose_database_is_gone_is_not_begun_anew_but_rebuilt() {
    for how in ["missing", "empty", "garbage", "without tables"] {
        let dir = fresh();
        let spool = SqliteSpool::open(dir.path()).unwrap();
        let one = admit(&spool, "u1", b"first octets").await;
        spool.plan(lease_one(&spool, NOW).await, plan(Vec::new()), NOW).await.unwrap();
        let two = admit(&spool, "u2", b"second octets").await;
        drop(spool);
        let database = dir.path().join("postroom.db");
        match how {
            "missing" => fs::remove_file(&database).unwrap(),
            "empty" => fs::write(&database, b"").unwrap(),
            "garbage" => fs::write(&database, sample::noise(1, 8192)).unwrap(),
            _ => {
                fs::remove_file(&database).unwrap();
                let sql = rusqlite::Connection::open(&database).unwrap();
                sql.execute_batch("CREATE TABLE t (x); DROP TABLE t").unwrap();
            }
        }
        let before = fs::read(segment(dir.path(), 1)).unwrap();
        for _ in 0..2 {
            let error = SqliteSpool::open(dir.path()).err().expect(how);
            assert!(matches!(error, Error::Corrupt { .. }), "{how}: {error}");
            assert!(how == "garbage" || error.to_string().contains("doctor --rebuild"), "{error}");
            assert!(SqliteSpool::open_readonly(dir.path()).is_err(), "{how}");
        }
        assert_eq!(fs::read(segment(dir.path(), 1)).unwrap(), before, "{how}");
        let found = examine(dir.path());
        assert_eq!((found.worst(), found.schema), (Some(Severity::Damage), None), "{how}: {found:#?}");

        let rebuilt = SqliteSpool::rebuild(dir.path(), false, NOW, &mut |_, _| {}).unwrap();
        assert_eq!((rebuilt.messages, rebuilt.known, rebuilt.without_origin, rebuilt.damaged), (2, 2, 0, 0));
        assert_eq!(rebuilt.aside.is_some(), how != "missing");
        let mode = fs::metadata(&database).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let spool = SqliteSpool::open(dir.path()).unwrap();
        assert_eq!(spool.learnt(crate::RESTORED).await.unwrap(), None);
        let listing = [listed("u1", 12), listed("u2", 13), listed("u3", 1)];
        assert_eq!(spool.reconcile(&name("shop"), &listing).await.unwrap().new, [2]);
        for (message, expected) in [(one, &b"first octets"[..]), (two, b"second octets")] {
            assert_eq!(octets(&spool.open(message).await.unwrap()), expected);
            assert_eq!(state(&spool, message).await, MessageState::Quarantined);
            assert!(history(&spool, message).await.contains("rebuilt from its segment"));
        }
        let again = SqliteSpool::rebuild(dir.path(), false, NOW, &mut |_, _| {});
        assert!(matches!(again, Err(Error::InUse { .. })));
        drop(spool);
        let again = SqliteSpool::rebuild(dir.path(), false, NOW, &mut |_, _| {});
        assert!(matches!(again, Err(Error::Conflict(_))), "it is sound now");
        assert!(examine(dir.path()).worst() < Some(Severity::Warning), "{:#?}", examine(dir.path()));
    }
}

#[tokio::test]
async fn a_rebuilding_can_run_everything_again_with_the_same_effects() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    admit(&spool, "u1", b"first octets").await;
    let lease = lease_one(&spool, NOW).await;
    let before = effect(&lease, "vault", "a", true);
    drop((lease, spool));
    fs::remove_file(dir.path().join("postroom.db")).unwrap();
    SqliteSpool::rebuild(dir.path(), true, NOW, &mut |_, _| {}).unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let lease = lease_one(&spool, NOW).await;
    assert_eq!(lease.provenance.retrieved, Timestamp(1000));
    assert_eq!(effect(&lease, "vault", "a", true).id, before.id, "a sink knows its own work by it");
    let message = lease.message;
    spool.plan(lease, plan(vec![before]), NOW).await.unwrap();
    let record = spool.history(message).await.unwrap().unwrap().effects.remove(0);
    assert_eq!(record.state, EffectState::Pending);
}

#[tokio::test]
async fn a_rebuilding_finds_every_record_around_a_damaged_one() {
    let image = fresh();
    let spool = SqliteSpool::open(image.path()).unwrap();
    let contents: Vec<_> = (0..5).map(|number| sample::noise(number, 100)).collect();
    let mut all = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        all.push(admit(&spool, &format!("u{number}"), content).await);
    }
    drop(spool);
    fs::remove_file(image.path().join("postroom.db")).unwrap();
    let record = fs::metadata(segment(image.path(), 1)).unwrap().len() / 5;
    assert_eq!(record, 31 + 48 + 100);
    // In the origin, in the header's magic, length, id and checksum, and in the octets of the third.
    for at in [0, 5, 9, 20, 31, 36, 38, 50, 77, 90, 178] {
        let dir = fresh();
        super::image(image.path(), dir.path());
        let file = OpenOptions::new().read(true).write(true).open(segment(dir.path(), 1)).unwrap();
        let mut octet = [0];
        file.read_exact_at(&mut octet, 2 * record + at).unwrap();
        file.write_all_at(&[octet[0] ^ 1], 2 * record + at).unwrap();
        let rebuilt = SqliteSpool::rebuild(dir.path(), false, NOW, &mut |_, _| {}).unwrap();
        let spool = SqliteSpool::open(dir.path()).unwrap();
        for (index, message) in all.iter().enumerate() {
            match spool.open(*message).await {
                Ok(body) => assert_eq!(octets(&body), contents[index], "octet {at}"),
                Err(error) => assert!(index == 2, "octet {at}: message {index}: {error}"),
            }
        }
        // What is read after a search may be a part of a mail: the server is asked again.
        let listing: Vec<_> = (0..5).map(|number| listed(&format!("u{number}"), 100)).collect();
        let found = spool.reconcile(&name("shop"), &listing).await.unwrap();
        assert!(found.new.contains(&2) && !found.new.contains(&0) && !found.new.contains(&1), "octet {at}");
        assert!(rebuilt.messages >= 4, "octet {at}: {rebuilt:?}");
        for number in 0..5 {
            let uid = format!("u{number}");
            spool.admit(vec![arrival(&spool, &uid, &contents[number as usize])]).await.unwrap();
        }
        assert_eq!(spool.reconcile(&name("shop"), &listing).await.unwrap().known, 5);
        // Under a damaged id the octets are kept all the same.
        let admitted = if at == 50 { 6 } else { 5 };
        assert_eq!(spool.counts(None).await.unwrap().admitted, admitted, "octet {at}");
    }
}

#[tokio::test]
async fn records_of_the_first_version_come_back_without_their_account_until_the_server_shows_them() {
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let message = admit(&spool, "u1", b"first octets").await;
    drop(spool);
    let path = segment(dir.path(), 1);
    let old = fs::read(&path).unwrap().split_off(31);
    assert_eq!(&old[..4], b"PMR1");
    fs::write(&path, old).unwrap();
    fs::remove_file(dir.path().join("postroom.db")).unwrap();
    let rebuilt = SqliteSpool::rebuild(dir.path(), false, NOW, &mut |_, _| {}).unwrap();
    assert_eq!((rebuilt.messages, rebuilt.without_origin, rebuilt.known), (1, 1, 0));
    let spool = SqliteSpool::open(dir.path()).unwrap();
    assert_eq!(octets(&spool.open(message).await.unwrap()), b"first octets");
    let account = || async { spool.history(message).await.unwrap().unwrap().provenance.account };
    assert_eq!(account().await, name("recovered"));
    let again = spool.admit(vec![arrival(&spool, "u1", b"first octets")]).await.unwrap();
    assert_eq!((again[0].message, again[0].new), (message, false));
    assert_eq!(account().await, name("shop"));
}

#[tokio::test]
async fn an_examination_changes_nothing_and_finds_what_is_open_to_others() {
    let dir = fresh();
    let state = dir.path().join("state");
    let spool = SqliteSpool::open(&state).unwrap();
    admit(&spool, "u1", b"first octets").await;
    let found = examine(&state);
    assert_eq!(
        (found.worst(), found.messages, found.sound, found.schema),
        (None, 1, 1, Some(4)),
        "{found:#?}"
    );
    assert_eq!((found.running, found.process), (true, Some(std::process::id())));
    drop(spool);
    assert!(!examine(&state).running);
    fs::set_permissions(segment(&state, 1), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(state.join("incoming/half"), b"half a message").unwrap();
    let names = |path: &Path| {
        let entries = fs::read_dir(path).unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
        names.sort();
        names
    };
    let before = names(&state);
    let found = examine(&state);
    assert_eq!(found.worst(), Some(Severity::Warning));
    let what: Vec<_> = found.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert!(what.iter().any(|what| what.contains("mode 644")), "{what:?}");
    assert!(what.iter().any(|what| what.contains("unfinished arrivals")), "{what:?}");
    let after: Vec<_> =
        names(&state).into_iter().filter(|(name, _)| !name.to_string_lossy().contains("db-")).collect();
    let before: Vec<_> =
        before.into_iter().filter(|(name, _)| !name.to_string_lossy().contains("db-")).collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_lock_is_the_systems_and_a_file_left_behind_is_none() {
    let dir = fresh();
    // As after a power cut, with the number of a process that is somebody else's now.
    fs::write(dir.path().join("lock"), "1\n").unwrap();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    assert!(matches!(SqliteSpool::open(dir.path()), Err(Error::InUse { .. })));
    let found = examine(dir.path());
    assert!(matches!(SqliteSpool::repair(dir.path(), &found, NOW).await, Err(Error::InUse { .. })));
    drop(spool);
    SqliteSpool::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_record_inside_a_damaged_mail_makes_no_unique_id_known() {
    let other = fresh();
    let false_mail = admit(&SqliteSpool::open(other.path()).unwrap(), "victim", b"false octets").await;
    let record = fs::read(segment(other.path(), 1)).unwrap();
    let dir = fresh();
    let spool = SqliteSpool::open(dir.path()).unwrap();
    admit(&spool, "u1", &record).await;
    admit(&spool, "u2", b"more octets").await;
    drop(spool);
    fs::remove_file(dir.path().join("postroom.db")).unwrap();
    let path = segment(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    for hurt in [false, true] {
        fs::write(&path, &whole).unwrap();
        if hurt {
            // The length of the outer record.
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[0xff], 31 + 6).unwrap();
        }
        let _ = fs::remove_file(dir.path().join("postroom.db"));
        SqliteSpool::rebuild(dir.path(), false, NOW, &mut |_, _| {}).unwrap();
        let spool = SqliteSpool::open(dir.path()).unwrap();
        let found = spool.history(false_mail).await.unwrap();
        assert_eq!(found.is_some(), hurt, "inside a sound mail it is not even looked for");
        let listing = [listed("victim", 12), listed("u2", 11)];
        assert!(spool.reconcile(&name("shop"), &listing).await.unwrap().new.contains(&0));
    }
}
