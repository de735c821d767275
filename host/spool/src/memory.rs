//! A spool that forgets everything with the process: for `try`, for tests, and as the oracle the embedded one is held
//! against. Simple on purpose: plain maps, one lock, no index.

mod calls;
mod ledger;
mod operator;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use self::state::State;
#[cfg(test)]
use crate::records::{EffectState, MessageState};

/// Everything in memory.
#[derive(Default)]
pub struct MemorySpool {
    state: Mutex<State>,
}

impl MemorySpool {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl MemorySpool {
    /// What a restart does to a spool that outlives it.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        for message in &mut state.messages {
            if message.state == MessageState::Running {
                message.state = MessageState::Spooled;
            }
        }
        for stored in &mut state.effects {
            if stored.state == EffectState::Inflight {
                stored.state = EffectState::Pending;
            }
        }
    }
}
