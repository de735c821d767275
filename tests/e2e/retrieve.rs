//! From a real Dovecot over real TLS, through the bundled plugins, to disk, Maildir, S3 and a real Postfix.

use std::collections::BTreeMap;

use postroom_mail::Digest;
use postroom_tests::{
    Dovecot, Fetched, HarnessError, Postfix, S3Server, Tls, corpus, fetch_all, postfix, s3,
};

use crate::support::{Bench, PASSWORD, authority};

const GENERATED: usize = 500;

fn configuration(dovecot: &Dovecot, s3: &S3Server, relay: &str) -> String {
    format!(
        r#"
state = "state"
[accounts.big]
host = "localhost"
port = {implicit}
user = "big"
password = {{ file = "password" }}
ca_file = "ca.pem"
[accounts.small]
host = "localhost"
port = {stls}
tls = "starttls"
user = "small"
password = {{ file = "password" }}
ca_file = "ca.pem"

[sinks.vault]
type = "directory"
path = "vault"
[sinks.files]
type = "directory"
path = "files"
[sinks.box]
type = "maildir"
path = "box"
[sinks.bucket]
type = "s3"
bucket = "{bucket}"
endpoint = "{endpoint}"
allow_http = true
access_key = {{ file = "s3-access" }}
secret_key = {{ file = "s3-secret" }}
[[pipelines.main.steps]]
plugin = "filter"
settings = {{ rules = [
    {{ name = "relay these", when = {{ account = "small" }}, then = ["label:relay"] }},
] }}
[[pipelines.main.steps]]
plugin = "attachments"
grants = {{ sinks = ["files"] }}
settings = {{ sink = "files", key = "{{account}}/{{filename}}" }}
[[pipelines.main.steps]]
plugin = "archive"
grants = {{ sinks = ["vault"] }}
settings = {{ sink = "vault", key = "{{account}}/{{sha256}}-{{id:8}}.eml" }}
[[pipelines.main.steps]]
name = "maildir"
plugin = "archive"
grants = {{ sinks = ["box"] }}
settings = {{ sink = "box", mailbox = "" }}
[[pipelines.main.steps]]
name = "s3"
plugin = "archive"
grants = {{ sinks = ["bucket"] }}
settings = {{ sink = "bucket", key = "{{account}}/{{sha256}}-{{id:8}}.eml" }}
{relay}"#,
        implicit = dovecot.implicit().port(),
        stls = dovecot.stls().port(),
        bucket = s3::BUCKET,
        endpoint = s3.endpoint(),
    )
}

fn counted(fetched: &[Fetched]) -> BTreeMap<Digest, usize> {
    let mut counts = BTreeMap::new();
    for message in fetched {
        *counts.entry(Digest::of(&message.octets)).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn every_octet_of_a_real_dovecot_arrives_everywhere() {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let dovecot =
        Dovecot::start(&authority, &[("big", PASSWORD), ("small", PASSWORD)]).await.expect("Dovecot");
    let mut mails: Vec<Vec<u8>> =
        corpus::generate(1, GENERATED).into_iter().map(|mail| mail.octets).collect();
    mails.extend(corpus::shared_corpus().into_iter().map(|(_, octets)| octets));
    for mail in &mails {
        dovecot.deliver("big", mail).expect("delivered");
    }
    for mail in corpus::generate(2, 15) {
        dovecot.deliver("small", &mail.octets).expect("delivered");
    }
    let big = fetch_all(dovecot.implicit(), Tls::Implicit, &authority, "big", PASSWORD)
        .await
        .expect("the server's octets");
    let small = fetch_all(dovecot.stls(), Tls::Stls, &authority, "small", PASSWORD)
        .await
        .expect("the server's octets");
    assert_eq!(big.len(), mails.len());
    let objects = tempfile::tempdir().expect("a directory");
    let s3 = S3Server::start(objects.path()).await.expect("an S3 server");
    bench.secret("s3-access", s3::ACCESS_KEY);
    bench.secret("s3-secret", s3::SECRET_KEY);
    let postfix = match Postfix::start(&authority).await {
        Ok(postfix) => Some(postfix),
        Err(error @ HarnessError::NotRoot { .. }) => {
            println!("not tested: forwarding to Postfix, because {error}");
            None
        }
        Err(error) => panic!("{error}"),
    };
    let relay = postfix.as_ref().map(relay).unwrap_or_default();
    bench.config(&configuration(&dovecot, &s3, &relay));

    let (run, summary) = bench.once().await;
    run.expect(0);
    let all = (big.len() + small.len()) as u64;
    assert_eq!(summary["counts"]["admitted"], all);
    assert_eq!(summary["counts"]["done"], all, "{summary:#}");

    let mut server = counted(&big);
    counted(&small).into_iter().for_each(|(digest, times)| *server.entry(digest).or_default() += times);
    assert_eq!(bench.digests("vault"), server, "the directory holds exactly what the server holds");
    assert_eq!(bench.digests("box"), server, "and so does the Maildir");
    let mut stored = BTreeMap::new();
    for key in s3.keys().expect("keys") {
        *stored.entry(Digest::of(&s3.object(&key).expect("readable").expect("an object"))).or_default() += 1;
    }
    assert_eq!(stored, server, "and so does the bucket");
    assert!(bench.names("files").len() > GENERATED / 10, "attachments were extracted");
    if let Some(postfix) = &postfix {
        let received = postfix.wait_for(small.len()).await.expect("forwarded mail");
        let sent: Vec<Vec<u8>> = received.iter().map(|stored| postfix::as_sent(stored)).collect();
        for message in &small {
            // The relay adds header fields that are missing; the body is the original's.
            let body = after_header(&message.octets);
            assert!(sent.iter().any(|sent| after_header(sent) == body), "not forwarded: {}", message.uidl);
        }
        assert_eq!(received.len(), small.len());
    }

    let (run, again) = bench.once().await;
    run.expect(0);
    for account in ["big", "small"] {
        assert_eq!(again["accounts"][account]["retrieved"], 0, "nothing is retrieved twice");
    }
    assert_eq!(again["counts"]["admitted"], all);
    assert_eq!(dovecot.count("big").expect("a count"), mails.len(), "mail stays on the server by default");
}

fn relay(postfix: &Postfix) -> String {
    format!(
        r#"
[sinks.relay]
type = "smtp"
host = "localhost"
port = {port}
tls = "starttls"
ca_file = "ca.pem"
[[pipelines.main.steps]]
plugin = "forward"
grants = {{ sinks = ["relay"] }}
when = {{ label = "relay" }}
settings = {{ sink = "relay", to = ["copy@archive.example"] }}
"#,
        port = postfix.addr().port()
    )
}

fn after_header(octets: &[u8]) -> &[u8] {
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n").map_or(octets.len(), |at| at + 4);
    &octets[end..]
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_deleted_only_once_it_is_done_and_its_time_has_come() {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let dovecot = Dovecot::start(&authority, &[("user", PASSWORD)]).await.expect("Dovecot");
    for subject in ["one", "two", "three"] {
        dovecot.deliver("user", &crate::support::mail(subject)).expect("delivered");
    }
    let account = |delete: &str| {
        let section = crate::support::account("home", dovecot.implicit().port(), delete);
        format!("{section}{}", crate::support::ARCHIVE)
    };
    bench.config(&account("delete = { when = \"done\", after = \"7d\" }"));
    bench.once().await.0.expect(0);
    bench.once().await.0.expect(0);
    assert_eq!(dovecot.count("user").expect("a count"), 3, "seven days have not passed");
    bench.config(&account("delete = { when = \"done\", after = \"0s\" }"));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["accounts"]["home"]["removed"], 3);
    assert_eq!(dovecot.count("user").expect("a count"), 0);
    assert_eq!(bench.names("vault").len(), 3);
}
