//! Owns one account's messages and the lock a session holds on them. Must not know the protocol.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

/// One account: its password, its messages, and whether a session has them locked (RFC 1939 section 4).
#[derive(Debug)]
pub(super) struct Account {
    name: String,
    password: String,
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    messages: Vec<Stored>,
    added: u64,
    generation: u32,
    locked: bool,
}

/// One message as stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// 1 for the first message the account ever got; never given again.
    pub(super) ordinal: u64,
    /// Unique in the account and stable (RFC 1939 section 7, UIDL).
    pub(super) uidl: String,
    /// What is served.
    pub(super) octets: Arc<[u8]>,
}

/// The exclusive lock on an account's maildrop; dropping it releases it.
#[derive(Debug)]
pub(super) struct Lock {
    account: Arc<Account>,
}

impl Account {
    pub(super) fn new(name: &str, password: String) -> Self {
        Self { name: name.to_owned(), password, contents: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn admits(&self, password: &[u8]) -> bool {
        self.password.as_bytes() == password
    }

    /// Adds a message and returns its UIDL.
    pub(super) fn add(&self, octets: Vec<u8>) -> String {
        let mut contents = self.contents();
        contents.added += 1;
        let ordinal = contents.added;
        let uidl = uidl(&octets, ordinal, contents.generation);
        contents.messages.push(Stored { ordinal, uidl: uidl.clone(), octets: octets.into() });
        uidl
    }

    /// Removes the messages with these UIDLs and returns how many there were.
    pub(super) fn remove(&self, uidls: &[String]) -> usize {
        let mut contents = self.contents();
        let before = contents.messages.len();
        contents.messages.retain(|message| !uidls.contains(&message.uidl));
        before - contents.messages.len()
    }

    pub(super) fn reassign_uidls(&self) {
        let mut contents = self.contents();
        contents.generation += 1;
        let generation = contents.generation;
        for message in &mut contents.messages {
            message.uidl = uidl(&message.octets, message.ordinal, generation);
        }
    }

    pub(super) fn messages(&self) -> Vec<Stored> {
        self.contents().messages.clone()
    }

    /// The lock, or `None` while another session holds it.
    pub(super) fn lock(self: &Arc<Self>) -> Option<Lock> {
        let mut contents = self.contents();
        if contents.locked {
            return None;
        }
        contents.locked = true;
        Some(Lock { account: Arc::clone(self) })
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lock {
    pub(super) fn account(&self) -> &Account {
        &self.account
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.account.contents().locked = false;
    }
}

/// Hex of the first 8 octets of the content's SHA-256, then what tells copies of one content apart.
fn uidl(octets: &[u8], ordinal: u64, generation: u32) -> String {
    let digest = Sha256::digest(octets);
    let hex: String = digest.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    if generation == 0 { format!("{hex}-{ordinal}") } else { format!("{hex}-{ordinal}-{generation}") }
}
