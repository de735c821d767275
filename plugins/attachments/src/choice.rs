//! Whether a thing is wanted, and if not, why.

use crate::flag::Flag;
use crate::item::Item;
use crate::name;
use crate::settings::{Inline, Settings};

/// Largest picture that counts as decoration, where the operator says nothing.
const DECORATION: u64 = 64 << 10;

/// Decides over one thing: the reason why it is not wanted. `shows` tells whether a text shows a content id.
pub(crate) fn unwanted(
    item: &mut Item,
    settings: &Settings,
    shows: impl FnOnce(&str) -> bool,
) -> Option<String> {
    if settings.inline != Inline::Yes && is_shown(item, shows) {
        let most = settings.decoration_size.map_or(DECORATION, |size| size.0);
        if item.size() <= most {
            item.flag(Flag::Decoration);
        }
        if settings.inline == Inline::No || item.size() <= most {
            return Some("shown inside the text; inline = \"yes\" would store it".to_owned());
        }
    }
    let by_name = settings.include.is_some() || settings.exclude.is_some();
    let name = if by_name { name::name(item) } else { String::new() };
    // The content is looked at only where the name alone does not decide.
    let shown = |globs: &crate::settings::Globs| {
        globs.matches(&name) || name::sniffed(item, &name).is_some_and(|name| globs.matches(&name))
    };
    let (declared, size) = (&item.declared, item.size());
    if settings.exclude.as_ref().is_some_and(shown) {
        Some("exclude matches its name".to_owned())
    } else if settings.include.as_ref().is_some_and(|globs| !shown(globs)) {
        Some("include does not match its name".to_owned())
    } else if settings.types.as_ref().is_some_and(|globs| !globs.matches(declared)) {
        Some(format!("types does not match {declared}"))
    } else if let Some(found) = sniffed_otherwise(item, settings) {
        Some(format!("sniffed does not match {found}"))
    } else if let Some(min) = settings.min_size.filter(|min| size < min.0) {
        Some(format!("{size} octets are less than min_size, {min}"))
    } else {
        let max = settings.max_size.filter(|max| size > max.0)?;
        Some(format!("{size} octets are more than max_size, {max}"))
    }
}

fn sniffed_otherwise(item: &Item, settings: &Settings) -> Option<&'static str> {
    let globs = settings.sniffed.as_ref()?;
    let found = item.sniffed().map_or("application/octet-stream", |(found, _)| found);
    (!globs.matches(found)).then_some(found)
}

/// A picture that a text shows and the sender does not call an attachment.
fn is_shown(item: &Item, shows: impl FnOnce(&str) -> bool) -> bool {
    item.declared.starts_with("image/")
        && item.content_id().is_some_and(|id| shows(&id))
        && item.disposition().as_deref() != Some("attachment")
}
