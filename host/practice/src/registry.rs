//! A registry of artifacts on loopback (OCI distribution specification 1.1, "pull"), over TLS unless told otherwise: open, or
//! with HTTP Basic, or with tokens that it gives out itself, as registries on the internet do.
//!
//! Owns what it was asked and the faults it commits. What it serves is an OCI layout, read anew for each request. Must not
//! take anything: nobody can push to it.

mod endpoint;
mod fault;

pub use fault::{Endpoint, RegistryFault};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::faults::Faults;
use crate::listener::Listener;
use crate::{Identity, PracticeError, Times};

/// How a registry lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// With this name and password in each request.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// With a token in each request, which is given for this name and password and is good for one repository.
    Token {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
}

/// What a registry serves, and to whom.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    identity: Option<Identity>,
    layout: PathBuf,
    repository: String,
    access: Access,
    faults: Vec<(RegistryFault, Times)>,
}

impl RegistryConfig {
    /// Serves the layout in that directory as one repository, to everybody.
    #[must_use]
    pub fn new(identity: Identity, layout: &Path, repository: &str) -> Self {
        let (layout, repository) = (layout.to_owned(), repository.to_owned());
        Self { identity: Some(identity), layout, repository, access: Access::Open, faults: Vec::new() }
    }

    /// Speaks without TLS.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.identity = None;
        self
    }

    /// Lets in only who proves himself like this.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Adds a fault to commit from the first request on.
    #[must_use]
    pub fn fault(mut self, fault: RegistryFault, times: Times) -> Self {
        self.faults.push((fault, times));
        self
    }
}

/// How a request proved whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    None,
    /// By a name and a password, right or wrong.
    Basic,
    /// By a token, right or wrong.
    Token,
}

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Where.
    pub endpoint: Endpoint,
    /// Its proof.
    pub proof: Proof,
    /// The status it was answered with.
    pub status: u16,
}

/// What a registry was asked since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryStats {
    /// Requests, in order.
    pub asked: Vec<Pulled>,
    /// The number of the newest token; every one that is given out has the next.
    pub tokens: u64,
    /// Octets that answers without end got rid of.
    pub endless: u64,
    /// Answers without end that the client broke off.
    pub broken_off: u64,
}

impl RegistryStats {
    /// How often that was asked for.
    #[must_use]
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.asked.iter().filter(|asked| asked.endpoint == endpoint).count()
    }
}

/// A running registry on an ephemeral port of 127.0.0.1; stops when dropped.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    listener: Listener,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    config: RegistryConfig,
    faults: Faults<RegistryFault>,
    stats: watch::Sender<RegistryStats>,
    port: OnceLock<u16>,
}

impl Registry {
    /// Opens a port and serves until dropped. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// [`PracticeError::Listen`] if loopback has no port.
    pub async fn start(mut config: RegistryConfig) -> Result<Self, PracticeError> {
        let faults = Faults::new(std::mem::take(&mut config.faults));
        let shared =
            Arc::new(Shared { config, faults, stats: watch::Sender::default(), port: OnceLock::new() });
        let serving = Arc::clone(&shared);
        let listener = Listener::start(move |stream| endpoint::serve(stream, Arc::clone(&serving))).await?;
        let _ = shared.port.set(listener.addr().port());
        Ok(Self { shared, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Its name for clients: host and port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.addr().port())
    }

    /// What was asked so far.
    #[must_use]
    pub fn stats(&self) -> RegistryStats {
        self.shared.stats.borrow().clone()
    }

    /// Waits until the counts satisfy `enough`, and returns them. Has no limit of its own: put it in a timeout.
    pub async fn wait_until(&self, enough: impl FnMut(&RegistryStats) -> bool) -> RegistryStats {
        let mut receiver = self.shared.stats.subscribe();
        match receiver.wait_for(enough).await {
            Ok(stats) => stats.clone(),
            // The sender is in `self`, so it cannot be gone.
            Err(_) => self.stats(),
        }
    }

    /// Commits one more fault from now on.
    pub fn inject(&self, fault: RegistryFault, times: Times) {
        self.shared.faults.add(fault, times);
    }

    /// Behaves well again.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }
}

impl Shared {
    fn url(&self) -> String {
        let scheme = if self.config.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port.get().copied().unwrap_or_default())
    }

    fn count(&self, change: impl FnOnce(&mut RegistryStats)) {
        self.stats.send_modify(change);
    }
}
