//! Labels receipts and keeps their PDF files.
//!
//! ```toml
//! [[pipelines.main.steps]]
//! plugin = "plugins/receipts.wasm"
//! grants = { sinks = ["papers"] }
//! settings = { sink = "papers", words = ["receipt", "invoice"] }
//! ```

use postroom_sdk::prelude::*;
use serde::Deserialize;

/// The plugin.
#[derive(Debug)]
pub struct Receipts;

/// What the operator sets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the files go.
    pub sink: String,
    /// A subject with one of these words is a receipt.
    pub words: Vec<String>,
}

impl Plugin for Receipts {
    type Settings = Settings;
    const NAME: &'static str = "receipts";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Labels receipts and keeps their PDF files";

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let subject = message.subject().to_lowercase();
        if !settings.words.iter().any(|word| subject.contains(&word.to_lowercase())) {
            return Ok(());
        }
        effects::label("receipt")?;
        for part in message.attachments() {
            if part.content_type() == "application/pdf" {
                let key = format!("{}/{}", message.received().format("%Y"), part.safe_filename());
                let key =
                    effects::store(&settings.sink, key, &part.content()?).number_on_conflict().queue()?;
                log::info("kept", &[("key", &key)]);
            }
        }
        Ok(())
    }
}

postroom_sdk::export!(Receipts);

#[cfg(test)]
mod tests {
    use postroom_bench::{Bench, Mail, json};

    use super::*;

    #[test]
    fn keeps_the_pdf_of_a_receipt() {
        let mail = Mail::new()
            .subject("Your RECEIPT of today")
            .attach("bill.pdf", "application/pdf", b"%PDF-1.7")
            .attach("terms.txt", "text/plain", b"terms");
        let settings = json!({ "sink": "papers", "words": ["receipt", "invoice"] });
        let run = Bench::new().sink("papers").run::<Receipts>(settings, &mail);
        assert_eq!(run.result, Ok(()));
        assert_eq!(run.lines(), ["label receipt", "store papers:2026/bill.pdf 8 octets"]);
    }

    #[test]
    fn leaves_other_mail_alone() {
        let mail = Mail::new().subject("Hello").attach("bill.pdf", "application/pdf", b"%PDF-1.7");
        let run = Bench::new().run::<Receipts>(json!({ "sink": "papers", "words": ["receipt"] }), &mail);
        assert_eq!(run.result, Ok(()));
        assert!(run.effects.is_empty() && !run.parsed);
    }
}
