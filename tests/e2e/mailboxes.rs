//! Whole maildrops of a real Dovecot: renumbered, huge, many at once, locked, and emptied by policy.

use std::time::Instant;

use postroom_tests::dovecot::Setup;
use postroom_tests::{Dovecot, hold, watched};
use serde_json::Value;

use crate::support::{ARCHIVE, Bench, PASSWORD, account, authority, mail};

/// The `[accounts.NAME]` section of one of several users of a server.
pub(crate) fn of(name: &str, port: u16, user: &str, more: &str) -> String {
    account(name, port, more).replace("user = \"user\"", &format!("user = \"{user}\""))
}

/// `once`, which must end so, and what it says of the account `home`.
async fn poll(bench: &Bench, code: i32) -> Value {
    let (run, summary) = bench.once().await;
    run.expect(code);
    summary["accounts"]["home"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_unique_ids_format_brings_no_duplicate_and_loses_no_new_mail() {
    const KNOWN: usize = 60;
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let mut dovecot = Dovecot::start(&authority, &[("user", PASSWORD)]).await.expect("Dovecot");
    for number in 0..KNOWN {
        dovecot.deliver("user", &mail(&format!("number {number}"))).expect("delivered");
    }
    bench.config(&format!("{}{ARCHIVE}", account("home", dovecot.implicit().port(), "")));
    assert_eq!(poll(&bench, 0).await["retrieved"], KNOWN);

    dovecot.renumber("%v-%u").await.expect("Dovecot again");
    dovecot.deliver("user", &mail("meanwhile")).expect("delivered");
    let held = poll(&bench, 75).await;
    assert!(held["held"].as_str().is_some_and(|why| why.contains("renumbered")), "{held:#}");
    assert_eq!((&held["retrieved"], &held["remapped"]), (&0.into(), &0.into()), "{held:#}");
    let matched = poll(&bench, 0).await;
    assert_eq!(matched["remapped"], KNOWN, "{matched:#}");
    assert_eq!(matched["retrieved"], 1, "{matched:#}");
    let quiet = poll(&bench, 0).await;
    assert_eq!((&quiet["retrieved"], &quiet["remapped"]), (&0.into(), &0.into()), "{quiet:#}");
    assert_eq!(quiet["notes"], serde_json::json!([]));

    let digests = bench.digests("vault");
    assert!(digests.values().all(|&times| times == 1), "a message came twice");
    assert_eq!(digests.len(), KNOWN + 1);
    let visits = dovecot.visits("user", 4).await.expect("the log");
    let seen: Vec<_> = visits.iter().map(|visit| (visit.top, visit.retr)).collect();
    let known = KNOWN as u64;
    assert_eq!(seen, [(0, known), (0, 0), (known + 1, 1), (0, 0)], "TOP and RETR by session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_messages_are_listed_in_bounded_memory() {
    const MESSAGES: u64 = 100_000;
    /// The daemon with its sandbox takes some 100 MiB whatever it lists.
    const BOUND: u64 = 300 << 20;
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let dovecot = Dovecot::start(&authority, &[("user", PASSWORD)]).await.expect("Dovecot");
    dovecot.crowd("user", MESSAGES).expect("filled");
    // Dovecot's first look at the Maildir is its own affair.
    drop(hold(dovecot.implicit(), &authority, "user", PASSWORD).await.expect("a session"));
    dovecot.visits("user", 1).await.expect("its end");
    let more = "first = \"new\"\n";
    let section = account("home", dovecot.implicit().port(), more).replace("\"10s\"", "\"60s\"");
    bench.config(&format!("{section}{ARCHIVE}"));

    let (first, report) = watch(&bench).await;
    assert_eq!(report["listed"], MESSAGES, "{report:#}");
    assert_eq!((&report["seeded"], &report["retrieved"]), (&MESSAGES.into(), &0.into()), "{report:#}");
    assert!(first.peak > 1 << 20, "memory was not seen: {}", first.peak);
    assert!(first.peak < BOUND, "{} MiB to list {MESSAGES} messages", first.peak >> 20);

    let (second, report) = watch(&bench).await;
    assert_eq!((&report["listed"], &report["new"]), (&MESSAGES.into(), &0.into()), "{report:#}");
    assert_eq!((&report["seeded"], &report["retrieved"]), (&0.into(), &0.into()), "{report:#}");
    assert!(second.peak < BOUND, "{} MiB to list {MESSAGES} known messages", second.peak >> 20);
    println!(
        "first poll: {} MiB at most, {} KiB written; second: {} MiB, {} KiB",
        first.peak >> 20,
        first.written >> 10,
        second.peak >> 20,
        second.written >> 10
    );
    // A ledger row has some hundred octets, so that writing each anew would show.
    assert!(second.written < 1 << 20, "{} octets written though nothing changed", second.written);

    dovecot.deliver("user", &mail("the next")).expect("delivered");
    assert_eq!(poll(&bench, 0).await["retrieved"], 1);
    let visits = dovecot.visits("user", 4).await.expect("the log");
    let seen: Vec<_> = visits.iter().map(|visit| (visit.top, visit.retr)).collect();
    assert_eq!(seen, [(0, 0), (0, 0), (0, 0), (0, 1)], "TOP and RETR by session");
}

/// `once`, watched, which must go well.
async fn watch(bench: &Bench) -> (watched::Watched, Value) {
    let mut command = bench.command(&["once", "--json"]);
    let watched = tokio::task::spawn_blocking(move || watched::watch(&mut command));
    let watched = watched.await.expect("joins").expect("watched");
    assert!(watched.output.status.success(), "{watched:#?}");
    let summary: Value = serde_json::from_slice(&watched.output.stdout).expect("JSON");
    (watched, summary["accounts"]["home"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_accounts_of_one_server_are_all_retrieved_in_one_go() {
    const ACCOUNTS: usize = 200;
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let names: Vec<String> = (0..ACCOUNTS).map(|number| format!("user{number}")).collect();
    let users: Vec<_> = names.iter().map(|name| (name.as_str(), PASSWORD)).collect();
    let dovecot = Dovecot::configured(&authority, Setup::new(&users).sessions(300)).await.expect("Dovecot");
    let mut config = String::from("[limits]\nsessions = 64\nsessions_per_host = 20\n");
    for name in &names {
        for subject in ["one", "two"] {
            dovecot.deliver(name, &mail(&format!("{subject} for {name}"))).expect("delivered");
        }
        config.push_str(&of(name, dovecot.implicit().port(), name, ""));
    }
    bench.config(&format!("{config}{ARCHIVE}"));
    let started = Instant::now();
    let (run, summary) = bench.once().await;
    run.expect(0);
    println!("{ACCOUNTS} accounts took {:?}", started.elapsed());
    for name in &names {
        let report = &summary["accounts"][name.as_str()];
        assert_eq!((&report["retrieved"], &report["error"]), (&2.into(), &Value::Null), "{name}: {report:#}");
        assert_eq!(dovecot.logins(name).len(), 1, "{name}");
    }
    assert_eq!(summary["counts"]["done"], 2 * ACCOUNTS, "{:#}", summary["counts"]);
    let digests = bench.digests("vault");
    assert!(digests.values().all(|&times| times == 1));
    assert_eq!(digests.len(), 2 * ACCOUNTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maildrop_that_somebody_else_has_locked_waits_and_loses_nothing() {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let dovecot = Dovecot::start(&authority, &[("user", PASSWORD)]).await.expect("Dovecot");
    for subject in ["one", "two"] {
        dovecot.deliver("user", &mail(subject)).expect("delivered");
    }
    let delete = "delete = { when = \"done\", after = \"0s\" }";
    // Dovecot waits for the lock itself before it says no.
    let section = account("home", dovecot.implicit().port(), delete).replace("\"10s\"", "\"60s\"");
    bench.config(&format!("{section}{ARCHIVE}"));
    let held = hold(dovecot.implicit(), &authority, "user", PASSWORD).await.expect("a session");
    let report = poll(&bench, 75).await;
    assert_eq!(report["trouble"], "in-use", "{report:#}");
    assert_eq!((&report["retrieved"], &report["needs_a_person"]), (&0.into(), &false.into()), "{report:#}");
    assert!(report["hint"].as_str().is_some_and(|hint| hint.contains("another mail program")), "{report:#}");
    drop(held);
    dovecot.visits("user", 1).await.expect("the other's end");
    assert_eq!(poll(&bench, 0).await["retrieved"], 2);
    assert_eq!(poll(&bench, 0).await["removed"], 2);
    assert_eq!((bench.names("vault").len(), dovecot.count("user").expect("a count")), (2, 0));
}

/// Delivers ten messages, polls twice under a policy, and says which subjects are still on the server.
async fn left_under(policy: &str, top: &str, expected_removals: u64) -> Vec<String> {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let dovecot = Dovecot::start(&authority, &[("user", PASSWORD)]).await.expect("Dovecot");
    for number in 0..10 {
        dovecot.deliver("user", &mail(&number.to_string())).expect("delivered");
    }
    let section = account("home", dovecot.implicit().port(), policy);
    bench.config(&format!("{top}{section}{ARCHIVE}"));
    assert_eq!(poll(&bench, 0).await["removed"], 0, "nothing is done yet when it is retrieved");
    let report = poll(&bench, 0).await;
    assert_eq!(report["removed"], expected_removals, "{report:#}");
    assert_eq!(poll(&bench, 0).await["removed"], 0, "what stays, stays");
    let visits = dovecot.visits("user", 3).await.expect("the log");
    let deleted: Vec<_> = visits.iter().map(|visit| visit.deleted).collect();
    assert_eq!(deleted, [0, expected_removals, 0], "in Dovecot's words");
    assert_eq!(bench.names("vault").len(), 10);
    let left = postroom_tests::fetch_all(
        dovecot.implicit(),
        postroom_tests::Tls::Implicit,
        &authority,
        "user",
        PASSWORD,
    );
    let left = left.await.expect("the server's octets");
    let subject = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets);
        text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
    };
    left.iter().map(|fetched| subject(&fetched.octets)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_deleted_at_the_next_poll() {
    let left = left_under("delete = { when = \"done\", after = \"0s\" }", "", 10).await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_three_can_be_kept() {
    let left = left_under("delete = { when = \"done\", after = \"0s\", keep = 3 }", "", 7).await;
    assert_eq!(left, ["7", "8", "9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_over_a_size_can_be_deleted_oldest_first() {
    let one = mail("0").len();
    let over = format!("delete = {{ when = \"done\", after = \"0s\", over = \"{}\" }}", one * 4 + 1);
    assert_eq!(left_under(&over, "", 6).await, ["6", "7", "8", "9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_against_deletion_wins_over_every_policy() {
    let policy = "delete = { when = \"done\", after = \"0s\" }";
    assert_eq!(left_under(policy, "never_delete = true\n", 0).await.len(), 10);
}
