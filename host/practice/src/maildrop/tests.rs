//! The practice maildrop as a client sees it.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::testing::{Client, trusting};
use crate::{Authority, CertificateKind};

fn messages() -> Vec<Vec<u8>> {
    vec![
        b"Subject: one\r\n\r\n.dot\r\n..\r\n.\r\nend\r\n".to_vec(),
        b"Subject: two\r\n\r\nno end of line".to_vec(),
        b"Subject: three\r\n\r\n\xff\x00\r\n".to_vec(),
    ]
}

async fn plain(faults: Vec<Fault>) -> (Maildrop, Client) {
    let mut config = MaildropConfig::new(Security::Plain).account("ann", "secret", messages());
    for fault in faults {
        config = config.fault(fault, Times::Always);
    }
    let maildrop = Maildrop::start(config).await.unwrap();
    let client = login(&maildrop).await;
    (maildrop, client)
}

async fn login(maildrop: &Maildrop) -> Client {
    let mut client = Client::connect(maildrop.addr()).await;
    assert!(client.line().await.starts_with("+OK"));
    assert!(client.ask("USER ann").await.starts_with("+OK"));
    assert_eq!(client.ask("PASS secret").await, "+OK welcome\r\n");
    client
}

async fn closed(maildrop: &Maildrop, connections: u64) -> MaildropStats {
    let stats = maildrop.wait_until(|stats| stats.closed == connections);
    timeout(Duration::from_secs(10), stats).await.unwrap()
}

#[tokio::test]
async fn a_session_over_stls_retrieves_and_deletes_and_is_counted() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(CertificateKind::Good).unwrap();
    let config = MaildropConfig::new(Security::Upgrade(identity)).account("ann", "secret", messages());
    let maildrop = Maildrop::start(config).await.unwrap();
    let mut client = Client::connect(maildrop.addr()).await;
    client.line().await;
    assert!(client.ask_lines("CAPA").await.windows(6).any(|six| six == b"STLS\r\n"));
    assert!(client.ask("USER ann").await.starts_with("-ERR [AUTH]"));
    assert!(client.ask("STLS").await.starts_with("+OK"));
    client.upgrade(&trusting(&authority), "localhost").await.unwrap();
    let capabilities = String::from_utf8(client.ask_lines("CAPA").await).unwrap();
    assert!(!capabilities.contains("STLS") && capabilities.contains("SASL PLAIN"));
    assert!(client.ask("AUTH PLAIN AGFubgB3cm9uZw==").await.starts_with("-ERR [AUTH]"));
    assert_eq!(client.ask("AUTH PLAIN").await, "+ \r\n");
    assert_eq!(client.ask("AGFubgBzZWNyZXQ=").await, "+OK welcome\r\n");

    assert_eq!(client.ask("STAT").await, "+OK 3 88\r\n");
    assert_eq!(client.ask_lines("LIST").await, b"1 34\r\n2 32\r\n3 22\r\n".to_vec());
    let uidls: Vec<String> = maildrop.messages("ann").into_iter().map(|(uidl, _)| uidl).collect();
    let listed = format!("1 {}\r\n2 {}\r\n3 {}\r\n", uidls[0], uidls[1], uidls[2]);
    assert_eq!(client.ask_lines("UIDL").await, listed.into_bytes());
    assert_eq!(client.ask_lines("RETR 1").await, b"Subject: one\r\n\r\n..dot\r\n...\r\n..\r\nend\r\n");
    assert_eq!(client.ask_lines("RETR 2").await, b"Subject: two\r\n\r\nno end of line\r\n");
    assert_eq!(client.ask_lines("TOP 1 1").await, b"Subject: one\r\n\r\n..dot\r\n");
    assert!(client.ask("DELE 2").await.starts_with("+OK"));
    assert!(client.ask("RETR 2").await.starts_with("-ERR"));
    assert!(client.ask("RSET").await.starts_with("+OK"));
    assert!(client.ask("DELE 1").await.starts_with("+OK"));
    assert_eq!(client.ask("STAT").await, "+OK 2 54\r\n");
    assert!(client.ask("QUIT").await.starts_with("+OK"));
    assert_eq!(client.rest().await, b"");

    let ann = closed(&maildrop, 1).await.account("ann");
    assert_eq!((ann.logins, ann.quits, ann.dropped, ann.retrievals()), (1, 1, 0, 2));
    assert_eq!(ann.deleted, uidls[..1]);
    assert_eq!(ann.retrieved_again(), Vec::<String>::new());
    assert_eq!(maildrop.messages("ann").len(), 2);
    assert_eq!(maildrop.stats().refused_logins, 1);
}

#[tokio::test]
async fn implicit_tls_is_refused_by_a_client_for_each_bad_certificate_and_taken_for_the_good_one() {
    let authority = Authority::new().unwrap();
    let kinds = [
        (CertificateKind::Good, None),
        (CertificateKind::Expired, Some("expired")),
        (CertificateKind::OtherHost, Some("not valid for name")),
        (CertificateKind::SelfSigned, Some("UnknownIssuer")),
    ];
    for (kind, refusal) in kinds {
        let config = MaildropConfig::new(Security::Implicit(authority.issue(kind).unwrap()));
        let maildrop = Maildrop::start(config).await.unwrap();
        let mut client = Client::connect(maildrop.addr()).await;
        match (client.upgrade(&trusting(&authority), "127.0.0.1").await, refusal) {
            (Ok(()), None) => assert!(client.ask("QUIT").await.starts_with("+OK")),
            (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{kind:?}: {error}"),
            (outcome, _) => panic!("{kind:?}: {outcome:?}"),
        }
        drop(client);
        let stats = closed(&maildrop, 1).await;
        let good = u64::from(refusal.is_none());
        assert_eq!((stats.handshakes, stats.failed_handshakes), (good, 1 - good));
    }
}

#[tokio::test]
async fn a_second_session_is_in_use_until_the_first_ends_and_sees_what_came_since() {
    let (maildrop, mut first) = plain(vec![]).await;
    let uidl = maildrop.add("ann", b"new\r\n".to_vec()).unwrap();
    assert!(first.ask("UIDL 4").await.starts_with("-ERR"));
    let mut second = Client::connect(maildrop.addr()).await;
    second.line().await;
    second.ask("USER ann").await;
    assert!(second.ask("PASS secret").await.starts_with("-ERR [IN-USE]"));
    first.ask("DELE 1").await;
    drop(first);
    let waiting = maildrop.wait_until(|stats| stats.account("ann").dropped == 1);
    timeout(Duration::from_secs(10), waiting).await.unwrap();
    second.ask("USER ann").await;
    assert!(second.ask("PASS secret").await.starts_with("+OK"));
    assert_eq!(second.ask("UIDL 4").await, format!("+OK 4 {uidl}\r\n"));
    assert_eq!(maildrop.stats().account("ann").deleted, Vec::<String>::new());
}

#[tokio::test]
async fn retrieval_faults_meet_their_message_only() {
    let (maildrop, mut client) = plain(vec![
        Fault::RetrRefused { message: 1 },
        Fault::RetrCut { message: 2, after: 10 },
        Fault::RetrEndless { message: 3 },
    ])
    .await;
    assert!(client.ask("RETR 1").await.starts_with("-ERR [SYS/TEMP]"));
    client.send(b"RETR 2\r\n").await;
    assert!(client.line().await.starts_with("+OK"));
    assert_eq!(client.rest().await, b"Subject: t");
    let ann = closed(&maildrop, 1).await.account("ann");
    assert_eq!((ann.dropped, ann.retrievals()), (1, 2));
    let mut client = login(&maildrop).await;
    client.send(b"RETR 3\r\n").await;
    for _ in 0..5000 {
        client.line().await;
    }
    drop(client);
    closed(&maildrop, 2).await;
    maildrop.clear_faults();
    assert_eq!(login(&maildrop).await.ask_lines("RETR 1").await.len(), 34 + 3);
}

#[tokio::test]
async fn a_stalled_message_and_a_silent_command_keep_the_connection_open() {
    for (fault, command, seen) in [
        (Fault::RetrStall { message: 1, after: 3 }, "RETR 1\r\n", "+OK 34 octets\r\nSub"),
        (Fault::Silent(Verb::List), "NOOP\r\nLIST\r\n", "+OK\r\n"),
    ] {
        let (maildrop, mut client) = plain(vec![fault]).await;
        client.send(command.as_bytes()).await;
        let mut got = Vec::new();
        while got.len() < seen.len() {
            got.extend(client.some().await);
        }
        assert_eq!(got, seen.as_bytes());
        assert_eq!(maildrop.stats().closed, 0);
        drop(client);
        closed(&maildrop, 1).await;
    }
}

#[tokio::test]
async fn wrong_listings_are_told_as_given() {
    let (maildrop, mut client) = plain(vec![
        Fault::WrongSize { message: 2, size: 7 },
        Fault::DuplicateUidl { message: 3, of: 1 },
        Fault::Refuse(Verb::Top, "not here".into()),
        Fault::Garbage(Verb::Noop, b"* OK IMAP".to_vec()),
    ])
    .await;
    assert_eq!(client.ask("LIST 2").await, "+OK 2 7\r\n");
    let first = client.ask("UIDL 1").await;
    assert_eq!(client.ask("UIDL 3").await, first.replace("+OK 1 ", "+OK 3 "));
    assert_eq!(client.ask("TOP 1 0").await, "-ERR not here\r\n");
    assert_eq!(client.ask("NOOP").await, "* OK IMAP\r\n");
    client.ask("DELE 3").await;
    client.ask("QUIT").await;
    assert_eq!(maildrop.messages("ann").len(), 2);
    maildrop.inject(Fault::EmptyListing, Times::Next(1));
    assert_eq!(login(&maildrop).await.ask("STAT").await, "+OK 0 0\r\n");
    closed(&maildrop, 2).await;
    assert!(login(&maildrop).await.ask("STAT").await.starts_with("+OK 2 "));
}

#[tokio::test]
async fn quit_faults_decide_what_is_deleted() {
    let (maildrop, mut client) = plain(vec![]).await;
    maildrop.inject(Fault::QuitRefused, Times::Next(1));
    client.ask("DELE 1").await;
    assert!(client.ask("QUIT").await.starts_with("-ERR"));
    assert_eq!(maildrop.messages("ann").len(), 3);

    maildrop.inject(Fault::QuitCut, Times::Next(1));
    let mut client = login(&maildrop).await;
    client.ask("DELE 1").await;
    client.send(b"QUIT\r\n").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(maildrop.messages("ann").len(), 2);

    maildrop.inject(Fault::HideRetrieved, Times::Next(1));
    let mut client = login(&maildrop).await;
    client.ask_lines("RETR 1").await;
    client.ask("QUIT").await;
    let left = maildrop.messages("ann");
    assert_eq!(left.len(), 1);

    maildrop.reassign_uidls("ann");
    assert_ne!(maildrop.messages("ann")[0].0, left[0].0);
    assert!(maildrop.remove("ann", &maildrop.messages("ann")[0].0));
    assert_eq!(login(&maildrop).await.ask("STAT").await, "+OK 0 0\r\n");
}

#[tokio::test]
async fn logins_are_refused_with_the_text_given_and_stopping_ends_sessions() {
    let (maildrop, mut open) = plain(vec![]).await;
    maildrop.inject(Fault::RefuseLogin("[SYS/TEMP] later".into()), Times::Next(1));
    maildrop.inject(Fault::RefuseConnection("[SYS/PERM] no".into()), Times::Next(1));
    let mut refused = Client::connect(maildrop.addr()).await;
    assert_eq!(refused.rest().await, b"-ERR [SYS/PERM] no\r\n");
    let mut client = Client::connect(maildrop.addr()).await;
    client.line().await;
    client.ask("USER ann").await;
    assert_eq!(client.ask("PASS secret").await, "-ERR [SYS/TEMP] later\r\n");
    drop(maildrop);
    assert_eq!(open.rest().await, b"");
}
