//! What of a breaker outlives the process: a note of the spool for each step, as JSON. Owns its form, and which version may
//! stand in for another; must not decide when one does.

use std::collections::BTreeSet;

use postroom_mail::{Digest, MessageId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a step runs, exactly: another file or other settings are another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Of its settings, grants and limits.
    pub terms: Digest,
}

/// What a version is, and what it may do, beside its octets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The plugin, as it calls itself.
    pub plugin: String,
    /// Whether it is part of this program, which is trusted with more than a stranger's plugin.
    pub bundled: bool,
    /// What it is granted, a text for each.
    pub grants: BTreeSet<String>,
}

impl Standing {
    /// Whether a version that proved itself with this may run with that of `today`: never another plugin, a stranger's instead of
    /// a bundled one, or one with grants that it did not have when it proved itself.
    pub(in crate::pipeline) fn covers(&self, today: &Self) -> bool {
        let trusted = self.bundled || !today.bundled;
        self.plugin == today.plugin && trusted && today.grants.is_subset(&self.grants)
    }
}

/// A version that proved itself in a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proved {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// As what.
    #[serde(flatten)]
    pub standing: Standing,
}

/// What of a breaker outlives the process. What an earlier program recorded as `good` lacks the standing, and is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Versions that proved themselves in this step, the last one first.
    pub proved: Vec<Proved>,
    /// Set while it is open.
    pub open: Option<Open>,
    /// Messages on which a probe failed.
    pub tried: Vec<Tried>,
    /// How the version that runs did lately.
    pub tally: Option<Tally>,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// What the configuration named when it opened.
    pub configured: Version,
    /// The version that failed.
    pub version: Digest,
    /// How often.
    pub failures: u32,
    /// Since when it is open.
    pub since: Timestamp,
    /// What the plugin failed with last.
    pub reason: String,
    /// What happens meanwhile.
    pub course: Course,
}

/// What happens while a breaker is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Course {
    /// The step runs an earlier version.
    FallsBack {
        /// Which.
        to: Digest,
    },
    /// The pipeline takes no mail, but for probes.
    Paused {
        /// When one message is tried.
        next: Timestamp,
        /// Before jitter, in milliseconds.
        interval_ms: u64,
        /// Why there is nothing to fall back to.
        because: String,
    },
    /// The step is one that may be skipped: mail goes on without it.
    Skips,
}

/// A message on which a probe failed: it may be what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Which.
    pub message: MessageId,
    /// How often.
    pub times: u32,
    /// It is no probe again before then, whoever makes mail due.
    pub until: Timestamp,
}

/// How the version that runs did lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The version.
    pub of: Version,
    /// Messages that it handled, until it has proved itself.
    pub handled: u32,
    /// When it handled one, of the last ones.
    pub did: Vec<Timestamp>,
    /// When it failed, of the last ones.
    pub failed: Vec<Timestamp>,
}
