//! The list of all parts of a message with what became of each, as JSON. Made only when the operator wants one: it looks into
//! every part.

use postroom_sdk::prelude::*;
use serde_json::{Map, Value, json};

use crate::calendar;
use crate::extract::Fate;
use crate::flag::Flag;
use crate::item::{Item, Role};

/// Version of the form.
const FORM: u32 = 1;
/// Longest text, in characters.
const TEXT: usize = 1000;

/// What was said of the parts so far.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    parts: Vec<Value>,
    has_files: bool,
}

impl Manifest {
    /// How many things are in it.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Writes down at a place what became of a thing.
    pub(crate) fn put(&mut self, at: usize, item: &Item, fate: &Fate) -> Result<(), Fault> {
        self.has_files |= item.role != Role::Text;
        let (name, raw) = (item.name(), item.raw_name());
        let sniffed = item.sniffed();
        let mut flags = item.flags.clone();
        if let Some((sniffed, _)) = sniffed
            && differs(&item.declared, sniffed)
        {
            flags.push(Flag::TypeDiffers);
        }
        if name.as_deref().is_some_and(is_unsafe) {
            flags.push(Flag::UnsafeName);
        }
        let mut part = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                part.insert(name.to_owned(), value);
            }
        };
        put("path", json!(item.path));
        put("name", json!(name.map(|name| cut(&name))));
        put("raw_name", json!(raw.map(|raw| cut(&readable(&raw)))));
        put("type", json!(item.declared));
        put("sniffed", json!(sniffed.map(|(sniffed, _)| sniffed)));
        put("size", json!(item.size()));
        put("sha256", json!(item.blob()?.map(Blob::sha256)));
        put("disposition", json!(item.disposition().map(|text| cut(&text))));
        put("content_id", json!(item.content_id().map(|text| cut(&text))));
        if item.declared == "text/calendar" || sniffed.is_some_and(|(sniffed, _)| sniffed == "text/calendar")
        {
            put("calendar", json!(calendar::facts(&item.start(calendar::LOOKED_AT)?)));
        }
        put("flags", json!(flags.iter().map(|flag| flag.as_str()).collect::<Vec<_>>()));
        match fate {
            Fate::Stored { written, key } => {
                put("written", json!(written));
                put("key", json!(key));
            }
            Fate::Skipped(reason) => put("skipped", json!(cut(reason))),
        }
        self.parts.insert(at.min(self.parts.len()), Value::Object(part));
        Ok(())
    }

    /// Whether there is anything but the text of the message.
    pub(crate) fn has_files(&self) -> bool {
        self.has_files
    }

    /// The document.
    pub(crate) fn text(self, message: &Message, partial: Option<&str>) -> String {
        let document = json!({
            "form": FORM,
            "message": message.id(),
            "account": message.account(),
            "retrieved": message.received().to_string(),
            "date": message.date().map(|date| date.to_string()),
            "from": message.from().map(|from| cut(&from.email)),
            "subject": cut(&message.subject()),
            "sha256": message.sha256(),
            "partial": partial.map(cut),
            "parts": self.parts,
        });
        // A value of JSON always has a text.
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Types that say nothing differ from none, and some have two names.
fn differs(declared: &str, sniffed: &str) -> bool {
    let same = |a: &str, b: &str| {
        let plain = |text: &str| text.replace("/x-", "/").replace("vnd.ms-", "ms-");
        plain(a) == plain(b)
    };
    let says_nothing =
        matches!(declared, "application/octet-stream" | "application/binary" | "text/plain" | "text/xml");
    let is_jpeg = matches!(declared, "image/jpg" | "image/pjpeg") && sniffed == "image/jpeg";
    // Many formats are archives inside.
    let is_archive = sniffed == "application/zip" && declared.starts_with("application/");
    !(says_nothing || is_jpeg || is_archive || same(declared, sniffed))
}

/// A name that is a path, or has characters that are not seen.
fn is_unsafe(name: &str) -> bool {
    let is_hidden = |ch: char| matches!(ch, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    name.contains(['/', '\\'])
        || name.chars().any(|ch| ch.is_control() || is_hidden(ch))
        || name.starts_with('.')
}

/// Octets that are no text are shown as escapes.
fn readable(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.escape_ascii().to_string(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}
