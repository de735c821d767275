//! One process for each maildrop of this machine, whatever state directory it uses: two would handle every message twice.
//! The lock is a name in the kernel's space of abstract sockets: it ends with the process, leaves nothing behind, and does not
//! depend on directories or the environment. Another user of the machine could take a name and so keep an account from being
//! polled, which the error says; no mail is lost by it. What two machines do to each other is for their server's lock, or a
//! shared spool.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

use postroom_mail::{AccountId, Digest};

use crate::config::AccountConfig;

/// Why a maildrop is not ours to poll.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Another process, or another account of this one, has it.
    #[error("the maildrop of {user} at {host} is handled already, by {owner}")]
    Taken {
        /// Who logs in.
        user: String,
        /// Where.
        host: String,
        /// Which process, as far as it can be known.
        owner: String,
    },
    /// The lock cannot be made.
    #[error("cannot lock the maildrop: {source}")]
    Io {
        /// The cause.
        source: io::Error,
    },
}

/// The maildrops that this process handles, until it ends or lets one go.
pub struct Leases {
    /// Names are told apart by this, so that tests do not meet.
    space: String,
    held: Mutex<BTreeMap<AccountId, Held>>,
}

/// One maildrop. Nothing is ever sent to these sockets: it is their names that count.
struct Held {
    maildrop: Digest,
    _lock: UnixDatagram,
    /// Its name tells whose the lock is.
    _owner: Option<UnixDatagram>,
}

/// So much of the kernel's list of sockets is looked at.
const LIST: u64 = 4 << 20;

impl Leases {
    /// Those of this machine.
    pub fn of_machine() -> Self {
        Self::in_space("postroom/maildrop/1")
    }

    fn in_space(space: &str) -> Self {
        Self { space: space.to_owned(), held: Mutex::default() }
    }

    /// Makes the maildrop ours, or keeps it.
    pub(super) fn take(&self, id: &AccountId, account: &AccountConfig) -> Result<(), NotOurs> {
        let maildrop = name(account);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(id).is_some_and(|held| held.maildrop == maildrop) {
            return Ok(());
        }
        // The account means another maildrop now; the old one may be what another account waits for.
        held.remove(id);
        let path = format!("{}/{maildrop}", self.space);
        match bind(&path) {
            Ok(lock) => {
                let owner = bind(&format!("{path}/{}", std::process::id())).ok();
                held.insert(id.clone(), Held { maildrop, _lock: lock, _owner: owner });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                drop(held);
                let (user, host) = (account.user.clone(), account.host.clone());
                Err(NotOurs::Taken { user, host, owner: owner(&path) })
            }
            Err(source) => Err(NotOurs::Io { source }),
        }
    }

    /// Lets go of all maildrops but those of the accounts that are wanted.
    pub(super) fn retain(&self, wanted: impl Fn(&AccountId) -> bool) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| wanted(id));
    }
}

/// One name for each maildrop; nothing of the user's name shows.
fn name(account: &AccountConfig) -> Digest {
    let host = account.host.to_ascii_lowercase();
    Digest::of_parts("maildrop/1", &[host.as_bytes(), &account.port.to_be_bytes(), account.user.as_bytes()])
}

fn bind(name: &str) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// The kernel lists the names; the owner's has the number of its process at the end.
fn owner(path: &str) -> String {
    let mut list = String::new();
    let read = File::open("/proc/net/unix").and_then(|file| file.take(LIST).read_to_string(&mut list));
    let prefix = format!("@{path}/");
    let process = read
        .ok()
        .and_then(|_| list.lines().find_map(|line| line.split_once(&prefix)?.1.trim().parse::<u32>().ok()));
    match process {
        Some(process) if process == std::process::id() => "another account of this process".to_owned(),
        Some(process) => format!("the process {process}"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::account;

    fn id(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    /// A space that no other test and no other run uses.
    fn leases(test: &str) -> (Leases, Leases) {
        let space = format!("postroom/test/{}/{test}", std::process::id());
        (Leases::in_space(&space), Leases::in_space(&space))
    }

    #[test]
    fn a_maildrop_has_one_owner_and_the_other_is_told_who() {
        let (one, two) = leases("owner");
        one.take(&id("home"), &account()).unwrap();
        one.take(&id("home"), &account()).unwrap();
        let error = two.take(&id("other"), &account()).unwrap_err().to_string();
        assert!(error.contains("handled already, by another account of this process"), "{error}");
        one.take(&id("twice"), &account()).unwrap_err();
        one.retain(|_| false);
        two.take(&id("other"), &account()).unwrap();
    }

    #[test]
    fn another_user_or_port_is_another_maildrop_and_a_changed_account_lets_go_of_the_old_one() {
        let (one, two) = leases("other");
        let mut other = account();
        one.take(&id("a"), &other).unwrap();
        other.user.push('x');
        one.take(&id("b"), &other).unwrap();
        other.port = 1;
        one.take(&id("a"), &other).unwrap();
        two.take(&id("a"), &account()).unwrap();
        two.take(&id("c"), &other).unwrap_err();
    }

    #[test]
    fn upper_case_in_a_host_makes_no_other_maildrop() {
        let (one, two) = leases("case");
        one.take(&id("a"), &account()).unwrap();
        two.take(&id("a"), &AccountConfig { host: account().host.to_uppercase(), ..account() }).unwrap_err();
    }
}
