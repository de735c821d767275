//! Damaged and lost state, through the real binary: it is refused, told, mended, copied and put back.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

fn segment(bench: &Bench) -> std::path::PathBuf {
    bench.path("state/segments/00000001.seg")
}

fn flip(bench: &Bench, what: &[u8]) {
    let octets = fs::read(segment(bench)).expect("a segment");
    let at = octets.windows(what.len()).position(|octets| octets == what).expect("it is there");
    let file = fs::OpenOptions::new().write(true).open(segment(bench)).expect("a segment");
    file.write_all_at(&[what[0] ^ 1], at as u64).expect("a flip");
}

fn remove_database(bench: &Bench) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(bench.path(&format!("state/postroom.db{suffix}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_its_database_is_refused_and_can_be_rebuilt() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two"), mail("three")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "delete = \"never\"")));
    bench.once().await.0.expect(0);
    bench.run(&["doctor"]).expect(0).says(&["3 messages", "3 bodies read whole"]);
    let before = fs::read(segment(&bench)).expect("a segment");

    remove_database(&bench);
    let (run, _) = bench.once().await;
    run.expect(65).says(&["postroom.db is missing", "doctor --rebuild"]);
    bench.run(&["queue", "ls"]).expect(65).says(&["doctor"]);
    bench.write("state/postroom.db", b"");
    bench.once().await.0.expect(65).says(&["is empty", "doctor --rebuild"]);
    assert_eq!(fs::read(segment(&bench)).expect("a segment"), before, "nothing was touched");
    bench.run(&["doctor"]).expect(65).says(&[
        "damage",
        "3 whole messages are in the segments",
        "doctor --rebuild",
    ]);
    bench.run(&["doctor", "--rebuild"]).expect(0).says(&["3 messages, 3 unique-ids known again"]);
    bench.run(&["doctor", "--rebuild"]).expect(64).says(&["the database is sound"]);

    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["accounts"]["home"]["retrieved"], 0, "the ledger knows them again: {summary:#}");
    assert_eq!(summary["counts"]["quarantined"], 3);
    assert_eq!(bench.names("vault").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rebuilding_runs_again_is_not_stored_twice() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "delete = \"never\"")));
    bench.once().await.0.expect(0);
    remove_database(&bench);
    bench.run(&["doctor", "--rebuild", "--rerun"]).expect(0);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!((&summary["counts"]["done"], bench.names("vault").len()), (&2.into(), 2));
    let stored = bench.digests("vault");
    assert!(stored.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_damaged_before_its_delivery_is_retrieved_again_and_delivered_right() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let (one, two) = (mail("one"), mail("two"));
    let server = maildrop(&identity, vec![one.clone(), two.clone()]).await;
    let archive = ARCHIVE.replace("path = \"vault\"", "path = \"later/vault\"");
    bench.config(&format!("{}{archive}", account("home", server.addr().port(), "delete = \"never\"")));
    // The sink cannot work yet.
    assert_ne!(bench.once().await.0.code, Some(0));
    flip(&bench, b"Subject: one");
    fs::create_dir(bench.path("later")).expect("a directory");
    bench.run(&["doctor"]).expect(65).says(&["damage", "the checksum does not match", "--repair"]);
    // One run may list the maildrop before the damage is found; the next one retrieves.
    for _ in 0..2 {
        bench.once().await;
    }
    let expected = [one, two].iter().map(|mail| (postroom_mail::Digest::of(mail), 1)).collect();
    assert_eq!(bench.digests("later/vault"), expected);
    bench.once().await.0.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_state_can_be_examined_and_copied_and_the_copy_goes_on() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mails: Vec<_> = (0..20).map(|number| mail(&format!("number {number}"))).collect();
    let server = maildrop(&identity, mails).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "delete = \"never\"")));
    bench.run(&["check"]).expect(0);
    let mut child =
        bench.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    for _ in 0..30_000 {
        if bench.names("vault").len() >= 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let found = bench.postroom(&["doctor", "--json"]).await;
    let copied = bench.postroom(&["backup", "copy"]).await;
    let again = bench.postroom(&["backup", "copy"]).await;
    let repair = bench.postroom(&["doctor", "--repair"]).await;
    let process = child.id();
    child.kill().expect("SIGKILL");
    let _ = child.wait();
    assert_eq!(found.expect(0).json()["process"], process);
    copied.expect(0).says(&["copied the database"]);
    again.expect(73).says(&["not empty"]);
    repair.expect(75).says(&["another postroom process"]);

    fs::rename(bench.path("state"), bench.path("lost")).expect("the state is gone");
    fs::rename(bench.path("copy"), bench.path("state")).expect("the copy takes its place");
    fs::rename(bench.path("lost/compiled"), bench.path("state/compiled")).expect("plugins are compiled once");
    bench.run(&["doctor"]).expect(0);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 20, "{summary:#}");
    assert_eq!(bench.names("vault").len(), 20);
    bench.run(&["doctor"]).expect(0).says(&["restored from a backup"]);
    bench.run(&["doctor", "--repair"]).expect(0);
    let sound = bench.run(&["doctor"]);
    assert!(!sound.expect(0).stdout.contains("restored"), "{sound:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_the_tables_are_made_is_made_up_for_by_the_next_start() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "delete = \"never\"")));
    for point in ["step#1", "step#2", "step#3", "step#4", "brought#1", "committed#1"] {
        let mut command = bench.command(&["once"]);
        command.env("POSTROOM_FAILPOINTS", format!("kill=start.schema/{point}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let status = tokio::task::spawn_blocking(move || command.status()).await.expect("joins");
        assert_eq!(status.expect("it runs").code(), None, "{point}: it was killed");
        bench.once().await.0.expect(0);
        assert_eq!(bench.names("vault").len(), 1);
        bench.run(&["doctor"]).expect(0).says(&["schema 4, 1 message, 1 body read whole"]);
        for name in ["segments", "incoming", "orphans"] {
            let _ = fs::remove_dir_all(bench.path(&format!("state/{name}")));
        }
        for name in ["postroom.db", "postroom.db-wal", "postroom.db-shm", "epoch", "lock"] {
            let _ = fs::remove_file(bench.path(&format!("state/{name}")));
        }
    }
}
