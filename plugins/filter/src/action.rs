//! What a rule does: `label:NAME`, `quarantine`, `quarantine:REASON`, `discard`, `discard:REASON`, `stop`, `continue`.

use postroom_sdk::{Fault, JsonSchema, effects, schemars};
use serde::Deserialize;

/// What the operator may write.
const EXPECTED: &str =
    "label:NAME, quarantine, quarantine:REASON, discard, discard:REASON, stop and continue";
/// The same, as a pattern.
const PATTERN: &str =
    r"^\s*(label\s*:\s*[A-Za-z0-9_./:-]{1,64}|(quarantine|discard)\s*(:[\s\S]*)?|stop|continue)\s*$";

/// One action of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, extend("pattern" = PATTERN), description = EXPECTED)]
pub enum Action {
    /// Sets a label.
    Label(String),
    /// Sets the message aside, with a reason.
    Quarantine(Option<String>),
    /// Lets the message go, with a reason.
    Discard(Option<String>),
    /// No later step sees the message.
    Stop,
    /// The next rules are tried too.
    Continue,
}

impl TryFrom<String> for Action {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (verb, argument) = match text.split_once(':') {
            Some((verb, argument)) => (verb.trim(), Some(argument.trim().to_owned())),
            None => (text.trim(), None),
        };
        match (verb, argument) {
            ("label", Some(name)) if is_label(&name) => Ok(Self::Label(name)),
            ("label", _) => Err(format!(
                "\"{text}\": a label is 1 to 64 letters, digits, '-', '_', '.', '/' or ':', as in \"label:bills\""
            )),
            ("quarantine", reason) => Ok(Self::Quarantine(reason)),
            ("discard", reason) => Ok(Self::Discard(reason)),
            ("stop", None) => Ok(Self::Stop),
            ("continue", None) => Ok(Self::Continue),
            _ => Err(format!("\"{text}\" is no action; there are {EXPECTED}")),
        }
    }
}

impl Action {
    /// Does it, for the rule of that name.
    pub(crate) fn take(&self, rule: &str) -> Result<(), Fault> {
        let reason =
            |reason: &Option<String>| reason.clone().unwrap_or_else(|| format!("filter rule {rule}"));
        match self {
            Self::Label(name) => effects::label(name),
            Self::Quarantine(why) => effects::quarantine(&reason(why)),
            Self::Discard(why) => effects::discard(&reason(why)),
            Self::Stop => {
                effects::stop();
                Ok(())
            }
            Self::Continue => Ok(()),
        }
    }
}

fn is_label(name: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-_./:".contains(&octet);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}
