//! One world: servers that outlive the program, an empty state, and the program run in it with orders for its failpoints.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postroom_practice::maildrop::MaildropConfig;
use postroom_practice::{Authority, CertificateKind, Identity, Maildrop, Receiver, ReceiverConfig, Security};
use postroom_tests::{S3Server, corpus, s3};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::scenario::{Act, Scenario};

const PASSWORD: &str = "correct horse";
/// Where the relay sends to.
pub(crate) const RECIPIENT: &str = "me@home.example";
/// No run takes so long.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two looks at something that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

static TRUST: LazyLock<(Authority, Identity)> = LazyLock::new(|| {
    let authority = Authority::new().expect("an authority");
    let identity = authority.issue(CertificateKind::Good).expect("a certificate");
    (authority, identity)
});

/// Four usual mails, and one that does not fit into memory while it arrives.
static MAILS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut mails: Vec<Vec<u8>> =
        corpus::generate(11, 9).into_iter().map(|mail| mail.octets).step_by(2).take(4).collect();
    let line = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n";
    let big = format!(
        "From: a@field.example\r\nTo: me@home.example\r\nSubject: big\r\nMessage-ID: <big@field.example>\r\n\r\n{}",
        line.repeat((6 << 18) / line.len())
    );
    mails.push(big.into_bytes());
    mails
});

pub(crate) struct World {
    dir: TempDir,
    pub(crate) mails: &'static [Vec<u8>],
    pub(crate) maildrop: Maildrop,
    pub(crate) bucket: S3Server,
    pub(crate) receiver: Receiver,
    /// Mails whose dot had left, and whose receipt no run wrote down: these alone may be sent twice.
    doubts: AtomicUsize,
}

/// How a run of the program ended, what it printed, and which failpoints it reached.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) reached: Vec<String>,
}

impl Run {
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self:#?}"))
    }

    fn times(&self, name: &str) -> usize {
        self.reached.iter().filter(|reached| *reached == name).count()
    }
}

/// With the last failpoints alone: there are hundreds.
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.reached.iter().rev().take(20).rev().collect::<Vec<_>>();
        let mut shown = f.debug_struct("Run");
        shown.field("status", &self.status).field("stdout", &self.stdout).field("stderr", &self.stderr);
        shown.field("reached", &last).finish()
    }
}

impl World {
    /// Mail at the server, nothing anywhere else.
    pub(crate) async fn new(scenario: &Scenario) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let shared = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        std::fs::create_dir_all(&shared).expect("the shared cache");
        std::fs::DirBuilder::new().mode(0o700).create(dir.path().join("state")).expect("the state directory");
        symlink(&shared, dir.path().join("state/compiled")).expect("the link to the cache");
        let objects = dir.path().join("objects");
        std::fs::create_dir(&objects).expect("a directory");
        let (authority, identity) = &*TRUST;
        authority.write_pem(&dir.path().join("ca.pem")).expect("a certificate");
        let upgrade = || Security::Upgrade(identity.clone());
        let maildrop = MaildropConfig::new(upgrade()).account("user", PASSWORD, MAILS.clone());
        let world = Self {
            mails: &MAILS,
            maildrop: Maildrop::start(maildrop).await.expect("a maildrop"),
            bucket: S3Server::start(&objects).await.expect("an S3 server"),
            receiver: Receiver::start(ReceiverConfig::new(upgrade()).credentials("user", PASSWORD))
                .await
                .expect("a receiver"),
            doubts: AtomicUsize::new(0),
            dir,
        };
        world.secret("password", PASSWORD);
        world.secret("s3-access", s3::ACCESS_KEY);
        world.secret("s3-secret", s3::SECRET_KEY);
        world.configure(scenario);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(name));
        file.expect("a file").write_all(text.as_bytes()).expect("a secret");
    }

    fn configure(&self, scenario: &Scenario) {
        let sends = if scenario.sends { SENDS } else { "" };
        let text = CONFIGURATION
            .replace("ACCOUNT", scenario.account)
            .replace("STEPS", &format!("{}{sends}", scenario.steps))
            .replace("POP3-PORT", &self.maildrop.addr().port().to_string())
            .replace("SMTP-PORT", &self.receiver.addr().port().to_string())
            .replace("ENDPOINT", &self.bucket.endpoint())
            .replace("BUCKET", s3::BUCKET)
            .replace("RECIPIENT", RECIPIENT);
        std::fs::write(self.path("postroom.toml"), text).expect("a configuration");
    }

    /// Another configuration from now on.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let file = self.path("postroom.toml");
        let text = std::fs::read_to_string(&file).expect("a configuration");
        std::fs::write(&file, text.replace(from, to)).expect("a configuration");
    }

    /// An object that was there before, put by somebody else.
    pub(crate) fn put_aside(&self, key: &str, octets: &[u8]) {
        std::fs::write(self.path("objects").join(s3::BUCKET).join(key), octets).expect("an object");
    }

    /// The program with these orders for its failpoints, which also log.
    fn command(&self, args: &[&str], orders: &str) -> Command {
        let mut command = self.command_beside(args);
        let _ = std::fs::remove_file(self.path("reached"));
        command.env("POSTROOM_FAILPOINTS", format!("log={} {orders}", self.path("reached").display()));
        command
    }

    /// The program without any orders, beside another run of it.
    pub(crate) fn command_beside(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroom-host"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        for inherited in ["POSTROOM_CONFIG", "POSTROOM_LOG", "POSTROOM_FAILPOINTS", "STATE_DIRECTORY"] {
            command.env_remove(inherited);
        }
        command
    }

    /// The failpoints that the current or last run reached, in order.
    pub(crate) fn reached(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path("reached")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Does one thing. What was no run of the program has no outcome.
    pub(crate) async fn act(&self, act: Act, orders: &str) -> Option<Run> {
        match act {
            Act::Verb(args) => Some(self.run(args, orders).await),
            Act::Killed(orders) => {
                let run = self.run(&["once", "--json"], orders).await;
                assert!(run.was_killed(), "{orders}: {run:#?}");
                None
            }
            Act::Daemon => Some(self.daemon(orders).await),
            Act::Change(change) => {
                change(self);
                None
            }
        }
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, args: &[&str], orders: &str) -> Run {
        let mut command = self.command(args, orders);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joins");
        let output = output.expect("the binary runs");
        self.ended(output.status, &output.stdout, &output.stderr).await
    }

    /// Starts `run`.
    pub(crate) fn start(&self, orders: &str) -> Child {
        let log = std::fs::File::create(self.path("log")).expect("a file");
        self.command(&["run"], orders).stdout(Stdio::null()).stderr(log).spawn().expect("starts")
    }

    /// `run` until it deleted at the server, or found that nothing is there; then SIGTERM, and its end.
    async fn daemon(&self, orders: &str) -> Run {
        let mut child = self.start(orders);
        let over = |reached: &[String]| {
            let has = |name: &str| reached.iter().any(|reached| reached == name);
            has("remove/recorded") || has("poll/recorded") && self.maildrop.messages("user").is_empty()
        };
        if self.comes_so_far(&mut child, over).await {
            signal(&child, Signal::TERM);
        }
        self.finish(child).await.0
    }

    /// Waits until a run reached a failpoint; `false` when it ended before.
    pub(crate) async fn comes_to(&self, child: &mut Child, name: &str) -> bool {
        self.comes_so_far(child, |reached| reached.iter().any(|reached| reached == name)).await
    }

    async fn comes_so_far(&self, child: &mut Child, far: impl Fn(&[String]) -> bool) -> bool {
        let started = Instant::now();
        while !far(&self.reached()) {
            if child.try_wait().expect("the child").is_some() {
                return false;
            }
            if started.elapsed() > LONGEST {
                let _ = child.kill();
                panic!(
                    "the run comes no further: {:?}",
                    self.reached().iter().rev().take(20).collect::<Vec<_>>()
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        true
    }

    /// Waits for the end of a run, and tells how long that took.
    pub(crate) async fn finish(&self, mut child: Child) -> (Run, Duration) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("the child") {
                break status;
            }
            if started.elapsed() > LONGEST {
                let _ = child.kill();
                panic!(
                    "the run does not end: {:?}",
                    self.reached().iter().rev().take(20).collect::<Vec<_>>()
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let took = started.elapsed();
        let said = std::fs::read(self.path("log")).unwrap_or_default();
        (self.ended(status, &[], &said).await, took)
    }

    async fn ended(&self, status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Run {
        // The servers must have seen the end too, or the next login finds the maildrop locked.
        let seen = async {
            self.maildrop.wait_until(|stats| stats.closed == stats.connections).await;
            self.receiver.wait_until(|stats| stats.closed == stats.connections).await;
        };
        tokio::time::timeout(LONGEST, seen).await.expect("the servers see that the program is gone");
        let run = Run {
            status,
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
            reached: self.reached(),
        };
        let open = run.times("smtp.dot/send").saturating_sub(run.times("deliver.Transport/settled"));
        self.doubts.fetch_add(open, Ordering::Relaxed);
        run
    }

    /// How many mails may have been sent twice.
    pub(crate) fn doubts(&self) -> usize {
        self.doubts.load(Ordering::Relaxed)
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a signal");
}

const CONFIGURATION: &str = r#"
state = "state"
[limits]
keep_bodies = "0s"
[accounts.home]
host = "localhost"
port = POP3-PORT
tls = "starttls"
user = "user"
password = { file = "password" }
ca_file = "ca.pem"
timeout = "10s"
ACCOUNT
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
[sinks.relay]
type = "smtp"
host = "localhost"
port = SMTP-PORT
tls = "starttls"
ca_file = "ca.pem"
user = "user"
password = { file = "password" }
[[pipelines.main.steps]]
plugin = "archive"
grants = { sinks = ["vault"] }
settings = { sink = "vault", key = "{account}/{sha256}.eml" }
[[pipelines.main.steps]]
name = "maildir"
plugin = "archive"
grants = { sinks = ["box"] }
settings = { sink = "box", mailbox = "Work" }
[[pipelines.main.steps]]
name = "s3"
plugin = "archive"
grants = { sinks = ["bucket"] }
settings = { sink = "bucket", key = "{sha256}.eml" }
STEPS
"#;

const SENDS: &str = r#"
[[pipelines.main.steps]]
plugin = "forward"
grants = { sinks = ["relay"] }
settings = { sink = "relay", to = ["RECIPIENT"] }
"#;
