//! Messages whose retrieval broke the session. They are asked for after all others, so that one of them cannot keep the rest
//! of its account from arriving. In memory only: a restart gives each a new chance.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postroom_mail::{AccountId, Uid};
use postroom_pop3::Entry;

use super::retrieve::uid;

type Key = (AccountId, Uid, u32);

/// How often each message broke a session.
#[derive(Default)]
pub struct Stumbled(Mutex<BTreeMap<Key, u32>>);

impl Stumbled {
    /// One more time.
    pub(super) fn note(&self, account: &AccountId, entry: &Entry) {
        *self.counts().entry(key(account, entry)).or_default() += 1;
    }

    /// How often so far.
    pub(super) fn times(&self, account: &AccountId, entry: &Entry) -> u32 {
        self.counts().get(&key(account, entry)).copied().unwrap_or(0)
    }

    /// How often any message of the account did.
    pub(super) fn total(&self, account: &AccountId) -> u64 {
        let counts = self.counts();
        counts.iter().filter(|((of, ..), _)| of == account).map(|(_, times)| u64::from(*times)).sum()
    }

    /// The same entries, those that broke a session last.
    pub(super) fn last<'a>(&self, account: &AccountId, mut entries: Vec<&'a Entry>) -> Vec<&'a Entry> {
        if !self.counts().is_empty() {
            entries.sort_by_key(|entry| self.times(account, entry));
        }
        entries
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Key, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(account: &AccountId, entry: &Entry) -> Key {
    (account.clone(), uid(entry), entry.ordinal)
}
