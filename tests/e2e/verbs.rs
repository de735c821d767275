//! `probe`, `seen` and the rehearsal of `once`: what they print, and that they change only what they say.

use std::process::Stdio;
use std::time::Duration;

use postroom_practice::maildrop::{Fault, MaildropConfig, Verb};
use postroom_practice::{Identity, Maildrop, Security, Times};
use postroom_tests::scripted::{self, Certificate, Script, Server, message, on};
use serde_json::Value;

use crate::support::{ARCHIVE, Bench, PASSWORD, account, authority, mail, maildrop};

/// One account `home` with this server.
fn configure(bench: &Bench, port: u16, more: &str) {
    bench.config(&format!("{}{ARCHIVE}", account("home", port, more)));
}

async fn scripted(identity: &Identity, script: Script) -> Server {
    let security = scripted::Security::Implicit(Certificate::of(identity).expect("a certificate"));
    Server::start(Script { security, ..script }).await.expect("a server")
}

/// The findings about one thing, of one level.
fn findings(document: &Value, what: &str, level: &str) -> Vec<String> {
    let all = document["findings"].as_array().expect("findings").iter();
    let fits = |finding: &&Value| finding["what"] == what && finding["level"] == level;
    all.filter(fits).map(|finding| finding["found"].as_str().expect("a text").to_owned()).collect()
}

fn one_has(found: &[String], text: &str) -> bool {
    found.iter().any(|found| found.contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_tells_what_a_server_is_like_without_state_and_retrieves_nothing() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two"), mail("three")]).await;
    let config = account("home", server.addr().port(), "delete = { when = \"done\", after = \"0s\" }");
    bench.config(&format!("state = \"nowhere\"\n{config}{ARCHIVE}"));
    let run = bench.postroom(&["probe", "home"]).await;
    run.expect(0).says(&[
        "practice maildrop",
        "TLS 1.3",
        "sha256/",
        "SASL PLAIN",
        "3 messages",
        "3 listed, the longest has",
        "answered once",
        "two commands sent ahead were answered as they are one by one",
        "nothing was retrieved or deleted",
        "tls = \"implicit\"",
        "auth = \"plain\"",
        "the issuing authority's key",
    ]);
    assert!(!format!("{run:?}").contains(PASSWORD));
    assert!(!bench.path("nowhere").exists(), "a probe needs no state and makes none");
    let stats = server.stats().account("user");
    assert_eq!((stats.retrievals(), stats.deleted.len(), stats.quits, stats.dropped), (0, 0, 1, 0));

    let document = bench.postroom(&["probe", "home", "--json"]).await.expect(0).json();
    assert!(findings(&document, "pin", "fact")[0].starts_with("sha256/"));
    let suggested: toml::Value =
        toml::from_str(document["suggestion"].as_str().expect("a text")).expect("the suggestion is TOML");
    assert_eq!(suggested["accounts"]["home"]["port"].as_integer(), Some(server.addr().port().into()));
    bench.postroom(&["probe", "nobody"]).await.expect(64).says(&["there is no account", "home"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_shows_what_is_offered_before_tls_too() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let config =
        MaildropConfig::new(Security::Upgrade(identity)).account("user", PASSWORD, vec![mail("one")]);
    let server = Maildrop::start(config).await.expect("a maildrop");
    configure(&bench, server.addr().port(), "tls = \"starttls\"");
    let document = bench.postroom(&["probe", "home", "--json"]).await.expect(0).json();
    assert!(one_has(&findings(&document, "before TLS", "fact"), "STLS"), "{document:#}");
    assert!(one_has(&findings(&document, "before login", "fact"), "SASL PLAIN"), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_finds_odd_ids_delays_and_lies() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let messages = vec![
        message("same", mail("one")),
        message("same", mail("two")),
        message("with blank", mail("three")),
        message("x".repeat(90), mail("four")),
    ];
    let whole = String::from_utf8(mail("three")).expect("text");
    let lying = format!("+OK\r\n{whole}and more and more and more\r\n.\r\n");
    let script = Script::new(messages)
        .capable(&["UIDL", "TOP", "USER", "PIPELINING", "LOGIN-DELAY 720", "EXPIRE 0"])
        .rule(on("TOP").after(2).times(1).say("-ERR out of step\r\n"))
        .rule(on("TOP").say(lying));
    let server = scripted(&identity, script).await;
    configure(&bench, server.addr().port(), "");
    let document = bench.postroom(&["probe", "home", "--json"]).await.expect(0).json();
    let unique_ids = findings(&document, "UIDL", "note");
    for text in ["1 longer than the 70 octets", "1 with blanks", "1 messages share a unique-id"] {
        assert!(one_has(&unique_ids, text), "{text}: {document:#}");
    }
    assert!(one_has(&findings(&document, "EXPIRE", "warning"), "not guaranteed"), "{document:#}");
    assert!(one_has(&findings(&document, "TOP", "warning"), "beyond the header"), "{document:#}");
    assert!(
        one_has(&findings(&document, "PIPELINING", "warning"), "otherwise than one by one"),
        "{document:#}"
    );
    let suggestion = document["suggestion"].as_str().expect("a text");
    assert!(
        suggestion.contains("poll = \"12m\"") && suggestion.contains("pipelining = false"),
        "{suggestion}"
    );
    assert!(server.settled().await);
    let log = server.log();
    let verbs = log[0].verbs();
    assert!(
        log.len() == 1
            && !verbs.contains(&"RETR".to_owned())
            && verbs.last().is_some_and(|last| last == "QUIT")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_notices_a_second_answer_to_top() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let twice = "+OK\r\nSubject: a\r\n\r\n.\r\n+OK\r\nSubject: a\r\n\r\n.\r\n";
    let script = Script::new(vec![message("a", mail("one"))]).rule(on("TOP").say(twice));
    let server = scripted(&identity, script).await;
    configure(&bench, server.addr().port(), "");
    let run = bench.postroom(&["probe", "home"]).await;
    run.expect(75).says(&["1 listed", "sent more than the reply to TOP"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_half_way_leaves_the_findings_so_far() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    configure(&bench, server.addr().port(), "");
    server.inject(Fault::Cut(Verb::Uidl), Times::Next(1));
    bench.postroom(&["probe", "home"]).await.expect(75).says(&[
        "TLS 1.3",
        "STAT",
        "2 messages",
        "error: ",
        "closed",
        "hint: ",
    ]);
    server.inject(Fault::RefuseLogin("[AUTH] no".to_owned()), Times::Next(1));
    let document = bench.postroom(&["probe", "home", "--json"]).await.expect(69).json();
    assert_eq!(document["ok"], false);
    assert_eq!(document["suggestion"], "");
    assert!(one_has(&findings(&document, "mechanisms", "fact"), "PLAIN"), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_programs_state_is_imported_and_only_the_rest_is_retrieved() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two"), mail("three")]).await;
    let port = server.addr().port();
    configure(&bench, port, "");
    let uids: Vec<String> = server.messages("user").into_iter().map(|(uid, _)| uid).collect();
    let name = format!("oldmail-localhost-{port}-user");
    bench.write(
        &name,
        format!("{}\01700000000\n{}\01700000000\ngone\01700000000\nbad line\n", uids[0], uids[1]),
    );

    let dry = bench.postroom(&["seen", "import", "home", &name, "--dry-run"]).await;
    dry.expect(0).says(&[
        "2  would be marked",
        "1  on the server only",
        "1  in the file only",
        "line 4",
        "nothing was changed",
    ]);
    bench.postroom(&["seen", "ls", "home"]).await.expect(66);

    let document = bench.postroom(&["seen", "import", "home", &name, "--json"]).await.expect(0).json();
    let counted = ["entries", "listed", "matched", "marked", "unknown", "not_on_server", "bad_count"];
    assert_eq!(counted.map(|name| document[name].as_u64().expect("a number")), [3, 3, 2, 2, 1, 1, 1]);
    assert_eq!(document["format"], "getmail");
    bench.postroom(&["seen", "import", "home", &name]).await.expect(0).says(&["0  marked", "2 known before"]);
    assert_eq!(server.stats().account("user").retrievals(), 0);

    bench.once().await.0.expect(0);
    let retrieved = server.stats().account("user").retrieved;
    assert_eq!(retrieved.into_keys().collect::<Vec<_>>(), [uids[2].clone()]);
    let rows = bench.postroom(&["seen", "ls", "home", "--json"]).await.expect(0).json();
    let how = |uid: &str| {
        rows["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .find(|row| row["uid"] == uid)
            .map(|row| row["how"].clone())
    };
    assert_eq!(how(&uids[0]), Some("imported".into()));
    assert_eq!(how(&uids[2]), Some("retrieved".into()));
    bench.postroom(&["seen", "ls", "home", "--limit", "2"]).await.expect(0).says(&[
        "2 of 3",
        "--skip 2",
        "2023-11-14",
    ]);

    let other = bench.write("fetchids", "me@elsewhere.example 0001\n");
    let other = other.to_str().expect("text");
    bench
        .postroom(&["seen", "import", "home", other])
        .await
        .expect(65)
        .says(&["--mailbox 'me@elsewhere.example'"]);
    bench.postroom(&["seen", "import", "home", "missing"]).await.expect(66);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_retrieved_again_but_not_processed_twice_and_an_export_brings_it_back() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    configure(&bench, server.addr().port(), "");
    bench.once().await.0.expect(0);
    let uid = server.messages("user")[0].0.clone();
    let retrievals = || server.stats().account("user").retrievals();

    bench.postroom(&["seen", "export", "home", "ledger"]).await.expect(0).says(&["wrote 2 entries"]);
    bench.postroom(&["seen", "export", "home", "ledger"]).await.expect(73).says(&["is there already"]);
    let shown = bench.postroom(&["seen", "export", "home"]).await;
    assert_eq!(shown.expect(0).stdout, std::fs::read_to_string(bench.path("ledger")).expect("the export"));

    bench.postroom(&["seen", "forget", "home"]).await.expect(64);
    bench.postroom(&["seen", "forget", "home", "--uid", "nothing"]).await.expect(66).says(&["seen ls home"]);
    bench
        .postroom(&["seen", "forget", "home", "--uid", &uid])
        .await
        .expect(0)
        .says(&["forgot 1 entry", "not processed a second time"]);
    let (_, document) = bench.once().await;
    assert_eq!(retrievals(), 3, "once more");
    assert_eq!(document["counts"]["effects_done"], 2, "and delivered only once: {document:#}");

    bench.postroom(&["seen", "forget", "home", "--all"]).await.expect(0).says(&[
        "would forget 2 entries",
        "nothing was changed",
        "--yes",
    ]);
    let kept = bench.postroom(&["seen", "ls", "home", "--json"]).await.json();
    assert_eq!(kept["total"], 2);
    bench.postroom(&["seen", "forget", "home", "--all", "--yes"]).await.expect(0).says(&["forgot 2 entries"]);
    bench
        .postroom(&["seen", "import", "home", "ledger"])
        .await
        .expect(0)
        .says(&["2  marked as seen", "0  on the server only"]);
    bench.once().await.0.expect(0);
    assert_eq!(retrievals(), 3, "the export brought everything back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_maildrop_gives_only_what_comes_later() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    configure(&bench, server.addr().port(), "");
    bench
        .postroom(&["seen", "seed", "home", "--dry-run"])
        .await
        .expect(0)
        .says(&["2 would be marked as seen"]);
    bench.postroom(&["seen", "ls", "home"]).await.expect(66);
    bench
        .postroom(&["seen", "seed", "home"])
        .await
        .expect(0)
        .says(&["2 marked as seen", "nothing was retrieved"]);
    let uid = server.add("user", mail("three")).expect("added");
    bench.once().await.0.expect(0);
    assert_eq!(server.stats().account("user").retrieved.into_keys().collect::<Vec<_>>(), [uid]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_retrieved_is_shown_as_stuck_until_it_is_tried_again() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    configure(&bench, server.addr().port(), "");
    server.inject(Fault::RetrRefused { message: 2 }, Times::Always);
    for _ in 0..3 {
        bench.once().await;
    }
    let uid = server.messages("user")[1].0.clone();
    bench.postroom(&["seen", "stuck", "home"]).await.expect(0).says(&[
        &uid,
        "3 times",
        "cannot read it",
        "seen retry home",
    ]);
    let document = bench.postroom(&["seen", "stuck", "home", "--json"]).await.json();
    assert!(document["stuck"][0]["next_try"].is_string(), "{document:#}");
    server.clear_faults();
    let arrived = async || bench.once().await.1["accounts"]["home"]["retrieved"].clone();
    assert_eq!(arrived().await, 0, "it is left alone for an hour");
    let rehearsed = bench.postroom(&["once", "--dry-run"]).await;
    rehearsed.expect(0).says(&["leave", "could not be retrieved 3 times"]);
    bench.postroom(&["seen", "retry", "home", "--uid", "nothing"]).await.expect(66);
    bench
        .postroom(&["seen", "retry", "home", "--uid", &uid])
        .await
        .expect(0)
        .says(&["1 message is tried again"]);
    assert_eq!(arrived().await, 1);
    bench.postroom(&["seen", "stuck", "home"]).await.expect(0).says(&["no message of account home failed"]);
}

fn fates(document: &Value) -> Vec<String> {
    let lines = document["accounts"]["home"]["rehearsed"].as_array().cloned().unwrap_or_default();
    lines.iter().map(|line| line["fate"].as_str().expect("a fate").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_says_what_a_poll_then_does_and_changes_nothing() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    configure(&bench, server.addr().port(), "delete = { when = \"done\", after = \"0s\" }");
    let rehearse = async || bench.postroom(&["once", "--dry-run", "--json"]).await.expect(0).json();
    let before = bench.names("state");
    assert_eq!(fates(&rehearse().await), ["retrieve", "retrieve"]);
    assert_eq!(bench.names("state"), before, "no state is made");
    assert!(bench.names("vault").is_empty());
    assert_eq!(server.stats().account("user").retrievals(), 0);

    bench.postroom(&["once", "--never-delete"]).await.expect(0);
    server.add("user", mail("three"));
    assert_eq!(fates(&rehearse().await), ["delete", "delete", "retrieve"]);
    let table = bench.postroom(&["once", "--dry-run"]).await;
    table.expect(0).says(&[
        "UNIQUE-ID",
        "would retrieve 1, delete 2, leave 0",
        "it is new here",
        "is safe here",
    ]);
    let kept = bench.postroom(&["once", "--dry-run", "--never-delete", "--json"]).await.expect(0).json();
    assert_eq!(fates(&kept), ["leave", "leave", "retrieve"]);
    let why = kept["accounts"]["home"]["rehearsed"][0]["why"].as_str().expect("a reason");
    assert!(why.contains("`never_delete`"), "{why}");
    assert!(
        server.stats().account("user").deleted.is_empty(),
        "neither a rehearsal nor --never-delete deletes"
    );
    assert_eq!(bench.names("vault").len(), 2);

    bench.once().await.0.expect(0);
    assert_eq!(server.stats().account("user").deleted.len(), 2, "as rehearsed");
    assert_eq!(bench.names("vault").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_follows_the_rule_for_the_first_contact() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two"), mail("three")]).await;
    configure(&bench, server.addr().port(), "first = { newest = 1 }");
    let document = bench.postroom(&["once", "--dry-run", "--json"]).await.expect(0).json();
    assert_eq!(fates(&document), ["leave", "leave", "retrieve"]);
    let (_, done) = bench.once().await;
    assert_eq!(
        (&done["accounts"]["home"]["seeded"], &done["accounts"]["home"]["retrieved"]),
        (&2.into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_takes_nothing_off_a_server_without_unique_ids() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let script = Script::new(vec![message("a", mail("one")), message("b", mail("two"))])
        .capable(&["USER"])
        .rule(on("UIDL").say("-ERR unknown command\r\n"));
    let server = scripted(&identity, script).await;
    configure(&bench, server.addr().port(), "delete = { when = \"spooled\", after = \"0s\" }");
    let document = bench.postroom(&["once", "--dry-run", "--json"]).await.expect(0).json();
    assert_eq!(fates(&document), ["retrieve", "retrieve"]);
    assert!(server.settled().await);
    let verbs: Vec<String> = server.log().iter().flat_map(scripted::SessionLog::verbs).collect();
    assert!(!verbs.iter().any(|verb| verb == "RETR" || verb == "DELE"), "{verbs:?}");
    assert_eq!(server.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_held_is_said_so_and_has_its_exit_code() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    // A maildrop with fewer may well lose all of its mail at once.
    let messages = (0..10).map(|number| mail(&format!("number {number}"))).collect();
    let server = maildrop(&identity, messages).await;
    configure(&bench, server.addr().port(), "renumbered = \"hold\"");
    bench.once().await.0.expect(0);
    server.reassign_uidls("user");
    let rehearsed = bench.postroom(&["once", "--dry-run"]).await;
    rehearsed.expect(75).says(&["held, nothing would be done", "would retrieve 0, delete 0, leave 10"]);
    bench.postroom(&["once"]).await.expect(75).says(&["held, nothing was done", "take-as-seen"]);
    configure(&bench, server.addr().port(), "renumbered = \"match\"");
    bench
        .postroom(&["once"])
        .await
        .expect(0)
        .says(&["10 messages known under new unique-ids, not retrieved again"]);
    assert_eq!(server.stats().account("user").retrievals(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn never_delete_outlasts_a_changed_configuration() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    configure(&bench, server.addr().port(), "poll = \"1s\"");
    let mut host = bench.command(&["run", "--never-delete"]).stderr(Stdio::null()).spawn().expect("starts");
    let limit = Duration::from_secs(60);
    let polled = server.wait_until(|stats| stats.account("user").quits >= 1);
    tokio::time::timeout(limit, polled).await.expect("the host polls");
    let deleting =
        account("home", server.addr().port(), "poll = \"1s\"\ndelete = { when = \"done\", after = \"0s\" }");
    bench.config(&format!("{deleting}{}", ARCHIVE.replace("path = \"vault\"", "path = \"changed\"")));
    let changed = async {
        // Until a message arrives in the new place, the old configuration may still be at work.
        while bench.names("changed").is_empty() {
            let quits = server.stats().account("user").quits;
            server.add("user", mail(&format!("after {quits}")));
            server.wait_until(|stats| stats.account("user").quits > quits + 1).await;
        }
        let quits = server.stats().account("user").quits;
        server.wait_until(|stats| stats.account("user").quits > quits + 2).await
    };
    let stats = tokio::time::timeout(limit, changed).await;
    host.kill().expect("SIGKILL");
    let _ = host.wait();
    assert!(stats.expect("the new configuration is taken").account("user").deleted.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_host_one_can_look_but_not_change() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    configure(&bench, server.addr().port(), "poll = \"1h\"\ndelete = { when = \"done\", after = \"0s\" }");
    let mut host = bench.command(&["run", "--never-delete"]).stderr(Stdio::null()).spawn().expect("starts");
    let polled = server.wait_until(|stats| stats.account("user").quits == 1);
    tokio::time::timeout(Duration::from_secs(60), polled).await.expect("the host polls");
    server.add("user", mail("two"));
    let rehearsed = bench.postroom(&["once", "--dry-run", "--json"]).await;
    let probed = bench.postroom(&["probe", "home"]).await;
    let listed = bench.postroom(&["seen", "ls", "home"]).await;
    let seeded = bench.postroom(&["seen", "seed", "home"]).await;
    host.kill().expect("SIGKILL");
    let _ = host.wait();
    assert_eq!(fates(&rehearsed.expect(0).json()).last().map(String::as_str), Some("retrieve"));
    probed.expect(0).says(&["is handled already, by the process", "two commands sent ahead"]);
    listed.expect(0).says(&["retrieved", "1 of 1"]);
    seeded.expect(75).says(&["another postroom process", "stop it, run this, start it again"]);
    assert!(server.stats().account("user").deleted.is_empty());
}
