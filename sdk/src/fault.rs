//! What can go wrong: the host refusing a call, the plugin failing on a message, settings that make no sense.

use std::error::Error;
use std::fmt;

/// Why the host refused a call. The refused call had no effect; the plugin may go on.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     match kv::get("seen") {
///         Err(Fault::Denied(line)) => assert_eq!(line, "grants = { kv = true }"),
///         other => panic!("{other:?}"),
///     }
///     // What is passed on fails the message, for now or for good.
///     Ok(effects::label("two words")?)
/// });
/// assert!(matches!(run.result, Err(Failure::Permanent(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator did not grant this: the text is the config line that would.
    Denied(String),
    /// A limit would be passed: the text says which, asked and allowed.
    Quota(String),
    /// The arguments are wrong: the text says how.
    Invalid(String),
    /// There is nothing there.
    Missing,
    /// May work later.
    Transient(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(f, "not granted: {text}"),
            Self::Quota(text) => write!(f, "over a limit: {text}"),
            Self::Invalid(text) => write!(f, "invalid: {text}"),
            Self::Missing => f.write_str("missing"),
            Self::Transient(text) => write!(f, "try again later: {text}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Error for Fault {}

/// Why a plugin could not handle a message. None of its effects happens; the step's `on_error` says what does.
///
/// ```
/// use postroom_sdk::{Failure, Fault};
///
/// assert_eq!(Failure::transient("busy"), Failure::Transient("busy".to_owned()));
/// assert_eq!(Failure::permanent("no date").to_string(), "no date");
/// assert_eq!(Failure::from(Fault::Missing), Failure::permanent("missing"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth another try.
    Transient(String),
    /// Trying again will not help.
    Permanent(String),
}

impl Failure {
    /// A failure worth another try.
    pub fn transient(reason: impl fmt::Display) -> Self {
        Self::Transient(reason.to_string())
    }

    /// A failure that will not go away.
    pub fn permanent(reason: impl fmt::Display) -> Self {
        Self::Permanent(reason.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(text) | Self::Permanent(text) => f.write_str(text),
        }
    }
}

impl Error for Failure {}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Transient(text) => Self::Transient(text),
            Fault::Denied(_) | Fault::Quota(_) | Fault::Invalid(_) | Fault::Missing | Fault::Other(_) => {
                Self::Permanent(fault.to_string())
            }
        }
    }
}

/// A setting that makes no sense.
///
/// ```
/// let problem = postroom_sdk::Problem::new("rules[2].then", "must name at least one action");
/// assert_eq!(problem.path, "settings.rules[2].then");
/// assert_eq!(problem.to_string(), "settings.rules[2].then: must name at least one action");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: "settings.rules[2].when". Starts with "settings".
    pub path: String,
    /// What is wrong and what would be right.
    pub text: String,
}

impl Problem {
    /// A problem at a path below the settings: "key", "rules[2].when"; an empty path is the settings themselves.
    pub fn new(path: &str, text: impl fmt::Display) -> Self {
        let path = if path.is_empty() { "settings".to_owned() } else { format!("settings.{path}") };
        Self { path, text: text.to_string() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

impl Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_transient_fault_is_worth_another_try() {
        assert_eq!(Failure::from(Fault::Transient("busy".into())), Failure::Transient("busy".into()));
        let denied = Failure::from(Fault::Denied("grants = { sinks = [\"x\"] }".into()));
        assert_eq!(denied, Failure::Permanent("not granted: grants = { sinks = [\"x\"] }".into()));
    }
}
