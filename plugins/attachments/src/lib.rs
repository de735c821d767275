//! Stores the attachments of a message in an object sink, those that the operator wants.
//!
//! Every leaf of the MIME tree is looked at, and each is either stored or logged with the reason why not. The name a
//! sender gave decides what is wanted, never where it goes: keys are made of the host's safe names, and what is there
//! already is never overwritten.

mod choice;

use postroom_sdk::prelude::*;
use serde::Deserialize;

use crate::choice::{Choice, Globs};

/// The plugin.
#[derive(Debug)]
pub struct Attachments;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of a granted object sink.
    pub sink: String,
    /// Key of each attachment; variables: account, date:FORMAT, sha256, id, uidl, subject, from, from_domain, filename,
    /// path, content_sha256.
    #[schemars(extend("default" = DEFAULT_KEY))]
    pub key: Option<PartTemplate>,
    /// Globs on the file name: at least one must match.
    #[schemars(extend("default" = ["*"]))]
    pub include: Option<Globs>,
    /// Globs on the file name: none may match.
    #[schemars(extend("default" = []))]
    pub exclude: Option<Globs>,
    /// Globs on the declared type, like `image/*`: at least one must match.
    pub types: Option<Globs>,
    /// Smallest content.
    pub min_size: Option<Size>,
    /// Largest content.
    pub max_size: Option<Size>,
    /// Also the pictures that the text shows by their content id. Other files are wanted anyway, even when the sender
    /// declared them inline or gave them a content id, as some programs do with every file.
    #[serde(default)]
    pub inline: bool,
}

const DEFAULT_KEY: &str = "{account}/{date:%Y-%m}/{filename}";
/// Longest name kept beside the content, octets.
const META_OCTETS: usize = 200;

impl Plugin for Attachments {
    type Settings = Settings;
    const NAME: &'static str = "attachments";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Stores the attachments of every message";

    fn check(settings: &Settings) -> Result<(), Problem> {
        match (settings.min_size, settings.max_size) {
            (Some(min), Some(max)) if min > max => Err(Problem::new(
                "min_size",
                format!("{min} is more than max_size, {max}: nothing could match"),
            )),
            _ => Ok(()),
        }
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        for part in message.parts() {
            match choice::choose(&part, settings) {
                Choice::Store => store(message, &part, settings)?,
                Choice::Skip(reason) => {
                    let name = choice::name(&part);
                    log::info("skipped", &[("part", &part.path()), ("name", &name), ("reason", &reason)]);
                }
                Choice::OwnText => {
                    log::debug("skipped", &[("part", &part.path()), ("reason", &"text of the message")])
                }
            }
        }
        Ok(())
    }
}

fn store(message: &Message, part: &Part, settings: &Settings) -> Result<(), Failure> {
    let key = match &settings.key {
        Some(key) => key.render(message, part)?,
        None => PartTemplate::parse(DEFAULT_KEY).map_err(Failure::permanent)?.render(message, part)?,
    };
    let content = part.content()?;
    let mut storing = effects::store(&settings.sink, key, &content)
        .content_type(&part.content_type())
        .number_on_conflict()
        .meta("message", message.id())
        .meta("part", part.path());
    if let Some(name) = part.filename() {
        storing = storing.meta("filename", printable(&name));
    }
    let key = storing.queue()?;
    log::info("stored", &[("part", &part.path()), ("key", &key), ("octets", &content.size())]);
    Ok(())
}

/// The sender's name, fit to be kept beside the content.
fn printable(name: &str) -> String {
    let mut kept = String::new();
    for ch in name.chars().filter(|ch| !ch.is_control()) {
        if kept.len() + ch.len_utf8() > META_OCTETS {
            break;
        }
        kept.push(ch);
    }
    kept
}

postroom_sdk::export!(Attachments);

#[cfg(test)]
mod tests;
