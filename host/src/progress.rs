//! What happens, as events for whoever shows progress. Shows nothing itself; carries no mail.

use std::sync::Arc;

use postroom_mail::{AccountId, MessageId, Name};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A session got its listing.
    Listed {
        /// Whose.
        account: AccountId,
        /// Entries not here yet.
        new: u64,
        /// Entries.
        total: u64,
    },
    /// A message is durable here.
    Retrieved {
        /// Whose.
        account: AccountId,
        /// Its size.
        octets: u64,
    },
    /// The server would not give a message out.
    Refused {
        /// Whose.
        account: AccountId,
        /// In words.
        reason: String,
    },
    /// The server confirmed deletions.
    Removed {
        /// Whose.
        account: AccountId,
        /// How many.
        count: u64,
    },
    /// A poll ended.
    Polled {
        /// Whose.
        account: AccountId,
        /// What went wrong, in words.
        error: Option<String>,
    },
    /// A message went through its pipeline.
    Planned {
        /// Which.
        message: MessageId,
        /// How many effects are now to be carried out.
        effects: u64,
    },
    /// A message was set aside.
    Quarantined {
        /// Which.
        message: MessageId,
        /// Why.
        reason: String,
    },
    /// An effect was settled.
    Settled {
        /// The sink.
        sink: Name,
        /// It has a receipt.
        done: bool,
    },
}

/// Someone who is told.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Progress) + Send + Sync>);

impl Observer {
    /// Nobody.
    pub fn none() -> Self {
        Self(Arc::new(|_| {}))
    }

    /// Calls `tell`, which must not block.
    pub fn new(tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells.
    pub fn tell(&self, progress: Progress) {
        (self.0)(progress);
    }
}
