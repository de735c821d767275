//! What a session knows, whatever its state.
//!
//! Owns the facts that replies leave behind and the forgetting of them. Must not decide what is sent.

use super::Channel;
use crate::capability::Capabilities;
use crate::wire::Latch;

/// What outlives the states.
#[derive(Debug)]
pub struct Core {
    pub(super) channel: Channel,
    pub(super) latch: Latch,
    pub(super) banner: String,
    pub(super) timestamp: Option<Vec<u8>>,
    pub(super) capabilities: Option<Capabilities>,
    /// Messages retrieved and not yet reported durable.
    pub(super) unsettled: u32,
}

impl Core {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            latch: Latch::default(),
            banner: String::new(),
            timestamp: None,
            capabilities: None,
            unsettled: 0,
        }
    }
}
