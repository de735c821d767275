//! What the verbs print and promise.

use std::collections::BTreeSet;
use std::process::Stdio;

use postroom_tests::corpus;
use serde_json::Value;

use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

/// Kind, sink, target and digest of effects, without what differs between a dry run and a run: the date in a key.
fn effects(effects: &Value) -> BTreeSet<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let one = |effect: &Value| {
        let action = &effect["action"];
        let target = match action["kind"].as_str().expect("a kind") {
            "store" => text(&action["key"]),
            "file-into" => text(&action["mailbox"]),
            _ => action["envelope"]["to"].to_string(),
        };
        (text(&action["kind"]), text(&effect["sink"]), target, text(&effect["digest"]))
    };
    effects.as_array().expect("a list").iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn try_prints_exactly_the_effects_that_once_carries_out() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mut mails: Vec<Vec<u8>> = corpus::generate(3, 30).into_iter().map(|mail| mail.octets).collect();
    // A maildrop serves CRLF lines; what it would serve is what `try` is given.
    mails.extend(corpus::shared_corpus().into_iter().map(|(_, octets)| with_crlf(&octets)));
    mails.dedup();
    // Each dry run is a process of its own: every fifth message is plenty.
    let mails: Vec<Vec<u8>> = mails.into_iter().step_by(5).collect();
    let server = maildrop(&identity, mails).await;
    let steps = r#"
[sinks.files]
type = "directory"
path = "files"
[[pipelines.main.steps]]
plugin = "attachments"
grants = { sinks = ["files"] }
settings = { sink = "files", key = "{id:8}/{filename}", inline = true }
"#;
    bench.config(&format!("{}{ARCHIVE}{steps}", account("home", server.addr().port(), "")));
    let tried: Vec<_> = server
        .messages("user")
        .into_iter()
        .map(|(uidl, octets)| {
            bench.write("message.eml", &octets);
            let run = bench.run(&["try", "message.eml", "--uidl", &uidl, "--json"]);
            run.expect(0);
            (uidl, effects(&run.json()["plan"]["effects"]))
        })
        .collect();
    assert!(bench.names("files").is_empty() && bench.names("vault").is_empty(), "a dry run writes nothing");
    bench.once().await.0.expect(0);
    for (uidl, tried) in tried {
        let history = bench.postroom(&["why", &uidl, "--json"]).await.json();
        let done: Vec<Value> = history["effects"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|record| record["effect"].clone())
            .collect();
        assert_eq!(effects(&Value::Array(done)), tried, "{uidl}");
    }
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (at, &octet) in octets.iter().enumerate() {
        if octet == b'\n' && (at == 0 || octets[at - 1] != b'\r') {
            lines.push(b'\r');
        }
        lines.push(octet);
    }
    if !lines.ends_with(b"\r\n") {
        lines.extend(b"\r\n");
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_the_whole_way_of_a_message() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    bench.postroom(&["why", "abc"]).await.expect(66).says(&["postroom once"]);
    bench.once().await.0.expect(0);
    let (uidl, octets) = server.messages("user").remove(0);
    let digest = postroom_mail::Digest::of(&octets).to_string();
    for name in [uidl.as_str(), &digest[..12]] {
        let run = bench.postroom(&["why", name]).await;
        run.expect(0).says(&[
            &digest,
            "account   home",
            "state     done",
            "the account is set to delete nothing",
            "archive: 1 effect",
            "store vault:",
            "receipt",
        ]);
    }
    bench.postroom(&["why", "nothing-like-it"]).await.expect(66).says(&["no message here begins with"]);
}

/// A rule that is dead before one that is not.
const RULES: &str = r#"
[[pipelines.main.steps]]
name = "rules"
plugin = "filter"
settings = { rules = [
    { name = "everything", when = {}, then = ["label:seen"] },
    { name = "never", when = { account = "home" }, then = ["stop"] },
] }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_warns_of_is_shown_by_check_and_not_with_every_message() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}{RULES}", account("home", server.addr().port(), "")));
    let warning = "pipeline main, step rules: settings.rules[1]: rule \"never\" is never reached";
    bench.postroom(&["check"]).await.expect(0).says(&[warning, "all is well"]);
    bench.postroom(&["check", "--deny-warnings"]).await.expect(78).says(&[warning, "not all is well"]);
    bench.once().await.0.expect(0);
    let (uidl, _) = server.messages("user").remove(0);
    let why = bench.postroom(&["why", &uidl]).await;
    why.expect(0).says(&["info rule matched rule=everything", "labels    seen"]);
    assert!(!why.stdout.contains("never reached"), "{}", why.stdout);
}

#[test]
fn plugin_inspect_shows_what_a_plugin_can_ask_for() {
    let bench = Bench::new();
    let run = bench.run(&["plugin", "inspect", "archive"]);
    run.expect(0).says(&["sha256", "postroom:plugin/effects@0.1.0", "linked to nothing", "settings"]);
    assert!(
        !run.stdout.contains("wasi:filesystem") && !run.stdout.contains("wasi:sockets"),
        "{}",
        run.stdout
    );
    let json = bench.run(&["plugin", "inspect", "filter", "--json"]).json();
    assert!(
        json["imports"]
            .as_array()
            .expect("imports")
            .iter()
            .any(|import| import["name"] == "postroom:plugin/mail@0.1.0"),
        "{json:#}"
    );
    bench.run(&["plugin", "inspect", "nothing"]).expect(65).says(&["no bundled plugin"]);
}

#[test]
fn init_writes_a_configuration_that_checks_clean_and_overwrites_nothing() {
    let bench = Bench::new();
    let words = ["init", "--yes", "--host", "pop.example.net", "--user", "me@example.net"];
    bench.run(&words).expect(0).says(&["wrote postroom.toml", "secrets/home"]);
    bench.run(&["check", "--deny-warnings"]).expect(0).says(&["all is well"]);
    bench.run(&words).expect(73).says(&["is there already"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_online_logs_in_and_looks_at_sinks_and_changes_nothing() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    bench.postroom(&["check", "--online"]).await.expect(0).says(&[
        "logged in, 1 messages there",
        "sink vault",
        "all is well",
    ]);
    assert_eq!(server.stats().account("user").retrieved.len(), 0);
    bench.once().await.0.expect(0);
    assert_eq!(bench.names("vault").len(), 1);
}

#[test]
fn wrong_words_exit_with_usage() {
    let bench = Bench::new();
    bench.run(&["frobnicate"]).expect(64);
    bench.run(&["--help"]).expect(0).says(&["demo", "once", "why", "queue"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_state_is_turned_away() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    let mut first = bench.command(&["run"]).stderr(Stdio::null()).spawn().expect("starts");
    let polled = server.wait_until(|stats| stats.account("user").quits == 1);
    tokio::time::timeout(std::time::Duration::from_secs(60), polled).await.expect("the first process polls");
    let second = bench.postroom(&["once"]).await;
    let why = bench.postroom(&["queue", "ls"]).await;
    first.kill().expect("SIGKILL");
    let _ = first.wait();
    second.expect(75).says(&["another postroom process"]);
    why.expect(0);
}

#[test]
fn the_demo_shows_every_plugin_at_work_and_retrieves_nothing_twice() {
    let bench = Bench::new();
    let first = bench.run(&["demo", "--dir", "demo"]);
    first.expect(0).says(&[
        "retrieved from the practice server this time: 12",
        "quarantined",
        "invoice-2026-1147.pdf",
    ]);
    assert_eq!(bench.names("demo/archive").len(), 11, "all but the spam");
    assert!(bench.names("demo/forwarded").len() >= 10, "{:?}", bench.names("demo/forwarded"));
    let documents = bench.names("demo/documents");
    for name in ["RE-88.xml", "scan.pdf", "scan (2).pdf", "contract.pdf"] {
        assert!(documents.iter().any(|path| path.ends_with(name)), "{name} is not in {documents:?}");
    }
    assert!(!std::path::Path::new("/etc/cron.d/owned.txt").exists());
    let second = bench.run(&["demo", "--dir", "demo"]);
    second.expect(0).says(&["retrieved from the practice server this time: 0"]);
    assert_eq!(bench.names("demo/archive").len(), 11);
    assert_eq!(bench.names("demo/documents"), documents);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    use std::io::Read;
    let bench = Bench::new();
    let mut command = bench.command(&["plugin", "inspect", "filter"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("ends").success());
    assert_eq!(said, "");
}
