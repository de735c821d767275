//! Owns how each retriever of a comparison is configured and started. Must not run one.
//!
//! Each retrieves into a Maildir of its own and deletes what it delivered, with its defaults for everything else. getmail6
//! comes in two ways: as it is, and with `to_oldmail_on_each_mail`, which its manual names for servers that die.

use std::path::{Path, PathBuf};

use super::arena::{Arena, PASSWORD};
use super::subject::Program;
use crate::HarnessError;
use crate::process;

/// A retriever that is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tool {
    /// The program of this project.
    Postroom,
    /// Debian's `getmail6`.
    Getmail,
    /// The same, noting each mail as seen at once instead of at the end of a session.
    GetmailEach,
    /// Debian's `mpop`.
    Mpop,
}

impl Tool {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Postroom, Self::Getmail, Self::GetmailEach, Self::Mpop]
            .into_iter()
            .find(|tool| tool.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postroom => "postroom",
            Self::Getmail => "getmail6",
            Self::GetmailEach => "getmail6-each",
            Self::Mpop => "mpop",
        }
    }

    /// Writes its configuration, makes its Maildir, and says how it is started. `binary` is the one of this project.
    pub(super) fn set_up(self, arena: &Arena, binary: &Path, port: u16) -> Result<Set, HarnessError> {
        let name = self.name();
        let directory = arena.directory(name)?;
        let maildir = arena.directory(&format!("{name}/Maildir"))?;
        for part in ["tmp", "new", "cur"] {
            arena.directory(&format!("{name}/Maildir/{part}"))?;
        }
        let search: &[&str] = &["/usr/bin", "/usr/local/bin"];
        let (program, file, arguments): (_, _, &[&str]) = match self {
            Self::Postroom => (binary.to_owned(), "postroom.toml", &["once"]),
            Self::Getmail | Self::GetmailEach => (
                process::program("getmail", "getmail6", search)?,
                "getmailrc",
                &["--getmaildir", ".", "--rcfile", "getmailrc"],
            ),
            Self::Mpop => {
                (process::program("mpop", "mpop", search)?, "mpoprc", &["-C", "mpoprc", "--all-accounts"])
            }
        };
        let text = match self {
            Self::Postroom => {
                arena.directory(&format!("{name}/state"))?;
                arena.write(&format!("{name}/password"), PASSWORD)?;
                postroom(port)
            }
            Self::Getmail | Self::GetmailEach => {
                getmail(name, &maildir.display().to_string(), port, self == Self::GetmailEach)
            }
            Self::Mpop => mpop(&directory.display().to_string(), &maildir.display().to_string(), port),
        };
        arena.write(&format!("{name}/{file}"), &text)?;
        let program = Program {
            program,
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            directory,
            owner: arena.owner().clone(),
            log: arena.path(&format!("{name}/log")),
        };
        Ok(Set { program, maildir, configuration: text })
    }
}

/// A retriever that is ready to run.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) program: Program,
    pub(super) maildir: PathBuf,
    pub(super) configuration: String,
}

/// A kill counts as an attempt at the message that was in hand, which is set aside after `attempts`.
fn postroom(port: u16) -> String {
    format!(
        r#"state = "state"
[limits]
attempts = 100
[accounts.postroom]
host = "localhost"
port = {port}
user = "postroom"
password = {{ file = "password" }}
ca_file = "../ca.pem"
delete = {{ when = "done", after = "0s" }}
[sinks.maildir]
type = "maildir"
path = "Maildir"
[[pipelines.main.steps]]
plugin = "archive"
grants = {{ sinks = ["maildir"] }}
settings = {{ sink = "maildir", mailbox = "" }}
"#
    )
}

fn getmail(name: &str, maildir: &str, port: u16, each: bool) -> String {
    format!(
        "[retriever]
type = SimplePOP3SSLRetriever
server = localhost
port = {port}
username = {name}
password = {PASSWORD}
ca_certs = ../ca.pem
[destination]
type = Maildir
path = {maildir}/
[options]
read_all = false
delete = true
to_oldmail_on_each_mail = {each}
"
    )
}

fn mpop(directory: &str, maildir: &str, port: u16) -> String {
    format!(
        "account chaos
host localhost
port {port}
tls on
tls_starttls off
tls_trust_file ../ca.pem
auth user
user mpop
password \"{PASSWORD}\"
keep off
only_new on
uidls_file {directory}/uidls
delivery maildir {maildir}
"
    )
}
