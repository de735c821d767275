//! A whole session cut at every octet the server sends: nothing is lost, nothing is stored twice, nothing is deleted that is
//! not stored.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use postroom_mail::Digest;
use postroom_tests::scripted::{Closing, Cut, Message, Script, Server, message};

use crate::bench::{self, Bench, configured};
use crate::mail::one;

const PASSWORD: &str = "correct horse";

/// One message is known from an earlier session and is deleted; three are new, one of them full of dots.
fn script() -> Script {
    let mut script = Script::new(vec![one("old")]).capable(&["UIDL", "USER"]);
    script.greeting = b"+OK\r\n".to_vec();
    script
}

fn new_ones() -> Vec<Message> {
    let dots = "Subject: d\r\n\r\n.\r\n..\r\n.x\r\n";
    vec![
        message("n1", "Subject: 1\r\n\r\n1\r\n"),
        message("n2", dots),
        message("n3", "Subject: 3\r\n\r\n3\r\n"),
    ]
}

fn text(port: u16, deletes: bool) -> String {
    let delete = if deletes { "delete = { when = \"done\", after = \"0s\" }" } else { "" };
    configured("", "127.0.0.1", port, "none", "user", &format!("timeout = \"5s\"\n{delete}"))
}

/// The state after a first session that stored `old`.
async fn begun() -> Bench {
    let bench = Bench::new(PASSWORD);
    let server = Server::start(script()).await.unwrap();
    let report = bench.poll(&mut None, &text(server.addr().port(), false)).await.unwrap();
    assert_eq!(report["retrieved"], 1, "{report}");
    bench
}

fn later(cut: Option<Cut>) -> Script {
    let mut script = script();
    script.messages.extend(new_ones());
    script.cut = cut;
    script
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Cut after so many octets, then two whole sessions; what is wrong at the end.
async fn cut_at(begun: Arc<Bench>, octets: u64, closing: Closing) -> Option<String> {
    let bench = Bench::new(PASSWORD);
    for directory in ["state", "vault"] {
        copy(&begun.path().join(directory), &bench.path().join(directory));
    }
    let server = Server::start(later(Some(Cut { session: 1, octets, closing }))).await.unwrap();
    let port = server.addr().port();
    let mut problems = Vec::new();
    let mut host = None;
    for poll in 1..=3 {
        match bench.poll(&mut host, &text(port, true)).await {
            Ok(report) if poll > 1 && report["error"].is_string() => {
                problems.push(format!("poll {poll}: {report}"))
            }
            Ok(_) => {}
            Err(error) => problems.push(error),
        }
        if !server.settled().await {
            problems.push("a connection stayed open".to_owned());
        }
        problems.extend(bench::lost(&server.log(), &bench.stored()));
    }
    let wanted =
        new_ones().into_iter().chain([one("old")]).map(|message| (Digest::of(&message.octets), 1)).collect();
    if bench.stored() != wanted {
        problems.push(format!("stored {:?}", bench.stored()));
    }
    if !server.messages().is_empty() {
        problems.push(format!("left {}", server.messages().len()));
    }
    if problems.is_empty() {
        None
    } else {
        Some(format!("cut after {octets} ({closing:?}): {}\n    {:?}", problems.join("; "), server.log()))
    }
}

#[test]
fn a_session_cut_at_every_octet_loses_and_doubles_nothing() {
    let wrong: Vec<String> = bench::runtime().block_on(async {
        let begun = Arc::new(begun().await);
        let whole = Server::start(later(None)).await.unwrap();
        let bench = Bench::new(PASSWORD);
        for directory in ["state", "vault"] {
            copy(&begun.path().join(directory), &bench.path().join(directory));
        }
        bench.poll(&mut None, &text(whole.addr().port(), true)).await.unwrap();
        whole.settled().await;
        let total = whole.log()[0].sent;
        println!("{total} octets: {:?}", whole.log()[0]);
        assert!(total > 300, "{total}");
        let cuts = (0..=total).map(|octets| {
            // A reset takes with it what the client has not read yet: as often as an orderly end is too often for the time.
            let closing = if octets % 4 == 3 { Closing::Reset } else { Closing::Orderly };
            let task = tokio::spawn(cut_at(Arc::clone(&begun), octets, closing));
            async move { task.await.unwrap_or_else(|panic| Some(panic.to_string())) }
        });
        futures::stream::iter(cuts).buffer_unordered(8).filter_map(|wrong| async { wrong }).collect().await
    });
    assert!(wrong.is_empty(), "{} cuts went wrong:\n{}", wrong.len(), wrong.join("\n"));
}
