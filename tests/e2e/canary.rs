//! No secret shows anywhere: every credential is a canary, every failure is provoked at the highest log level of every crate, and
//! everything that the program printed, logged, kept or shows of itself is searched for it, plain and encoded.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use postroom_practice::maildrop::{Fault, MaildropConfig, Verb};
use postroom_practice::receiver::{ReceiverFault, Stage};
use postroom_practice::token::{Endpoint, TokenFault, TokenServer, TokenServerConfig};
use postroom_practice::{Identity, Maildrop, Receiver, ReceiverConfig, Security, Times};
use postroom_tests::{S3Server, s3};
use rustix::process::Signal;
use serde_json::Value;

use crate::reload::Running;
use crate::support::{ARCHIVE, Bench, Run, account, authority, mail};

const POP3: &str = "canary+pop3/4f9c2e=81b7";
const POP3_WRONG: &str = "canary+pop3-wrong/77ae0d=19";
const SMTP: &str = "canary+smtp/0b5d6a=e3c8";
const SMTP_WRONG: &str = "canary+smtp-wrong/5c11f0=92";
const S3_WRONG: &str = "canary+s3-wrong/a86e4b=d0";
const CLIENT: &str = "canary+client/29d3f7=6c5a";
const INLINE: &str = "canary+inline/e07b31=f4";

/// Everything at its most talkative, ours and what others wrote.
const LOUD: [&str; 2] = ["--log", "trace,postroom=trace"];

/// Where the secrets are, and all that was seen.
struct Stand {
    bench: Bench,
    maildrop: Maildrop,
    receiver: Receiver,
    store: S3Server,
    tokens: std::sync::Arc<TokenServer>,
    _objects: tempfile::TempDir,
    seen: Vec<(String, Vec<u8>)>,
}

impl Stand {
    async fn new() -> Self {
        let bench = Bench::new();
        let (_, identity) = authority(&bench);
        let tokens = TokenServerConfig::new(identity.clone(), "client").client_secret(CLIENT);
        let tokens = std::sync::Arc::new(TokenServer::start(tokens).await.expect("a token server"));
        let maildrop = maildrop(&identity, std::sync::Arc::clone(&tokens)).await;
        let receiver = ReceiverConfig::new(Security::Implicit(identity.clone())).credentials("sender", SMTP);
        let receiver = Receiver::start(receiver).await.expect("a receiver");
        let objects = tempfile::tempdir().expect("a directory");
        let store = S3Server::start(objects.path()).await.expect("an S3 server");
        let stand = Self { bench, maildrop, receiver, store, tokens, _objects: objects, seen: Vec::new() };
        for (name, secret) in [
            ("pop3", POP3),
            ("smtp", SMTP),
            ("client", CLIENT),
            ("s3-access", s3::ACCESS_KEY),
            ("s3-secret", s3::SECRET_KEY),
        ] {
            stand.bench.secret(name, secret);
        }
        stand.configure("auto", "");
        stand
    }

    /// One account with a password, one with a token, and a sink of each kind that has a credential.
    fn configure(&self, auth: &str, more: &str) {
        let url = |endpoint| self.tokens.url(endpoint);
        let home = account("home", self.maildrop.addr().port(), &format!("auth = \"{auth}\"\n{more}"));
        let home = home.replace("file = \"password\"", "file = \"pop3\"");
        let work = account("work", self.maildrop.addr().port(), "");
        let work = work.replace("password = { file = \"password\" }\n", "");
        let work = work.replace("user = \"user\"", "user = \"work\"");
        let text = format!(
            r#"{home}{work}[accounts.work.oauth2]
provider = "generic"
flow = "device"
token = "tokens/work.json"
client_id = "client"
client_secret = {{ file = "client" }}
scopes = ["mail", "offline_access"]
authorization_endpoint = "{}"
device_endpoint = "{}"
token_endpoint = "{}"
ca_file = "ca.pem"
{ARCHIVE}
[sinks.relay]
type = "smtp"
host = "localhost"
port = {}
ca_file = "ca.pem"
user = "sender"
password = {{ file = "smtp" }}
[[pipelines.main.steps]]
plugin = "forward"
grants = {{ sinks = ["relay"] }}
settings = {{ sink = "relay", to = ["you@elsewhere.example"] }}
[sinks.bucket]
type = "s3"
bucket = "{}"
endpoint = "{}"
allow_http = true
access_key = {{ file = "s3-access" }}
secret_key = {{ file = "s3-secret" }}
[[pipelines.main.steps]]
name = "s3"
plugin = "archive"
grants = {{ sinks = ["bucket"] }}
settings = {{ sink = "bucket" }}
"#,
            url(Endpoint::Authorize),
            url(Endpoint::Device),
            url(Endpoint::Token),
            self.receiver.addr().port(),
            s3::BUCKET,
            self.store.endpoint(),
        );
        self.bench.config(&text);
    }

    /// Runs a verb loudly and keeps what it printed.
    async fn run(&mut self, args: &[&str]) -> Run {
        let loud: Vec<&str> = LOUD.iter().chain(args).copied().collect();
        let run = self.bench.postroom(&loud).await;
        self.seen.push((format!("{args:?}"), format!("{}{}", run.stdout, run.stderr).into_bytes()));
        run
    }

    /// Every verb that shows something, after something happened.
    async fn look(&mut self) {
        for args in [
            &["once", "--json"][..],
            &["once"],
            &["check", "--online"],
            &["check", "--online", "--json"],
            &["probe", "home"],
            &["probe", "work", "--json"],
            &["queue", "ls"],
            &["queue", "ls", "--json"],
            &["seen", "ls", "home"],
            &["auth", "work", "--status"],
            &["once", "--dry-run"],
        ] {
            self.run(args).await;
        }
        let queue = self.bench.postroom(&["queue", "ls", "--json"]).await.json();
        let message = queue.to_string().split("\"message\":\"").nth(1).map(|rest| rest[..16].to_owned());
        if let Some(message) = message {
            self.run(&["why", &message]).await;
            self.run(&["why", &message, "--json"]).await;
        }
    }

    fn arrive(&self, name: &str) {
        for user in ["user", "work"] {
            self.maildrop.add(user, mail(&format!("{name} {user}"))).expect("an account");
        }
    }

    /// What is kept on disk, but for the secrets' own files and compiled plugins.
    fn keep_files(&mut self) {
        for directory in ["state", "vault"] {
            for name in self.bench.names(directory).into_iter().filter(|name| !name.starts_with("compiled")) {
                let path = self.bench.path(directory).join(&name);
                self.seen.push((name, std::fs::read(path).expect("a file")));
            }
        }
    }

    fn token(&self, name: &str) -> Option<String> {
        let kept = std::fs::read(self.bench.path("tokens/work.json")).ok()?;
        let kept: Value = serde_json::from_slice(&kept).expect("JSON");
        Some(kept[name].as_str()?.to_owned())
    }
}

async fn maildrop(identity: &Identity, tokens: std::sync::Arc<TokenServer>) -> Maildrop {
    let config = MaildropConfig::new(Security::Implicit(identity.clone()))
        .account("user", POP3, Vec::new())
        .account("work", "not to be used", Vec::new())
        .tokens(move |name, token| name == "work" && tokens.accepts(token));
    Maildrop::start(config).await.expect("a maildrop")
}

/// How a secret may show: as it is, in a URL, and in base64 whatever stands before it.
fn shapes(secret: &str) -> Vec<Vec<u8>> {
    let percent = |keep: fn(char) -> bool| -> String {
        let one = |ch: char| if keep(ch) { ch.to_string() } else { format!("%{:02X}", ch as u32) };
        secret.chars().map(one).collect()
    };
    let mut shapes = vec![
        secret.as_bytes().to_vec(),
        percent(|ch| ch.is_ascii_alphanumeric() || "-._~".contains(ch)).into_bytes(),
        percent(|ch| ch.is_ascii_alphanumeric() || "-._~/".contains(ch)).into_bytes(),
        format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).as_bytes().to_vec(),
    ];
    for engine in [&STANDARD, &URL_SAFE] {
        for before in 0..3 {
            let padded = [&vec![0; before][..], secret.as_bytes()].concat();
            let whole = engine.encode(padded);
            // Without what depends on the neighbours.
            let inner = &whole[if before == 0 { 0 } else { 4 }..whole.trim_end_matches('=').len() - 2];
            shapes.push(inner.as_bytes().to_vec());
        }
    }
    shapes
}

fn shows(text: &[u8], shape: &[u8]) -> bool {
    text.windows(shape.len()).any(|window| window == shape)
}

#[test]
fn a_canary_is_found_in_every_shape() {
    for before in ["", "a", "\0user\0", "Bearer "] {
        let hidden = STANDARD.encode(format!("{before}{POP3}\u{1}\u{1}"));
        assert!(shapes(POP3).iter().any(|shape| shows(hidden.as_bytes(), shape)), "{before:?}");
    }
    assert!(shapes(POP3).iter().any(|shape| shows(b"pass=canary%2Bpop3%2F4f9c2e%3D81b7&", shape)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_in_anything_that_is_printed_logged_kept_or_seen_of_the_process() {
    let mut stand = Stand::new().await;
    let mut secrets = [POP3, POP3_WRONG, SMTP, SMTP_WRONG, S3_WRONG, CLIENT, INLINE, s3::SECRET_KEY]
        .map(str::to_owned)
        .to_vec();
    stand.run(&["auth", "work"]).await.expect(0);
    secrets.extend(["access_token", "refresh_token"].map(|name| stand.token(name).expect("a token")));

    // All is well, by every mechanism that sends the password.
    for auth in ["user-pass", "plain", "auto"] {
        stand.configure(auth, "");
        stand.arrive(auth);
        stand.run(&["once", "--json"]).await.expect(0);
    }
    assert_eq!(stand.receiver.accepted().len(), 6, "mail went out with the password");
    stand.look().await;

    // Each credential is wrong once, and each server fails while it is used.
    stand.arrive("wrong");
    for (file, wrong) in [("pop3", POP3_WRONG), ("smtp", SMTP_WRONG), ("s3-secret", S3_WRONG)] {
        stand.bench.secret(file, wrong);
    }
    stand.look().await;
    for (file, right) in [("pop3", POP3), ("smtp", SMTP), ("s3-secret", s3::SECRET_KEY)] {
        stand.bench.secret(file, right);
    }
    stand.arrive("cut");
    stand.maildrop.inject(Fault::Cut(Verb::Pass), Times::Next(1));
    stand.maildrop.inject(Fault::Garbage(Verb::Auth, b"+OK what?\r\n-ERR no\r\n".to_vec()), Times::Next(1));
    stand.receiver.inject(
        ReceiverFault::Reply { stage: Stage::Auth, code: 535, text: "5.7.8 go away".to_owned() },
        Times::Next(1),
    );
    stand.receiver.inject(ReceiverFault::Drop(Stage::Auth), Times::Next(1));
    stand.store.refuse(2, 403);
    stand.look().await;
    stand.maildrop.clear_faults();
    stand.receiver.clear_faults();

    // The tokens end, are revoked, and cannot be had.
    for fault in [
        TokenFault::Error(Endpoint::Token, "invalid_grant".to_owned(), "it was revoked".to_owned()),
        TokenFault::Garbage(Endpoint::Token, b"{\"access_token\": 3}".to_vec()),
        TokenFault::Status(Endpoint::Token, 500),
        TokenFault::Drop(Endpoint::Token),
    ] {
        stand.tokens.revoke_access();
        stand.tokens.inject(fault, Times::Next(1));
        stand.run(&["once", "--json"]).await;
        secrets.extend(["access_token", "refresh_token"].into_iter().filter_map(|name| stand.token(name)));
    }
    stand.tokens.advance(Duration::from_secs(30 * 86_400));
    stand.look().await;
    secrets.extend(["access_token", "refresh_token"].into_iter().filter_map(|name| stand.token(name)));

    // What is written where it must not be.
    let good = std::fs::read_to_string(stand.bench.path("postroom.toml")).expect("the configuration");
    for (right, wrong) in [
        ("password = { file = \"pop3\" }", format!("password = \"{INLINE}\"")),
        ("password = { file = \"pop3\" }", format!("pasword = \"{INLINE}\"")),
        ("password = { file = \"pop3\" }", format!("password = {{ fil = \"{INLINE}\" }}")),
        ("endpoint = \"http://", format!("endpoint = \"http://key:{INLINE}@")),
        ("secret_key = { file = \"s3-secret\" }", format!("secret_key = \"{INLINE}")),
    ] {
        assert!(good.contains(right), "{right}");
        stand.bench.write("postroom.toml", good.replacen(right, &wrong, 1));
        stand.run(&["check"]).await.expect(78);
        stand.run(&["check", "--json"]).await.expect(78);
    }
    stand.bench.write("postroom.toml", &good);

    stand.arrive("daemon");
    let (stand_, log) = tokio::task::spawn_blocking(move || watched(stand, &good)).await.expect("the test");
    stand = stand_;
    stand.seen.push(("run".to_owned(), log));
    secrets.extend(["access_token", "refresh_token"].into_iter().filter_map(|name| stand.token(name)));
    stand.keep_files();

    for sign in
        ["TRACE", "wrong name", "535 5.7.8", "SignatureDoesNotMatch", "403 SlowDown", "it was revoked"]
    {
        let found = stand.seen.iter().any(|(_, text)| shows(text, sign.as_bytes()));
        assert!(found, "{sign:?} was nowhere, so not all was tried");
    }
    secrets.sort();
    secrets.dedup();
    let mut shown = Vec::new();
    for secret in &secrets {
        for shape in shapes(secret) {
            let found = stand.seen.iter().filter(|(_, text)| shows(text, &shape));
            shown.extend(found.map(|(place, text)| format!("{secret} in {place}: {}", around(text, &shape))));
        }
    }
    assert!(shown.is_empty(), "{} times:\n{}", shown.len(), shown.join("\n"));
}

/// A daemon at work, with a change that it must not take; what it logged and what the kernel shows of it.
fn watched(stand: Stand, good: &str) -> (Stand, Vec<u8>) {
    let mut command = stand.bench.command(&[LOUD[0], LOUD[1], "run"]);
    let mut running = Running::of(&mut command);
    running.says("retrieved=1");
    let inline = format!("password = \"{INLINE}\"");
    stand.bench.write("postroom.toml", good.replacen("password = { file = \"pop3\" }", &inline, 1));
    running.says("the change was not taken");
    let mut shown: Vec<u8> = Vec::new();
    for file in ["cmdline", "environ", "comm", "status"] {
        let path = PathBuf::from(format!("/proc/{}/{file}", running.child.id()));
        shown.extend(std::fs::read(path).unwrap_or_default());
    }
    running.signal(Signal::TERM);
    running.child.wait().expect("ends");
    shown.extend(running.all().into_bytes());
    (stand, shown)
}

/// The line that shows it.
fn around(text: &[u8], shape: &[u8]) -> String {
    let line = text.split(|octet| *octet == b'\n').find(|line| shows(line, shape)).unwrap_or_default();
    let at = line.windows(shape.len()).position(|window| window == shape).unwrap_or(0);
    let part = &line[at.saturating_sub(200)..(at + shape.len() + 40).min(line.len())];
    String::from_utf8_lossy(part).into_owned()
}
