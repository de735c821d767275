//! Owns the token file: who may read it, how it is replaced so that a crash leaves the old one or the new one, and the
//! lock that keeps two processes from refreshing at once. Must not talk to a server.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postroom_mail::rules::neutral;
use rustix::fs::{FlockOperation, OFlags};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::claims::Claims;
use crate::client::Client;
use crate::error::Error;
use crate::grant::{Grant, unix};

/// The longest token file read, in octets.
const LONGEST: u64 = 256 << 10;
/// The version of the format.
const VERSION: u32 = 1;

/// Where the tokens of one account are kept.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

/// What a token file holds. Texts are wiped when dropped.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    version: u32,
    pub(crate) token_endpoint: String,
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) scope: Option<String>,
    pub(crate) access_token: Zeroizing<String>,
    /// In seconds since 1970.
    pub(crate) obtained_at: u64,
    /// In seconds since 1970.
    pub(crate) expires_at: u64,
    pub(crate) refresh_token: Zeroizing<String>,
}

/// What is known of a sign-in without its tokens.
#[derive(Clone, Debug)]
pub struct Status {
    /// The client it was made for.
    pub client_id: String,
    /// What was granted, if the server said so; the scopes separated by blanks.
    pub scope: Option<String>,
    /// When the access token was obtained.
    pub obtained_at: SystemTime,
    /// When the access token ends.
    pub expires_at: SystemTime,
    /// What the access token says of itself, if it is one that can be read.
    pub claims: Option<Claims>,
}

/// The right to change the token file; nobody else has it meanwhile, in no process.
pub(crate) struct Lock {
    path: PathBuf,
    /// Held for its `flock`.
    _file: File,
}

/// A new token file without its content. Made before the server is asked, so that a full disk or a read-only
/// directory is found out while the old refresh token is still good.
pub(crate) struct Prepared {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl TokenFile {
    /// The file at this path; its directory must exist, the file need not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the grant of a new sign-in, replacing an older one. Blocks, for at most a minute if another process holds
    /// the lock.
    ///
    /// # Errors
    /// [`Error::NoRefreshToken`] if it could never be refreshed (nothing is written then), [`Error::File`] if it cannot
    /// be written.
    pub fn keep(&self, grant: &Grant, client: &Client, now: SystemTime) -> Result<(), Error> {
        let Some(refresh_token) = grant.refresh_token.clone() else {
            let advice = "ask for offline access: `scopes` with `offline_access` (Microsoft, Fastmail), or \
                          `authorization_parameters` with access_type = \"offline\", prompt = \"consent\" (Google)";
            return Err(Error::NoRefreshToken { advice: advice.to_owned() });
        };
        let stored = Stored {
            version: VERSION,
            token_endpoint: client.token.to_string(),
            client_id: client.id.clone(),
            scope: grant.scope.clone(),
            access_token: grant.access_token.clone(),
            obtained_at: unix(now),
            expires_at: grant.expires_at(now),
            refresh_token,
        };
        self.lock()?.prepare()?.write(&stored)
    }

    /// Takes the lock, waiting up to a minute for whoever refreshes just now.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        // A file of its own: the token file itself is replaced, and a lock on the replaced one would lock nobody out.
        let path = beside(&self.path, ".lock");
        let failed = |source| Error::file("lock", &path, source);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        for _ in 0..600 {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { path: self.path.clone(), _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(100)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::TimedOut, "another process has held the lock for a minute")))
    }

    /// What is kept, without the tokens. Asks no server.
    ///
    /// # Errors
    /// If there is nothing, others may read it, or it is no token file; the text tells what to run for `account`.
    pub fn status(&self, account: &str) -> Result<Status, Error> {
        let stored = self.load(account)?;
        let at = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
        Ok(Status {
            client_id: stored.client_id.clone(),
            scope: stored.scope.clone(),
            obtained_at: at(stored.obtained_at),
            expires_at: at(stored.expires_at),
            claims: Claims::read(&stored.access_token),
        })
    }

    /// What is kept for this client.
    ///
    /// # Errors
    /// If there is nothing, others may read it, it is for another client or server, or it is no token file.
    pub(crate) fn read(&self, client: &Client) -> Result<Stored, Error> {
        let (account, path) = (client.account.clone(), self.path.clone());
        let stored = self.load(&account)?;
        // A refresh token goes to nobody but the server it came from.
        if stored.token_endpoint != client.token.as_str() {
            return Err(Error::OtherClient { account, path, what: "token endpoint" });
        }
        if stored.client_id != client.id {
            return Err(Error::OtherClient { account, path, what: "client id" });
        }
        Ok(stored)
    }

    fn load(&self, account: &str) -> Result<Stored, Error> {
        let (account, path) = (account.to_owned(), self.path.clone());
        let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotSignedIn { account, path });
            }
            Err(error) => return Err(Error::file("read", &path, error)),
        };
        check_private(&file, &path)?;
        let room = usize::try_from(LONGEST).unwrap_or(0) + 1;
        // All room at once: growing would leave copies behind.
        let mut octets = Zeroizing::new(Vec::with_capacity(room));
        file.take(LONGEST + 1).read_to_end(&mut octets).map_err(|error| Error::file("read", &path, error))?;
        // The parser's words may quote the file, so they are not passed on.
        let stored = serde_json::from_slice::<Stored>(&octets).ok().filter(|stored| {
            stored.version == VERSION && !stored.refresh_token.is_empty() && octets.len() < room
        });
        stored.ok_or(Error::NotATokenFile { account, path })
    }
}

impl Stored {
    /// What is kept after a refresh. Without a new refresh token the old one stays (RFC 6749 section 6).
    pub(crate) fn refreshed(&self, grant: &Grant, now: SystemTime) -> Self {
        Self {
            version: VERSION,
            token_endpoint: self.token_endpoint.clone(),
            client_id: self.client_id.clone(),
            scope: grant.scope.clone().or_else(|| self.scope.clone()),
            access_token: grant.access_token.clone(),
            obtained_at: unix(now),
            expires_at: grant.expires_at(now),
            refresh_token: grant.refresh_token.clone().unwrap_or_else(|| self.refresh_token.clone()),
        }
    }
}

/// More than two tokens and what belongs to them.
const ROOM: usize = 64 << 10;

impl Lock {
    pub(crate) fn prepare(&self) -> Result<Prepared, Error> {
        let temporary = beside(&self.path, ".new");
        let failed = |source| Error::file("write", &temporary, source);
        // One left behind by a crash; the lock says that nobody is writing it.
        match std::fs::remove_file(&temporary) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
        // Room for what will be written: a full disk is found out while the old token is still good.
        file.write_all(&[b' '; ROOM]).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Prepared { file, temporary, path: self.path.clone() })
    }
}

impl Prepared {
    /// Makes the content durable under the file's name: when this returns, a crash no longer takes it away.
    pub(crate) fn write(mut self, stored: &Stored) -> Result<(), Error> {
        let failed = |source| Error::file("write", &self.path, source);
        let mut octets = Zeroizing::new(Vec::with_capacity(64 << 10));
        serde_json::to_writer_pretty(&mut *octets, stored).map_err(|error| failed(error.into()))?;
        self.file.rewind().and_then(|()| self.file.write_all(&octets)).map_err(failed)?;
        self.file.set_len(octets.len() as u64).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        std::fs::rename(&self.temporary, &self.path).map_err(failed)?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // After a rename there is nothing of that name; otherwise nothing of value is in it.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Looks at what was opened, not at the name, so that nothing can be swapped in between.
fn check_private(file: &File, path: &Path) -> Result<(), Error> {
    let meta = file.metadata().map_err(|error| Error::file("read", path, error))?;
    let problem = |problem: String| Err(Error::Unsafe { path: path.to_owned(), problem });
    let me = rustix::process::geteuid().as_raw();
    let shown = neutral(&path.display().to_string(), 300);
    if !meta.is_file() {
        return problem("is no regular file: name one that is".to_owned());
    }
    if meta.uid() != me {
        return problem(format!("belongs to another user (uid {}): chown {me} '{shown}'", meta.uid()));
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return problem(format!("can be used by other users (mode {mode:04o}): chmod 600 '{shown}'"));
    }
    Ok(())
}
