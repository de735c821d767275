//! What the handles of a guest refer to.
#![allow(unreachable_pub, reason = "the generated bindings export it again")]

use std::sync::Arc;

use postroom_contract::{Blob, Message};

/// A blob.
pub struct BlobEntry(pub(crate) Arc<Blob>);

/// The message.
pub struct MessageEntry(pub(crate) Arc<Message>);

/// A leaf of it.
pub struct PartEntry {
    pub(crate) message: Arc<Message>,
    pub(crate) leaf: usize,
}
