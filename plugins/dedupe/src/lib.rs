//! Finds messages that this account had before.
//!
//! A message is a duplicate when its content is: its octets, or, with `by = "content"`, some fields of its header and its
//! body without what servers add on the way. A Message-ID alone never makes one: carriers and scripts use one for many
//! messages. A message that is handled again, after a crash or by the operator, is no duplicate of itself.
//!
//! The host keeps the state of each account apart, so copies in two accounts are never compared.

mod content;
mod memory;

use postroom_sdk::prelude::*;
use serde::Deserialize;

use crate::memory::{Memory, Seen};

/// The plugin.
#[derive(Debug)]
pub struct Dedupe;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What two messages must have in common.
    #[schemars(extend("default" = "raw"))]
    pub by: By,
    /// Fields that count beside the body, when the content decides.
    pub fields: Vec<String>,
    /// Days after which a message is forgotten.
    #[schemars(range(min = 1, max = 3650))]
    pub days: u32,
    /// Set on a duplicate.
    pub label: String,
    /// Whether a duplicate is set aside.
    pub quarantine: bool,
    /// Whether later steps do not see a duplicate.
    pub stop: bool,
}

/// What makes two messages the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum By {
    /// All octets.
    #[default]
    Raw,
    /// Some fields and the body.
    Content,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            by: By::default(),
            fields: ["From", "To", "Cc", "Subject", "Date", "Message-ID"].map(str::to_owned).to_vec(),
            days: 30,
            label: "duplicate".to_owned(),
            quarantine: false,
            stop: false,
        }
    }
}

impl Plugin for Dedupe {
    type Settings = Settings;
    const NAME: &'static str = "dedupe";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Labels, stops or sets aside what the account had before";

    fn check(settings: &Settings) -> Result<(), Problem> {
        if !(1..=3650).contains(&settings.days) {
            return Err(Problem::new("days", "must be from 1 to 3650"));
        }
        if settings.by == By::Content && settings.fields.is_empty() {
            return Err(Problem::new("fields", "must name at least one field: many bodies are alike"));
        }
        Ok(())
    }

    fn warnings(settings: &Settings) -> Vec<Problem> {
        let alone = settings.by == By::Content
            && settings
                .fields
                .iter()
                .all(|field| !["date", "message-id"].contains(&field.to_lowercase().as_str()));
        let text = "has neither Date nor Message-ID: what is sent again with the same words is taken for a duplicate";
        alone.then(|| Problem::new("fields", text)).into_iter().collect()
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let digest = match settings.by {
            By::Raw => message.sha256(),
            By::Content => content::digest(message, &settings.fields)?,
        };
        let mut memory = Memory::of(&digest)?;
        match memory.see(&message.id(), message.received(), settings.days) {
            Seen::New => memory.keep()?,
            Seen::Itself => {}
            Seen::Duplicate { of } => {
                log::info("a duplicate", &[("of", &of)]);
                effects::label(&settings.label)?;
                if settings.quarantine {
                    effects::quarantine(&format!("the account had this before: message {of}"))?;
                }
                if settings.stop {
                    effects::stop();
                }
            }
        }
        Ok(())
    }
}

postroom_sdk::export!(Dedupe);

#[cfg(test)]
mod tests;
