//! No room here: the mail stays on the server, says why, and comes by itself when there is room. Nothing else stops.

use std::path::{Path, PathBuf};
use std::process::Command;

use postroom_practice::maildrop::Fault;
use postroom_practice::receiver::{ReceiverFault, Stage};
use postroom_practice::{Maildrop, MaildropConfig, Receiver, ReceiverConfig, Security, Times};

use crate::bad_input::SmallDisk;
use crate::reload::{Running, eventually};
use crate::support::{ARCHIVE, Bench, PASSWORD, account, authority, mail, maildrop};

/// A mail of about so many octets that compresses to nothing less.
fn large(name: &str, octets: usize) -> Vec<u8> {
    let line = b"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz\r\n";
    [mail(name), line.repeat(octets / line.len())].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_of_free_space_no_more_is_retrieved_and_everything_else_goes_on() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    let rest = |more| format!("{}{ARCHIVE}", account("home", server.addr().port(), more));
    bench.config(&rest(""));
    bench.once().await.0.expect(0);
    let rest = rest("delete = { when = \"done\", after = \"0s\" }");
    bench.config(&format!("limits = {{ free_space = \"5000 TiB\" }}\n{rest}"));
    server.add("user", mail("three"));
    let (run, summary) = bench.once().await;
    run.expect(75);
    let report = &summary["accounts"]["home"];
    assert_eq!((&report["new"], &report["retrieved"], &report["error"]), (&1.into(), &0.into(), &().into()));
    assert_eq!(report["trouble"], "no-room", "{report:#}");
    assert!(
        report["held"].as_str().expect("a reason").contains("`limits.free_space` asks for"),
        "{report:#}"
    );
    assert_eq!(report["removed"], 2, "what is safe here is deleted all the same");
    let stats = server.stats().account("user");
    assert_eq!((stats.logins, stats.quits), (2, 2), "the session ends in good order");
    bench.postroom(&["once"]).await.expect(75).says(&["no more was retrieved", "mail stays on the server"]);
    bench.config(&rest);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["accounts"]["home"]["retrieved"], 1);
    assert_eq!(bench.names("vault").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_whose_disk_fills_up_pauses_and_goes_on_when_there_is_room() {
    // With room left to it, and to the last octet.
    for floor in ["24 MiB", "0 B"] {
        let bench = Bench::new();
        let (_, identity) = authority(&bench);
        let Some(_disk) = SmallDisk::mount(bench.path("small"), "64m") else { return };
        let server = maildrop(&identity, vec![large("one", 200_000)]).await;
        let top = format!("state = \"small/state\"\nlimits = {{ free_space = \"{floor}\" }}\n");
        bench.config(&format!("{top}{}{ARCHIVE}", account("home", server.addr().port(), "poll = \"1s\"")));
        tokio::task::spawn_blocking(move || {
            let running = Running::start(&bench);
            running.says("retrieved=1");
            eventually(|| bench.names("vault").len() == 1);
            let ballast = bench.path("small/ballast");
            let filled = std::fs::write(&ballast, vec![1; 48 << 20]);
            if floor == "0 B" {
                let rest = bench.path("small/rest");
                assert!(filled.and_then(|()| std::fs::write(rest, vec![1; 64 << 20])).is_err());
            }
            server.add("user", large("two", 200_000));
            running.says("mail stays on the server");
            assert_eq!(bench.names("vault").len(), 1);
            bench.run(&["queue", "ls"]).expect(0);
            let _ = std::fs::remove_file(bench.path("small/rest"));
            std::fs::remove_file(ballast).expect("removed");
            eventually(|| bench.names("vault").len() == 2);
            running.stop();
            assert_eq!(server.messages("user").len(), 2);
        })
        .await
        .expect("the test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_much_larger_than_listed_is_broken_off_before_it_fills_the_disk() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let Some(_disk) = SmallDisk::mount(bench.path("small"), "64m") else { return };
    let server = maildrop(&identity, vec![large("one", 20 << 20), mail("two")]).await;
    server.inject(Fault::WrongSize { message: 1, size: 900 }, Times::Always);
    let with = |floor: &str| {
        let top = format!("state = \"small/state\"\nlimits = {{ free_space = \"{floor}\" }}\n");
        format!("{top}{}{ARCHIVE}", account("home", server.addr().port(), "pipelining = false"))
    };
    bench.config(&with("56 MiB"));
    let (run, summary) = bench.once().await;
    run.expect(75);
    let report = &summary["accounts"]["home"];
    assert_eq!(report["trouble"], "no-room", "{report:#}");
    assert!(report["error"].as_str().expect("an error").contains("was broken off"), "{report:#}");
    assert_eq!(server.stats().account("user").quits, 0, "the connection is dropped");
    assert_eq!(bench.names("small/state/incoming"), Vec::<String>::new(), "nothing is left of it");
    bench.config(&with("8 MiB"));
    bench.once().await.0.expect(0);
    assert_eq!(bench.names("vault").len(), 2);
}

/// As many runs as it takes while nothing is delivered, and then until all is: how much there was on the way at most.
async fn under_pressure(limit: &str, size: usize) -> (u64, usize) {
    const MESSAGES: usize = 8;
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mails = (0..MESSAGES).map(|number| large(&number.to_string(), size)).collect();
    let server = maildrop(&identity, mails).await;
    let receiver =
        Receiver::start(ReceiverConfig::new(Security::Implicit(identity.clone()))).await.expect("a receiver");
    receiver.inject(
        ReceiverFault::Reply { stage: Stage::Greeting, code: 421, text: "overloaded".to_owned() },
        Times::Always,
    );
    let relay = format!(
        "[sinks.relay]\ntype = \"smtp\"\nhost = \"localhost\"\nport = {}\nca_file = \"ca.pem\"\n\
         [[pipelines.main.steps]]\nplugin = \"forward\"\ngrants = {{ sinks = [\"relay\"] }}\n\
         settings = {{ sink = \"relay\", to = [\"you@elsewhere.example\"] }}\n",
        receiver.addr().port()
    );
    let section = account("home", server.addr().port(), "");
    bench.config(&format!("limits = {{ {limit} }}\n{section}{relay}"));
    let mut most = 0;
    for _ in 0..3 {
        let (run, summary) = bench.once().await;
        run.expect(75);
        let report = &summary["accounts"]["home"];
        assert!(
            report["held"].as_str().expect("a reason").contains("on their way to their sinks"),
            "{report:#}"
        );
        most = most.max(summary["counts"]["admitted"].as_u64().expect("a number"));
    }
    receiver.clear_faults();
    let mut runs = 0;
    while receiver.accepted().len() < MESSAGES {
        bench.once().await;
        runs += 1;
        assert!(runs <= 2 * MESSAGES, "it does not go on: {:?}", receiver.accepted().len());
    }
    bench.once().await.0.expect(0);
    assert_eq!(server.stats().account("user").retrieved_again(), Vec::<String>::new());
    (most, receiver.accepted().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_sinks_take_nothing_only_so_many_messages_leave_the_server() {
    assert_eq!(under_pressure("waiting = 3", 100).await, (3, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_sinks_take_nothing_only_so_many_octets_leave_the_server() {
    let (most, all) = under_pressure("spool = \"1 MiB\"", 700_000).await;
    assert!((2..=3).contains(&most), "{most} messages of 700 kB");
    assert_eq!(all, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_larger_than_all_that_may_be_in_flight_arrives_one_after_the_other() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mails = |of: &str| (0..3).map(|number| large(&format!("{of} {number}"), 3 << 20)).collect();
    let config = MaildropConfig::new(Security::Implicit(identity.clone()))
        .account("user", PASSWORD, mails("one"))
        .account("other", PASSWORD, mails("two"));
    let server = Maildrop::start(config).await.expect("a maildrop");
    let section = |name: &str| account(name, server.addr().port(), "");
    let other = section("other").replace("user = \"user\"", "user = \"other\"");
    bench.config(&format!("limits = {{ in_flight = \"1 MiB\" }}\n{}{other}{ARCHIVE}", section("home")));
    let (run, summary) = bench.once().await;
    run.expect(0);
    for name in ["home", "other"] {
        assert_eq!(summary["accounts"][name]["retrieved"], 3, "{summary:#}");
    }
    assert_eq!(bench.names("vault").len(), 6);
}

/// Lays a read-only view of a directory over it: what is open stays writable, what is opened from now on is not.
///
/// The view is made read-only beside the directory, where nobody writes, and laid over it in one step: made read-only in
/// place, it is busy whenever the host happens to have opened a file through it.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn over(at: &Path) -> Option<Self> {
        let beside = tempfile::tempdir().expect("a directory");
        let mount =
            |options: &[&str], paths: &[&Path]| Command::new("mount").args(options).args(paths).output();
        let made = mount(&["--bind"], &[at, beside.path()]).ok().filter(|output| output.status.success());
        if made.is_none() {
            println!("not tested: a read-only disk, because nothing can be mounted here");
            return None;
        }
        let aside = Self(beside.path().to_owned());
        for (options, paths) in [
            (&["-o", "remount,bind,ro"][..], &[beside.path()][..]),
            (&["--bind"][..], &[beside.path(), at][..]),
        ] {
            let made = mount(options, paths).expect("mount runs");
            assert!(made.status.success(), "{made:?}");
        }
        drop(aside);
        Some(Self(at.to_owned()))
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_becomes_read_only_pauses_the_polls_and_keeps_the_process() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "poll = \"1s\"")));
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("retrieved=1");
        let Some(view) = ReadOnly::over(&bench.path("state")) else { return };
        // It needs a file of its own while it arrives.
        server.add("user", large("two", 3 << 20));
        running.says("is on a file system that is read-only now: mount it writable");
        running.says("is on a file system that is read-only now: mount it writable");
        drop(view);
        eventually(|| bench.names("vault").len() == 2);
        running.stop();
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_read_only_at_start_is_named_and_nothing_is_retrieved() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    bench.once().await.0.expect(0);
    let Some(_view) = ReadOnly::over(&bench.path("state")) else { return };
    let path = std::fs::canonicalize(bench.path("state")).expect("the state");
    let text = format!(
        "error: the state directory {} is on a file system that is read-only now: mount it writable, mail stays on the server \
         meanwhile",
        path.display()
    );
    bench.postroom(&["once"]).await.expect(74).says(&[&text]);
    bench.postroom(&["run"]).await.expect(74).says(&[&text]);
    assert_eq!(server.stats().account("user").logins, 1);
}
