//! A plan: everything one run of the pipeline decided about one message, as data. Final once committed.

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::ids::{Digest, Name};
use crate::rules::Label;

/// What becomes of the message as a whole (milter and Sieve words).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Its effects decide; with none at all it stays where it is (RFC 5228 section 2.10.2, implicit keep).
    Keep,
    /// Let go without a copy, by a step that holds the grant.
    Discard {
        /// The step.
        step: Name,
        /// In the plugin's words.
        reason: String,
    },
    /// Set aside for the operator.
    Quarantine {
        /// The step.
        step: Name,
        /// In the plugin's or the host's words.
        reason: String,
    },
}

/// A change to the durable state of a step; committed with the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvWrite {
    /// Whose state: `pipeline/step/account`.
    pub scope: String,
    /// At most 256 octets.
    pub key: String,
    /// The new value; `None` deletes.
    pub value: Option<Vec<u8>>,
}

impl KvWrite {
    /// Octets that an entry is counted as beside its key and its value: a million empty ones are not for nothing.
    pub const ENTRY: u64 = 64;

    /// Octets that an entry is counted as.
    pub fn counted(key: &str, value: &[u8]) -> u64 {
        (key.len() + value.len()) as u64 + Self::ENTRY
    }
}

/// What a step found in its durable state, and decided by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvSeen {
    /// Whose state.
    pub scope: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the value; `None` when there was none.
    pub digest: Option<Digest>,
}

/// A line a plugin logged; capped and stripped of control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text.
    pub message: String,
    /// Named values.
    pub fields: Vec<(String, String)>,
}

/// What one step did, for `why` and `try`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTrace {
    /// The step.
    pub step: Name,
    /// The plugin as configured: `filter`, or a path.
    pub plugin: String,
    /// SHA-256 of the component that ran.
    pub plugin_digest: Digest,
    /// One phrase: "2 effects", "skipped: account is not shop", "failed: …".
    pub outcome: String,
    /// Labels it added.
    pub labels: Vec<Label>,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Peak of its linear memory in octets.
    pub peak_memory: u64,
}

/// Everything one run decided. All of it is committed in one transaction, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is to be done, in order.
    pub effects: Vec<Effect>,
    /// All labels.
    pub labels: Vec<Label>,
    /// What becomes of the message.
    pub verdict: Verdict,
    /// Changes to the state of steps.
    pub kv: Vec<KvWrite>,
    /// What of their state the steps decided by: the plan holds only while it is still so.
    pub kv_seen: Vec<KvSeen>,
    /// What each step did.
    pub trace: Vec<StepTrace>,
}
