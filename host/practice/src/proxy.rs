//! A SOCKS5 proxy (RFC 1928) on loopback that relays to loopback.
//!
//! Owns its table of names, the record of what was asked for and the faults it commits. Must not look up a name anywhere
//! else or connect to another machine.

mod session;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::faults::Faults;
use crate::listener::Listener;
use crate::{PracticeError, Times};

/// Where in a session the proxy has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStage {
    /// The client offered its methods.
    Methods,
    /// User and password came (RFC 1929).
    Login,
    /// The client asked for a connection.
    Request,
}

/// One thing a proxy does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// Answers the request with this reply code (RFC 1928 section 6) and closes.
    Reply(u8),
    /// Wants this method, whatever was offered; 0xff means that none is acceptable.
    Method(u8),
    /// Answers with these octets, which need not be SOCKS, and closes.
    Garbage(ProxyStage, Vec<u8>),
    /// Cuts the connection instead of answering.
    Drop(ProxyStage),
    /// Never answers; the connection stays open.
    Silent(ProxyStage),
}

/// Which names a proxy knows, and who may use it.
#[derive(Clone, Debug, Default)]
pub struct ProxyConfig {
    login: Option<(String, String)>,
    names: BTreeMap<String, SocketAddr>,
    faults: Vec<(ProxyFault, Times)>,
}

impl ProxyConfig {
    /// A proxy for everybody that knows no name, and relays to addresses of loopback.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets in only who logs in with these.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Relays requests for this name, on any port, to this address, which must be on loopback.
    #[must_use]
    pub fn name(mut self, name: &str, addr: SocketAddr) -> Self {
        self.names.insert(name.to_owned(), addr);
        self
    }

    /// Adds a fault to commit from the first connection on.
    #[must_use]
    pub fn fault(mut self, fault: ProxyFault, times: Times) -> Self {
        self.faults.push((fault, times));
        self
    }
}

/// What a client asked to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// A name, and the port.
    Name(String, u16),
    /// An address the client already had.
    Address(SocketAddr),
}

/// What a proxy was asked since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyStats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections that have ended, in whichever way.
    pub closed: u64,
    /// Successful logins.
    pub logins: u64,
    /// Refused logins.
    pub refused_logins: u64,
    /// Connections made to servers.
    pub relayed: u64,
    /// What was asked for, in order, whatever the answer.
    pub requests: Vec<Requested>,
}

/// A running SOCKS5 proxy on an ephemeral port of 127.0.0.1; stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listener: Listener,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    config: ProxyConfig,
    faults: Faults<ProxyFault>,
    stats: watch::Sender<ProxyStats>,
}

impl Proxy {
    /// Opens a port and serves until dropped. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// [`PracticeError::Listen`] if loopback has no port.
    pub async fn start(mut config: ProxyConfig) -> Result<Self, PracticeError> {
        let faults = Faults::new(std::mem::take(&mut config.faults));
        let shared = Arc::new(Shared { config, faults, stats: watch::Sender::new(ProxyStats::default()) });
        let serving = Arc::clone(&shared);
        let listener = Listener::start(move |stream| session::serve(stream, Arc::clone(&serving))).await?;
        Ok(Self { shared, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// What was asked so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        self.shared.stats.borrow().clone()
    }

    /// Waits until the counts satisfy `enough`, and returns them. Has no limit of its own: put it in a timeout.
    pub async fn wait_until(&self, enough: impl FnMut(&ProxyStats) -> bool) -> ProxyStats {
        let mut receiver = self.shared.stats.subscribe();
        match receiver.wait_for(enough).await {
            Ok(stats) => stats.clone(),
            // The sender is in `self`, so it cannot be gone.
            Err(_) => self.stats(),
        }
    }

    /// Commits one more fault from now on.
    pub fn inject(&self, fault: ProxyFault, times: Times) {
        self.shared.faults.add(fault, times);
    }

    /// Behaves well again.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }
}
