//! Other POP3 retrievers, run for real, so that their state files can be imported: getmail, mpop and fetchmail.
//!
//! Owns their configuration and their processes. Must not read the user's own configuration of them, delete mail on the
//! server, or keep what they retrieve.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::HarnessError;
use crate::process;

/// How long one of them may take for a maildrop.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// A program that retrieves mail and remembers what it has seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retriever {
    /// Debian's `getmail6`.
    Getmail,
    /// Debian's `mpop`.
    Mpop,
    /// Debian's `fetchmail`.
    Fetchmail,
}

/// Where to retrieve from.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// A name the certificate has, if TLS is on.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS from the first octet; otherwise none at all, for servers on loopback.
    pub tls: bool,
    /// The authority to trust, as PEM; needed with `tls`.
    pub ca_file: Option<PathBuf>,
}

impl Retriever {
    /// Retrieves everything new into nothing, leaves it on the server, and returns the state file, which lies in `dir`
    /// with the configuration and the log. A second run in the same directory goes on where the first one ended.
    /// User and password must not hold quotes, backslashes, percent signs or line ends.
    ///
    /// # Errors
    /// [`HarnessError::Missing`] when the Debian package is not installed, [`HarnessError::Ended`] or
    /// [`HarnessError::TooLate`] with its output, [`HarnessError::Answer`] when it wrote no state file.
    pub async fn run(
        self,
        dir: &Path,
        server: &Endpoint,
        user: &str,
        password: &str,
    ) -> Result<PathBuf, HarnessError> {
        let program = process::program(self.program(), self.package(), &["/usr/bin", "/usr/local/bin"])?;
        process::directory(dir, 0o700, None)?;
        let configuration = dir.join(format!("{}rc", self.program()));
        let text = self.configure(dir, server, user, password);
        process::write(&configuration, text.as_bytes())?;
        let log = dir.join("log");
        let mut command = Command::new(program);
        match self {
            Self::Getmail => {
                command.arg("--getmaildir").arg(dir).arg("--rcfile").arg(&configuration);
            }
            Self::Mpop => {
                command.arg("-C").arg(&configuration).arg("--all-accounts");
            }
            Self::Fetchmail => {
                command.args(["--nodetach", "--nosyslog", "-f"]).arg(&configuration);
            }
        }
        command.env("HOME", dir).env("FETCHMAILHOME", dir).env("LC_ALL", "C");
        self.finish(&mut command, &log).await?;
        let state = self.state_file(dir, server, user);
        if state.is_file() {
            return Ok(state);
        }
        Err(HarnessError::Answer {
            expected: format!("{} writing {}", self.program(), state.display()),
            got: process::read_log(&log),
        })
    }

    async fn finish(self, command: &mut Command, log: &Path) -> Result<(), HarnessError> {
        let failed = |source| HarnessError::File { path: log.to_owned(), source };
        let output = std::fs::File::create(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|source| HarnessError::Io { doing: "starting a retriever", source })?;
        let ended = tokio::time::timeout(RUN_LIMIT, child.wait()).await;
        let status = match ended {
            Ok(status) => {
                status.map_err(|source| HarnessError::Io { doing: "waiting for a retriever", source })?
            }
            Err(_) => {
                return Err(HarnessError::TooLate {
                    what: format!("the end of {}", self.program()),
                    seconds: RUN_LIMIT.as_secs(),
                    log: process::read_log(log),
                });
            }
        };
        // fetchmail's 1 says that there was no new mail.
        if status.success() || (self == Self::Fetchmail && status.code() == Some(1)) {
            return Ok(());
        }
        Err(HarnessError::Ended {
            program: self.program(),
            status: status.to_string(),
            log: process::read_log(log),
        })
    }

    fn program(self) -> &'static str {
        match self {
            Self::Getmail => "getmail",
            Self::Mpop => "mpop",
            Self::Fetchmail => "fetchmail",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Getmail => "getmail6",
            Self::Mpop => "mpop",
            Self::Fetchmail => "fetchmail",
        }
    }

    fn state_file(self, dir: &Path, server: &Endpoint, user: &str) -> PathBuf {
        match self {
            Self::Getmail => dir.join(format!("oldmail-{}-{}-{user}", server.host, server.port)),
            Self::Mpop => dir.join("uidls"),
            Self::Fetchmail => dir.join("fetchids"),
        }
    }

    fn configure(self, dir: &Path, server: &Endpoint, user: &str, password: &str) -> String {
        match self {
            Self::Getmail => getmail(server, user, password),
            Self::Mpop => mpop(dir, server, user, password),
            Self::Fetchmail => fetchmail(dir, server, user, password),
        }
    }
}

/// Its Maildir destination refuses to work for root, an external one can be allowed to.
fn getmail(server: &Endpoint, user: &str, password: &str) -> String {
    let kind = if server.tls { "SimplePOP3SSLRetriever" } else { "SimplePOP3Retriever" };
    let trust = trust("ca_certs = ", server, "\n");
    let Endpoint { host, port, .. } = server;
    format!(
        "[retriever]
type = {kind}
server = {host}
port = {port}
username = {user}
password = {password}
{trust}[destination]
type = MDA_external
path = /bin/sh
arguments = (\"-c\", \"cat >/dev/null\")
allow_root_commands = true
[options]
read_all = false
delete = false
"
    )
}

fn mpop(dir: &Path, server: &Endpoint, user: &str, password: &str) -> String {
    let dir = dir.display();
    let tls = if server.tls { "tls on\ntls_starttls off\n" } else { "tls off\n" };
    let trust = trust("tls_trust_file \"", server, "\"\n");
    let Endpoint { host, port, .. } = server;
    format!(
        "account test
host {host}
port {port}
{tls}{trust}auth user
user \"{user}\"
password \"{password}\"
keep on
only_new on
uidls_file \"{dir}/uidls\"
delivery mda \"/bin/cat >/dev/null\"
"
    )
}

/// `uidl` makes it remember unique-ids and `keep` leaves the mail; `sslproto ''` stops it from asking for STLS.
fn fetchmail(dir: &Path, server: &Endpoint, user: &str, password: &str) -> String {
    let dir = dir.display();
    let tls = if server.tls { "ssl sslcertck" } else { "sslproto ''" };
    let trust = trust("sslcertfile \"", server, "\"");
    let Endpoint { host, port, .. } = server;
    format!(
        "set no bouncemail
set idfile \"{dir}/fetchids\"
set pidfile \"{dir}/pid\"
poll {host} port {port} protocol pop3 uidl auth password
  user \"{user}\" password \"{password}\" {tls} {trust} keep mda \"/bin/cat >/dev/null\"
"
    )
}

fn trust(before: &str, server: &Endpoint, after: &str) -> String {
    let file = server.ca_file.as_ref().filter(|_| server.tls);
    file.map(|file| format!("{before}{}{after}", file.display())).unwrap_or_default()
}
