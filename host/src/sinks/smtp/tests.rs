//! Mail is handed over once, and doubt is told from failure.

use std::path::Path;
use std::time::Duration;

use postroom_mail::{Action, HeaderField};
use postroom_practice::receiver::{ReceiverFault, Stage};
use postroom_practice::{Authority, CertificateKind, Receiver, ReceiverConfig, Security, Times};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::testing::{NOW, build, class, deliver, secret, send, try_build};
use super::super::{Kind, Sink, Transport};
use super::Timeouts;

const RAW: &[u8] = b"Message-ID: <m@a.example>\r\nSubject: a\r\n\r\nbody\r\n.\r\n..dots\r\n";
const TO: &[&str] = &["b@b.example", "c@c.example"];

async fn receiver(faults: &[ReceiverFault]) -> Receiver {
    let config = ReceiverConfig::new(Security::Plain);
    let config = faults.iter().fold(config, |config, fault| config.fault(fault.clone(), Times::Always));
    Receiver::start(config).await.unwrap()
}

fn plain(port: u16) -> Sink {
    plain_with(port, "")
}

fn plain_with(port: u16, more: &str) -> Sink {
    let config = format!(
        "type = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\ninsecure_plaintext = \"I accept\"\n{more}"
    );
    build(Path::new("."), &config)
}

/// Changes how long one thing may take, so that silence is seen at once and nothing else is hurried.
fn impatient(sink: &mut Sink, change: impl FnOnce(&mut Timeouts)) {
    if let Transport::Smtp(smtp) = &mut sink.transport {
        change(&mut smtp.server.timeouts);
    }
}

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_message_reaches_all_recipients_in_one_transaction_with_its_dots() {
    let server = receiver(&[]).await;
    let sink = plain_with(server.addr().port(), "from = \"own@own.example\"\nhello = \"own.example\"");
    assert_eq!(sink.kind(), Kind::Transport);
    let receipt = deliver(&sink, &send(None, TO, RAW), RAW, 1).await.unwrap();
    assert!(!receipt.already);
    assert!(receipt.proof.contains("250 2.0.0 accepted"), "{receipt:?}");
    let accepted = server.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].octets, RAW);
    assert_eq!(accepted[0].recipients, TO);
    assert_eq!(accepted[0].from, "own@own.example");
    assert_eq!(accepted[0].client, "own.example");
    assert_eq!(accepted[0].parameters, format!("SIZE={}", RAW.len()));
}

#[tokio::test]
async fn the_reverse_path_is_the_effects_or_the_sinks_or_null() {
    let server = receiver(&[]).await;
    let own = plain_with(server.addr().port(), "from = \"own@own.example\"");
    deliver(&own, &send(Some("p@p.example"), TO, RAW), RAW, 1).await.unwrap();
    deliver(&own, &send(None, TO, RAW), RAW, 1).await.unwrap();
    deliver(&plain(server.addr().port()), &send(None, TO, RAW), RAW, 1).await.unwrap();
    let from: Vec<String> = server.accepted().into_iter().map(|mail| mail.from).collect();
    assert_eq!(from, ["p@p.example", "own@own.example", ""]);
}

#[tokio::test]
async fn smuggled_endings_arrive_as_one_message_at_a_strict_server() {
    let config = ReceiverConfig::new(Security::Plain).strict_lines();
    let server = Receiver::start(config).await.unwrap();
    let sink = plain(server.addr().port());
    let ends: [&[u8]; 8] =
        [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r\n", b"\n.\r"];
    let mut sent = 0;
    for end in ends {
        let before: [&[u8]; 2] = [b"Message-ID: <m@a.example>\r\n\r\nbody", b"Message-ID: <m@a.example>"];
        for before in before {
            let smuggled = b"MAIL FROM:<x@x.example>\r\nRCPT TO:<y@y.example>\r\nDATA\r\nSubject: x\r\n\r\n";
            let raw = [before, end, smuggled].concat();
            deliver(&sink, &send(None, TO, &raw), &raw, 1).await.unwrap();
            sent += 1;
        }
    }
    let stats = server.stats();
    assert_eq!(stats.accepted.len(), sent);
    assert_eq!(stats.transmitted, sent as u64);
    assert_eq!(stats.bare_line_ends, 0);
    assert!(stats.accepted.iter().all(|mail| mail.recipients == TO));
}

#[tokio::test]
async fn every_refusal_is_blamed_on_the_right_one_and_sends_nothing() {
    use Stage::{Data, Greeting, Hello, Mail, Message, Rcpt};
    let table = [
        (Greeting, 421, "temporary"),
        (Greeting, 554, "configuration"),
        (Hello, 450, "temporary"),
        (Hello, 550, "configuration"),
        (Mail, 451, "temporary"),
        (Mail, 530, "configuration"),
        (Mail, 550, "configuration"),
        (Mail, 552, "permanent"),
        (Rcpt, 421, "temporary"),
        (Rcpt, 450, "temporary"),
        (Rcpt, 550, "permanent"),
        (Data, 451, "temporary"),
        (Data, 554, "permanent"),
        (Message, 451, "temporary"),
        (Message, 552, "permanent"),
        (Message, 550, "permanent"),
    ];
    for (stage, code, expected) in table {
        let text = "5.7.1 for \u{1b}[31m some reason".to_owned();
        let server = receiver(&[ReceiverFault::Reply { stage, code, text }]).await;
        let outcome = deliver(&plain(server.addr().port()), &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), expected, "{stage:?} {code}: {outcome:?}");
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(&code.to_string()) && !text.contains('\u{1b}'), "{text}");
        assert_eq!(server.accepted(), []);
    }
}

#[tokio::test]
async fn a_sender_that_the_effect_named_is_the_effects_fault() {
    let fault = ReceiverFault::Reply { stage: Stage::Mail, code: 550, text: "5.1.8 no".to_owned() };
    let server = receiver(&[fault]).await;
    let outcome = deliver(&plain(server.addr().port()), &send(Some("p@p.example"), TO, RAW), RAW, 1).await;
    assert_eq!(class(&outcome), "permanent");
}

#[tokio::test]
async fn one_refused_recipient_means_that_nobody_gets_a_copy() {
    for (code, expected) in [(450, "temporary"), (550, "permanent")] {
        let server = receiver(&[ReceiverFault::RefuseRecipient { address: TO[1].to_owned(), code }]).await;
        let outcome = deliver(&plain(server.addr().port()), &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), expected);
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(TO[1]) && !text.contains(TO[0]) && text.contains("1 of 2"), "{text}");
        assert_eq!((server.accepted().len(), server.stats().transmitted), (0, 0));
    }
}

#[tokio::test]
async fn a_connection_lost_before_the_dot_is_tried_again_and_after_it_is_in_doubt() {
    use Stage::{Data, Greeting, Hello, Mail, Message, Rcpt};
    for stage in [Greeting, Hello, Mail, Rcpt, Data] {
        let server = receiver(&[ReceiverFault::Drop(stage)]).await;
        let outcome = deliver(&plain(server.addr().port()), &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "temporary", "{stage:?}: {outcome:?}");
    }
    for fault in [ReceiverFault::Drop(Message), ReceiverFault::AcceptThenDrop] {
        let server = receiver(&[fault]).await;
        let outcome = deliver(&plain(server.addr().port()), &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "in doubt", "{outcome:?}");
        assert_eq!(server.stats().transmitted, 1);
    }
}

#[tokio::test]
async fn silence_and_nonsense_are_temporary_before_the_dot_and_in_doubt_after_it() {
    let nonsense = b"what?".to_vec();
    for (stage, expected) in
        [(Stage::Mail, "temporary"), (Stage::Data, "temporary"), (Stage::Message, "in doubt")]
    {
        let server = receiver(&[ReceiverFault::Garbage(stage, nonsense.clone())]).await;
        let outcome = deliver(&plain(server.addr().port()), &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), expected, "{stage:?}: {outcome:?}");
    }
    for (stage, expected) in [(Stage::Mail, "temporary"), (Stage::Message, "in doubt")] {
        let server = receiver(&[ReceiverFault::Silent(stage)]).await;
        let mut sink = plain(server.addr().port());
        impatient(&mut sink, |timeouts| match stage {
            Stage::Message => timeouts.dot = SHORT,
            _ => timeouts.command = SHORT,
        });
        impatient(&mut sink, |timeouts| timeouts.quit = SHORT);
        let outcome = deliver(&sink, &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), expected, "{stage:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn too_large_a_message_is_refused_before_the_server_hears_of_it() {
    let server = Receiver::start(ReceiverConfig::new(Security::Plain).size_limit(40)).await.unwrap();
    let outcome = deliver(&plain(server.addr().port()), &send(None, TO, RAW), RAW, 1).await;
    assert_eq!(class(&outcome), "permanent");
    assert_eq!(server.stats().mails, 0);
}

#[tokio::test]
async fn eight_bit_content_is_announced_and_kept() {
    let server = receiver(&[]).await;
    let raw = b"Message-ID: <m@a.example>\r\n\r\n\xC3\xA4\xFF\r\n";
    deliver(&plain(server.addr().port()), &send(None, TO, raw), raw, 1).await.unwrap();
    assert!(server.accepted()[0].parameters.ends_with("BODY=8BITMIME"));
    assert_eq!(server.accepted()[0].octets, raw);
}

#[tokio::test]
async fn each_attempt_sends_the_same_octets_with_the_same_message_id() {
    let server = receiver(&[]).await;
    let raw = b"Return-Path: <x@x.example>\nBcc: hidden@x.example\nSubject: a\n\nbody";
    let mut effect = send(None, TO, raw);
    if let Action::Send { add_headers, .. } = &mut effect.action {
        add_headers.push(HeaderField::new("X-Forwarded-By", "postroom").unwrap());
    }
    for attempt in 1..=2 {
        deliver(&plain(server.addr().port()), &effect, raw, attempt).await.unwrap();
    }
    let accepted = server.accepted();
    assert_eq!(accepted[0].octets, accepted[1].octets);
    let expected = format!(
        "X-Forwarded-By: postroom\r\nMessage-ID: <E{}@postroom.invalid>\r\nSubject: a\r\n\r\nbody\r\n",
        effect.id.0.short(32)
    );
    assert_eq!(String::from_utf8_lossy(&accepted[0].octets), expected);
}

#[tokio::test]
async fn tls_is_checked_and_logs_in_and_the_probe_says_so() {
    let authority = Authority::new().unwrap();
    let base = tempfile::tempdir().unwrap();
    authority.write_pem(&base.path().join("ca.pem")).unwrap();
    secret(base.path(), "password", "open sesame");
    let identity = || authority.issue(CertificateKind::Good).unwrap();
    for (tls, security) in
        [("implicit", Security::Implicit(identity())), ("starttls", Security::Upgrade(identity()))]
    {
        let config = ReceiverConfig::new(security).credentials("me", "open sesame");
        let server = Receiver::start(config).await.unwrap();
        let config = |more: &str| {
            format!(
                "type = \"smtp\"\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\nca_file = \"ca.pem\"\n{more}",
                server.addr().port()
            )
        };
        let login = "user = \"me\"\npassword = { file = \"password\" }";
        let sink = build(base.path(), &config(login));
        let facts = sink.probe(NOW).await.unwrap();
        assert!(facts[0].contains("TLS") && !facts[0].contains("WITHOUT"), "{facts:?}");
        assert!(facts.iter().any(|fact| fact == "logged in as me"), "{facts:?}");
        assert_eq!(server.stats().mails, 0, "the probe sends nothing");
        deliver(&sink, &send(None, TO, RAW), RAW, 1).await.unwrap();
        assert!(server.accepted()[0].secure);
        assert_eq!(server.accepted()[0].login.as_deref(), Some("me"));
        assert!(!format!("{sink:?}").contains("sesame"));

        let stranger = build(base.path(), &config("user = \"you\"\npassword = { file = \"password\" }"));
        let outcome = deliver(&stranger, &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "configuration", "{outcome:?}");
        assert!(!format!("{outcome:?}").contains("sesame"));
        let nobody = build(base.path(), &config(""));
        assert_eq!(class(&deliver(&nobody, &send(None, TO, RAW), RAW, 1).await), "configuration");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_holds_the_sink_before_anything_is_said() {
    let authority = Authority::new().unwrap();
    let base = tempfile::tempdir().unwrap();
    authority.write_pem(&base.path().join("ca.pem")).unwrap();
    for kind in [CertificateKind::Expired, CertificateKind::OtherHost, CertificateKind::SelfSigned] {
        for implicit in [true, false] {
            let identity = authority.issue(kind).unwrap();
            let (tls, security) = match implicit {
                true => ("implicit", Security::Implicit(identity)),
                false => ("starttls", Security::Upgrade(identity)),
            };
            let server = Receiver::start(ReceiverConfig::new(security)).await.unwrap();
            let config = format!(
                "type = \"smtp\"\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\nca_file = \"ca.pem\"",
                server.addr().port()
            );
            let outcome = deliver(&build(base.path(), &config), &send(None, TO, RAW), RAW, 1).await;
            assert_eq!(class(&outcome), "configuration", "{kind:?} {tls}: {outcome:?}");
            assert_eq!(server.stats().mails, 0);
        }
    }
}

#[tokio::test]
async fn refusals_and_losses_on_the_way_to_a_login_are_blamed_on_the_right_one() {
    let authority = Authority::new().unwrap();
    let base = tempfile::tempdir().unwrap();
    authority.write_pem(&base.path().join("ca.pem")).unwrap();
    secret(base.path(), "password", "open sesame");
    let reply = |stage, code| ReceiverFault::Reply { stage, code, text: "no".to_owned() };
    let table = [
        (reply(Stage::StartTls, 454), "temporary"),
        (reply(Stage::StartTls, 502), "configuration"),
        (ReceiverFault::Drop(Stage::StartTls), "temporary"),
        (reply(Stage::Auth, 454), "temporary"),
        (reply(Stage::Auth, 535), "configuration"),
        (reply(Stage::Auth, 504), "configuration"),
        (ReceiverFault::Drop(Stage::Auth), "temporary"),
    ];
    for (fault, expected) in table {
        let security = Security::Upgrade(authority.issue(CertificateKind::Good).unwrap());
        let config = ReceiverConfig::new(security).credentials("me", "open sesame");
        let server = Receiver::start(config.fault(fault.clone(), Times::Always)).await.unwrap();
        let config = format!(
            "type = \"smtp\"\nhost = \"localhost\"\nport = {}\ntls = \"starttls\"\nca_file = \"ca.pem\"\n\
             user = \"me\"\npassword = {{ file = \"password\" }}",
            server.addr().port()
        );
        let outcome = deliver(&build(base.path(), &config), &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), expected, "{fault:?}: {outcome:?}");
        assert_eq!(server.stats().mails, 0);
    }
}

#[tokio::test]
async fn a_server_that_never_says_goodbye_has_still_taken_the_message() {
    for fault in [ReceiverFault::Drop(Stage::Quit), ReceiverFault::Silent(Stage::Quit)] {
        let server = receiver(&[fault]).await;
        let mut sink = plain(server.addr().port());
        impatient(&mut sink, |timeouts| timeouts.quit = SHORT);
        assert_eq!(class(&deliver(&sink, &send(None, TO, RAW), RAW, 1).await), "done");
        assert_eq!(server.accepted().len(), 1);
    }
}

/// Serves one connection: the greeting, then the next answer after each thing the client sends.
async fn scripted(answers: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        for answer in answers {
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
    });
    port
}

#[tokio::test]
async fn answers_sent_in_the_clear_after_starttls_are_not_taken_for_protected_ones() {
    let port = scripted(vec![
        b"220 hello\r\n".to_vec(),
        b"250-hello\r\n250 STARTTLS\r\n".to_vec(),
        b"220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n".to_vec(),
    ])
    .await;
    let config = format!("type = \"smtp\"\nhost = \"localhost\"\nport = {port}\ntls = \"starttls\"");
    let outcome = deliver(&build(Path::new("."), &config), &send(None, TO, RAW), RAW, 1).await;
    assert_eq!(class(&outcome), "configuration");
    assert!(outcome.unwrap_err().to_string().contains("in the clear"));
}

#[tokio::test]
async fn starttls_that_is_not_offered_is_not_gone_without() {
    let port = scripted(vec![b"220 hello\r\n".to_vec(), b"250 hello\r\n".to_vec()]).await;
    let config = format!("type = \"smtp\"\nhost = \"localhost\"\nport = {port}\ntls = \"starttls\"");
    let outcome = deliver(&build(Path::new("."), &config), &send(None, TO, RAW), RAW, 1).await;
    assert_eq!(class(&outcome), "configuration");
}

#[tokio::test]
async fn eight_bit_content_is_not_forced_on_a_server_that_does_not_take_it() {
    let port = scripted(vec![b"220 hello\r\n".to_vec(), b"250 hello\r\n".to_vec()]).await;
    let raw = b"Subject: \xC3\xA4\r\n\r\n";
    let outcome = deliver(&plain(port), &send(None, TO, raw), raw, 1).await;
    assert_eq!(class(&outcome), "permanent");
    assert!(outcome.unwrap_err().to_string().contains("8BITMIME"));
}

#[tokio::test]
async fn endless_lines_and_endless_replies_are_cut_off() {
    let line = vec![b'2'; 1 << 20];
    let reply = b"220-again and again\r\n".repeat(100_000);
    let split = b"220-one\r\n250 other\r\n".to_vec();
    for answer in [line, reply, split] {
        let port = scripted(vec![answer]).await;
        let outcome = deliver(&plain(port), &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "temporary", "{outcome:?}");
        assert!(outcome.unwrap_err().to_string().contains("not SMTP"));
    }
}

#[tokio::test]
async fn a_reply_split_at_every_octet_is_the_same_reply() {
    use super::wire::Wire;
    let octets = b"250-one\r\n250-SIZE 10\r\n250 last\r\n";
    for at in 1..octets.len() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.set_nodelay(true).unwrap();
        let mut wire = Wire::new(super::wire::Stream::Plain(client));
        server.write_all(&octets[..at]).await.unwrap();
        let (reply, written) = tokio::join!(wire.reply(Duration::from_secs(5)), async {
            tokio::task::yield_now().await;
            server.write_all(&octets[at..]).await
        });
        written.unwrap();
        let reply = reply.unwrap();
        assert_eq!((reply.code, reply.lines), (250, vec!["one".into(), "SIZE 10".into(), "last".into()]));
    }
}

#[tokio::test]
async fn nobody_listening_is_temporary() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(class(&deliver(&plain(port), &send(None, TO, RAW), RAW, 1).await), "temporary");
}

#[test]
fn contradictions_in_the_configuration_are_found_before_anything_runs() {
    let base = tempfile::tempdir().unwrap();
    let bad = [
        "tls = \"none\"",
        "tls = \"none\"\ninsecure_plaintext = \"yes\"",
        "insecure_plaintext = \"I accept\"",
        "user = \"me\"",
        "password = { file = \"p\" }",
        "user = \"me\"\npassword = { file = \"missing\" }",
        "ca_file = \"missing.pem\"",
        "hello = \"two words\"",
    ];
    for more in bad {
        let config = format!("type = \"smtp\"\nhost = \"smtp.example\"\n{more}");
        assert!(try_build(base.path(), &config).is_err(), "{more}");
    }
    assert!(try_build(base.path(), "type = \"smtp\"\nhost = \"smtp.example\"").is_ok());
}

/// Wrapping would break signatures; a server that does not take it says so.
#[tokio::test]
async fn lines_longer_than_998_octets_arrive_as_they_are() {
    let server = receiver(&[]).await;
    for length in [998, 999, 5000, 200_000] {
        let raw =
            [b"Message-ID: <m@a.example>\r\n\r\n".to_vec(), vec![b'x'; length], b"\r\n".to_vec()].concat();
        deliver(&plain(server.addr().port()), &send(None, TO, &raw), &raw, 1).await.unwrap();
        assert!(server.accepted().last().unwrap().octets == raw, "{length}");
    }
}
