//! SIGKILL in the middle of `once`, again and again: nothing lost, nothing doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::Duration;

use postroom_mail::Digest;
use postroom_tests::{S3Server, corpus, s3};

use crate::support::{Bench, account, authority, maildrop};

const KILLS: u64 = 20;
/// There before the first run.
const FIRST: usize = 60;
/// Arriving before each kill, so that every run has work.
const MORE: usize = 40;
const MESSAGES: usize = FIRST + MORE * KILLS as usize;

const REST: &str = r#"
[sinks.vault]
type = "directory"
path = "vault"
[sinks.box]
type = "maildir"
path = "box"
[sinks.bucket]
type = "s3"
bucket = "BUCKET"
endpoint = "ENDPOINT"
allow_http = true
access_key = { file = "s3-access" }
secret_key = { file = "s3-secret" }
[[pipelines.main.steps]]
plugin = "archive"
grants = { sinks = ["vault"] }
settings = { sink = "vault", key = "{account}/{sha256}-{id:8}.eml" }
[[pipelines.main.steps]]
name = "maildir"
plugin = "archive"
grants = { sinks = ["box"] }
settings = { sink = "box", mailbox = "" }
[[pipelines.main.steps]]
name = "s3"
plugin = "archive"
grants = { sinks = ["bucket"] }
settings = { sink = "bucket", key = "{account}/{sha256}-{id:8}.eml" }
"#;

/// Where in its work a run is killed, in things that can be seen from outside.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many more messages were given out by the server.
    Retrieved(u64),
    /// So many more files are in the directory.
    Archived(usize),
    /// So many more files are in the Maildir.
    Filed(usize),
    /// So many more requests reached the S3 server.
    Requested(usize),
}

/// xorshift64: the kills differ, and are the same in every run of the test.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_nothing_and_double_nothing() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mails: Vec<Vec<u8>> = corpus::generate(7, MESSAGES).into_iter().map(|mail| mail.octets).collect();
    let server = maildrop(&identity, mails[..FIRST].to_vec()).await;
    let objects = tempfile::tempdir().expect("a directory");
    let s3 = S3Server::start(objects.path()).await.expect("an S3 server");
    bench.secret("s3-access", s3::ACCESS_KEY);
    bench.secret("s3-secret", s3::SECRET_KEY);
    let rest = REST.replace("BUCKET", s3::BUCKET).replace("ENDPOINT", &s3.endpoint());
    // Twenty kills can hit the same message more than the usual three times, which would set it aside as the one to blame.
    let limits = "[limits]\nattempts = 30\n";
    bench.config(&format!("{limits}{}{rest}", account("home", server.addr().port(), "")));
    // The first run compiles the plugins; it must not count as a kill before anything happened.
    bench.postroom(&["check"]).await.expect(0);

    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut killed = 0;
    let mut arriving = mails[FIRST..].chunks(MORE);
    for kill in 0..KILLS {
        for mail in arriving.next().unwrap_or_default() {
            server.add("user", mail.clone());
        }
        let reach = 1 + draw(&mut seed, MORE as u64 / 2);
        let moment = match kill % 4 {
            0 => Moment::Retrieved(reach),
            1 => Moment::Archived(reach as usize),
            2 => Moment::Filed(reach as usize),
            _ => Moment::Requested(reach as usize),
        };
        let mut child = bench
            .command(&["once", "--json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        if reached(&bench, &server, &s3, moment, &mut child).await {
            killed += 1;
        }
        child.kill().expect("SIGKILL");
        let _ = child.wait();
    }
    println!("{killed} of {KILLS} runs were killed in the middle of their work");
    assert!(killed >= 10, "only {killed} kills hit a run at work");

    let (run, summary) = bench.once().await;
    run.expect(0);
    let expected: BTreeMap<Digest, usize> = mails.iter().map(|mail| (Digest::of(mail), 1)).collect();
    assert_eq!(expected.len(), MESSAGES, "the generated mails are all different");
    assert_eq!(summary["counts"]["done"], MESSAGES, "{summary:#}");
    assert_eq!(bench.digests("vault"), expected, "the directory");
    assert_eq!(bench.digests("box"), expected, "the Maildir");
    let mut stored = BTreeMap::new();
    for key in s3.keys().expect("keys") {
        *stored.entry(Digest::of(&s3.object(&key).expect("readable").expect("an object"))).or_default() += 1;
    }
    assert_eq!(stored, expected, "the bucket");
    let left: BTreeSet<_> = bench
        .names("vault")
        .into_iter()
        .chain(bench.names("box"))
        .filter(|name| name.contains("tmp"))
        .collect();
    assert!(left.is_empty(), "temporary files were left: {left:?}");
}

/// Waits for the moment, or for the run to end by itself; whether the moment came.
async fn reached(
    bench: &Bench,
    server: &postroom_practice::Maildrop,
    s3: &S3Server,
    moment: Moment,
    child: &mut Child,
) -> bool {
    let retrieved = || server.stats().account("user").retrieved.values().sum::<u64>();
    let (given, archived, filed, asked) =
        (retrieved(), bench.names("vault").len(), bench.names("box").len(), s3.requests().len());
    for _ in 0..60_000 {
        let there = match moment {
            Moment::Retrieved(more) => retrieved() >= given + more,
            Moment::Archived(more) => bench.names("vault").len() >= archived + more,
            Moment::Filed(more) => bench.names("box").len() >= filed + more,
            Moment::Requested(more) => s3.requests().len() >= asked + more,
        };
        if there {
            return true;
        }
        if child.try_wait().expect("the child").is_some() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the run neither reached {moment:?} nor ended");
}
