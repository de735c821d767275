//! Where each message of a maildrop stands. Every entry that the server has is counted exactly once, so that the sum is what the
//! server lists. Pure; shared by every spool.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::records::MessageState;

/// The messages on a server, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// What the server has: the entries of the last listing that was recorded, without those it confirmed to have deleted since.
    /// What a listing lacks that was not believed still counts.
    pub on_server: u64,
    /// Done, and a sink has a receipt for the whole of it.
    pub archived: u64,
    /// Done, with the same octets as an earlier message of the account.
    pub duplicates: u64,
    /// Done, but no step made a whole copy: it is only here and on the server.
    pub uncopied: u64,
    /// Marked as seen without being retrieved.
    pub elsewhere: u64,
    /// In quarantine.
    pub quarantined: u64,
    /// Let go, by a step or by the operator.
    pub discarded: u64,
    /// Waiting for the pipeline or a sink, or in their hands.
    pub waiting: u64,
    /// On the server only: its retrieval failed, or it has no unique-id to be known by.
    pub failed: u64,
    /// On the server only: not retrieved yet, or too large to be.
    pub unretrieved: u64,
}

/// What the server said, beside the rows of the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    /// Entries of the last recorded listing, without those removed since.
    pub(crate) listed: Option<u64>,
    /// Entries that were never in a listing of the ledger, because they have no unique-id.
    pub(crate) nameless: u64,
    /// Entries that failed and are not in the ledger.
    pub(crate) stumbled: u64,
}

impl Said {
    /// How many entries a complete poll counted beyond those that the recorded listing had.
    pub(crate) fn nameless(polled: Option<u64>, listed: Option<u64>) -> u64 {
        match (polled, listed) {
            (Some(polled), Some(listed)) => polled.saturating_sub(listed),
            (None, _) | (_, None) => 0,
        }
    }
}

impl Tally {
    /// The sum of all that is told apart.
    pub fn sum(&self) -> u64 {
        self.parts().iter().map(|(count, _)| count).sum()
    }

    /// Whether every message on the server is accounted for. It always is; who prints a tally says so when it is not.
    pub fn adds_up(&self) -> bool {
        self.sum() == self.on_server
    }

    fn parts(&self) -> [(u64, &'static str); 9] {
        [
            (self.archived, "archived"),
            (self.duplicates, "duplicates"),
            (self.uncopied, "without a copy"),
            (self.elsewhere, "seen elsewhere"),
            (self.quarantined, "quarantined"),
            (self.discarded, "discarded"),
            (self.waiting, "waiting"),
            (self.failed, "failed"),
            (self.unretrieved, "not retrieved"),
        ]
    }

    /// Counts a row of the ledger that the server has. `copied` and `again` are asked only where they matter: whether a sink has
    /// the whole message, and whether an earlier message has the same octets.
    pub(crate) fn count<E>(
        &mut self,
        state: Option<MessageState>,
        copied: impl FnOnce() -> Result<bool, E>,
        again: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        let place = match state {
            None => &mut self.elsewhere,
            Some(MessageState::Spooled | MessageState::Running | MessageState::Planned) => &mut self.waiting,
            Some(MessageState::Quarantined) => &mut self.quarantined,
            Some(MessageState::Discarded) => &mut self.discarded,
            Some(MessageState::Done) if !copied()? => &mut self.uncopied,
            Some(MessageState::Done) if again()? => &mut self.duplicates,
            Some(MessageState::Done) => &mut self.archived,
        };
        *place += 1;
        Ok(())
    }

    /// Adds what only the server has.
    pub(crate) fn complete(mut self, said: Said) -> Self {
        let known = self.sum();
        let unknown = said.listed.unwrap_or(known).saturating_sub(known).max(said.stumbled);
        self.failed = said.stumbled + said.nameless;
        self.unretrieved = unknown - said.stumbled;
        self.on_server = known + unknown + said.nameless;
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on the server", self.on_server)?;
        let mut sign = " = ";
        for (count, what) in self.parts().iter().filter(|(count, _)| *count > 0) {
            write!(f, "{sign}{count} {what}")?;
            sign = " + ";
        }
        Ok(())
    }
}

/// What bodies take up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bodies that are here.
    pub bodies: u64,
    /// Their octets.
    pub octets: u64,
}
