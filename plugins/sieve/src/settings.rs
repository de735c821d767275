//! What the operator sets: the script, and where its actions lead.

use postroom_sdk::{JsonSchema, schemars};
use serde::Deserialize;

use crate::compile::compile;
use crate::date;
use crate::flaw::{Flaw, Place};
use crate::program::{Need, Program};
use crate::syntax;

/// Largest script, octets.
pub(crate) const SCRIPT_OCTETS: usize = 1 << 20;

/// Why a message cannot be rejected, and what can be done instead.
pub(crate) const REJECT_REFUSED: &str = "nobody can be told, since mail that is retrieved by POP3 was accepted long ago; the \
     setting reject = \"quarantine\" sets such mail aside";

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The text of the script; `files = { script = "home.sieve" }` of the step reads it from a file.
    pub script: Script,
    /// Where `keep` files; without it what is kept is left to later steps.
    pub keep: Option<Keep>,
    /// Where `fileinto` files.
    pub mailboxes: Option<Mailboxes>,
    /// Through what `redirect` sends.
    pub redirect: Option<Relay>,
    /// What becomes of a message that is discarded and copied nowhere.
    #[serde(default)]
    #[schemars(extend("default" = "quarantine"))]
    pub discard: Discarding,
    /// What becomes of a message that is rejected.
    #[serde(default)]
    #[schemars(extend("default" = "refuse"))]
    pub reject: Rejecting,
    /// Which messages later steps see.
    #[serde(default)]
    #[schemars(extend("default" = "always"))]
    pub later_steps: LaterSteps,
    /// The zone of dates where a test names none.
    #[serde(default)]
    #[schemars(extend("default" = "+0000"))]
    pub zone: Zone,
    /// What divides `:user` from `:detail`.
    #[serde(default = "plus")]
    pub separator: String,
}

/// A mailbox of a mailbox sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Keep {
    /// The sink.
    pub sink: String,
    /// The mailbox; empty is the inbox.
    #[serde(default)]
    pub mailbox: String,
}

/// All mailboxes of a mailbox sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Mailboxes {
    /// The sink.
    pub sink: String,
    /// What the script writes between the names of nested mailboxes; "/" when not given.
    pub separator: Option<char>,
}

/// A transport sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Relay {
    /// The sink.
    pub sink: String,
}

/// What becomes of a message that is discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Discarding {
    /// It is set aside for the operator.
    #[default]
    Quarantine,
    /// It goes, which needs the grant `discard`.
    Discard,
}

/// What becomes of a message that is rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Rejecting {
    /// Such a script is refused: mail that is retrieved was accepted long ago.
    #[default]
    Refuse,
    /// It is set aside for the operator, with the reason.
    Quarantine,
}

/// Which messages later steps see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum LaterSteps {
    /// All.
    #[default]
    Always,
    /// Those that the script keeps.
    Kept,
}

/// A zone: minutes east of UTC, in settings "+0100".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, extend("pattern" = "^[+-][0-9]{4}$"))]
pub struct Zone(pub(crate) i32);

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let minutes = date::zone_minutes(&text);
        minutes.map(Self).ok_or_else(|| format!("\"{text}\" is no zone; write it like \"+0100\""))
    }
}

/// A script that was read and checked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, extend("maxLength" = SCRIPT_OCTETS))]
pub struct Script {
    text: String,
    program: Program,
}

impl TryFrom<String> for Script {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > SCRIPT_OCTETS {
            return Err(format!("the script has {} octets; at most {SCRIPT_OCTETS} are allowed", text.len()));
        }
        let program = syntax::parse(&text).and_then(|commands| compile(&commands));
        match program {
            Ok(program) => Ok(Self { text, program }),
            Err(flaw) => Err(flaw.shown(&text)),
        }
    }
}

impl Script {
    /// What it does.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// A place in it, for people.
    pub(crate) fn place(&self, at: u32) -> Place {
        Place::of(at, &self.text)
    }
}

impl Settings {
    /// What the script needs and is not set.
    pub(crate) fn lacks(&self) -> Option<String> {
        let missing = |need: &Need| match need {
            Need::Mailboxes if self.mailboxes.is_none() => {
                Some("\"fileinto\" needs the setting mailboxes = { sink = \"…\" }")
            }
            Need::Redirect if self.redirect.is_none() => {
                Some("\"redirect\" needs the setting redirect = { sink = \"…\" }")
            }
            Need::Reject if self.reject == Rejecting::Refuse => Some(REJECT_REFUSED),
            Need::Mailboxes | Need::Redirect | Need::Reject => None,
        };
        let mut needs = self.script.program.needs.iter();
        needs.find_map(|(need, at)| Some(Flaw::new(*at, missing(need)?).shown(&self.script.text)))
    }

    /// A mailbox as the host writes it.
    pub(crate) fn mailbox(&self, written: &str) -> String {
        let separator = self.mailboxes.as_ref().and_then(|mailboxes| mailboxes.separator);
        match separator {
            Some(separator) if separator != '/' => written.replace(separator, "/"),
            _ => written.to_owned(),
        }
    }
}

fn plus() -> String {
    "+".to_owned()
}
