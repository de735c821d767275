//! Versions of plugins: one that fails too often makes room for the last good one, or its mail waits; a candidate is compared
//! before it takes over; a file that is no plugin changes nothing.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::hostile::{in_a_mood, moody};
use crate::reload::{Running, eventually};
use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

/// Another guest of `tests/guests`, built.
pub(crate) fn guest(name: &str) -> PathBuf {
    postroom_tests::guest(&format!("guest-{name}"), Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// Written whole and renamed over, as an installer does.
pub(crate) fn install(bench: &Bench, plugin: &Path) {
    std::fs::copy(plugin, bench.path("incoming")).expect("a copy");
    std::fs::rename(bench.path("incoming"), bench.path("mine.wasm")).expect("a rename");
}

pub(crate) fn step(more: &str) -> String {
    format!("[[pipelines.main.steps]]\nname = \"mine\"\nplugin = \"./mine.wasm\"\n{more}\n")
}

pub(crate) fn configure(bench: &Bench, port: u16, step: &str) {
    bench.config(&format!("{}{step}{ARCHIVE}", account("home", port, "poll = \"1s\"")));
}

pub(crate) fn status(bench: &Bench) -> Value {
    let run = bench.run(&["status", "--json"]);
    run.expect(0);
    run.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_traps_always_makes_room_for_the_last_good_one() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let first = (0..20).map(|number| mail(&format!("good {number}"))).collect();
    let server = maildrop(&identity, first).await;
    let (good, bad) = (moody(), guest("trap"));
    install(&bench, &good);
    configure(&bench, server.addr().port(), &step("breaker = { failures = 3 }"));
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        eventually(|| bench.names("vault").len() == 20);

        install(&bench, &bad);
        running.says("are running now");
        for number in 0..10 {
            server.add("user", mail(&format!("later {number}")));
        }
        running.says("failed too often");
        running.says("the step runs an earlier version");
        eventually(|| bench.names("vault").len() == 27);
        let told = status(&bench);
        assert_eq!(told["counts"]["quarantined"], 3, "no more than the limit is set aside: {told:#}");
        assert_eq!(told["counts"]["waiting"], 0, "{told:#}");
        let breaker = &told["breakers"][0];
        assert_eq!((&breaker["step"], &breaker["failures"]), (&Value::from("mine"), &Value::from(3)));
        assert_eq!(breaker["course"]["kind"], "falls-back");
        let good = postroom_mail::Digest::of(&std::fs::read(&good).expect("the guest")).to_string();
        assert_eq!(breaker["course"]["to"], Value::from(good.clone()));
        bench.run(&["status"]).expect(0).says(&["main/mine", "failed 3 times", "the step runs version"]);
        assert!(bench.path(&format!("state/plugins/{good}.wasm")).is_file());
        let digest = postroom_mail::Digest::of(&mail("later 9")).to_string();
        bench.run(&["why", &digest]).expect(0).says(&["(an earlier version)"]);

        // An unrelated change does not need the file of what runs already.
        let (kept, away) = (bench.path(&format!("state/plugins/{good}.wasm")), bench.path("away.wasm"));
        std::fs::rename(&kept, &away).expect("a rename");
        let text = std::fs::read_to_string(bench.path("postroom.toml")).expect("the configuration");
        bench.write("postroom.toml", format!("{text}\n[limits]\nattempts = 4\n"));
        running.says("are running now");
        assert_eq!(status(&bench)["breakers"][0]["course"]["kind"], "falls-back");
        std::fs::rename(&away, &kept).expect("a rename");
        running.stop();

        // The breaker, and what the step falls back to, survive a restart.
        let running = Running::start(&bench);
        running.says("goes on with an earlier version");
        server.add("user", mail("after the restart"));
        eventually(|| bench.names("vault").len() == 28);
        assert_eq!(status(&bench)["counts"]["quarantined"], 3);

        install(&bench, &moody_with_a_note());
        running.says("its breaker is closed");
        running.says("are running now");
        assert_eq!(status(&bench)["breakers"], Value::Array(Vec::new()));
        // What was set aside is the operator's, as ever.
        let aside = bench.run(&["queue", "ls", "--json"]).json();
        assert_eq!(aside.as_array().map(Vec::len), Some(3), "{aside:#}");
        running.stop();
    })
    .await
    .expect("the test");
}

/// The good guest in another file: a custom section changes nothing but the digest.
fn moody_with_a_note() -> PathBuf {
    let mut octets = std::fs::read(moody()).expect("the guest");
    octets.extend(custom_section("mended"));
    let path = moody().with_file_name("moody-mended.wasm");
    std::fs::write(&path, octets).expect("a file");
    path
}

/// A custom section named `tag`, which may stand at the end of any component.
pub(crate) fn custom_section(tag: &str) -> Vec<u8> {
    let length = u8::try_from(tag.len()).expect("short");
    [&[0, length + 1, length], tag.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_version_the_mail_waits_and_a_mended_file_lets_it_go_on() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let first = (0..8).map(|number| mail(&format!("mail {number}"))).collect();
    let server = maildrop(&identity, first).await;
    install(&bench, &guest("trap"));
    configure(&bench, server.addr().port(), &step("breaker = { failures = 3 }"));
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("there is no earlier version to run");
        eventually(|| {
            let counts = &status(&bench)["counts"];
            counts["waiting"] == 5 && counts["quarantined"] == 3
        });
        let told = status(&bench);
        assert_eq!(told["breakers"][0]["course"]["kind"], "paused", "{told:#}");
        bench.run(&["status"]).expect(0).says(&["the pipeline is paused", "one message is tried at"]);
        assert!(bench.names("vault").is_empty());
        running.stop();

        // Once more, by a process of its own: nothing more is set aside.
        let running = Running::start(&bench);
        server.add("user", mail("one more"));
        eventually(|| status(&bench)["counts"]["waiting"] == 6);
        assert_eq!(status(&bench)["counts"]["quarantined"], 3);

        install(&bench, &moody());
        eventually(|| bench.names("vault").len() == 6);
        assert_eq!(status(&bench)["breakers"], Value::Array(Vec::new()));
        let all = bench.run(&["queue", "ls", "--json"]).json();
        for row in all.as_array().expect("rows") {
            let message = row["message"].as_str().expect("an id");
            bench.run(&["queue", "retry", message]).expect(0);
        }
        eventually(|| bench.names("vault").len() == 9);
        running.stop();
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_may_be_skipped_stops_no_mail_however_often_it_fails() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, (0..6).map(|number| mail(&format!("mail {number}"))).collect()).await;
    install(&bench, &guest("trap"));
    let step = step("breaker = { failures = 2 }\non_error = { then = \"skip\" }");
    configure(&bench, server.addr().port(), &step);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 6, "{summary:#}");
    bench.postroom(&["status"]).await.expect(0).says(&["mail goes on without the step"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_compared_on_live_mail_and_takes_over_when_it_is_promoted() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mails = ["one", "two", "three", "four"].map(mail).into_iter().chain([in_a_mood("trap")]).collect();
    let server = maildrop(&identity, mails).await;
    std::fs::copy(moody(), bench.path("next.wasm")).expect("a copy");
    let rules = |subject: &str| {
        format!(
            "{{ rules = [ {{ when = {{ subject = {{ regex = \"{subject}\" }} }}, then = [\"label:bills\"] }} ] }}"
        )
    };
    let step = format!(
        "# the rules\n[[pipelines.main.steps]]\nplugin = \"filter\"\nsettings = {}\nshadow = \"filter\"\nshadow_settings = {}\n\
         [[pipelines.main.steps]]\nname = \"second\"\nplugin = \"filter\"\nsettings = {{ rules = [] }}\nshadow = \"./next.wasm\"\n\
         shadow_settings = {{}}\n",
        rules("one"),
        rules("one|three"),
    );
    configure(&bench, server.addr().port(), &step);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 5, "a candidate's failures cost nothing: {summary:#}");

    let shown = bench.postroom(&["plugin", "shadow", "filter"]).await;
    shown.expect(0).says(&["of 5 messages 1 would be decided differently", "+ label bills"]);
    assert!(!shown.stdout.contains("- label"), "{shown:?}");
    let second = bench.postroom(&["plugin", "shadow", "main/second", "--json"]).await.json();
    let report = &second[0]["report"];
    assert_eq!((&report["different"], &report["failed"]), (&Value::from(1), &Value::from(1)), "{second:#}");
    assert!(
        report["first"][0]["plus"][0].as_str().is_some_and(|line| line.contains("a bad day")),
        "{second:#}"
    );

    let refused = bench.postroom(&["plugin", "promote", "filter"]).await;
    refused.expect(75).says(&["of 5 messages 1 would be decided differently", "--force"]);
    let before = std::fs::read_to_string(bench.path("postroom.toml")).expect("the configuration");
    let dry = bench.postroom(&["plugin", "promote", "filter", "--force", "--dry-run"]).await;
    dry.expect(0).says(&["- shadow = \"filter\"", "nothing was written"]);
    assert_eq!(std::fs::read_to_string(bench.path("postroom.toml")).expect("it"), before);

    let third = mail("another three");
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&bench);
        running.says("running config=");
        bench.run(&["plugin", "promote", "filter", "--force"]).expect(0).says(&["from now on"]);
        running.says("are running now");
        let after = std::fs::read_to_string(bench.path("postroom.toml")).expect("it");
        assert!(after.contains("# the rules\n") && after.contains("one|three"), "{after}");
        server.add("user", third.clone());
        running.says("retrieved=1");
        eventually(|| bench.names("vault").len() == 6);
        let digest = postroom_mail::Digest::of(&third).to_string();
        bench.run(&["why", &digest]).expect(0).says(&["labels    bills"]);
        bench.run(&["plugin", "shadow", "filter"]).expect(64).says(&["no step \"filter\" has a candidate"]);
        running.stop();
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_file_may_be_rewritten_cut_off_and_replaced_by_garbage_while_it_runs() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    install(&bench, &moody());
    configure(&bench, server.addr().port(), &step(""));
    let (good, mended) = (moody(), moody_with_a_note());
    tokio::task::spawn_blocking(move || {
        let read = |path: &Path| std::fs::read(path).expect("a guest");
        let running = Running::start(&bench);
        running.says("retrieved=1");
        // Rewritten in place.
        bench.write("mine.wasm", read(&mended));
        running.says("are running now");
        assert_eq!(status(&bench)["refused_change"], Value::Null);
        // Cut off, as by a copy that is under way, then completed.
        let whole = read(&good);
        bench.write("mine.wasm", &whole[..whole.len() / 2]);
        running.says("the change was not taken");
        let refused = status(&bench)["refused_change"]["reason"].to_string();
        assert!(refused.contains("step mine"), "{refused}");
        bench.write("mine.wasm", &whole);
        running.says("are running now");
        assert_eq!(status(&bench)["refused_change"], Value::Null);
        // Garbage: the old one goes on, and `status` says so.
        bench.write("mine.wasm", "no plugin at all");
        running.says("the change was not taken");
        bench.run(&["status"]).expect(0).says(&["was not taken", "step mine", "not a WebAssembly component"]);
        server.add("user", mail("two"));
        running.says("retrieved=1");
        eventually(|| bench.names("vault").len() == 2);
        running.stop();
    })
    .await
    .expect("the test");
}
