//! Owns the counts of what was asked of a maildrop. Must not judge them.

use std::collections::BTreeMap;

/// What was asked of a maildrop since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaildropStats {
    /// Connections accepted.
    pub connections: u64,
    /// TLS handshakes completed.
    pub handshakes: u64,
    /// TLS handshakes that failed, e.g. because the client did not trust the certificate.
    pub failed_handshakes: u64,
    /// Logins refused, for whatever reason.
    pub refused_logins: u64,
    /// Connections that have ended, in whichever way.
    pub closed: u64,
    /// By account name.
    pub accounts: BTreeMap<String, AccountStats>,
}

/// What was asked of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountStats {
    /// Logins that opened the maildrop.
    pub logins: u64,
    /// `RETR` commands by UIDL, counted when asked for and whether or not the message arrived.
    pub retrieved: BTreeMap<String, u64>,
    /// `TOP` commands by UIDL.
    pub topped: BTreeMap<String, u64>,
    /// UIDLs whose deletion was committed, in order.
    pub deleted: Vec<String>,
    /// Sessions ended by `QUIT`.
    pub quits: u64,
    /// Sessions that ended after login without `QUIT`: nothing was deleted in them.
    pub dropped: u64,
}

impl MaildropStats {
    /// One account's counts; all zero if nobody logged in yet.
    #[must_use]
    pub fn account(&self, name: &str) -> AccountStats {
        self.accounts.get(name).cloned().unwrap_or_default()
    }
}

impl AccountStats {
    /// All `RETR` commands together.
    #[must_use]
    pub fn retrievals(&self) -> u64 {
        self.retrieved.values().sum()
    }

    /// The UIDLs that were asked for more than once.
    #[must_use]
    pub fn retrieved_again(&self) -> Vec<String> {
        self.retrieved.iter().filter(|&(_, &times)| times > 1).map(|(uidl, _)| uidl.clone()).collect()
    }
}
