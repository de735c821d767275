//! An OAuth 2.0 authorization server on loopback, over TLS: authorization code with PKCE, device code, refresh with
//! rotation, client credentials.
//!
//! Owns the tokens it issued, the counts and the faults it commits. Must not guard anything: it agrees to every sign-in,
//! and its tokens can be guessed. Its clock stands still until a test advances it.

mod endpoint;
mod fault;
mod issued;

#[cfg(test)]
mod tests;

pub use fault::{Endpoint, TokenFault};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::faults::Faults;
use crate::listener::Listener;
use crate::{Identity, PracticeError, Times};
use issued::Issued;

/// Whom a token server serves, and how.
#[derive(Clone, Debug)]
pub struct TokenServerConfig {
    identity: Identity,
    client_id: String,
    client_secret: Option<String>,
    lifetime: Duration,
    rotate: bool,
    faults: Vec<(TokenFault, Times)>,
}

impl TokenServerConfig {
    /// A server for one public client; tokens live one hour, refresh tokens are rotated.
    #[must_use]
    pub fn new(identity: Identity, client_id: &str) -> Self {
        Self {
            identity,
            client_id: client_id.to_owned(),
            client_secret: None,
            lifetime: Duration::from_secs(3600),
            rotate: true,
            faults: Vec::new(),
        }
    }

    /// Makes the client confidential: it must prove itself, in the body or by HTTP Basic.
    #[must_use]
    pub fn client_secret(mut self, secret: &str) -> Self {
        self.client_secret = Some(secret.to_owned());
        self
    }

    /// How long access tokens live; told in whole seconds.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Keeps refresh tokens as they are, and sends none on refresh.
    #[must_use]
    pub fn without_rotation(mut self) -> Self {
        self.rotate = false;
        self
    }

    /// Adds a fault to commit from the first request on.
    #[must_use]
    pub fn fault(mut self, fault: TokenFault, times: Times) -> Self {
        self.faults.push((fault, times));
        self
    }
}

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where.
    pub endpoint: Endpoint,
    /// The parameters, decoded, in order.
    pub parameters: Vec<(String, String)>,
    /// Whether the client proved itself by HTTP Basic.
    pub basic: bool,
}

impl Asked {
    /// The first parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a token server was asked since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenStats {
    /// Connections accepted.
    pub connections: u64,
    /// Access tokens issued, whether the client saw them or not.
    pub issued: u64,
    /// Requests answered with an OAuth error, faults included.
    pub refused: u64,
    /// Refresh tokens that were used a second time.
    pub reused: u64,
    /// Requests, in order.
    pub asked: Vec<Asked>,
}

impl TokenStats {
    /// How often the token endpoint was asked with this `grant_type`.
    #[must_use]
    pub fn grants(&self, grant_type: &str) -> usize {
        self.asked.iter().filter(|asked| asked.parameter("grant_type") == Some(grant_type)).count()
    }
}

/// A running authorization server on an ephemeral port of 127.0.0.1; stops when dropped.
#[derive(Debug)]
pub struct TokenServer {
    shared: Arc<Shared>,
    listener: Listener,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    config: TokenServerConfig,
    faults: Faults<TokenFault>,
    issued: Mutex<Issued>,
    stats: watch::Sender<TokenStats>,
    released: watch::Sender<bool>,
}

impl TokenServer {
    /// Opens a port and serves until dropped. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// [`PracticeError::Listen`] if loopback has no port.
    pub async fn start(mut config: TokenServerConfig) -> Result<Self, PracticeError> {
        let faults = Faults::new(std::mem::take(&mut config.faults));
        let shared = Arc::new(Shared {
            config,
            faults,
            issued: Mutex::default(),
            stats: watch::Sender::new(TokenStats::default()),
            released: watch::Sender::new(false),
        });
        let serving = Arc::clone(&shared);
        let listener = Listener::start(move |stream| endpoint::serve(stream, Arc::clone(&serving))).await?;
        Ok(Self { shared, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// The URL of an endpoint.
    #[must_use]
    pub fn url(&self, endpoint: Endpoint) -> String {
        format!("https://localhost:{}{}", self.addr().port(), endpoint.path())
    }

    /// What was asked so far.
    #[must_use]
    pub fn stats(&self) -> TokenStats {
        self.shared.stats.borrow().clone()
    }

    /// Waits until the counts satisfy `enough`, and returns them. Has no limit of its own: put it in a timeout.
    pub async fn wait_until(&self, enough: impl FnMut(&TokenStats) -> bool) -> TokenStats {
        let mut receiver = self.shared.stats.subscribe();
        match receiver.wait_for(enough).await {
            Ok(stats) => stats.clone(),
            // The sender is in `self`, so it cannot be gone.
            Err(_) => self.stats(),
        }
    }

    /// Whether a mail server should take this access token: issued here, not expired, not revoked.
    #[must_use]
    pub fn accepts(&self, access_token: &str) -> bool {
        self.shared.issued().accepts(access_token)
    }

    /// Lets the server's clock run on.
    pub fn advance(&self, time: Duration) {
        self.shared.issued().now += time.as_secs();
    }

    /// Revokes everything issued so far: access tokens are refused, refreshing is answered `invalid_grant`.
    pub fn revoke(&self) {
        self.shared.issued().revoke();
    }

    /// Refuses the access tokens issued so far, before their time; refresh tokens stay good.
    pub fn revoke_access(&self) {
        self.shared.issued().revoke_access();
    }

    /// Commits one more fault from now on.
    pub fn inject(&self, fault: TokenFault, times: Times) {
        self.shared.faults.add(fault, times);
    }

    /// Behaves well again.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Sends the answers that [`TokenFault::Hold`] keeps back, now and later ones.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Shared {
    fn issued(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut TokenStats)) {
        self.stats.send_modify(change);
    }
}
