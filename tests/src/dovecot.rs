//! A real Dovecot (Debian `dovecot-pop3d`) in a private directory: POP3 with implicit TLS on one port and STLS on
//! another; where a test asks for it, IMAP and LMTP too.
//!
//! Owns its configuration, its mail and its processes. Must not read the system's Dovecot configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use postroom_practice::{Authority, CertificateKind, Identity};
use tempfile::TempDir;

use crate::HarnessError;
use crate::process::{self, Process, User};

mod account;
mod setup;

pub use account::{Login, Visit};
pub use setup::Setup;

/// How often a start is tried with other ports.
const TRIES: usize = 3;

/// A running Dovecot; stopped, and its directory removed, when dropped.
#[derive(Debug)]
pub struct Dovecot {
    // Dropped first: the processes end before their files go.
    process: Option<Process>,
    program: PathBuf,
    setup: Setup,
    implicit: SocketAddr,
    stls: SocketAddr,
    imap: SocketAddr,
    owner: User,
    delivered: AtomicU64,
    directory: TempDir,
}

impl Dovecot {
    /// Starts Dovecot for users given as name and password, with a certificate of the authority for `localhost`, and
    /// waits until it answers. As root the mail belongs to `nobody`; as an ordinary user, to that user.
    ///
    /// # Errors
    /// [`HarnessError::Missing`] when the Debian package is not installed, [`HarnessError::Ended`] or
    /// [`HarnessError::TooLate`] with its log when it does not come up within 20 s.
    pub async fn start(authority: &Authority, users: &[(&str, &str)]) -> Result<Self, HarnessError> {
        Self::configured(authority, Setup::new(users)).await
    }

    /// Starts one that differs from the usual, see [`Setup`].
    ///
    /// # Errors
    /// As [`Dovecot::start`].
    pub async fn configured(authority: &Authority, setup: Setup) -> Result<Self, HarnessError> {
        let program = process::program("dovecot", "dovecot-pop3d", &["/usr/sbin", "/usr/local/sbin"])?;
        let protocol = Path::new("/usr/lib/dovecot/pop3");
        if !protocol.exists() && !Path::new("/usr/libexec/dovecot/pop3").exists() {
            return Err(HarnessError::Missing { program: "pop3 of Dovecot", package: "dovecot-pop3d" });
        }
        let identity = authority.issue(CertificateKind::Good)?;
        let mut tries = 1;
        loop {
            let mut dovecot = Self::prepare(program.clone(), &identity, setup.clone())?;
            match dovecot.run().await {
                // Somebody else may have taken a port between its choice and its use.
                Err(HarnessError::Ended { .. }) if tries < TRIES => tries += 1,
                outcome => return outcome.map(|()| dovecot),
            }
        }
    }

    /// Everything but the process.
    fn prepare(program: PathBuf, identity: &Identity, setup: Setup) -> Result<Self, HarnessError> {
        let directory =
            TempDir::new().map_err(|source| HarnessError::Io { doing: "making a directory", source })?;
        let owner = if process::is_root() { User::named("nobody") } else { User::current() };
        let owner = owner.ok_or_else(|| HarnessError::Answer {
            expected: "the user that is to own the mail in /etc/passwd".to_owned(),
            got: "no such user".to_owned(),
        })?;
        let ids = (owner.uid, owner.gid);
        let root = directory.path();
        process::directory(root, 0o755, None)?;
        process::write(&root.join("cert.pem"), identity.certificate_pem().as_bytes())?;
        process::write(&root.join("key.pem"), identity.key_pem().as_bytes())?;
        // Read by the unprivileged auth process.
        readable(&root.join("passwd"), &setup.passwords())?;
        if let Some(key) = &setup.token_key {
            let place = setup::token_key_file(root);
            for directory in [3, 2, 1].map(|up| place.ancestors().nth(up)).into_iter().flatten() {
                process::directory(directory, 0o755, None)?;
            }
            readable(&place, key)?;
            readable(&setup::token_settings_file(root), &setup::token_settings(root))?;
        }
        process::directory(&root.join("mail"), 0o755, Some(ids))?;
        for (name, _) in &setup.users {
            process::directory(&root.join("mail").join(name), 0o700, Some(ids))?;
            for part in ["", "new", "cur", "tmp"] {
                process::directory(&maildir(root, name).join(part), 0o700, Some(ids))?;
            }
        }
        let (implicit, stls) = (process::free_port()?, process::free_port()?);
        let imap = process::free_port()?;
        let delivered = AtomicU64::new(0);
        Ok(Self { process: None, program, setup, implicit, stls, imap, owner, delivered, directory })
    }

    async fn run(&mut self) -> Result<(), HarnessError> {
        let root = self.directory.path();
        let configuration = root.join("dovecot.conf");
        let text = self.setup.configuration(root, &self.owner, self.implicit, self.stls, self.imap);
        process::write(&configuration, text.as_bytes())?;
        let mut command = Command::new(&self.program);
        command.arg("-F").arg("-c").arg(&configuration);
        let mut running = Process::start("dovecot", &mut command)?;
        running.ready(&[(self.stls, b"+OK"), (self.implicit, b"")], &root.join("log")).await?;
        self.process = Some(running);
        Ok(())
    }

    /// Stops it and starts it with another form of unique-ids, on the same ports and with the same mail.
    ///
    /// # Errors
    /// As [`Dovecot::start`]; also when somebody took a port meanwhile.
    pub async fn renumber(&mut self, uidl_format: &str) -> Result<(), HarnessError> {
        self.process = None;
        self.setup.uidl_format = uidl_format.to_owned();
        self.run().await
    }

    /// Kills it with all its processes at once, and starts it again on the same ports and with the same mail.
    ///
    /// # Errors
    /// As [`Dovecot::start`]; also when somebody took a port meanwhile.
    pub async fn crash(&mut self) -> Result<(), HarnessError> {
        if let Some(process) = &mut self.process {
            process.kill();
        }
        let mut tries = 1;
        loop {
            match self.run().await {
                // A connection that is about to end may have a port for a moment.
                Err(HarnessError::Ended { .. }) if tries < TRIES => tries += 1,
                outcome => return outcome,
            }
            tokio::time::sleep(process::LOOK_AGAIN * 10).await;
        }
    }

    /// Where it speaks TLS from the first octet.
    #[must_use]
    pub fn implicit(&self) -> SocketAddr {
        self.implicit
    }

    /// Where it offers STLS. It would take a password before it, too: Dovecot trusts a client on its own address, so
    /// whether the client keeps its password until TLS is on must be seen in the client or with the practice maildrop.
    #[must_use]
    pub fn stls(&self) -> SocketAddr {
        self.stls
    }

    /// Where it speaks IMAP, TLS from the first octet; nowhere without [`Setup::delivery`].
    #[must_use]
    pub fn imap(&self) -> SocketAddr {
        self.imap
    }

    /// Where it speaks LMTP; nowhere without [`Setup::delivery`].
    #[must_use]
    pub fn lmtp(&self) -> PathBuf {
        setup::lmtp_socket(self.directory.path())
    }

    /// Delivers a mail as an MDA does: written to `tmp`, then moved to `new`. Dovecot serves LF as CRLF. Returns the
    /// file's name.
    ///
    /// # Errors
    /// [`HarnessError::File`] naming the file.
    pub fn deliver(&self, user: &str, octets: &[u8]) -> Result<String, HarnessError> {
        let ordinal = self.delivered.fetch_add(1, Ordering::Relaxed) + 1;
        // Dovecot numbers new mail by the leading number, which is a time in seconds elsewhere.
        let name = format!("{}.P{}.localhost", 1_700_000_000 + ordinal, std::process::id());
        let maildir = self.maildir(user);
        let written = maildir.join("tmp").join(&name);
        process::write(&written, octets)?;
        process::give(&written, Some((self.owner.uid, self.owner.gid)))?;
        let path = maildir.join("new").join(&name);
        std::fs::rename(&written, &path).map_err(|source| HarnessError::File { path, source })?;
        Ok(name)
    }

    /// How many mails the user's maildrop holds.
    ///
    /// # Errors
    /// [`HarnessError::File`] if the Maildir cannot be read.
    pub fn count(&self, user: &str) -> Result<usize, HarnessError> {
        Ok(process::maildir_files(&self.maildir(user))?.len())
    }

    /// The user's Maildir.
    #[must_use]
    pub fn maildir(&self, user: &str) -> PathBuf {
        maildir(self.directory.path(), user)
    }

    /// What Dovecot logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        process::read_log(&self.directory.path().join("log"))
    }

    /// Fills a maildrop with many small messages at once: a few contents under many names, by hard links, with the sizes
    /// in the names, so that Dovecot need not open each file.
    ///
    /// # Errors
    /// [`HarnessError::File`] naming the file.
    pub fn crowd(&self, user: &str, messages: u64) -> Result<(), HarnessError> {
        let maildir = self.maildir(user);
        let first = self.delivered.fetch_add(messages, Ordering::Relaxed) + 1;
        for (index, ordinal) in (0..).zip(first..first + messages) {
            let octets = crowd_content(index / LINKS);
            let source = maildir.join("tmp").join(format!("content-{}", index / LINKS));
            if index % LINKS == 0 {
                process::write(&source, octets.as_bytes())?;
                process::give(&source, Some((self.owner.uid, self.owner.gid)))?;
            }
            let (time, size) = (1_700_000_000 + ordinal, octets.len());
            let name = format!("{time}.P{}.localhost,S={size},W={size}:2,", std::process::id());
            let path = maildir.join("cur").join(name);
            std::fs::hard_link(&source, &path).map_err(|source| HarnessError::File { path, source })?;
        }
        Ok(())
    }
}

/// So many names one file gets; file systems allow some 65 000.
const LINKS: u64 = 2000;

/// One of the contents of a crowd, with CRLF.
fn crowd_content(number: u64) -> String {
    format!("From: a@field.example\r\nSubject: crowd {number}\r\n\r\nHello.\r\n")
}

fn maildir(root: &Path, user: &str) -> PathBuf {
    root.join("mail").join(user).join("Maildir")
}

/// Writes a file that everybody may read.
fn readable(path: &Path, text: &str) -> Result<(), HarnessError> {
    use std::os::unix::fs::PermissionsExt;
    process::write(path, text.as_bytes())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
        .map_err(|source| HarnessError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tls, fetch_all};

    #[tokio::test]
    async fn what_is_delivered_is_fetched_with_crlf_and_stable_uidls() {
        let authority = Authority::new().unwrap();
        let dovecot = Dovecot::start(&authority, &[("ann", "secret"), ("bob", "other")]).await.unwrap();
        let mails: [&[u8]; 3] =
            [b"Subject: 1\n\n.\n..\nend\n", b"Subject: 2\r\n\r\n.x\r\n\xff\r\n", b"Subject: 3\r\n\r\n"];
        for mail in mails {
            dovecot.deliver("ann", mail).unwrap();
        }
        let fetched =
            fetch_all(dovecot.implicit(), Tls::Implicit, &authority, "ann", "secret").await.unwrap();
        let octets: Vec<_> = fetched.iter().map(|mail| mail.octets.as_slice()).collect();
        assert_eq!(octets, [b"Subject: 1\r\n\r\n.\r\n..\r\nend\r\n".as_slice(), mails[1], mails[2]]);
        dovecot.deliver("ann", b"Subject: 4\r\n\r\n").unwrap();
        let again = fetch_all(dovecot.implicit(), Tls::Implicit, &authority, "ann", "secret").await.unwrap();
        assert_eq!(again[..3], fetched);
        assert_eq!((again.len(), dovecot.count("ann").unwrap(), dovecot.count("bob").unwrap()), (4, 4, 0));
        let refused =
            fetch_all(dovecot.implicit(), Tls::Implicit, &authority, "bob", "secret").await.unwrap_err();
        assert!(refused.to_string().contains("[AUTH]"), "{refused}");
    }

    #[tokio::test]
    async fn the_other_port_speaks_tls_after_stls_only() {
        let authority = Authority::new().unwrap();
        let dovecot = Dovecot::start(&authority, &[("ann", "secret")]).await.unwrap();
        dovecot.deliver("ann", b"Subject: 1\r\n\r\n").unwrap();
        let fetched = fetch_all(dovecot.stls(), Tls::Stls, &authority, "ann", "secret").await.unwrap();
        assert_eq!(fetched.len(), 1);
        fetch_all(dovecot.stls(), Tls::Implicit, &authority, "ann", "secret").await.unwrap_err();
        let stranger = Authority::new().unwrap();
        fetch_all(dovecot.stls(), Tls::Stls, &stranger, "ann", "secret").await.unwrap_err();
        assert!(dovecot.log().contains("TLS"), "{}", dovecot.log());
    }

    #[tokio::test]
    async fn every_generated_mail_comes_back_octet_for_octet() {
        let authority = Authority::new().unwrap();
        let dovecot = Dovecot::start(&authority, &[("ann", "secret")]).await.unwrap();
        let mails: Vec<_> = crate::corpus::generate(3, 45).into_iter().map(|mail| mail.octets).collect();
        for mail in &mails {
            dovecot.deliver("ann", mail).unwrap();
        }
        let fetched =
            fetch_all(dovecot.implicit(), Tls::Implicit, &authority, "ann", "secret").await.unwrap();
        assert!(fetched.into_iter().map(|mail| mail.octets).eq(mails));
    }
}
