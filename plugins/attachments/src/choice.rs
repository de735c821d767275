//! Whether a part is wanted, and if not, why.

use postroom_sdk::glob::Glob;
use postroom_sdk::{JsonSchema, Part, schemars};
use serde::Deserialize;

use crate::Settings;

/// What becomes of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It is wanted.
    Store,
    /// It is not, with the reason.
    Skip(String),
    /// It is the text of the message, no attachment.
    OwnText,
}

/// Globs, case-insensitive; `*` matches everything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Globs(Vec<Glob>);

impl Globs {
    fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(text))
    }
}

/// The name the operator's globs see: the sender's, or the safe one where there is none.
pub(crate) fn name(part: &Part) -> String {
    part.filename().filter(|name| !name.is_empty()).unwrap_or_else(|| part.safe_filename())
}

/// Decides over one part.
pub(crate) fn choose(part: &Part, settings: &Settings) -> Choice {
    if !part.is_attachment() {
        return Choice::OwnText;
    }
    let (name, content_type, size) = (name(part), part.content_type(), part.size());
    let reason = if !settings.inline && part.is_decoration() {
        "shown inside the text; inline = true would store it".to_owned()
    } else if settings.exclude.as_ref().is_some_and(|globs| globs.matches(&name)) {
        "exclude matches its name".to_owned()
    } else if settings.include.as_ref().is_some_and(|globs| !globs.matches(&name)) {
        "include does not match its name".to_owned()
    } else if settings.types.as_ref().is_some_and(|globs| !globs.matches(&content_type)) {
        format!("types does not match {content_type}")
    } else if let Some(min) = settings.min_size.filter(|min| size < min.0) {
        format!("{size} octets are less than min_size, {min}")
    } else if let Some(max) = settings.max_size.filter(|max| size > max.0) {
        format!("{size} octets are more than max_size, {max}")
    } else {
        return Choice::Store;
    };
    Choice::Skip(reason)
}
