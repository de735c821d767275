//! A POP3 server that serves from memory: RFC 1939 with CAPA, UIDL, TOP, STLS, AUTH PLAIN and RESP-CODES; tokens where
//! it is told which.
//!
//! Owns its accounts' messages, what was asked of them and the faults it commits. Must not be more lenient than the
//! RFCs where no fault tells it to.

mod authorization;
mod bearer;
mod fault;
mod listing;
mod load;
mod session;
mod stats;
mod store;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Verb};
pub use load::{Lines, load_directory};
pub use stats::{AccountStats, MaildropStats};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::faults::Faults;
use crate::listener::Listener;
use crate::{PracticeError, Security, Times};
use bearer::Tokens;
use store::Account;

/// What a maildrop serves, to whom, and how.
#[derive(Clone, Debug)]
pub struct MaildropConfig {
    security: Security,
    accounts: Vec<(String, String, Vec<Vec<u8>>)>,
    faults: Vec<(Fault, Times)>,
    tokens: Option<Tokens>,
}

impl MaildropConfig {
    /// A maildrop without accounts and without faults.
    #[must_use]
    pub fn new(security: Security) -> Self {
        Self { security, accounts: Vec::new(), faults: Vec::new(), tokens: None }
    }

    /// Adds an account with its messages, each the octets to serve, oldest first.
    #[must_use]
    pub fn account(mut self, name: &str, password: &str, messages: Vec<Vec<u8>>) -> Self {
        self.accounts.push((name.to_owned(), password.to_owned(), messages));
        self
    }

    /// Takes access tokens, too, by XOAUTH2 and OAUTHBEARER; `check` is given the name and the token.
    #[must_use]
    pub fn tokens(mut self, check: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.tokens = Some(Tokens(Arc::new(check)));
        self
    }

    /// Adds a fault to commit from the first connection on.
    #[must_use]
    pub fn fault(mut self, fault: Fault, times: Times) -> Self {
        self.faults.push((fault, times));
        self
    }
}

/// A running POP3 server on an ephemeral port of 127.0.0.1; dropping it ends every session without an update state.
#[derive(Debug)]
pub struct Maildrop {
    shared: Arc<Shared>,
    listener: Listener,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    security: Security,
    accounts: BTreeMap<String, Arc<Account>>,
    faults: Faults<Fault>,
    tokens: Option<Tokens>,
    stats: watch::Sender<MaildropStats>,
}

impl Maildrop {
    /// Opens a port and serves until dropped. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// [`PracticeError::Listen`] if loopback has no port.
    pub async fn start(config: MaildropConfig) -> Result<Self, PracticeError> {
        let accounts = config.accounts.into_iter().map(|(name, password, messages)| {
            let account = Account::new(&name, password);
            for octets in messages {
                account.add(octets);
            }
            (name, Arc::new(account))
        });
        let shared = Arc::new(Shared {
            security: config.security,
            accounts: accounts.collect(),
            faults: Faults::new(config.faults),
            tokens: config.tokens,
            stats: watch::Sender::new(MaildropStats::default()),
        });
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
    pub fn stats(&self) -> MaildropStats {
        self.shared.stats.borrow().clone()
    }

    /// Waits until what was asked satisfies `enough`, and returns it. Has no limit of its own: put it in a timeout.
    pub async fn wait_until(&self, enough: impl FnMut(&MaildropStats) -> bool) -> MaildropStats {
        let mut receiver = self.shared.stats.subscribe();
        match receiver.wait_for(enough).await {
            Ok(stats) => stats.clone(),
            // The sender is in `self`, so it cannot be gone.
            Err(_) => self.stats(),
        }
    }

    /// Delivers one more message; sessions already open do not see it. Returns its UIDL, or `None` for no such account.
    pub fn add(&self, account: &str, octets: Vec<u8>) -> Option<String> {
        Some(self.shared.accounts.get(account)?.add(octets))
    }

    /// Takes a message away as another client would. Returns whether it was there.
    pub fn remove(&self, account: &str, uidl: &str) -> bool {
        self.shared.accounts.get(account).is_some_and(|account| account.remove(&[uidl.to_owned()]) == 1)
    }

    /// Gives every message of the account a new UIDL, as a server does that lost its index.
    pub fn reassign_uidls(&self, account: &str) {
        if let Some(account) = self.shared.accounts.get(account) {
            account.reassign_uidls();
        }
    }

    /// The account's messages now, oldest first, as UIDL and octets; empty for no such account.
    #[must_use]
    pub fn messages(&self, account: &str) -> Vec<(String, Vec<u8>)> {
        let stored = self.shared.accounts.get(account).map(|account| account.messages()).unwrap_or_default();
        stored.into_iter().map(|message| (message.uidl, message.octets.to_vec())).collect()
    }

    /// Commits one more fault from now on.
    pub fn inject(&self, fault: Fault, times: Times) {
        self.shared.faults.add(fault, times);
    }

    /// Behaves well again.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }
}
