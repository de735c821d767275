//! Doorbells between the tasks. They say "look into the spool", and carry nothing: mail goes through the spool alone.

use tokio::sync::Notify;

/// One bell for each task that waits for work.
#[derive(Default)]
pub struct Bells {
    /// A message was admitted.
    pub inbox: Notify,
    /// A plan was committed.
    pub outbox: Notify,
    /// A receipt was recorded.
    pub receipts: Notify,
    /// The configuration was swapped.
    pub reloaded: Notify,
}
