//! A real Postfix (Debian `postfix`) in a private directory: SMTP with STARTTLS, delivering every address of
//! `archive.example` into one Maildir.
//!
//! Owns its configuration, queue, mail and processes. Must not read or change the system's Postfix, or let mail leave
//! this machine: any other domain is refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use postroom_practice::{Authority, CertificateKind, Identity};
use tempfile::TempDir;

use crate::HarnessError;
use crate::process::{self, LOOK_AGAIN, Process, User};

/// How often a start is tried with another port.
const TRIES: usize = 3;
/// How long an accepted mail may take to its Maildir.
const DELIVERY_LIMIT: Duration = Duration::from_secs(30);

/// A running Postfix; stopped, and its directory removed, when dropped.
#[derive(Debug)]
pub struct Postfix {
    // Dropped first: the processes end before their files go.
    _process: Process,
    addr: SocketAddr,
    directory: TempDir,
}

impl Postfix {
    /// Starts Postfix with a certificate of the authority for `localhost` and waits until it answers.
    ///
    /// # Errors
    /// [`HarnessError::Missing`] when the Debian package is not installed, [`HarnessError::NotRoot`] for an ordinary
    /// user, [`HarnessError::Ended`] or [`HarnessError::TooLate`] with its log when it does not come up within 20 s.
    pub async fn start(authority: &Authority) -> Result<Self, HarnessError> {
        let directories = ["/usr/lib/postfix/sbin", "/usr/libexec/postfix"];
        let missing = HarnessError::Missing { program: "Postfix's master", package: "postfix" };
        let program = process::program("master", "postfix", &directories).map_err(|_| missing)?;
        if !process::is_root() {
            return Err(HarnessError::NotRoot { program: "Postfix" });
        }
        let identity = authority.issue(CertificateKind::Good)?;
        let mut tries = 1;
        loop {
            match Self::try_start(&program, &identity).await {
                // Somebody else may have taken the port between its choice and its use.
                Err(HarnessError::Ended { .. }) if tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_start(program: &Path, identity: &Identity) -> Result<Self, HarnessError> {
        let directory =
            TempDir::new().map_err(|source| HarnessError::Io { doing: "making a directory", source })?;
        let user = |name| {
            User::named(name).ok_or_else(|| HarnessError::Answer {
                expected: format!("the user {name} in /etc/passwd"),
                got: "no such user".to_owned(),
            })
        };
        let (postfix, mail) = (user("postfix")?, user("nobody")?);
        let root = directory.path();
        lay_out(root, &postfix, &mail)?;
        process::write(
            &root.join("chain.pem"),
            format!("{}{}", identity.key_pem(), identity.certificate_pem()).as_bytes(),
        )?;
        let addr = process::free_port()?;
        let sbin = program.parent().unwrap_or(Path::new("/usr/lib/postfix/sbin"));
        process::write(&root.join("etc/main.cf"), main_cf(root, sbin, &mail).as_bytes())?;
        process::write(&root.join("etc/master.cf"), master_cf(addr).as_bytes())?;
        process::write(&root.join("etc/dynamicmaps.cf"), b"")?;
        let mut command = Command::new(program);
        // Without -d it would leave our process group.
        command.arg("-c").arg(root.join("etc")).arg("-d").env("MAIL_CONFIG", root.join("etc"));
        let mut running = Process::start("postfix", &mut command)?;
        running.ready(&[(addr, b"220")], &root.join("mail.log")).await?;
        Ok(Self { _process: running, addr, directory })
    }

    /// Where it listens; STARTTLS is offered and not required.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What has been delivered so far, oldest first: as stored, with LF line ends and the trace headers that Postfix
    /// put on top. [`as_sent`] undoes both.
    ///
    /// # Errors
    /// [`HarnessError::File`] if the Maildir cannot be read.
    pub fn received(&self) -> Result<Vec<Vec<u8>>, HarnessError> {
        let mut files = process::maildir_files(&self.directory.path().join("mail/all"))?;
        let written = |path: &PathBuf| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        files.sort_by_cached_key(written);
        files.iter().map(|path| process::read(path)).collect()
    }

    /// Waits until at least so many mails are delivered, at most 30 s, and returns them all.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`] with Postfix's log.
    pub async fn wait_for(&self, mails: usize) -> Result<Vec<Vec<u8>>, HarnessError> {
        let started = Instant::now();
        loop {
            let received = self.received()?;
            if received.len() >= mails {
                return Ok(received);
            }
            if started.elapsed() > DELIVERY_LIMIT {
                let what = format!("delivery of {mails} mails ({} came)", received.len());
                return Err(HarnessError::TooLate {
                    what,
                    seconds: DELIVERY_LIMIT.as_secs(),
                    log: self.log(),
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What Postfix logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        process::read_log(&self.directory.path().join("mail.log"))
    }
}

/// A stored mail as it was sent: without the trace headers on top, with CRLF line ends. Headers that Postfix adds
/// further down because they were missing (Message-Id, Date, From) stay.
#[must_use]
pub fn as_sent(stored: &[u8]) -> Vec<u8> {
    const TRACE: [&[u8]; 4] = [b"return-path:", b"x-original-to:", b"delivered-to:", b"received:"];
    let mut lines = stored.split_inclusive(|&octet| octet == b'\n').peekable();
    // The first Received is Postfix's own; those below it came with the mail.
    let mut received = 0;
    while let Some(line) = lines.peek() {
        let lower = line.to_ascii_lowercase();
        let trace = TRACE.iter().any(|name| lower.starts_with(name));
        let continued = line.starts_with(b" ") || line.starts_with(b"\t");
        received += usize::from(lower.starts_with(b"received:"));
        if received > 1 || !(trace || continued) {
            break;
        }
        lines.next();
    }
    let mut octets = Vec::with_capacity(stored.len());
    for line in lines {
        match line {
            [before @ .., b'\r', b'\n'] | [before @ .., b'\n'] => {
                octets.extend_from_slice(before);
                octets.extend_from_slice(b"\r\n");
            }
            unended => octets.extend_from_slice(unended),
        }
    }
    octets
}

fn lay_out(root: &Path, postfix: &User, mail: &User) -> Result<(), HarnessError> {
    let owner = Some((postfix.uid, postfix.gid));
    let drop_group = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let drop_group =
        drop_group.lines().find_map(|line| line.strip_prefix("postdrop:x:")?.split(':').next()?.parse().ok());
    let drop_owner = Some((postfix.uid, drop_group.unwrap_or(postfix.gid)));
    process::directory(root, 0o755, None)?;
    process::directory(&root.join("etc"), 0o755, None)?;
    process::directory(&root.join("data"), 0o700, owner)?;
    process::directory(&root.join("mail"), 0o755, Some((mail.uid, mail.gid)))?;
    process::directory(&root.join("spool"), 0o755, None)?;
    process::directory(&root.join("spool/pid"), 0o755, None)?;
    let queues = [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
        "trace",
    ];
    for queue in queues {
        process::directory(&root.join("spool").join(queue), 0o700, owner)?;
    }
    process::directory(&root.join("spool/maildrop"), 0o1730, drop_owner)?;
    process::directory(&root.join("spool/public"), 0o2710, drop_owner)
}

fn main_cf(root: &Path, sbin: &Path, mail: &User) -> String {
    let (root, sbin) = (root.display(), sbin.display());
    let User { uid, gid, .. } = mail;
    format!(
        "compatibility_level = 3.6
config_directory = {root}/etc
queue_directory = {root}/spool
data_directory = {root}/data
daemon_directory = {sbin}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = localhost.archive.example
mydestination =
mynetworks =
alias_maps =
alias_database =
local_recipient_maps =
smtpd_tls_security_level = may
smtpd_tls_chain_files = {root}/chain.pem
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtputf8_enable = no
message_size_limit = 67108864
mailbox_size_limit = 0
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
virtual_mailbox_domains = archive.example
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:all/
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"
    )
}

fn master_cf(addr: SocketAddr) -> String {
    format!(
        "{addr} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpStream;

    /// Sends each command after the answer to the one before, and returns the answers' last lines.
    async fn dialogue(addr: SocketAddr, commands: &[&[u8]]) -> Vec<String> {
        let mut stream = BufReader::new(TcpStream::connect(addr).await.unwrap());
        let mut answers = Vec::new();
        for command in [b"".as_slice()].iter().chain(commands) {
            stream.write_all(command).await.unwrap();
            loop {
                let mut line = String::new();
                assert!(stream.read_line(&mut line).await.unwrap() > 0, "closed after {answers:?}");
                if line.as_bytes()[3] == b' ' {
                    answers.push(line);
                    break;
                }
                if line.starts_with("250-STARTTLS") {
                    answers.push(line);
                }
            }
        }
        answers
    }

    #[tokio::test]
    async fn mail_for_the_archive_domain_is_delivered_and_any_other_refused() {
        let authority = Authority::new().unwrap();
        let postfix = match Postfix::start(&authority).await {
            Err(error @ HarnessError::NotRoot { .. }) => {
                println!("not tested: {error}");
                return;
            }
            outcome => outcome.unwrap(),
        };
        let mail = b"Received: from before\r\nFrom: <a@b.example>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@b.example>\r\n\r\n.dot\r\n\xff\r\n";
        let wire = [mail.as_slice(), b".\r\n"].concat();
        let stuffed = wire.windows(1).enumerate().flat_map(|(at, octet)| {
            let dot = octet == b"." && wire[..at].ends_with(b"\r\n") && at + 3 < wire.len();
            std::iter::repeat_n(octet[0], 1 + usize::from(dot))
        });
        let stuffed: Vec<u8> = stuffed.collect();
        let answers = dialogue(
            postfix.addr(),
            &[
                b"EHLO client.example\r\n",
                b"MAIL FROM:<a@b.example> BODY=8BITMIME\r\n",
                b"RCPT TO:<someone@elsewhere.example>\r\n",
                b"RCPT TO:<any@archive.example>\r\n",
                b"DATA\r\n",
                &stuffed,
                b"QUIT\r\n",
            ],
        )
        .await;
        let codes: Vec<&str> = answers.iter().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["220", "250", "250", "250", "554", "250", "354", "250", "221"], "{answers:?}");
        assert!(answers[1].contains("STARTTLS"));
        let received = postfix.wait_for(1).await.unwrap();
        assert_eq!(received.len(), 1);
        assert_eq!(String::from_utf8_lossy(&as_sent(&received[0])), String::from_utf8_lossy(mail));
    }
}
