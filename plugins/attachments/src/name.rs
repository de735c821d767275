//! What a thing is called, and under which key it goes: one that no other file of the message has.

use std::collections::{HashMap, HashSet};

use postroom_mime::{names, words};
use postroom_sdk::message::safe_filename;

use crate::item::{Item, Source};

/// Longest name, as the host makes it.
const NAME_OCTETS: u32 = 180;
/// Longest segment of a key, and longest key.
const SEGMENT_OCTETS: usize = 200;
const KEY_OCTETS: usize = 900;
/// Octets of an attached message's header that are looked at for its subject.
const HEADER_OCTETS: u32 = 16 << 10;

/// The name that globs see: the sender's, else the subject of an attached message, else the place.
pub(crate) fn name(item: &Item) -> String {
    item.name().or_else(|| subject(item)).unwrap_or_else(|| fallback(item))
}

fn subject(item: &Item) -> Option<String> {
    if !matches!(item.declared.as_str(), "message/rfc822" | "message/global") {
        return None;
    }
    let header = item.start(HEADER_OCTETS).ok()?;
    let subject = words::nfc(words::decode(names::field(&header, "subject")?));
    // A subject is no path.
    let subject = subject.replace(['/', '\\'], "-");
    let subject = safe_filename(subject.trim(), NAME_OCTETS - 4, 1);
    (!subject.is_empty()).then(|| format!("{subject}.eml"))
}

fn fallback(item: &Item) -> String {
    let declared = match &item.source {
        Source::Part(part) => part.safe_filename(),
        Source::Blob(_) | Source::Octets(_) | Source::None(_) => String::new(),
    };
    let declared =
        declared.rsplit_once('.').map(|(_, extension)| extension).filter(|extension| *extension != "bin");
    let extension = match (item.sniffed(), declared, item.declared.as_str()) {
        // These two are what other formats are made of: the declared type says more.
        (Some((_, found)), _, _) if !matches!(found, "zip" | "msi" | "xml") => found,
        (_, Some(declared), _) => declared,
        (_, None, "text/plain") => "txt",
        (_, None, "text/html") => "html",
        (Some((_, found)), None, _) => found,
        (None, None, _) => "bin",
    };
    format!("part-{}.{extension}", item.path)
}

/// Its name with the extension that its content shows, where that is another.
pub(crate) fn sniffed(item: &Item, name: &str) -> Option<String> {
    let (_, extension) = item.sniffed()?;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let shown = format!("{stem}.{extension}");
    (!shown.eq_ignore_ascii_case(name)).then_some(shown)
}

/// The keys of a message's files so far.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    taken: HashSet<String>,
    /// For a key that is taken, the number that was free last.
    next: HashMap<String, u32>,
}

impl Keys {
    /// A safe name for `name`, and the key with it; no other has that key, whatever its case. `fallback` is for a name of
    /// which nothing safe is left. A template that does not use the name gives one key again and again: the sink numbers it.
    pub(crate) fn place(
        &mut self,
        name: &str,
        fallback: &str,
        render: impl Fn(&str) -> String,
    ) -> (String, String) {
        let name = if safe_filename(name, NAME_OCTETS, 1).is_empty() { fallback } else { name };
        let (first, key) = fitted(name, 1, &render);
        let folded = fold(&key);
        if self.taken.insert(folded.clone()) {
            return (first, key);
        }
        let mut copy = self.next.get(&folded).copied().unwrap_or(2);
        loop {
            let (written, numbered) = fitted(name, copy, &render);
            copy = copy.saturating_add(1);
            let is_without_name = numbered == key && written != first;
            if is_without_name || self.taken.insert(fold(&numbered)) {
                self.next.insert(folded, copy);
                return (written, numbered);
            }
        }
    }
}

/// With a name short enough for the key to have room.
fn fitted(name: &str, copy: u32, render: impl Fn(&str) -> String) -> (String, String) {
    let written = safe_filename(name, NAME_OCTETS, copy);
    let key = render(&written);
    let longest = key.split('/').map(str::len).max().unwrap_or_default();
    let excess = longest.saturating_sub(SEGMENT_OCTETS).max(key.len().saturating_sub(KEY_OCTETS));
    if excess == 0 {
        return (written, key);
    }
    let room = u32::try_from(written.len().saturating_sub(excess)).unwrap_or(NAME_OCTETS);
    let written = safe_filename(name, room, copy);
    let key = render(&written);
    (written, key)
}

/// As file systems compare that know no case. The names are in Unicode's form NFC already.
fn fold(key: &str) -> String {
    words::nfc(key.to_uppercase().to_lowercase())
}
