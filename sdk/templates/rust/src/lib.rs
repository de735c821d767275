//! Labels mail by words in its subject, and keeps its PDF files.

use postroom_sdk::prelude::*;
use serde::Deserialize;

/// The plugin. The host makes a fresh one for every message.
pub struct Documents;

/// What the operator sets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The sink that keeps the files.
    pub sink: String,
    /// A subject with one of these words is meant.
    #[schemars(extend("examples" = [["invoice", "receipt"]]))]
    pub words: Vec<String>,
}

impl Plugin for Documents {
    type Settings = Settings;
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = env!("CARGO_PKG_DESCRIPTION");

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let subject = message.subject().to_lowercase();
        if !settings.words.iter().any(|word| subject.contains(&word.to_lowercase())) {
            return Ok(());
        }
        effects::label("document")?;
        for part in message.attachments() {
            if part.content_type() == "application/pdf" {
                let key = format!("{}/{}", message.received().format("%Y-%m"), part.safe_filename());
                effects::store(&settings.sink, key, &part.content()?).number_on_conflict().queue()?;
            }
        }
        Ok(())
    }
}

postroom_sdk::export!(Documents);

#[cfg(test)]
mod tests;
