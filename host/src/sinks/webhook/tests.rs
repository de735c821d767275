//! What is posted is signed and told apart, and every answer is blamed on the right one.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use postroom_mail::{Action, Coding, Effect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::testing::{NOW, build, class, deliver, effect, of_the_sink, secret, try_build};
use super::super::{DeliveryError, Kind, Sink};

const RAW: &[u8] = b"Subject: a\r\n\r\nbody \xFF\r\n";

/// One request as it came.
#[derive(Clone, Debug, Default)]
struct Posted {
    head: String,
    body: Vec<u8>,
}

impl Posted {
    fn field(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .next()
    }
}

/// Answers each connection's request with the next of these, the last again and again; an empty one hangs up.
async fn receiver(answers: Vec<String>) -> (u16, Arc<Mutex<Vec<Posted>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let all = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&all);
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut octets = Vec::new();
            let posted = loop {
                let mut block = [0; 4096];
                let read = stream.read(&mut block).await.unwrap();
                assert_ne!(read, 0, "the request broke off");
                octets.extend_from_slice(&block[..read]);
                let Some(end) = octets.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
                let head = String::from_utf8(octets[..end].to_vec()).unwrap();
                let posted = Posted { head, body: octets[end + 4..].to_vec() };
                let length = posted.field("content-length").map_or(0, |text| text.parse().unwrap());
                if posted.body.len() == length {
                    break posted;
                }
            };
            seen.lock().unwrap().push(posted);
            let answer = answers.get(number).or(answers.last()).unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, all)
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn config(port: u16, more: &str) -> String {
    format!("type = \"webhook\"\nurl = \"http://127.0.0.1:{port}/in?token=hush\"\nallow_http = true\n{more}")
}

fn hook(port: u16) -> Sink {
    build(std::path::Path::new("."), &config(port, ""))
}

fn described(raw: &[u8]) -> Effect {
    let mut effect = effect("2026/a b.eml", raw);
    if let Action::Store { content_type, meta, .. } = &mut effect.action {
        *content_type = Some("message/rfc822".to_owned());
        meta.push(("Subject".to_owned(), "Grüße %\r\n".to_owned()));
    }
    effect
}

#[tokio::test]
async fn raw_octets_are_posted_with_what_is_known_of_them_and_signed_by_both_secrets() {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "new", "new secret");
    secret(base.path(), "old", "old secret");
    secret(base.path(), "bearer", "t0ken");
    let (port, seen) = receiver(vec![answer("201 Created", "", "stored\u{1b} as 7")]).await;
    let more =
        "secret = { file = \"new\" }\nprevious_secret = { file = \"old\" }\nbearer = { file = \"bearer\" }";
    let sink = build(base.path(), &config(port, more));
    assert_eq!(sink.kind(), Kind::Object);
    let effect = described(RAW);
    let receipt = deliver(&sink, &effect, RAW, 1).await.unwrap();
    assert!(!receipt.already);
    assert!(receipt.proof.contains("HTTP 201") && receipt.proof.contains("as 7"), "{receipt:?}");
    assert!(!receipt.proof.contains('\u{1b}') && !receipt.location.contains("hush"), "{receipt:?}");

    let posted = seen.lock().unwrap()[0].clone();
    assert_eq!(posted.body, RAW);
    assert!(posted.head.starts_with("POST /in?token=hush HTTP/1.1"), "{posted:?}");
    let field = |name: &str| posted.field(name).unwrap_or_else(|| panic!("no {name} in {posted:?}"));
    assert_eq!(field("idempotency-key"), effect.id.to_string());
    assert_eq!(field("content-type"), "message/rfc822");
    assert_eq!(field("postroom-key"), "2026/a b.eml");
    assert_eq!(field("postroom-account"), "home");
    assert_eq!(field("postroom-meta-subject"), "Gr%C3%BC%C3%9Fe %25%0D%0A");
    assert_eq!(field("postroom-sha256"), effect.digest.to_string());
    assert_eq!(field("authorization"), "Bearer t0ken");
    let signed = |secret: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{}.", NOW.0 / 1000).as_bytes());
        mac.update(RAW);
        mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect::<String>()
    };
    let expected = format!("t={},v1={},v1={}", NOW.0 / 1000, signed("new secret"), signed("old secret"));
    assert_eq!(field("postroom-signature"), expected);
}

#[tokio::test]
async fn a_json_document_carries_the_same_and_every_octet() {
    let (port, seen) = receiver(vec![answer("204 No Content", "", "")]).await;
    let sink = build(std::path::Path::new("."), &config(port, "format = \"json\""));
    for coding in [Coding::Identity, Coding::Zstd] {
        let mut effect = described(RAW);
        effect.content.coding = coding;
        deliver(&sink, &effect, RAW, 1).await.unwrap();
        let posted = seen.lock().unwrap().pop().unwrap();
        assert_eq!(posted.field("content-type").as_deref(), Some("application/json"));
        assert_eq!(posted.field("postroom-signature"), None);
        let document: serde_json::Value = serde_json::from_slice(&posted.body).unwrap();
        assert_eq!(document["id"], effect.id.to_string());
        assert_eq!(document["key"], "2026/a b.eml");
        assert_eq!(document["meta"][0][1], "Grüße %\r\n");
        let content = BASE64_STANDARD.decode(document["content"].as_str().unwrap()).unwrap();
        match coding {
            Coding::Identity => assert_eq!((&*content, &document["coding"]), (RAW, &"identity".into())),
            Coding::Zstd => assert_eq!(zstd::stream::decode_all(&*content).unwrap(), RAW),
        }
    }
}

#[tokio::test]
async fn an_attempt_after_a_lost_answer_has_the_same_key_and_is_found_done() {
    let effect = described(RAW);
    let repeated = format!("Idempotency-Key: {}\r\n", effect.id);
    let in_body = format!("{{\"key\":\"{}\"}}", effect.id);
    for again in [
        answer("409 Conflict", &repeated, ""),
        answer("409 Conflict", "", &in_body),
        answer("208 Already Reported", "", ""),
    ] {
        let (port, seen) = receiver(vec![String::new(), again]).await;
        let lost = deliver(&hook(port), &effect, RAW, 1).await;
        assert_eq!((class(&lost), of_the_sink(&lost)), ("temporary", true), "{lost:?}");
        assert!(deliver(&hook(port), &effect, RAW, 2).await.unwrap().already);
        let keys: Vec<_> =
            seen.lock().unwrap().iter().map(|posted| posted.field("idempotency-key")).collect();
        assert_eq!(keys, [Some(effect.id.to_string()), Some(effect.id.to_string())]);
    }
}

#[tokio::test]
async fn every_answer_is_blamed_on_the_right_one() {
    let table = [
        ("301 Moved", "configuration", false),
        ("400 Bad", "permanent", false),
        ("401 Who", "configuration", false),
        ("403 No", "configuration", false),
        ("404 Where", "configuration", false),
        ("408 Late", "temporary", true),
        ("409 Conflict", "temporary", false),
        ("413 Large", "permanent", false),
        ("422 Other", "permanent", false),
        ("429 Slow", "temporary", true),
        ("500 Ill", "temporary", true),
        ("503 Busy", "temporary", true),
        ("what?", "temporary", true),
    ];
    for (status, expected, whole) in table {
        let fields = "Location: http://127.0.0.1:1/elsewhere\r\n";
        let (port, seen) = receiver(vec![answer(status, fields, "a reason")]).await;
        let outcome = deliver(&hook(port), &effect("a", RAW), RAW, 1).await;
        assert_eq!((class(&outcome), of_the_sink(&outcome)), (expected, whole), "{status}: {outcome:?}");
        assert!(!outcome.unwrap_err().to_string().contains("hush"), "the address is shown");
        assert_eq!(seen.lock().unwrap().len(), 1, "{status} was tried again or followed");
    }
}

#[tokio::test]
async fn the_wait_a_receiver_asks_for_is_kept_and_bounded() {
    let date = jiff::Timestamp::from_millisecond(NOW.0 + 90_500).unwrap();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
    for (written, seconds) in [("120", 120), ("99999999", 86_400), (date.as_str(), 90)] {
        let fields = format!("Retry-After: {written}\r\n");
        let (port, _) = receiver(vec![answer("429 Slow", &fields, "")]).await;
        match deliver(&hook(port), &effect("a", RAW), RAW, 1).await {
            Err(DeliveryError::Temporary { after: Some(after), .. }) => assert_eq!(after.as_secs(), seconds),
            other => panic!("{written}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off_and_a_probe_posts_nothing() {
    let (port, _) = receiver(vec![answer("200 OK", "", &"x".repeat(1 << 20))]).await;
    assert!(deliver(&hook(port), &effect("a", RAW), RAW, 1).await.unwrap().proof.len() < 400);
    let (port, seen) = receiver(vec![answer("405 Method Not Allowed", "", "")]).await;
    let facts = hook(port).probe(NOW).await.unwrap().join("; ");
    assert!(
        facts.contains("405") && facts.contains("not signed") && facts.contains("WITHOUT TLS"),
        "{facts}"
    );
    assert!(seen.lock().unwrap()[0].head.starts_with("HEAD "));
}

#[test]
fn contradictions_in_the_configuration_are_found_before_anything_runs() {
    let base = tempfile::tempdir().unwrap();
    let bad = [
        "url = \"http://hooks.example/\"",
        "url = \"ftp://hooks.example/\"",
        "url = \"hooks.example\"",
        "url = \"https://me:pass@hooks.example/\"",
        "url = \"https://hooks.example/#a\"",
        "url = \"https://hooks.example/\"\nsecret = { file = \"missing\" }",
        "url = \"https://hooks.example/\"\nca_file = \"missing.pem\"",
        "url = \"https://hooks.example/\"\nprevious_secret = { file = \"missing\" }",
    ];
    for more in bad {
        let text = try_build(base.path(), &format!("type = \"webhook\"\n{more}")).unwrap_err().to_string();
        assert!(!text.contains("pass@"), "{text}");
    }
    assert!(try_build(base.path(), "type = \"webhook\"\nurl = \"https://hooks.example/in\"").is_ok());
}
