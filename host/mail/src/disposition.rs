//! What to do about a failure, as a type: nobody decides by reading a text.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What becomes of the thing that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Try again; not before `after`, when the other side named a time.
    Retry {
        /// Named by the other side.
        after: Option<Duration>,
    },
    /// Trying again will not help: set it aside for the operator.
    Park,
    /// Going on would do harm: stop the whole.
    Stop,
}

impl Disposition {
    /// Try again whenever the schedule says.
    pub const RETRY: Self = Self::Retry { after: None };
}
