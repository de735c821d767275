//! The practice receiver as a client sees it.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::testing::{Client, trusting};
use crate::{Authority, CertificateKind};

async fn start(config: ReceiverConfig) -> (Receiver, Client) {
    let receiver = Receiver::start(config).await.unwrap();
    let mut client = Client::connect(receiver.addr()).await;
    assert!(client.line().await.starts_with("220 "));
    (receiver, client)
}

#[tokio::test]
async fn mail_comes_through_starttls_and_auth_as_it_was_sent() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(CertificateKind::Good).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = ReceiverConfig::new(Security::Upgrade(identity))
        .credentials("ann", "secret")
        .directory(directory.path().to_owned());
    let (receiver, mut client) = start(config).await;
    let offered = client.ask_smtp("EHLO client.example").await;
    assert!(offered.contains("STARTTLS") && !offered.contains("AUTH"), "{offered}");
    assert!(client.ask_smtp("MAIL FROM:<>").await.starts_with("530 "));
    assert!(client.ask_smtp("STARTTLS").await.starts_with("220 "));
    client.upgrade(&trusting(&authority), "localhost").await.unwrap();
    let offered = client.ask_smtp("EHLO client.example").await;
    assert!(!offered.contains("STARTTLS") && offered.contains("AUTH PLAIN LOGIN"), "{offered}");
    assert!(client.ask_smtp("MAIL FROM:<>").await.starts_with("530 "));
    assert!(client.ask_smtp("AUTH PLAIN AGFubgB3cm9uZw==").await.starts_with("535 "));
    assert!(client.ask_smtp("AUTH LOGIN").await.starts_with("334 "));
    assert!(client.ask_smtp("YW5u").await.starts_with("334 "));
    assert!(client.ask_smtp("c2VjcmV0").await.starts_with("235 "));
    client.send(b"MAIL FROM:<a@b.example> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<c@d.example>\r\nDATA\r\n").await;
    for code in ["250 ", "250 ", "354 "] {
        assert!(client.line().await.starts_with(code));
    }
    client.send(b"A: b\r\n\r\n..c\r\n\xff\r\n.\r\nQUIT\r\n").await;
    assert!(client.line().await.starts_with("250 "));
    assert!(client.line().await.starts_with("221 "));
    let expected = Accepted {
        client: "client.example".into(),
        from: "a@b.example".into(),
        recipients: vec!["c@d.example".into()],
        parameters: "SIZE=9 BODY=8BITMIME".into(),
        octets: b"A: b\r\n\r\n.c\r\n\xff\r\n".to_vec(),
        secure: true,
        login: Some("ann".into()),
    };
    assert_eq!(std::fs::read(directory.path().join("0001.eml")).unwrap(), expected.octets);
    assert_eq!(receiver.accepted(), [expected]);
    let stats = receiver.stats();
    assert_eq!((stats.logins, stats.refused_logins, stats.handshakes), (1, 1, 1));
}

#[tokio::test]
async fn each_stage_refuses_when_told_and_works_after() {
    let (receiver, mut client) = start(ReceiverConfig::new(Security::Plain)).await;
    let refuse = |stage, code| {
        let text = "no".to_owned();
        receiver.inject(ReceiverFault::Reply { stage, code, text }, Times::Next(1));
    };
    client.ask_smtp("EHLO x").await;
    refuse(Stage::Mail, 451);
    refuse(Stage::Rcpt, 452);
    refuse(Stage::Data, 454);
    refuse(Stage::Message, 554);
    receiver
        .inject(ReceiverFault::RefuseRecipient { address: "bad@d.example".into(), code: 550 }, Times::Always);
    assert_eq!(client.ask_smtp("MAIL FROM:<a@b.example>").await, "451 no\r\n");
    assert!(client.ask_smtp("MAIL FROM:<a@b.example>").await.starts_with("250"));
    assert_eq!(client.ask_smtp("RCPT TO:<c@d.example>").await, "452 no\r\n");
    assert!(client.ask_smtp("RCPT TO:<c@d.example>").await.starts_with("250"));
    assert!(client.ask_smtp("RCPT TO:<bad@d.example>").await.starts_with("550"));
    assert_eq!(client.ask_smtp("DATA").await, "454 no\r\n");
    assert!(client.ask_smtp("DATA").await.starts_with("354"));
    assert_eq!(client.ask_smtp("one\r\n.").await, "554 no\r\n");
    assert_eq!(receiver.accepted(), []);
    assert!(client.ask_smtp("MAIL FROM:<a@b.example>").await.starts_with("250"));
    assert!(client.ask_smtp("RCPT TO:<c@d.example>").await.starts_with("250"));
    assert!(client.ask_smtp("DATA").await.starts_with("354"));
    assert!(client.ask_smtp("two\r\n.").await.starts_with("250"));
    assert_eq!(receiver.accepted().len(), 1);
    assert_eq!((receiver.stats().transmitted, receiver.stats().refusals), (2, 5));
}

#[tokio::test]
async fn the_reply_to_the_final_dot_is_lost_with_and_without_the_mail() {
    for (fault, kept) in [(ReceiverFault::Drop(Stage::Message), 0), (ReceiverFault::AcceptThenDrop, 1)] {
        let config = ReceiverConfig::new(Security::Plain).fault(fault, Times::Next(1));
        let (receiver, mut client) = start(config).await;
        client.ask_smtp("EHLO x").await;
        for command in ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"] {
            client.ask_smtp(command).await;
        }
        client.send(b"x\r\n.\r\n").await;
        assert_eq!(client.rest().await, b"");
        let stats =
            timeout(Duration::from_secs(10), receiver.wait_until(|stats| stats.closed == 1)).await.unwrap();
        assert_eq!((stats.accepted.len(), stats.transmitted), (kept, 1));
    }
}

#[tokio::test]
async fn bare_line_feeds_are_noted_and_refused_only_when_strict() {
    for strict in [false, true] {
        let config = ReceiverConfig::new(Security::Plain).size_limit(20);
        let (receiver, mut client) = start(if strict { config.strict_lines() } else { config }).await;
        client.ask_smtp("HELO x").await;
        for command in ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"] {
            client.ask_smtp(command).await;
        }
        let answer = client.ask_smtp("x\ny\r\n.").await;
        assert_eq!(answer.starts_with("550"), strict, "{answer}");
        assert_eq!(receiver.stats().bare_line_ends, 1);
        assert_eq!(receiver.accepted().len(), usize::from(!strict));
        assert!(client.ask_smtp("MAIL FROM:<a@b.example> size=21").await.starts_with("552"));
    }
}
