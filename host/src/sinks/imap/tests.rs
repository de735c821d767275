//! A message is filed once, whatever is cut, and every refusal is blamed on the right one. The server here is a small model;
//! a real Dovecot is in `tests/e2e`.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::testing::{NOW, build, class, deliver, file_into, of_the_sink, secret, try_build};
use super::super::{Kind, Sink, Transport};

const RAW: &[u8] = b"Message-ID: <m@a.example>\r\nSubject: a\r\n\r\nbody\r\n.\r\n";
const SHORT: Duration = Duration::from_millis(60);

/// How a server differs from the usual one.
#[derive(Clone, Debug)]
struct Script {
    capabilities: &'static str,
    /// It is cut after so many octets said or heard in a conversation.
    says: usize,
    hears: usize,
    /// What it answers to a command that begins so, in place of the usual.
    instead: Option<(&'static str, &'static str)>,
    /// A mailbox that is not there until it is made.
    missing: bool,
}

const USUAL: Script = Script {
    capabilities: "IMAP4rev1 LITERAL+ UIDPLUS SASL-IR AUTH=PLAIN",
    says: usize::MAX,
    hears: usize::MAX,
    instead: None,
    missing: false,
};

/// What a server keeps, and what was said to it.
#[derive(Default)]
struct Store {
    filed: Vec<(String, Vec<u8>)>,
    created: Vec<String>,
    heard: String,
}

type Shared = Arc<Mutex<Store>>;

/// Serves conversations one after another, the last script again and again.
async fn serve(scripts: Vec<Script>, store: Shared) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let script = scripts.get(number).or(scripts.last()).unwrap().clone();
            let mut server = Server { stream, script, unread: Vec::new(), said: 0, heard: 0 };
            let _ = server.converse(&store).await;
        }
    });
    port
}

struct Server {
    stream: TcpStream,
    script: Script,
    unread: Vec<u8>,
    said: usize,
    heard: usize,
}

impl Server {
    async fn converse(&mut self, store: &Shared) -> Option<()> {
        self.say("* OK hello\r\n").await?;
        loop {
            let line = self.line().await?;
            store.lock().unwrap().heard.push_str(&format!("{line}\n"));
            let (tag, command) = line.split_once(' ').unwrap();
            if let Some((begin, answer)) = self.script.instead
                && command.starts_with(begin)
            {
                let answer = answer.replace("TAG", tag);
                self.say(&answer).await?;
                continue;
            }
            let answer = self.answer(command, store).await?;
            self.say(&answer.replace("TAG", tag)).await?;
            if command == "LOGOUT" {
                return Some(());
            }
        }
    }

    async fn answer(&mut self, command: &str, store: &Shared) -> Option<String> {
        let verb = command.split(' ').next().unwrap();
        let missing = self.script.missing && store.lock().unwrap().created.is_empty();
        Some(match verb {
            "CAPABILITY" => format!("* CAPABILITY {}\r\nTAG OK\r\n", self.script.capabilities),
            "LIST" if command == "LIST \"\" \"\"" => {
                "* LIST (\\Noselect) \"/\" \"\"\r\nTAG OK done\r\n".to_owned()
            }
            "EXAMINE" if missing => "TAG NO no such mailbox\r\n".to_owned(),
            "EXAMINE" => "* 1 EXISTS\r\n* OK [UIDVALIDITY 77] UIDs\r\nTAG OK [READ-ONLY] done\r\n".to_owned(),
            "CREATE" => {
                store.lock().unwrap().created.push(command.to_owned());
                "TAG OK made\r\n".to_owned()
            }
            "APPEND" => return self.append(command, missing, store).await,
            "UID" => uid(command, &store.lock().unwrap().filed),
            "AUTHENTICATE" | "LOGIN" | "SUBSCRIBE" | "LIST" | "LOGOUT" => "TAG OK done\r\n".to_owned(),
            other => panic!("{other} is no command of this client"),
        })
    }

    async fn append(&mut self, command: &str, missing: bool, store: &Shared) -> Option<String> {
        const MISSING: &str = "TAG NO [TRYCREATE] no such mailbox\r\n";
        let size = command.rsplit_once('{').unwrap().1.trim_end_matches('}');
        if !size.ends_with('+') {
            if missing {
                return Some(MISSING.to_owned());
            }
            self.say("+ go on\r\n").await?;
        }
        let size: usize = size.trim_end_matches('+').parse().unwrap();
        while self.unread.len() < size + 2 {
            self.hear().await?;
        }
        let octets = self.unread.drain(..size + 2).take(size).collect();
        if missing {
            return Some(MISSING.to_owned());
        }
        let mut store = store.lock().unwrap();
        store.filed.push((command.to_owned(), octets));
        Some(format!("TAG OK [APPENDUID 77 {}] done\r\n", store.filed.len()))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            self.hear().await?;
        }
    }

    async fn hear(&mut self) -> Option<()> {
        let mut block = [0; 4096];
        let most = (self.script.hears - self.heard).min(block.len());
        let read = if most == 0 { 0 } else { self.stream.read(&mut block[..most]).await.unwrap_or(0) };
        self.heard += read;
        self.unread.extend_from_slice(&block[..read]);
        (read > 0).then_some(())
    }

    async fn say(&mut self, text: &str) -> Option<()> {
        let most = (self.script.says - self.said).min(text.len());
        self.said += most;
        self.stream.write_all(&text.as_bytes()[..most]).await.ok()?;
        (most == text.len()).then_some(())
    }
}

/// Finds everything; sizes and octets are the client's affair.
fn uid(command: &str, filed: &[(String, Vec<u8>)]) -> String {
    let mut answer = String::new();
    if command.starts_with("UID SEARCH") {
        let all: Vec<String> = (1..=filed.len()).map(|uid| uid.to_string()).collect();
        answer = format!("* SEARCH {}\r\n", all.join(" "));
    } else {
        let set = command.split(' ').nth(2).unwrap().split(',');
        for uid in set.map(|uid| uid.parse::<usize>().unwrap()) {
            let octets = &filed[uid - 1].1;
            let (size, text) = (octets.len(), String::from_utf8_lossy(octets));
            answer.push_str(&match command.contains("SIZE") {
                true => format!("* {uid} FETCH (UID {uid} RFC822.SIZE {size})\r\n"),
                false => format!("* {uid} FETCH (UID {uid} BODY[] {{{size}}}\r\n{text})\r\n"),
            });
        }
    }
    answer + "TAG OK done\r\n"
}

fn config(port: u16, more: &str) -> String {
    format!(
        "type = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\ninsecure_plaintext = \"I accept\"\n\
         user = \"me\"\npassword = {{ file = \"password\" }}\n{more}"
    )
}

fn sink(port: u16, more: &str) -> Sink {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "password", "open \"sesame\"");
    build(base.path(), &config(port, more))
}

fn impatient(mut sink: Sink) -> Sink {
    if let Transport::Imap(imap) = &mut sink.transport {
        (imap.timeouts.greeting, imap.timeouts.command, imap.timeouts.quit) = (SHORT, SHORT, SHORT);
    }
    sink
}

#[tokio::test]
async fn a_message_is_filed_with_its_flags_and_time_octet_for_octet() {
    let store = Shared::default();
    let port = serve(vec![USUAL], Arc::clone(&store)).await;
    assert_eq!(sink(port, "").kind(), Kind::Mailbox);
    let receipt = deliver(&sink(port, ""), &file_into("Entwürfe/A", "SF", RAW), RAW, 1).await.unwrap();
    assert_eq!(
        (receipt.already, receipt.proof.contains("uidvalidity 77 uid 1, sha256")),
        (false, true),
        "{receipt:?}"
    );
    let (command, octets) = store.lock().unwrap().filed.pop().unwrap();
    assert_eq!(octets, RAW);
    let expected = "APPEND \"Entw&APw-rfe/A\" (\\Seen \\Flagged) \"18-Nov-2026 11:06:40 +0000\" {";
    assert!(command.starts_with(expected), "{command}");
    // PLAIN comes before LOGIN, in one line where the server takes it.
    assert!(store.lock().unwrap().heard.contains("AUTHENTICATE PLAIN AG1l"));
}

#[tokio::test]
async fn a_server_without_extensions_is_asked_before_a_literal_and_by_login() {
    let store = Shared::default();
    let plain = Script { capabilities: "IMAP4rev1", ..USUAL };
    let port = serve(vec![plain], Arc::clone(&store)).await;
    let raw = [RAW, &b"x\r\n".repeat(100_000)].concat();
    for attempt in [1, 2] {
        let receipt = deliver(&sink(port, ""), &file_into("", "", &raw), &raw, attempt).await.unwrap();
        assert_eq!(receipt.already, attempt == 2);
    }
    let store = store.lock().unwrap();
    assert_eq!((store.filed.len(), &store.filed[0].1), (1, &raw));
    assert!(store.heard.contains("LOGIN \"me\" \"open \\\"sesame\\\"\""), "{}", store.heard);
}

/// A literal of no more than 4096 octets goes without asking, a larger one after it.
#[tokio::test]
async fn a_conversation_cut_after_any_octet_of_either_side_files_exactly_one_copy() {
    let without_id = b"Subject: a\r\n\r\nbody\r\n".as_slice();
    for (capabilities, raw) in [(USUAL.capabilities, RAW), ("IMAP4rev1 UIDPLUS", without_id)] {
        let whole = Script { capabilities, ..USUAL };
        let (mut cuts, mut done) = (0, 0);
        for at in 1.. {
            let mut cut = false;
            for script in [Script { says: at, ..whole.clone() }, Script { hears: at, ..whole.clone() }] {
                let store = Shared::default();
                let port = serve(vec![script, whole.clone()], Arc::clone(&store)).await;
                let sink = sink(port, "");
                let effect = file_into("Work", "", raw);
                let first = deliver(&sink, &effect, raw, 1).await;
                assert!(matches!(class(&first), "done" | "temporary"), "cut at {at}: {first:?}");
                if first.is_err() {
                    cut = true;
                    cuts += 1;
                    let filed = store.lock().unwrap().filed.len();
                    let second = deliver(&sink, &effect, raw, 2).await.unwrap();
                    assert_eq!(second.already, filed == 1, "cut at {at}");
                    done += usize::from(second.already);
                }
                assert_eq!(store.lock().unwrap().filed.len(), 1, "cut at {at}");
            }
            if !cut {
                break;
            }
        }
        assert!(cuts > 200 && done > 10, "{cuts} cuts, {done} after it was filed");
    }
}

#[tokio::test]
async fn a_message_alike_in_id_and_size_is_not_taken_for_it_and_one_with_its_octets_is() {
    let store = Shared::default();
    let port = serve(vec![USUAL], Arc::clone(&store)).await;
    let other = RAW.iter().map(|octet| if *octet == b'b' { b'B' } else { *octet }).collect::<Vec<_>>();
    store.lock().unwrap().filed.push((String::new(), other));
    for already in [false, true] {
        let receipt = deliver(&sink(port, ""), &file_into("", "", RAW), RAW, 2).await.unwrap();
        assert_eq!(
            (receipt.already, receipt.proof.contains("uidvalidity 77 uid 2")),
            (already, true),
            "{receipt:?}"
        );
    }
    assert_eq!(store.lock().unwrap().filed.len(), 2);
}

#[tokio::test]
async fn a_mailbox_that_is_not_there_is_made_or_the_message_is_set_aside() {
    for (attempt, capabilities) in [(1, USUAL.capabilities), (2, USUAL.capabilities), (2, "IMAP4rev1")] {
        let missing = Script { missing: true, capabilities, ..USUAL };
        let store = Shared::default();
        let port = serve(vec![missing.clone()], Arc::clone(&store)).await;
        let outcome = deliver(&sink(port, "create = false"), &file_into("New", "", RAW), RAW, attempt).await;
        assert_eq!(class(&outcome), "permanent", "{outcome:?}");
        deliver(&sink(port, ""), &file_into("New", "", RAW), RAW, attempt).await.unwrap();
        let store = store.lock().unwrap();
        assert_eq!((store.filed.len(), &store.created), (1, &vec!["CREATE \"New\"".to_owned()]));
        assert!(store.heard.contains("SUBSCRIBE \"New\""));
    }
}

#[tokio::test]
async fn every_refusal_is_blamed_on_the_right_one_and_files_nothing() {
    let table = [
        ("APPEND", "TAG NO [OVERQUOTA] full\r\n", "temporary", true),
        ("APPEND", "TAG NO [ALERT] \x1b[31mno\r\n", "temporary", false),
        ("APPEND", "TAG NO [NOPERM] no\r\n", "configuration", false),
        ("APPEND", "TAG NO [TOOBIG] no\r\n", "permanent", false),
        ("APPEND", "TAG BAD what\r\n", "permanent", false),
        ("APPEND", "TAG OK before it was sent\r\n", "temporary", true),
        ("APPEND", "* BYE going\r\n", "temporary", true),
        ("AUTHENTICATE", "TAG NO [AUTHENTICATIONFAILED] no\r\n", "configuration", false),
        ("AUTHENTICATE", "TAG NO [UNAVAILABLE] later\r\n", "temporary", true),
        ("AUTHENTICATE", "+ more\r\n", "temporary", true),
        ("CAPABILITY", "TAG BAD what\r\n", "temporary", true),
        ("CAPABILITY", "* CAPABILITY {5}\r\nhello\r\nTAG OK\r\n", "temporary", true),
        ("CAPABILITY", "x9 OK not yours\r\n", "temporary", true),
        ("EXAMINE", "TAG NO [NOPERM] no\r\n", "temporary", false),
        ("UID SEARCH", "TAG NO [UNAVAILABLE] later\r\n", "temporary", true),
        ("UID FETCH", "* 1 FETCH (UID 1 BODY[] {999999}\r\n", "temporary", true),
        ("LIST", "", "temporary", true),
    ];
    for (begin, answer, expected, whole) in table {
        let store = Shared::default();
        store.lock().unwrap().filed.push((String::new(), b"another".to_vec()));
        let script =
            Script { capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR", instead: Some((begin, answer)), ..USUAL };
        let port = serve(vec![script], Arc::clone(&store)).await;
        let outcome = deliver(&impatient(sink(port, "")), &file_into("A", "", RAW), RAW, 2).await;
        let known = (begin, answer) == ("EXAMINE", "TAG NO [NOPERM] no\r\n");
        if known {
            // It is not listed either, so nothing of it can be there.
            assert_eq!(class(&outcome), "done", "{outcome:?}");
            continue;
        }
        assert_eq!((class(&outcome), of_the_sink(&outcome)), (expected, whole), "{answer:?}: {outcome:?}");
        let text = outcome.unwrap_err().to_string();
        assert!(!text.contains('\u{1b}') && !text.contains("sesame"), "{text}");
        assert_eq!(store.lock().unwrap().filed.len(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_filed_is_set_aside_before_the_server_hears_of_it() {
    let store = Shared::default();
    let small = Script { capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR APPENDLIMIT=10", ..USUAL };
    let port = serve(vec![small], Arc::clone(&store)).await;
    assert_eq!(class(&deliver(&sink(port, ""), &file_into("", "", RAW), RAW, 1).await), "permanent");
    let nul = b"Subject: a\r\n\r\n\0\r\n";
    assert_eq!(class(&deliver(&sink(port, ""), &file_into("", "", nul), nul, 1).await), "permanent");
    assert!(!store.lock().unwrap().heard.contains("APPEND"));
}

#[tokio::test]
async fn lone_line_ends_are_made_whole_and_found_again() {
    let store = Shared::default();
    let port = serve(vec![USUAL], Arc::clone(&store)).await;
    let raw = b"Message-ID: <m@a.example>\n\na\rb\n";
    for attempt in [1, 2] {
        let receipt = deliver(&sink(port, ""), &file_into("", "", raw), raw, attempt).await.unwrap();
        assert_eq!(receipt.already, attempt == 2);
    }
    assert_eq!(store.lock().unwrap().filed[0].1, b"Message-ID: <m@a.example>\r\n\r\na\r\nb\r\n");
}

#[tokio::test]
async fn answers_sent_in_the_clear_after_starttls_and_a_session_begun_without_it_are_refused() {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "password", "p");
    for (capabilities, answer) in
        [("IMAP4rev1 STARTTLS", "TAG OK go\r\n* CAPABILITY AUTH=PLAIN\r\n"), ("IMAP4rev1", "TAG OK go\r\n")]
    {
        let store = Shared::default();
        let script = Script { capabilities, instead: Some(("STARTTLS", answer)), ..USUAL };
        let port = serve(vec![script], Arc::clone(&store)).await;
        let text = config(port, "")
            .replace("\"none\"", "\"starttls\"")
            .replace("insecure_plaintext = \"I accept\"\n", "");
        let outcome = deliver(&build(base.path(), &text), &file_into("", "", RAW), RAW, 1).await;
        assert_eq!(class(&outcome), "configuration", "{outcome:?}");
        assert!(!store.lock().unwrap().heard.contains("AUTHENTICATE"));
    }
}

#[tokio::test]
async fn a_probe_says_what_it_found() {
    let port = serve(vec![USUAL], Shared::default()).await;
    let facts = sink(port, "namespace = \"X/\"").probe(NOW).await.unwrap().join("; ");
    for words in ["WITHOUT TLS", "logged in as me", "separated by \"/\", below \"X/\"", "no size limit"] {
        assert!(facts.contains(words), "{facts}");
    }
}

#[test]
fn contradictions_in_the_configuration_are_found_before_anything_runs() {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "p", "p");
    let usual = "type = \"imap\"\nhost = \"imap.example\"\nuser = \"me\"\n";
    let bad = [
        "",
        "password = { file = \"missing\" }",
        "password = { file = \"p\" }\ntls = \"none\"",
        "password = { file = \"p\" }\ninsecure_plaintext = \"I accept\"",
        "password = { file = \"p\" }\nauth = \"xoauth2\"",
        "password = { file = \"p\" }\nauth = \"apop\"",
        "password = { file = \"p\" }\npins = [\"nonsense\"]",
        "password = { file = \"p\" }\nca_file = \"missing.pem\"",
    ];
    for more in bad {
        assert!(try_build(base.path(), &format!("{usual}{more}")).is_err(), "{more}");
    }
    let good = "password = { file = \"p\" }\ninternal_date = \"date\"\ncreate = false";
    assert!(try_build(base.path(), &format!("{usual}{good}")).is_ok());
    assert!(try_build(Path::new("."), "type = \"imap\"\nhost = \"h\"\nuser = \"\"").is_err());
}
