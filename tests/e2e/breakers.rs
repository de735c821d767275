//! What a breaker of a plugin that failed too often holds back, for whom, and how it is closed.

use postroom_mail::Digest;
use serde_json::Value;

use crate::hostile::{in_a_mood, moody};
use crate::reload::{Running, eventually};
use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};
use crate::versions::{configure, guest, install, status, step};

/// One run at a time, so that it is known which message opens a breaker.
const ALONE: &str = "[limits]\nworkers = 1\n";

fn mails(tag: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| mail(&format!("{tag} {number}"))).collect()
}

/// A bad mail that is none of the others.
fn bad(number: usize) -> Vec<u8> {
    [in_a_mood("trap"), format!("{number}\r\n").into_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_bad_mails_do_not_keep_a_pipeline_paused_for_the_good_one_behind_them() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let all = (0..5).map(bad).chain([mail("good")]).collect();
    let server = maildrop(&identity, all).await;
    install(&bench, &moody());
    let step = step("breaker = { failures = 1 }");
    bench.config(&format!("{ALONE}{}{step}{ARCHIVE}", account("home", server.addr().port(), "")));
    // Each run makes all mail due, and tries one message.
    let mut runs = 0;
    while bench.names("vault").is_empty() {
        runs += 1;
        assert!(runs <= 6, "{:#}", status(&bench));
        let (_, summary) = bench.once().await;
        assert!(summary["counts"]["quarantined"].as_u64() <= Some(2), "{summary:#}");
    }
    assert!(runs > 1, "the bad ones were first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_for_one_account_holds_back_no_mail_of_another() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let (home, shop) =
        (maildrop(&identity, mails("home", 3)).await, maildrop(&identity, mails("shop", 3)).await);
    install(&bench, &guest("trap"));
    let step = step("breaker = { failures = 1 }\nwhen = { account = [\"home\"] }");
    let (home, shop) = (account("home", home.addr().port(), ""), account("shop", shop.addr().port(), ""));
    bench.config(&format!("{ALONE}{home}{shop}{step}{ARCHIVE}"));
    let (_, summary) = bench.once().await;
    let counts = &summary["counts"];
    assert_eq!((&counts["done"], &counts["quarantined"]), (&Value::from(3), &Value::from(1)), "{summary:#}");
    assert_eq!(counts["waiting"], 2, "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_closes_the_breaker_of_a_plugin_that_did_not_change() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, mails("mail", 9)).await;
    install(&bench, &guest("trap"));
    configure(&bench, server.addr().port(), &format!("{}{ALONE}", step("breaker = { failures = 2 }")));
    let run = bench.postroom(&["once"]).await;
    run.expect(75).says(&["step main/mine: its plugin failed too often", "postroom plugin retry main/mine"]);
    tokio::task::spawn_blocking(move || {
        bench.run(&["status"]).expect(0).says(&["to run it again as it is: postroom plugin retry main/mine"]);
        bench.run(&["plugin", "retry", "nothing"]).expect(64).says(&["main/archive", "main/mine"]);

        // No host runs.
        let told = bench.run(&["plugin", "retry", "mine", "--json"]);
        assert_eq!(told.expect(0).json()["closed"], true);
        assert_eq!(status(&bench)["breakers"], Value::Array(Vec::new()));
        let told = bench.run(&["plugin", "retry", "mine"]);
        told.expect(0).says(&["has not failed too often: nothing was changed"]);

        // One does: what waited was due, and the plugin is as it was.
        let running = Running::start(&bench);
        running.says("there is no earlier version to run");
        eventually(|| status(&bench)["counts"]["quarantined"] == 4);
        bench.run(&["plugin", "retry", "main/mine"]).expect(0).says(&["runs again as configured"]);
        running.says("the operator closed the breaker");
        running.says("there is no earlier version to run");
        eventually(|| status(&bench)["counts"]["quarantined"] == 6);
        assert_eq!(status(&bench)["counts"]["waiting"], 3);
        running.stop();
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_puts_the_configured_version_back_in_the_place_of_an_earlier_one() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, mails("good", 20)).await;
    install(&bench, &moody());
    let mine = format!("{}{ALONE}", step("breaker = { failures = 1 }"));
    configure(&bench, server.addr().port(), &mine);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 20, "{summary:#}");
    let bad = guest("trap");
    install(&bench, &bad);
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        server.add("user", mail("later"));
        running.says("the step runs an earlier version");
        bench.run(&["plugin", "retry", "mine"]).expect(0).says(&["runs again as configured"]);
        running.says("the operator closed the breaker");
        assert_eq!(status(&bench)["breakers"], Value::Array(Vec::new()));
        let last = mail("last");
        server.add("user", last.clone());
        running.says("the step runs an earlier version");
        eventually(|| status(&bench)["counts"]["quarantined"] == 2);
        let why = bench.run(&["why", &Digest::of(&last).to_string()]);
        why.expect(0).says(&["mine.wasm"]);
        assert!(!why.stdout.contains("(an earlier version)"), "it was the configured one: {why:?}");
        running.stop();
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_step_runs_no_other_version_when_its_breaker_opens_and_its_mail_waits() {
    let (bench, summary, server) = after_a_good_version("sha256").await;
    assert_eq!(summary["counts"]["quarantined"], 1, "{summary:#}");
    assert_eq!(summary["counts"]["waiting"], 2, "{summary:#}");
    bench.postroom(&["status"]).await.expect(0).says(&["the pipeline is paused", "pinned by a digest"]);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_does_not_run_with_grants_that_it_never_had() {
    let (bench, summary, server) = after_a_good_version("grants").await;
    assert_eq!(summary["counts"]["waiting"], 2, "{summary:#}");
    bench.postroom(&["status"]).await.expect(0).says(&["the pipeline is paused", "were granted less"]);
    drop(server);
}

/// A version handles twenty mails; then a bad one comes, with a key more in its step, and three mails.
async fn after_a_good_version(key: &str) -> (Bench, Value, impl Sized) {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, mails("good", 20)).await;
    install(&bench, &moody());
    let mine = format!("{}{ALONE}", step("breaker = { failures = 1 }"));
    configure(&bench, server.addr().port(), &mine);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 20, "{summary:#}");
    let bad = guest("trap");
    install(&bench, &bad);
    let more = match key {
        "sha256" => format!("sha256 = \"{}\"", Digest::of(&std::fs::read(&bad).expect("the guest"))),
        _ => "grants = { sinks = [\"vault\"] }".to_owned(),
    };
    let mine = format!("{}{ALONE}", step(&format!("breaker = {{ failures = 1 }}\n{more}")));
    configure(&bench, server.addr().port(), &mine);
    for later in mails("later", 3) {
        server.add("user", later);
    }
    let (_, summary) = bench.once().await;
    (bench, summary, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_mail_each_find_a_plugin_that_fails_on_all_of_them() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, Vec::new()).await;
    install(&bench, &guest("trap"));
    configure(
        &bench,
        server.addr().port(),
        &format!("{}{ALONE}", step("breaker = { failures = 3, within = \"1h\" }")),
    );
    let mut aside = Vec::new();
    for later in mails("mail", 5) {
        server.add("user", later);
        let (_, summary) = bench.once().await;
        aside.push(summary["counts"]["quarantined"].clone());
    }
    assert_eq!(aside, [1, 2, 3, 3, 3].map(Value::from), "{:#}", status(&bench));
    let (run, summary) = bench.once().await;
    run.expect(75);
    assert!(summary["paused"]["main/mine"].is_string(), "{summary:#}");
}
