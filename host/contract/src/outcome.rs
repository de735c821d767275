//! What comes of a call: what it asked for, or in whose words it failed.

use std::time::Duration;

use postroom_mail::rules::neutral;
use postroom_mail::{Effect, KvSeen, KvWrite, Label, LogLine, Verdict};

use crate::error::Cause;
use crate::meter::Usage;

/// Characters of a plugin's own text.
const TEXT: usize = 1000;
const PROBLEMS: usize = 50;

/// What a call asked for. Nothing of it has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the order they were asked for.
    pub effects: Vec<Effect>,
    /// Labels it added.
    pub labels: Vec<Label>,
    /// What it wants to become of the message.
    pub verdict: Option<Verdict>,
    /// No later step sees the message.
    pub stop: bool,
    /// Changes to its state, one a key, ordered by key.
    pub kv: Vec<KvWrite>,
    /// What it found in its state, one a key, ordered by key: the rest was decided by it.
    pub kv_seen: Vec<KvSeen>,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// What it used.
    pub usage: Usage,
}

/// Why a plugin could not handle a message, in its own words, not yet made safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth another try.
    Transient(String),
    /// Trying again will not help.
    Permanent(String),
}

impl Failure {
    /// Of settings that a plugin refused.
    pub fn settings(problems: &Problems) -> Self {
        Self::Permanent(format!("the settings are wrong: {}", listed(problems)))
    }

    /// `out_of_reach` says that the call was told of an outage: then a failure for now is put down to that.
    pub(crate) fn cause(&self, retry_after: Option<u32>, out_of_reach: Option<String>) -> Cause {
        let (transient, text) = match self {
            Self::Transient(text) => (true, text),
            Self::Permanent(text) => (false, text),
        };
        if let Some(target) = out_of_reach.filter(|_| transient) {
            return Cause::OutOfReach { message: neutral(text, TEXT), target };
        }
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
        Cause::Failed {
            transient,
            message: neutral(text, TEXT),
            retry_after: retry_after.filter(|_| transient),
        }
    }
}

/// What a plugin says is wrong with its settings: paths and texts.
pub type Problems = Vec<(String, String)>;

/// The problems that are shown, made safe to show.
pub fn neutral_problems(problems: &[(String, String)]) -> Problems {
    let shown = problems.iter().take(PROBLEMS);
    shown.map(|(path, problem)| (neutral(path, TEXT), neutral(problem, TEXT))).collect()
}

/// The problems in one text: "settings.key: unknown variable; settings.to: …".
pub fn listed(problems: &[(String, String)]) -> String {
    let texts = problems.iter().map(|(path, problem)| match path.as_str() {
        "" => problem.clone(),
        path => format!("{path}: {problem}"),
    });
    texts.collect::<Vec<_>>().join("; ")
}
