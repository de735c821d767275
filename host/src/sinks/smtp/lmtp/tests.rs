//! Each recipient has an answer of its own, and none of them is taken for another's.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::super::super::testing::{NOW, build, class, deliver, secret, send, try_build};
use super::super::super::{Kind, Sink};

const RAW: &[u8] = b"Message-ID: <m@a.example>\r\nSubject: a\r\n\r\nbody\r\n.\r\n";
const TO: &[&str] = &["b@b.example", "c@c.example"];

/// Serves conversations at a socket; `verdict` is what the final dot is answered with. Hangs up after it when that is
/// less than a line for each recipient.
async fn server(base: &Path, verdict: &'static str) -> (Sink, tokio::task::JoinHandle<String>) {
    let listener = UnixListener::bind(base.join("lmtp")).unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut heard, mut at, mut in_mail) = (String::new(), 0, false);
        stream.write_all(b"220 hello\r\n").await.unwrap();
        let mut block = [0; 4096];
        loop {
            let read = stream.read(&mut block).await.unwrap();
            if read == 0 {
                return heard;
            }
            heard.push_str(std::str::from_utf8(&block[..read]).unwrap());
            let end = if in_mail { "\r\n.\r\n" } else { "\r\n" };
            let Some(length) = heard[at..].find(end) else { continue };
            // A dot of the message is stuffed, so the first lone one is the last.
            let line = heard[at..at + length].to_owned();
            at += length + end.len();
            let answer = match line.split(' ').next().unwrap() {
                "LHLO" => "250-here\r\n250 8BITMIME\r\n",
                "DATA" => "354 go\r\n",
                _ if in_mail => verdict,
                _ => "250 2.0.0 ok\r\n",
            };
            in_mail = line == "DATA";
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer == verdict && verdict.lines().count() < 2 {
                return heard;
            }
        }
    });
    (build(base, "type = \"lmtp\"\nsocket = \"lmtp\""), serving)
}

#[tokio::test]
async fn a_message_is_handed_over_at_a_socket_with_lhlo_and_its_dots() {
    let base = tempfile::tempdir().unwrap();
    let (sink, serving) = server(base.path(), "250 2.1.5 <b> saved\r\n250 2.1.5 <c> saved\r\n").await;
    assert_eq!((sink.kind(), sink.most_doubts()), (Kind::Transport, 2));
    let receipt = deliver(&sink, &send(None, TO, RAW), RAW, 1).await.unwrap();
    assert!(receipt.proof.contains("<b> saved") && receipt.proof.contains("<c> saved"), "{receipt:?}");
    let heard = serving.await.unwrap();
    assert!(heard.starts_with("LHLO [127.0.0.1]\r\n") && !heard.contains("EHLO"), "{heard}");
    assert!(heard.contains("body\r\n..\r\n.\r\n"), "{heard}");
}

#[tokio::test]
async fn answers_for_each_recipient_are_told_apart() {
    let table = [
        ("451 4.2.0 later\r\n452 4.2.2 full\r\n", "temporary"),
        ("451 4.2.0 later\r\n550 5.1.1 nobody\r\n", "permanent"),
        // What is done for one cannot be tried again for both.
        ("250 2.1.5 saved\r\n452 4.2.2 full\r\n", "permanent"),
        ("250 2.1.5 saved\r\n", "in doubt"),
        ("", "in doubt"),
    ];
    for (verdict, expected) in table {
        let base = tempfile::tempdir().unwrap();
        let (sink, _serving) = server(base.path(), verdict).await;
        let outcome = deliver(&sink, &send(None, TO, RAW), RAW, 1).await;
        assert_eq!(class(&outcome), expected, "{verdict:?}: {outcome:?}");
        let text = outcome.unwrap_err().to_string();
        assert!(
            expected != "permanent" || verdict.starts_with("451") || text.contains("c@c.example"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_probe_of_a_socket_is_not_warned_of_missing_tls() {
    let base = tempfile::tempdir().unwrap();
    let (sink, _serving) = server(base.path(), "").await;
    let facts = sink.probe(NOW).await.unwrap().join("; ");
    assert!(facts.contains("8BITMIME") && !facts.contains("WITHOUT TLS"), "{facts}");
    std::fs::remove_file(base.path().join("lmtp")).unwrap();
    assert_eq!(class(&deliver(&sink, &send(None, TO, RAW), RAW, 1).await), "temporary");
}

#[test]
fn contradictions_in_the_configuration_are_found_before_anything_runs() {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "p", "p");
    let bad = [
        "",
        "socket = \"s\"\nhost = \"h.example\"",
        "socket = \"s\"\nport = 24",
        "socket = \"s\"\ntls = \"none\"",
        "host = \"h.example\"\nport = 25",
        "host = \"h.example\"\ntls = \"none\"",
        "host = \"h.example\"\nuser = \"me\"",
        "socket = \"s\"\nhello = \"two words\"",
    ];
    for more in bad {
        assert!(try_build(base.path(), &format!("type = \"lmtp\"\n{more}")).is_err(), "{more}");
    }
    let good = [
        "socket = \"s\"\nuser = \"me\"\npassword = { file = \"p\" }",
        "host = \"localhost\"\ntls = \"none\"",
        "host = \"h.example\"",
        "host = \"h.example\"\ntls = \"none\"\ninsecure_plaintext = \"I accept\"",
    ];
    for more in good {
        assert!(try_build(base.path(), &format!("type = \"lmtp\"\n{more}")).is_ok(), "{more}");
    }
}
