//! An SMTP server that keeps what it accepts in memory: RFC 5321 with SIZE, 8BITMIME, PIPELINING, STARTTLS and AUTH.
//!
//! Owns the mail it accepted, the counts and the faults it commits. Must not send mail on to anybody.

mod data;
mod fault;
mod login;
mod session;

#[cfg(test)]
mod tests;

pub use fault::{ReceiverFault, Stage};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::faults::Faults;
use crate::listener::Listener;
use crate::{PracticeError, Security, Times};

/// What a receiver accepts, from whom, and how.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    security: Security,
    credentials: Vec<(String, String)>,
    size_limit: usize,
    strict_lines: bool,
    directory: Option<PathBuf>,
    faults: Vec<(ReceiverFault, Times)>,
}

impl ReceiverConfig {
    /// A receiver that takes mail from anybody, up to 64 MiB each, without faults.
    #[must_use]
    pub fn new(security: Security) -> Self {
        Self {
            security,
            credentials: Vec::new(),
            size_limit: 64 << 20,
            strict_lines: false,
            directory: None,
            faults: Vec::new(),
        }
    }

    /// Adds a name and password; once there is one, nobody sends without AUTH.
    #[must_use]
    pub fn credentials(mut self, name: &str, password: &str) -> Self {
        self.credentials.push((name.to_owned(), password.to_owned()));
        self
    }

    /// The largest mail taken, in octets; told by SIZE (RFC 1870).
    #[must_use]
    pub fn size_limit(mut self, octets: usize) -> Self {
        self.size_limit = octets;
        self
    }

    /// Refuses mail with a bare LF or CR in it, as servers that fend off smuggling do.
    #[must_use]
    pub fn strict_lines(mut self) -> Self {
        self.strict_lines = true;
        self
    }

    /// Also writes each accepted mail as `NNNN.eml` into this directory, which must exist.
    #[must_use]
    pub fn directory(mut self, directory: PathBuf) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Adds a fault to commit from the first connection on.
    #[must_use]
    pub fn fault(mut self, fault: ReceiverFault, times: Times) -> Self {
        self.faults.push((fault, times));
        self
    }
}

/// One mail the receiver accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What EHLO or HELO gave.
    pub client: String,
    /// The reverse-path without its angle brackets; empty for `<>`.
    pub from: String,
    /// The forward-paths that were accepted, without angle brackets, in order.
    pub recipients: Vec<String>,
    /// The parameters of `MAIL`, e.g. `SIZE=120 BODY=8BITMIME`.
    pub parameters: String,
    /// The mail after undoing dot-stuffing, without the line with the final dot.
    pub octets: Vec<u8>,
    /// Whether it came through TLS.
    pub secure: bool,
    /// Who had logged in.
    pub login: Option<String>,
}

/// What a receiver was asked and has accepted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections that have ended, in whichever way.
    pub closed: u64,
    /// TLS handshakes completed.
    pub handshakes: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
    /// Successful logins.
    pub logins: u64,
    /// Refused logins.
    pub refused_logins: u64,
    /// `MAIL` commands, whatever the answer.
    pub mails: u64,
    /// Mails whose final dot came, whatever the answer.
    pub transmitted: u64,
    /// Mails that held a bare LF or CR, accepted or not.
    pub bare_line_ends: u64,
    /// Commands and mails answered with 4xx or 5xx.
    pub refusals: u64,
    /// What was accepted, in order.
    pub accepted: Vec<Accepted>,
}

/// A running SMTP server on an ephemeral port of 127.0.0.1; stops when dropped.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    listener: Listener,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    config: ReceiverConfig,
    faults: Faults<ReceiverFault>,
    stats: watch::Sender<ReceiverStats>,
}

impl Receiver {
    /// Opens a port and serves until dropped. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// [`PracticeError::Listen`] if loopback has no port.
    pub async fn start(mut config: ReceiverConfig) -> Result<Self, PracticeError> {
        let faults = Faults::new(std::mem::take(&mut config.faults));
        let shared = Arc::new(Shared { config, faults, stats: watch::Sender::new(ReceiverStats::default()) });
        let serving = Arc::clone(&shared);
        let listener = Listener::start(move |stream| session::serve(stream, Arc::clone(&serving))).await?;
        Ok(Self { shared, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// What was asked and accepted so far.
    #[must_use]
    pub fn stats(&self) -> ReceiverStats {
        self.shared.stats.borrow().clone()
    }

    /// Looks at what was asked and accepted so far, without a copy of the mail.
    pub fn look<T>(&self, with: impl FnOnce(&ReceiverStats) -> T) -> T {
        with(&self.shared.stats.borrow())
    }

    /// What was accepted so far, in order.
    #[must_use]
    pub fn accepted(&self) -> Vec<Accepted> {
        self.shared.stats.borrow().accepted.clone()
    }

    /// Waits until the counts satisfy `enough`, and returns them. Has no limit of its own: put it in a timeout.
    pub async fn wait_until(&self, enough: impl FnMut(&ReceiverStats) -> bool) -> ReceiverStats {
        let mut receiver = self.shared.stats.subscribe();
        match receiver.wait_for(enough).await {
            Ok(stats) => stats.clone(),
            // The sender is in `self`, so it cannot be gone.
            Err(_) => self.stats(),
        }
    }

    /// Commits one more fault from now on.
    pub fn inject(&self, fault: ReceiverFault, times: Times) {
        self.shared.faults.add(fault, times);
    }

    /// Behaves well again.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }
}
