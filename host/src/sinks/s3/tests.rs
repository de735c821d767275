//! Objects are created once, and faults are told apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use postroom_mail::{Action, Coding, Effect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::Sink;
use super::super::testing::{NOW, build, class, deliver, effect, numbered, of_the_sink, secret, try_build};

const RAW: &[u8] = b"Subject: a\r\n\r\nbody";

/// What one object consists of: the header fields that came with it, and its octets.
type Object = (BTreeMap<String, String>, Vec<u8>);

/// A store on loopback that keeps objects by path, and answers as it is told instead when it is told.
#[derive(Clone, Default)]
struct Store {
    objects: Arc<Mutex<BTreeMap<String, Object>>>,
    /// Answers to the next requests, before it behaves.
    answers: Arc<Mutex<Vec<Answer>>>,
    /// `METHOD path` of what was asked.
    asked: Arc<Mutex<Vec<String>>>,
    ignores_conditions: bool,
    /// After so many octets of a body the connection is cut, each time.
    cut: Arc<Mutex<Option<usize>>>,
}

#[derive(Clone)]
enum Answer {
    /// A status with an error document.
    Status(u16, &'static str),
    /// Does what is asked, and hangs up instead of saying so.
    LoseReply,
    /// Hangs up at once.
    HangUp,
    /// Sends the client to another place.
    Redirect(String),
}

impl Store {
    async fn start(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().serve(stream));
            }
        });
        port
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some((head, body)) = request(&mut stream, &mut buffer, &self.cut).await {
            let Some(answer) = self.answer(&head, body) else { return };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, head: &str, body: Vec<u8>) -> Option<Vec<u8>> {
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let (method, path) = (first.next().unwrap(), first.next().unwrap());
        self.asked.lock().unwrap().push(format!("{method} {path}"));
        let due = {
            let mut answers = self.answers.lock().unwrap();
            (!answers.is_empty()).then(|| answers.remove(0))
        };
        match &due {
            None | Some(Answer::LoseReply) => {}
            Some(Answer::HangUp) => return None,
            Some(Answer::Status(status, code)) => {
                let document = format!(
                    "<Error><Code>{code}</Code><Message>AKIDEXAMPLE signed x-amz-date</Message></Error>"
                );
                return Some(response(*status, &[("etag", "\"tag\"")], document.as_bytes()));
            }
            Some(Answer::Redirect(to)) => return Some(response(307, &[("location", to)], b"")),
        }
        let fields: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut objects = self.objects.lock().unwrap();
        let answer = match (method, objects.get(path)) {
            ("PUT", Some(_)) if fields.contains_key("if-none-match") && !self.ignores_conditions => {
                response(412, &[], b"<Error><Code>PreconditionFailed</Code></Error>")
            }
            ("PUT", _) => {
                objects.insert(path.to_owned(), (fields, body));
                response(200, &[("etag", "\"tag\""), ("x-amz-version-id", "v1")], b"")
            }
            (_, None) => response(404, &[], b"<Error><Code>NoSuchKey</Code></Error>"),
            (_, Some((fields, octets))) => {
                let date = "Tue, 24 Nov 2026 00:00:00 GMT".to_owned();
                let mut headers =
                    vec![("etag", "\"tag\""), ("x-amz-version-id", "v1"), ("last-modified", &date)];
                let meta = fields.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
                headers.extend(meta.map(|(name, value)| (name.as_str(), value.as_str())));
                let mut answer = response(200, &headers, octets);
                if method == "HEAD" {
                    answer.truncate(answer.len() - octets.len());
                }
                answer
            }
        };
        (!matches!(due, Some(Answer::LoseReply))).then_some(answer)
    }

    fn put(&self, path: &str, octets: &[u8]) {
        self.objects.lock().unwrap().insert(path.to_owned(), (BTreeMap::new(), octets.to_vec()));
    }

    fn octets(&self, path: &str) -> Vec<u8> {
        self.objects.lock().unwrap()[path].1.clone()
    }

    fn fields(&self, path: &str) -> BTreeMap<String, String> {
        self.objects.lock().unwrap()[path].0.clone()
    }

    fn paths(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    fn tell(&self, answers: &[Answer]) {
        *self.answers.lock().unwrap() = answers.to_vec();
    }
}

/// Head and body of the next request; none of a request whose body is cut.
async fn request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    cut: &Mutex<Option<usize>>,
) -> Option<(String, Vec<u8>)> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok())
        .unwrap_or(0);
    // A kept connection may wait for its next request for long.
    let cut = *cut.lock().unwrap();
    while buffer.len() < head_end + length.min(cut.unwrap_or(length)) {
        read_more(stream, buffer).await?;
    }
    if cut.is_some() {
        return None;
    }
    let rest = buffer.split_off(head_end + length);
    let body = buffer.split_off(head_end);
    *buffer = rest;
    Some((head, body))
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}

fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn sink(port: u16) -> Sink {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "access", "AKIDEXAMPLE");
    secret(base.path(), "secret", "sesame-open");
    let config = format!(
        "type = \"s3\"\nbucket = \"vault\"\nprefix = \"mail/\"\nendpoint = \"http://127.0.0.1:{port}\"\n\
         allow_http = true\naccess_key = {{ file = \"access\" }}\nsecret_key = {{ file = \"secret\" }}"
    );
    build(base.path(), &config)
}

fn zstd(mut effect: Effect) -> Effect {
    effect.content.coding = Coding::Zstd;
    effect
}

#[tokio::test]
async fn content_is_put_once_with_its_digests() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    let mut effect = effect("home/a b+c.eml", RAW);
    if let Action::Store { content_type, meta, .. } = &mut effect.action {
        *content_type = Some("message/rfc822".to_owned());
        meta.push(("Subject".to_owned(), "\u{e4} 100%\r\nX-Evil: 1".to_owned()));
    }
    let receipt = deliver(&sink, &effect, RAW, 1).await.unwrap();
    assert!(!receipt.already);
    assert_eq!(receipt.location, "s3://vault/mail/home/a b+c.eml");
    assert_eq!(receipt.proof, format!("etag \"tag\", version v1, sha256 {}", effect.digest));
    let again = deliver(&sink, &effect, RAW, 2).await.unwrap();
    assert!(again.already);
    assert_eq!((again.location, again.proof), (receipt.location.clone(), receipt.proof), "found, not put");

    assert_eq!(store.paths(), ["/vault/mail/home/a%20b%2Bc.eml"]);
    assert_eq!(store.octets("/vault/mail/home/a%20b%2Bc.eml"), RAW);
    let fields = store.fields("/vault/mail/home/a%20b%2Bc.eml");
    assert_eq!(fields["if-none-match"], "*");
    assert_eq!(fields["content-type"], "message/rfc822");
    assert_eq!(fields["x-amz-meta-postroom-sha256"], effect.digest.to_string());
    assert_eq!(fields["x-amz-meta-postroom-effect"], effect.id.to_string());
    assert_eq!(fields["x-amz-meta-subject"], "%C3%A4 100%25%0D%0AX-Evil: 1");
    assert!(fields.contains_key("x-amz-checksum-sha256"));
}

#[tokio::test]
async fn a_lost_reply_is_found_out_at_the_next_attempt() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    // Both the request and the quick retry of the client beneath.
    store.tell(&[Answer::LoseReply, Answer::HangUp]);
    let outcome = deliver(&sink, &effect("a.eml", RAW), RAW, 1).await;
    assert_ne!(class(&outcome), "permanent", "{outcome:?}");
    assert!(deliver(&sink, &effect("a.eml", RAW), RAW, 2).await.unwrap().already);
    assert_eq!(store.octets("/vault/mail/a.eml"), RAW);
}

#[tokio::test]
async fn an_object_of_somebody_else_is_compared_by_its_octets() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    store.put("/vault/mail/same.eml", RAW);
    assert!(deliver(&sink, &effect("same.eml", RAW), RAW, 1).await.unwrap().already);
    for other in [vec![b'x'; RAW.len()], b"short".to_vec()] {
        store.put("/vault/mail/other.eml", &other);
        assert_eq!(class(&deliver(&sink, &effect("other.eml", RAW), RAW, 1).await), "permanent");
        assert_eq!(store.octets("/vault/mail/other.eml"), other);
    }
    let raw = b"0123456789".repeat(1000);
    store.put("/vault/mail/a.zst", &zstd::stream::encode_all(raw.as_slice(), 7).unwrap());
    assert!(deliver(&sink, &zstd(effect("a.zst", &raw)), &raw, 1).await.unwrap().already);
}

#[tokio::test]
async fn numbers_are_given_once_per_content_however_often_it_is_tried() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    let contents: [&[u8]; 3] = [b"one", b"two", b"three"];
    for attempt in 1..=2 {
        for raw in contents {
            let receipt = deliver(&sink, &numbered(effect("a.pdf", raw)), raw, attempt).await.unwrap();
            assert_eq!(receipt.already, attempt == 2);
        }
    }
    assert_eq!(store.paths().len(), 3);
}

#[tokio::test]
async fn zstd_content_is_put_coded_and_known_by_the_digest_of_what_it_decodes_to() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    let raw = b"0123456789".repeat(1000);
    let effect = zstd(effect("a.eml.zst", &raw));
    deliver(&sink, &effect, &raw, 1).await.unwrap();
    assert_eq!(zstd::stream::decode_all(store.octets("/vault/mail/a.eml.zst").as_slice()).unwrap(), raw);
    assert_eq!(store.fields("/vault/mail/a.eml.zst")["content-type"], "application/zstd");
    assert!(deliver(&sink, &effect, &raw, 2).await.unwrap().already);
}

#[tokio::test]
async fn every_answer_is_blamed_on_the_right_one_and_no_text_holds_a_secret() {
    let table = [
        (403, "SignatureDoesNotMatch", "configuration"),
        (403, "RequestTimeTooSkewed", "configuration"),
        (400, "ExpiredToken", "configuration"),
        (401, "", "configuration"),
        (404, "NoSuchBucket", "configuration"),
        (501, "NotImplemented", "configuration"),
        (400, "RequestTimeout", "temporary"),
        (429, "", "temporary"),
        (500, "InternalError", "temporary"),
        (503, "SlowDown", "temporary"),
        (400, "EntityTooLarge", "permanent"),
        (400, "KeyTooLongError", "permanent"),
    ];
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    for (status, code, expected) in table {
        store.tell(&[Answer::Status(status, code)]);
        let outcome = deliver(&sink, &effect("a.eml", RAW), RAW, 1).await;
        assert_eq!(class(&outcome), expected, "{status} {code}: {outcome:?}");
        let error = outcome.unwrap_err();
        let shown = format!("{error:?} {error}");
        assert!(shown.contains(&status.to_string()) && shown.contains(code), "{shown}");
        for secret in ["AKID", "sesame", "Signature=", "Authorization", "x-amz"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    assert_eq!(store.paths(), Vec::<String>::new());
    assert!(!format!("{sink:?}").contains("sesame"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Store::default();
    let port = elsewhere.clone().start().await;
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    let redirect = Answer::Redirect(format!("http://127.0.0.1:{port}/"));
    // The PUT, and the HEAD after a taken key: a client that followed could be told that the object is elsewhere.
    for answers in [vec![redirect.clone()], vec![Answer::Status(412, "PreconditionFailed"), redirect]] {
        store.tell(&answers);
        let outcome = deliver(&sink, &effect("a.eml", RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "configuration");
    }
    assert_eq!(elsewhere.asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_conflict_of_writes_that_leaves_nothing_is_tried_again() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    store.tell(&[Answer::Status(409, "ConditionalRequestConflict")]);
    assert_eq!(class(&deliver(&sink, &effect("a.eml", RAW), RAW, 1).await), "temporary");
    assert_eq!(class(&deliver(&sink, &effect("a.eml", RAW), RAW, 2).await), "done");
}

#[tokio::test]
async fn the_probe_finds_a_store_that_would_overwrite() {
    let honest = Store::default();
    let probed = sink(honest.clone().start().await);
    for _ in 0..2 {
        assert_eq!(probed.probe(NOW).await.unwrap().len(), 2);
    }
    assert_eq!(honest.paths(), ["/vault/mail/.postroom-probe"]);
    let careless = Store { ignores_conditions: true, ..Store::default() };
    let outcome = sink(careless.start().await).probe(NOW).await;
    assert_eq!(class(&outcome), "configuration");
}

#[tokio::test]
async fn nobody_listening_is_temporary() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let outcome = deliver(&sink(port), &effect("a.eml", RAW), RAW, 1).await;
    assert_eq!(class(&outcome), "temporary", "{outcome:?}");
}

#[tokio::test]
async fn metadata_that_cannot_be_kept_and_keys_that_are_too_long_are_the_effects_fault() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    let long = "v".repeat(3000);
    for (name, value) in [("postroom-sha256", "x"), ("a b", "x"), ("", "x"), ("a", &long)] {
        let mut effect = effect("a.eml", RAW);
        if let Action::Store { meta, .. } = &mut effect.action {
            meta.push((name.to_owned(), value.to_owned()));
        }
        assert_eq!(class(&deliver(&sink, &effect, RAW, 1).await), "permanent", "{name}");
    }
    assert_eq!(store.asked.lock().unwrap().len(), 0);
}

#[test]
fn contradictions_in_the_configuration_are_found_before_anything_runs() {
    let config = |more: &str| format!("type = \"s3\"\nbucket = \"vault\"\n{more}");
    let bad = [
        "endpoint = \"http://s3.example\"",
        "access_key = { env = \"NOT_SET\" }",
        "access_key = { file = \"missing\" }\nsecret_key = { file = \"missing\" }",
        "ca_file = \"missing.pem\"",
    ];
    for more in bad {
        assert!(try_build(Path::new("/nonexistent"), &config(more)).is_err(), "{more}");
    }
    assert!(try_build(Path::new("."), &config("endpoint = \"https://s3.example\"")).is_ok());
}

#[test]
fn the_bucket_is_in_the_path_or_in_the_host_name() {
    use super::endpoint_of;
    assert_eq!(endpoint_of("https://s3.example/", "vault", true), "https://s3.example");
    assert_eq!(endpoint_of("https://s3.example", "vault", false), "https://vault.s3.example");
}

#[tokio::test]
async fn an_upload_cut_at_every_64_kib_leaves_nothing_and_arrives_whole_at_the_next_attempt() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    let raw = b"0123456789abcdef".repeat(20 * 1024 + 1);
    for (number, cut) in (0..=raw.len()).step_by(64 * 1024).enumerate() {
        let effect = effect(&format!("{number}.eml"), &raw);
        *store.cut.lock().unwrap() = Some(cut);
        let outcome = deliver(&sink, &effect, &raw, 1).await;
        assert_eq!((class(&outcome), of_the_sink(&outcome)), ("temporary", true), "{cut}: {outcome:?}");
        assert_eq!(store.paths().len(), number, "{cut}: nothing half is there");
        *store.cut.lock().unwrap() = None;
        assert_eq!(class(&deliver(&sink, &effect, &raw, 2).await), "done", "{cut}");
        assert_eq!(store.octets(&format!("/vault/mail/{number}.eml")), raw, "{cut}");
    }
}

#[tokio::test]
async fn a_success_with_an_error_document_is_none() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    for code in ["InternalError", "SlowDown", "SomethingNew"] {
        store.tell(&[Answer::Status(200, code)]);
        let outcome = deliver(&sink, &effect("a.eml", RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "temporary", "{code}: {outcome:?}");
        assert_eq!(store.paths(), Vec::<String>::new(), "{code}");
    }
    assert_eq!(class(&deliver(&sink, &effect("a.eml", RAW), RAW, 2).await), "done");
}

#[tokio::test]
async fn a_store_that_answers_not_modified_has_not_stored_it() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    store.tell(&[Answer::Status(304, "NotModified")]);
    assert_ne!(class(&deliver(&sink, &effect("a.eml", RAW), RAW, 1).await), "done");
    assert_eq!(class(&deliver(&sink, &effect("a.eml", RAW), RAW, 2).await), "done");
}

#[tokio::test]
async fn a_store_that_is_unwell_is_told_from_one_object_it_does_not_take() {
    let store = Store::default();
    let sink = sink(store.clone().start().await);
    let table = [
        (500, "InternalError", true),
        (503, "SlowDown", true),
        (503, "", true),
        (429, "", true),
        (400, "RequestTimeout", true),
        (400, "BadDigest", false),
        (400, "EntityTooLarge", false),
    ];
    for (status, code, expected) in table {
        store.tell(&[Answer::Status(status, code)]);
        let outcome = deliver(&sink, &effect("a.eml", RAW), RAW, 1).await;
        assert_eq!(of_the_sink(&outcome), expected, "{status} {code}: {outcome:?}");
    }
}
