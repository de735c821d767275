//! The messages a scripted server holds and how they change between sessions. Must not know the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One message as the server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The unique-id, raw.
    pub uidl: Vec<u8>,
    /// The message, not dot-stuffed.
    pub octets: Vec<u8>,
    /// What `LIST` says its size is; the truth when `None`.
    pub listed: Option<Vec<u8>>,
}

/// A message with an honest size.
#[must_use]
pub fn message(uidl: impl Into<Vec<u8>>, octets: impl Into<Vec<u8>>) -> Message {
    Message { uidl: uidl.into(), octets: octets.into(), listed: None }
}

impl Message {
    /// With this in place of its size in `LIST`.
    #[must_use]
    pub fn listed(mut self, size: impl Into<Vec<u8>>) -> Self {
        self.listed = Some(size.into());
        self
    }

    pub(crate) fn size(&self) -> Vec<u8> {
        self.listed.clone().unwrap_or_else(|| self.octets.len().to_string().into_bytes())
    }
}

/// A message in the maildrop, with an identity of its own that no listing shows.
#[derive(Clone, Debug)]
pub struct Stored {
    pub(crate) key: u64,
    /// The message.
    pub message: Message,
}

impl Stored {
    /// Puts a message in.
    #[must_use]
    pub fn new(message: Message) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { key: NEXT.fetch_add(1, Ordering::Relaxed), message }
    }
}

type Make = dyn Fn(&mut Vec<Stored>) + Send + Sync;

/// A change to the maildrop.
#[derive(Clone)]
pub struct Change(Arc<Make>);

impl Change {
    pub(crate) fn new(change: impl Fn(&mut Vec<Stored>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }

    pub(crate) fn make(&self, maildrop: &mut Vec<Stored>) {
        (self.0)(maildrop);
    }
}
