//! Owns the surroundings of the program under test: a real Dovecot, an S3 server, an SMTP server, proxies before them, and
//! the configuration that leads to all of them. Must not make anything fail.

use std::path::Path;
use std::time::Duration;

use postroom_practice::{Authority, CertificateKind, Receiver, ReceiverConfig, Security};

use super::arena::{Arena, PASSWORD};
use super::faults::SILENCE;
use super::proxy::ChaosProxy;
use super::subject::Program;
use crate::{Dovecot, HarnessError, S3Server, s3};

/// The users; the last one's mail, which is small, is also forwarded by SMTP.
pub(super) const ACCOUNTS: [&str; 3] = ["ann", "bob", "cleo"];

/// Everything around the program under test, and its configuration.
pub(super) struct Scene {
    // Servers end before their directories go.
    pub(super) dovecot: Dovecot,
    pub(super) s3: S3Server,
    pub(super) receiver: Receiver,
    pub(super) pop: ChaosProxy,
    pub(super) stls: ChaosProxy,
    pub(super) objects: ChaosProxy,
    pub(super) smtp: ChaosProxy,
    program: Program,
    pub(super) arena: Arena,
}

impl Scene {
    /// Starts the servers and writes the configuration; `binary` is the program under test.
    pub(super) async fn set(binary: &Path) -> Result<Self, HarnessError> {
        let arena = Arena::make()?;
        let authority = Authority::new()?;
        let users: Vec<_> = ACCOUNTS.iter().map(|&name| (name, PASSWORD)).collect();
        let dovecot = Dovecot::start(&authority, &users).await?;
        let bucket = arena.path("objects");
        std::fs::create_dir(&bucket).map_err(|source| HarnessError::File { path: bucket.clone(), source })?;
        let s3 = S3Server::start(&bucket).await?;
        let identity = authority.issue(CertificateKind::Good)?;
        let receiver = Receiver::start(ReceiverConfig::new(Security::Implicit(identity))).await?;
        let pop = ChaosProxy::start(dovecot.implicit(), Duration::ZERO).await?;
        let stls = ChaosProxy::start(dovecot.stls(), Duration::ZERO).await?;
        let objects = ChaosProxy::start(s3.addr(), Duration::ZERO).await?;
        let smtp = ChaosProxy::start(receiver.addr(), Duration::ZERO).await?;
        arena.directory("state")?;
        arena.directory("vault")?;
        arena.directory("box")?;
        arena.write("ca.pem", &authority.pem())?;
        arena.write("password", PASSWORD)?;
        arena.write("s3-access", s3::ACCESS_KEY)?;
        arena.write("s3-secret", s3::SECRET_KEY)?;
        let text = configuration([&pop, &stls, &objects, &smtp].map(|proxy| proxy.addr().port()));
        arena.write("postroom.toml", &text)?;
        let program = Program {
            program: arena.program(binary)?,
            arguments: Vec::new(),
            directory: arena.path(""),
            owner: arena.owner().clone(),
            log: arena.path("log"),
        };
        Ok(Self { dovecot, s3, receiver, pop, stls, objects, smtp, program, arena })
    }

    /// Stops everything and leaves the directory.
    pub(super) fn leave(self) -> Arena {
        self.arena
    }

    /// The program under test, without arguments.
    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// How many mails the SMTP server accepted.
    pub(super) fn sent(&self) -> usize {
        self.receiver.look(|stats| stats.accepted.len())
    }

    /// How many mails lie in the maildrops.
    pub(super) fn on_server(&self) -> Result<usize, HarnessError> {
        ACCOUNTS.iter().map(|user| self.dovecot.count(user)).sum()
    }
}

fn configuration([pop, stls, objects, smtp]: [u16; 4]) -> String {
    let silence = SILENCE.as_secs();
    let account = |(at, name): (usize, &&str)| {
        let (port, tls) = if at + 1 == ACCOUNTS.len() { (stls, "starttls") } else { (pop, "implicit") };
        format!(
            "[accounts.{name}]\nhost = \"localhost\"\nport = {port}\ntls = \"{tls}\"\nuser = \"{name}\"\n\
             password = {{ file = \"password\" }}\nca_file = \"ca.pem\"\ntimeout = \"{silence}s\"\n\
             poll = {{ least = \"1s\", most = \"3s\" }}\ndelete = {{ when = \"done\", after = \"5s\" }}\n"
        )
    };
    let accounts: String = ACCOUNTS.iter().enumerate().map(account).collect();
    let (last, bucket) = (ACCOUNTS[ACCOUNTS.len() - 1], s3::BUCKET);
    // So many kills can hit one message more than the usual three times, which would set it aside as the one to blame.
    format!(
        r#"state = "state"
[limits]
attempts = 100
keep_bodies = "1m"
{accounts}
[sinks.directory]
type = "directory"
path = "vault"
[sinks.maildir]
type = "maildir"
path = "box"
[sinks.s3]
type = "s3"
bucket = "{bucket}"
endpoint = "http://localhost:{objects}"
allow_http = true
access_key = {{ file = "s3-access" }}
secret_key = {{ file = "s3-secret" }}
[sinks.smtp]
type = "smtp"
host = "localhost"
port = {smtp}
ca_file = "ca.pem"
[[pipelines.main.steps]]
plugin = "archive"
grants = {{ sinks = ["directory"] }}
settings = {{ sink = "directory", key = "{{account}}/{{sha256}}-{{id:8}}.eml" }}
[[pipelines.main.steps]]
name = "maildir"
plugin = "archive"
grants = {{ sinks = ["maildir"] }}
settings = {{ sink = "maildir", mailbox = "" }}
[[pipelines.main.steps]]
name = "s3"
plugin = "archive"
grants = {{ sinks = ["s3"] }}
settings = {{ sink = "s3", key = "{{account}}/{{sha256}}-{{id:8}}.eml" }}
[[pipelines.main.steps]]
plugin = "forward"
when = {{ account = "{last}" }}
grants = {{ sinks = ["smtp"] }}
settings = {{ sink = "smtp", to = ["copy@archive.example"] }}
"#
    )
}
