//! The operator's hold on what waits and what was set aside: looked at, tried again, let go, given up, taken back, written
//! to files; with nothing lost, nothing doubled, and every message on the server accounted for.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use postroom_practice::Maildrop;
use serde_json::Value;

use crate::hostile::{in_a_mood, moody};
use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

const LIMIT: Duration = Duration::from_secs(60);
const MOODY: &str = "[[pipelines.main.steps]]\nname = \"moody\"\nplugin = \"./moody.wasm\"\n";
const AT_ONCE: &str = "delete = { when = \"done\", after = \"0s\" }";

/// A maildrop with these messages, and the plugin that traps on some.
async fn stand(bench: &Bench, messages: Vec<Vec<u8>>) -> Maildrop {
    let (_, identity) = authority(bench);
    std::fs::copy(moody(), bench.path("moody.wasm")).expect("a copy");
    maildrop(&identity, messages).await
}

/// Account `name` and these steps and sinks.
fn configure(bench: &Bench, name: &str, server: &Maildrop, more: &str, rest: &str) {
    bench.config(&format!("{}{rest}", account(name, server.addr().port(), more)));
}

/// The ids of what `queue ls` shows, each once.
async fn queued(bench: &Bench) -> Vec<String> {
    let rows = bench.postroom(&["queue", "ls", "--json"]).await.expect(0).json();
    let ids = rows.as_array().expect("rows").iter().map(|row| row["message"].as_str().expect("an id"));
    let mut ids: Vec<_> = ids.map(str::to_owned).collect();
    ids.dedup();
    ids
}

/// The tally of an account; it must add up.
async fn tally(bench: &Bench, name: &str) -> Value {
    let status = bench.postroom(&["status", "--json"]).await.expect(0).json();
    let accounts = status["accounts"].as_array().expect("accounts");
    let own = accounts.iter().find(|one| one["account"] == name).expect("the account");
    assert_eq!(own["adds_up"], true, "{status:#}");
    own["tally"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_step_trapped_is_archived_exactly_once_after_it_was_mended() {
    let bench = Bench::new();
    let server = stand(&bench, vec![in_a_mood("calm"), in_a_mood("trap")]).await;
    configure(&bench, "home", &server, "", &format!("{MOODY}{ARCHIVE}"));
    let (_, summary) = bench.once().await;
    assert_eq!(summary["counts"]["quarantined"], 1, "{summary:#}");
    assert_eq!(summary["tallies"]["home"]["on_server"], 2, "{summary:#}");
    assert_eq!(tally(&bench, "home").await["quarantined"], 1);
    let [id] = &queued(&bench).await[..] else { panic!("one message is set aside") };
    let shown = bench.postroom(&["queue", "show", id]).await;
    // What its steps did in the run that failed, and how the mail begins.
    shown.expect(0).says(&["a bad day", "moody: failed", "Subject: trap", "From: a@field.example", "Hello."]);
    bench.postroom(&["queue", "release", id]).await.expect(65).says(&["retry", "export", "drop"]);

    configure(&bench, "home", &server, "", ARCHIVE);
    // A filter says what it would do, and does it only when told so.
    let all = ["queue", "retry", "--state", "quarantined"];
    bench.postroom(&all).await.expect(0).says(&["would retry 1 message", "nothing was changed", "--yes"]);
    bench.postroom(&["queue", "retry", id, "--dry-run"]).await.expect(0).says(&["nothing was changed"]);
    assert_eq!(tally(&bench, "home").await["quarantined"], 1);
    // Twice is once.
    for _ in 0..2 {
        bench.postroom(&["queue", "retry", id]).await.expect(0).says(&["another try of 1 message"]);
    }
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 2, "{summary:#}");
    assert_eq!(summary["counts"]["effects_done"], 2, "{summary:#}");
    assert_eq!(bench.names("vault").len(), 2);
    bench.postroom(&["queue", "retry", id]).await.expect(65).says(&["nothing of it waits"]);
    bench.once().await.0.expect(0);
    assert_eq!(bench.names("vault").len(), 2, "another try of what is done changes nothing");
    let told = ["attempt 1 started", "quarantined:", "the operator had its steps run again", "done:"];
    bench.postroom(&["why", id]).await.expect(0).says(&told);
    let tally = tally(&bench, "home").await;
    assert_eq!((&tally["on_server"], &tally["archived"]), (&2.into(), &2.into()));
}

/// A second sink whose directory cannot be made yet.
const LATE: &str = "[sinks.late]\ntype = \"directory\"\npath = \"missing/late\"\n[[pipelines.main.steps]]\nname = \"late\"\n\
                    plugin = \"archive\"\ngrants = { sinks = [\"late\"] }\nsettings = { sink = \"late\", key = \"{sha256}.eml\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_removed_sink_is_held_and_goes_out_when_that_is_back() {
    let bench = Bench::new();
    let server = stand(&bench, vec![mail("one")]).await;
    let both = format!("{ARCHIVE}{LATE}");
    configure(&bench, "home", &server, AT_ONCE, &both);
    bench.once().await.0.expect(69);
    configure(&bench, "home", &server, AT_ONCE, ARCHIVE);
    std::fs::create_dir(bench.path("missing")).expect("a directory");
    for _ in 0..2 {
        let (_, summary) = bench.once().await;
        assert_eq!(summary["counts"]["effects_open"], 1, "{summary:#}");
    }
    let held = ["sink late is not in the configuration", "Add it back", "queue release --sink late"];
    bench.postroom(&["queue", "ls"]).await.expect(0).says(&held);
    assert!(server.stats().account("user").deleted.is_empty(), "a required effect has no receipt yet");
    let [id] = &queued(&bench).await[..] else { panic!("one message waits") };
    bench.postroom(&["why", id]).await.expect(0).says(&["not through with it yet"]);
    configure(&bench, "home", &server, AT_ONCE, &both);
    bench.once().await.0.expect(0);
    assert_eq!(bench.names("missing/late").len(), 1);
    bench.once().await.0.expect(0);
    assert_eq!(server.stats().account("user").deleted.len(), 1);
    bench.postroom(&["why", id]).await.expect(0).says(&["deleted, confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_removed_sink_can_be_let_go() {
    let bench = Bench::new();
    let server = stand(&bench, vec![mail("one")]).await;
    configure(&bench, "home", &server, "", &format!("{ARCHIVE}{LATE}"));
    bench.once().await.0.expect(69);
    configure(&bench, "home", &server, AT_ONCE, ARCHIVE);
    bench
        .postroom(&["queue", "release", "--sink", "late", "--yes"])
        .await
        .expect(0)
        .says(&["the operator let go of store late:"]);
    bench.once().await.0.expect(0);
    let deleted = server.stats().account("user").deleted.len();
    assert_eq!(deleted, 1, "the other receipt is for the whole message");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_removed_or_renamed_account_is_kept_until_its_account_is_back() {
    let bench = Bench::new();
    let server = stand(&bench, vec![in_a_mood("trap")]).await;
    configure(&bench, "home", &server, "", &format!("{MOODY}{ARCHIVE}"));
    bench.once().await;
    let [id] = &queued(&bench).await[..] else { panic!("one message is set aside") };
    configure(&bench, "house", &server, "", ARCHIVE);
    bench.postroom(&["queue", "retry", id]).await.expect(0);
    let (run, summary) = bench.once().await;
    run.expect(75);
    assert_eq!(summary["counts"]["waiting"], 1, "{summary:#}");
    let held =
        ["account home has no pipeline any more", "add it back", "account home is not in the configuration"];
    bench.postroom(&["queue", "ls"]).await.expect(0).says(&held);
    bench.postroom(&["status"]).await.expect(0).says(&["not configured any more"]);
    bench.postroom(&["why", id]).await.expect(0).says(&["its account is not configured any more"]);
    configure(&bench, "home", &server, "", ARCHIVE);
    bench.once().await.0.expect(0);
    let names = bench.names("vault");
    assert_eq!(names.iter().filter(|name| name.starts_with("home/")).count(), 1, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_message_stays_on_the_server_and_can_be_taken_back() {
    let bench = Bench::new();
    let raw = in_a_mood("trap");
    let server = stand(&bench, vec![raw.clone()]).await;
    configure(&bench, "home", &server, AT_ONCE, &format!("{MOODY}{ARCHIVE}"));
    bench.once().await;
    let [id] = &queued(&bench).await[..] else { panic!("one message is set aside") };
    bench
        .postroom(&["queue", "drop", id])
        .await
        .expect(0)
        .says(&["dropped by the operator", "takes them back"]);
    bench.once().await.0.expect(0);
    assert_eq!(tally(&bench, "home").await["discarded"], 1);
    assert!(server.stats().account("user").deleted.is_empty());
    bench.postroom(&["why", id]).await.expect(0).says(&["kept: it was dropped by the operator"]);

    // Its octets are here all the while, and what is written is exactly them.
    std::fs::create_dir(bench.path("out")).expect("a directory");
    let export = ["queue", "export", id, "--to", "out", "--json"];
    bench.postroom(&export).await.expect(0);
    assert_eq!(std::fs::read(bench.path(&format!("out/{id}.eml"))).expect("a file"), raw);
    let history = std::fs::read(bench.path(&format!("out/{id}.json"))).expect("a file");
    let history: Value = serde_json::from_slice(&history).expect("JSON");
    assert_eq!(history["state"], "discarded");
    bench.postroom(&export).await.expect(73).says(&["is there already"]);

    configure(&bench, "home", &server, AT_ONCE, ARCHIVE);
    bench.postroom(&["queue", "retry", id]).await.expect(0).says(&["taken back"]);
    bench.once().await.0.expect(0);
    assert_eq!(bench.names("vault").len(), 1);
    bench.once().await.0.expect(0);
    assert_eq!(server.stats().account("user").deleted.len(), 1);
    assert_eq!(tally(&bench, "home").await["on_server"], 0);
}

/// Ended when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_host_carries_out_what_the_operator_asks() {
    let bench = Bench::new();
    let server = stand(&bench, vec![mail("one")]).await;
    let fixed = ARCHIVE.replace("{account}/{sha256}.eml", "same.eml");
    configure(&bench, "home", &server, "poll = \"1h\"", &fixed);
    bench.write("vault/same.eml", "somebody else's");
    let running = bench.command(&["run"]).stderr(Stdio::null()).spawn().expect("starts");
    let running = Running(running);
    let polled = server.wait_until(|stats| stats.account("user").quits >= 1);
    tokio::time::timeout(LIMIT, polled).await.expect("the host polls");
    let deadline = Instant::now() + LIMIT;
    let id = loop {
        assert!(Instant::now() < deadline, "the effect was not parked");
        let selected =
            bench.postroom(&["queue", "retry", "--state", "quarantined", "--json"]).await.expect(0).json();
        if let Some(id) = selected["selected"][0]["message"].as_str() {
            break id.to_owned();
        }
    };
    let status = bench.postroom(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["process"], running.0.id(), "{status:#}");
    assert_eq!(status["parked"]["vault"], 1, "{status:#}");
    std::fs::remove_file(bench.path("vault/same.eml")).expect("removed");
    bench.postroom(&["queue", "retry", &id]).await.expect(0).says(&["another try of 1 message"]);
    while bench.postroom(&["status", "--json"]).await.expect(0).json()["counts"]["done"] != 1 {
        assert!(Instant::now() < deadline, "the effect was not carried out");
    }
    assert_eq!(std::fs::read(bench.path("vault/same.eml")).expect("a file"), mail("one"));
    let left: Vec<_> = bench.names("state/requests");
    assert!(left.is_empty(), "{left:?}");
}
