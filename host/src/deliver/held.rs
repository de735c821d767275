//! Sinks that are left alone for a while, because their configuration is at fault: a wrong password must not be tried ten
//! thousand times. In memory only; a restart or a reload tries again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postroom_mail::{Name, Timestamp};

/// Until when each held sink is left alone.
#[derive(Default)]
pub struct Held(Mutex<BTreeMap<Name, Timestamp>>);

impl Held {
    /// Until when the sink is held.
    pub fn until(&self, sink: &Name) -> Option<Timestamp> {
        self.sinks().get(sink).copied()
    }

    pub(super) fn hold(&self, sink: &Name, until: Timestamp) {
        self.sinks().insert(sink.clone(), until);
    }

    pub(super) fn clear(&self, sink: &Name) {
        self.sinks().remove(sink);
    }

    /// Tries every sink again.
    pub fn clear_all(&self) {
        self.sinks().clear();
    }

    fn sinks(&self) -> MutexGuard<'_, BTreeMap<Name, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
