//! A full maildrop under a limit of memory: what is taken does not grow with the number of mails nor with their size.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use postroom_mail::Digest;
use postroom_tests::{S3Server, corpus, s3, watched};
use serde_json::Value;

use crate::support::{Bench, account, authority, maildrop};

/// What the whole process may have.
const LIMIT: u64 = 256 << 20;
/// Mails in all, with `POSTROOM_FULL=1` and without.
const MAILS: (usize, usize) = (10_000, 1_000);
/// Just under the default of `limits.message`.
const LARGE: usize = 50_000_000;
/// Far over it.
const HUGE: usize = 200_000_000;

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
settings = { sink = "vault", key = "{sha256:2}/{sha256}.eml" }
[[pipelines.main.steps]]
name = "maildir"
plugin = "archive"
grants = { sinks = ["box"] }
settings = { sink = "box", mailbox = "" }
[[pipelines.main.steps]]
name = "s3"
plugin = "archive"
grants = { sinks = ["bucket"] }
settings = { sink = "bucket", key = "{sha256:2}/{sha256}.eml" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mails_and_two_huge_ones_are_archived_in_256_mib() {
    let full = std::env::var_os("POSTROOM_FULL").is_some_and(|value| value == "1");
    let count = if full { MAILS.0 } else { MAILS.1 };
    postroom_tests::figure(&format!(
        "{count} mails{}",
        if full { "" } else { ", with POSTROOM_FULL=1 it would be 10000" }
    ));
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mut mails: Vec<Vec<u8>> =
        corpus::generate(11, count - 2).into_iter().map(|mail| mail.octets).collect();
    // In the midst, so that small mail is under way beside it.
    mails.insert(count / 2, attachment("large", LARGE));
    let expected: BTreeMap<Digest, usize> = mails.iter().map(|mail| (Digest::of(mail), 1)).collect();
    assert_eq!(expected.len(), count - 1, "the generated mails are all different");
    mails.insert(count / 2, attachment("huge", HUGE));
    let server = maildrop(&identity, mails).await;
    let objects = tempfile::tempdir().expect("a directory");
    let s3 = S3Server::start(objects.path()).await.expect("an S3 server");
    bench.secret("s3-access", s3::ACCESS_KEY);
    bench.secret("s3-secret", s3::SECRET_KEY);
    let rest = REST.replace("BUCKET", s3::BUCKET).replace("ENDPOINT", &s3.endpoint());
    let section = account("home", server.addr().port(), "delete = { when = \"done\", after = \"0s\" }");
    bench.config(&format!("{section}{rest}"));

    let room = Room::make();
    postroom_tests::figure(&room.to_string());
    let mut report = Value::Null;
    // The first takes, the second deletes what is done.
    for turn in ["taking", "deleting"] {
        let mut command = room.around(&bench.command(&["once", "--json"]));
        let watched = tokio::task::spawn_blocking(move || watched::watch(&mut command));
        let watched = watched.await.expect("joins").expect("it runs");
        let usage = room.usage();
        postroom_tests::figure(&format!("{turn}: peak resident memory {} MiB{usage}", watched.peak >> 20));
        let said = String::from_utf8_lossy(&watched.output.stderr);
        assert_eq!(watched.output.status.code(), Some(0), "{:?}: {said}", watched.output.status);
        report = serde_json::from_slice(&watched.output.stdout).expect("JSON");
        assert!(watched.peak < LIMIT, "{} octets", watched.peak);
        let refused = report["accounts"]["home"]["refused"].as_array().map(Vec::len);
        assert_eq!(refused, Some(1), "the mail over the limit is reported once: {report:#}");
    }
    assert_eq!(report["counts"]["removed"], count - 1, "{report:#}");
    let left = server.messages("user");
    assert_eq!(left.iter().map(|(_, octets)| octets.len()).collect::<Vec<_>>(), [HUGE], "only it is left");
    assert_eq!(bench.digests("vault"), expected, "the directory");
    assert_eq!(bench.digests("box"), expected, "the Maildir");
    let mut stored = BTreeMap::new();
    for key in s3.keys().expect("keys") {
        *stored.entry(Digest::of(&s3.object(&key).expect("readable").expect("an object"))).or_default() += 1;
    }
    assert_eq!(stored, expected, "the bucket");
}

/// A mail of exactly so many octets, nearly all of them an attachment in base64.
fn attachment(name: &str, octets: usize) -> Vec<u8> {
    let header = format!(
        "From: a@field.example\r\nTo: user@home.example\r\nSubject: {name}\r\nMessage-ID: <{name}@field.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=\"{name}.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    );
    let mut mail = header.into_bytes();
    let line = [[b'Q'; 76].as_slice(), b"\r\n"].concat();
    while mail.len() + line.len() + 2 <= octets {
        mail.extend_from_slice(&line);
    }
    mail.resize(octets - 2, b'Q');
    mail.extend_from_slice(b"\r\n");
    mail
}

/// Where the process runs.
enum Room {
    /// In a control group of its own, with its limit and whether the group is of the first version.
    Group { directory: PathBuf, first: bool },
    /// Without a limit, and why.
    Open(String),
}

impl Room {
    /// A group where this user may make one. Limits of a process (`setrlimit`) will not do: they count reserved address
    /// space, and stacks and instances of plugins reserve far more than they touch.
    fn make() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = |controller: &str| {
            let mut lines = groups
                .lines()
                .filter_map(|line| line.split_once(':'))
                .filter_map(|(_, rest)| rest.split_once(':'));
            lines.find(|(controllers, _)| *controllers == controller).map(|(_, path)| path.to_owned())
        };
        let mut why = Vec::new();
        for (controller, root, file) in [
            ("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("", "/sys/fs/cgroup", "memory.max"),
        ] {
            // In a container the path may be that of the machine, which is not mounted.
            for path in own(controller).into_iter().chain([String::new()]) {
                let parent = Path::new(root).join(path.trim_start_matches('/'));
                let directory = parent.join(format!("postroom-memory-{}", std::process::id()));
                match Self::group(&directory, file) {
                    Ok(()) => return Self::Group { directory, first: controller == "memory" },
                    Err(error) => why.push(format!("{}: {error}", directory.display())),
                }
            }
        }
        Self::Open(why.join("; "))
    }

    fn group(directory: &Path, file: &str) -> std::io::Result<()> {
        std::fs::create_dir(directory)?;
        // A group whose parent does not hand the controller down has no such file, and none can be made there.
        let set = std::fs::OpenOptions::new().write(true).open(directory.join(file)).and_then(|mut limit| {
            use std::io::Write;
            limit.write_all(LIMIT.to_string().as_bytes())
        });
        if set.is_err() {
            std::fs::remove_dir(directory)?;
        }
        set
    }

    /// The same command, run in here.
    fn around(&self, inner: &Command) -> Command {
        let mut command = Command::new("/bin/sh");
        match self {
            Self::Group { directory, .. } => {
                command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(directory.join("cgroup.procs"));
            }
            Self::Open(_) => {
                command.args(["-c", "exec \"$@\"", "sh"]);
            }
        }
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = inner.get_current_dir() {
            command.current_dir(directory);
        }
        command
    }

    /// What the kernel counted of the group; its cache of files is in it, up to the limit.
    fn usage(&self) -> String {
        let Self::Group { directory, first } = self else { return String::new() };
        let file = if *first { "memory.max_usage_in_bytes" } else { "memory.peak" };
        let Ok(octets) = std::fs::read_to_string(directory.join(file)) else { return String::new() };
        let mebibytes = octets.trim().parse::<u64>().unwrap_or(0) >> 20;
        format!(", the group's with the cache of files {mebibytes} MiB")
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Group { directory, .. } => {
                write!(f, "limited to {} MiB by the control group {}", LIMIT >> 20, directory.display())
            }
            Self::Open(why) => write!(f, "only measured, since no control group can be made: {why}"),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Self::Group { directory, .. } = self {
            let _ = std::fs::remove_dir(directory);
        }
    }
}
