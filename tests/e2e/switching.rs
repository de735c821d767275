//! From another retriever to this one: its own state file, written by the real program, is taken over, so that nothing is
//! retrieved again.

use postroom_practice::Authority;
use postroom_tests::Dovecot;
use postroom_tests::retrievers::{Endpoint, Retriever};

use crate::support::{ARCHIVE, Bench, PASSWORD, account, authority, mail};

/// Messages the other program has retrieved.
const SEEN: usize = 12;

/// Lets the other program retrieve everything twice, to be sure that it remembers, and returns its state file's path.
async fn retrieved_by(retriever: Retriever, bench: &Bench, dovecot: &Dovecot) -> std::path::PathBuf {
    for number in 0..SEEN {
        dovecot.deliver("user", &mail(&format!("number {number}"))).expect("delivered");
    }
    let server = Endpoint {
        host: "localhost".to_owned(),
        port: dovecot.implicit().port(),
        tls: true,
        ca_file: Some(bench.path("ca.pem")),
    };
    let directory = bench.path("other");
    let mut state = None;
    for _ in 0..2 {
        let ran = retriever.run(&directory, &server, "user", PASSWORD).await;
        state = Some(ran.unwrap_or_else(|error| panic!("{retriever:?}: {error}")));
    }
    let visits = dovecot.visits("user", 2).await.expect("the log");
    // fetchmail retrieves by TOP of more lines than there are, so that the server does not mark mail as read.
    let seen: Vec<_> = visits.iter().map(|visit| visit.retr + visit.top).collect();
    assert_eq!(seen.iter().sum::<u64>(), SEEN as u64, "{retriever:?}: {seen:?}");
    assert_eq!(dovecot.count("user").expect("a count"), SEEN, "{retriever:?} leaves the mail there");
    state.expect("a state file")
}

async fn stand(bench: &Bench) -> Dovecot {
    let (authority, _): (Authority, _) = authority(bench);
    Dovecot::start(&authority, &[("user", PASSWORD)]).await.expect("Dovecot")
}

/// After the import, `once` retrieves only what came since.
async fn nothing_is_retrieved_again(retriever: Retriever, more: &[&str]) {
    let bench = Bench::new();
    let dovecot = stand(&bench).await;
    let state = retrieved_by(retriever, &bench, &dovecot).await;
    let before = dovecot.visits("user", 2).await.expect("the log").len();
    bench.config(&format!("{}{ARCHIVE}", account("home", dovecot.implicit().port(), "")));

    let file = state.to_str().expect("a path");
    let arguments = [&["seen", "import", "home", file, "--json"], more].concat();
    for newly in [SEEN, 0] {
        let run = bench.postroom(&arguments).await;
        let counts = run.expect(0).json();
        let expected =
            [("entries", SEEN), ("listed", SEEN), ("matched", SEEN), ("marked", newly), ("unknown", 0)];
        for (name, count) in expected {
            assert_eq!(counts[name], count, "{name}: {counts:#}");
        }
    }

    dovecot.deliver("user", &mail("since then")).expect("delivered");
    let (run, summary) = bench.once().await;
    run.expect(0);
    let report = &summary["accounts"]["home"];
    assert_eq!((&report["listed"], &report["retrieved"]), (&(SEEN + 1).into(), &1.into()), "{report:#}");
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["accounts"]["home"]["retrieved"], 0);
    assert_eq!(bench.names("vault").len(), 1, "only the new one came");
    // The imports look, too: they list.
    let visits = dovecot.visits("user", dovecot.logins("user").len()).await.expect("the log");
    let visits = &visits[before..];
    assert!(visits.len() >= 2, "{visits:?}");
    assert_eq!(visits.iter().map(|visit| visit.retr).sum::<u64>(), 1, "RETR: {visits:?}");
    assert_eq!(visits.iter().map(|visit| visit.top).sum::<u64>(), 0, "TOP: {visits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_getmail_has_seen_is_not_retrieved_again() {
    nothing_is_retrieved_again(Retriever::Getmail, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mpop_has_seen_is_not_retrieved_again() {
    nothing_is_retrieved_again(Retriever::Mpop, &["--mailbox", "user@localhost"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fetchmail_has_seen_is_not_retrieved_again() {
    nothing_is_retrieved_again(Retriever::Fetchmail, &["--mailbox", "user@localhost"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_retrievers_remember_what_they_have_seen() {
    for retriever in [Retriever::Getmail, Retriever::Mpop, Retriever::Fetchmail] {
        let bench = Bench::new();
        let dovecot = stand(&bench).await;
        let state = retrieved_by(retriever, &bench, &dovecot).await;
        let octets = std::fs::read(&state).expect("the state file");
        assert!(!octets.is_empty(), "{retriever:?} wrote nothing into {}", state.display());
    }
}
