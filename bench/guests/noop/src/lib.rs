//! Two plugins in one: does nothing, or looks whether one header field holds a word.

use postroom_sdk::prelude::*;
use serde::Deserialize;

/// The plugin.
#[derive(Debug)]
pub struct Noop;

/// Without a word it does nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    word: Option<String>,
}

impl Plugin for Noop {
    type Settings = Settings;
    const NAME: &'static str = "noop";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Does nothing, or looks for a word";

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        if let Some(word) = &settings.word
            && message.subject().contains(word.as_str())
        {
            effects::label("found")?;
        }
        Ok(())
    }
}

postroom_sdk::export!(Noop);
