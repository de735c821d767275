//! The key of an object: a relative path that stays where it is put, on every system.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RuleError;
use super::text::{cut, is_hidden};
use crate::ids::Digest;

/// Longest key in octets (S3 allows 1024; the rest is for the prefix of the sink).
const KEY_OCTETS: usize = 900;
/// Longest segment in octets (file systems allow 255; the rest is for temporary names).
const SEGMENT_OCTETS: usize = 200;
/// A longer "extension" is part of the name.
const EXTENSION_OCTETS: usize = 24;

/// A relative path with `/` between its segments. No segment is empty, `.` or `..`, is a Windows device name, ends in a
/// dot or space, or is longer than 200 octets; there is no backslash, drive letter, control or hidden character; the
/// whole has 1 to 900 octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl Key {
    /// Checks and takes a key.
    ///
    /// # Errors
    /// When it breaks the rule; the error names the first problem.
    pub fn new(text: impl Into<String>) -> Result<Self, RuleError> {
        let text = text.into();
        match problem(&text) {
            None => Ok(Self(text)),
            Some(problem) => Err(RuleError::new("key", &text, problem)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.split().1
    }

    /// `dir/name (n).ext`: the extension stays, a second one before a compression suffix too (`.eml.zst`), and the name
    /// is shortened when the result would be too long.
    #[must_use]
    pub fn numbered(&self, n: u32) -> Self {
        let (dir, name) = self.split();
        let (stem, extension) = split_extension(name);
        let suffix = format!(" ({n}){extension}");
        let room = KEY_OCTETS.saturating_sub(dir.len()).min(SEGMENT_OCTETS).saturating_sub(suffix.len());
        match cut(stem, room) {
            "" => self.numbered_without_room(&suffix),
            stem => Self(format!("{dir}{stem}{suffix}")),
        }
    }

    /// The directory alone fills the key: as much of it as leaves room, and a digest of the key for a name.
    fn numbered_without_room(&self, suffix: &str) -> Self {
        let name = format!("{}{suffix}", Digest::of(self.0.as_bytes()).short(32));
        let mut dir = self.split().0;
        while dir.len() + name.len() > KEY_OCTETS {
            dir = dir[..dir.len() - 1].rfind('/').map_or("", |at| &dir[..=at]);
        }
        Self(format!("{dir}{name}"))
    }

    /// The directory with its last `/`, and the last segment.
    fn split(&self) -> (&str, &str) {
        self.0.split_at(self.0.rfind('/').map_or(0, |at| at + 1))
    }
}

fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("must not be empty");
    }
    if text.len() > KEY_OCTETS {
        return Some("must be at most 900 octets long");
    }
    if text.starts_with('/') {
        return Some("must be relative, not start with \"/\"");
    }
    text.split('/').find_map(segment_problem)
}

fn segment_problem(segment: &str) -> Option<&'static str> {
    let bytes = segment.as_bytes();
    match segment {
        "" => Some("must not have an empty segment (\"//\" or a \"/\" at the end)"),
        "." => Some("must not have a \".\" segment"),
        ".." => Some("must not climb out with \"..\""),
        _ if bytes.len() > SEGMENT_OCTETS => Some("must not have a segment longer than 200 octets"),
        _ if bytes.contains(&b'\\') => Some("must not have a backslash"),
        _ if segment.chars().any(char::is_control) => Some("must not have control characters"),
        _ if segment.chars().any(is_hidden) => Some("must not have bidirectional or zero-width characters"),
        _ if segment.ends_with(['.', ' ']) => Some("must not have a segment that ends in a dot or space"),
        _ if bytes[0].is_ascii_alphabetic() && bytes.get(1) == Some(&b':') => {
            Some("must not have a segment that starts with a drive letter")
        }
        _ if is_device(segment) => Some("must not have a segment that is a Windows device name"),
        _ => None,
    }
}

/// Names Windows gives to devices in every directory, with any extension: `nul`, `COM1.txt`, `con .log`.
pub(super) fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or(segment).trim_end_matches(' ').to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        stem => stem
            .strip_prefix("COM")
            .or_else(|| stem.strip_prefix("LPT"))
            .is_some_and(|port| matches!(port.as_bytes(), [b'0'..=b'9']) || matches!(port, "¹" | "²" | "³")),
    }
}

/// The name without and the extension with its dot, so that both together are the name. A leading dot starts no
/// extension; a compression suffix takes the extension before it along.
pub(super) fn split_extension(name: &str) -> (&str, &str) {
    let Some(last) = extension_start(name) else { return (name, "") };
    let compressed = matches!(&name[last..], ".zst" | ".gz" | ".bz2" | ".xz" | ".br" | ".lz4");
    let inner = if compressed { extension_start(&name[..last]) } else { None };
    name.split_at(inner.unwrap_or(last))
}

fn extension_start(name: &str) -> Option<usize> {
    let dot = name.rfind('.').filter(|dot| *dot > 0)?;
    let extension = &name[dot + 1..];
    let plausible = !extension.is_empty() && extension.len() <= EXTENSION_OCTETS && !extension.contains(' ');
    plausible.then_some(dot)
}

impl TryFrom<String> for Key {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        Self::new(text)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_leave_the_place_or_deceive_is_refused() {
        let long_segment = "x".repeat(201);
        let long = ["x".repeat(190).as_str(); 5].join("/");
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a/.",
            "a//b",
            "a/",
            "a\\b",
            "..\\x",
            "a\0b",
            "a\nb",
            "a\x7fb",
            "a\u{85}b",
            "a\u{202e}gpj.exe",
            "a\u{200b}b",
            "\u{feff}a",
            "CON",
            "nul.txt",
            "a/COM1.log",
            "lpt9",
            "Aux .x",
            "COM².txt",
            "conin$",
            "a.",
            "a ",
            "a./b",
            "C:",
            "c:x",
            "a/C:b",
            &long_segment,
            &long,
        ] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Key::new("../x").unwrap_err().to_string(), "key \"../x\": must not climb out with \"..\"");
    }

    #[test]
    fn ordinary_keys_are_taken_as_they_are() {
        for good in [
            "a",
            "home/2026/11/24/ab12.eml.zst",
            ".hidden",
            "-x",
            "Grüße (2).pdf",
            "COM10",
            "console.log",
            "ab:c",
            "..a",
            "a..b",
            "COM",
        ] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
        assert_eq!(Key::new("a/b/c.eml").unwrap().name(), "c.eml");
        assert!(Key::new("x".repeat(200)).is_ok());
    }

    #[test]
    fn numbering_keeps_directory_and_extensions() {
        for (key, expected) in [
            ("a/b.pdf", "a/b (2).pdf"),
            ("a.d/b", "a.d/b (2)"),
            ("x.eml.zst", "x (2).eml.zst"),
            ("x.tar.gz", "x (2).tar.gz"),
            ("x.v1.pdf", "x.v1 (2).pdf"),
            (".eml", ".eml (2)"),
            (".zst.gz", ".zst (2).gz"),
            ("Dr. No said hello", "Dr. No said hello (2)"),
        ] {
            assert_eq!(Key::new(key).unwrap().numbered(2).as_str(), expected);
        }
    }

    #[test]
    fn numbering_always_gives_a_key_and_never_the_same_one() {
        let dirs = ["", "d/", &format!("{}/", ["d".repeat(199).as_str(); 4].join("/"))];
        for dir in dirs {
            for len in 1..=200 {
                for unit in ["a", "ä", "世", "."] {
                    let stem = unit.repeat(len / unit.len());
                    for name in
                        [stem.clone(), format!("{stem}.eml.zst"), format!("{stem}.{}", "e".repeat(24))]
                    {
                        let Ok(key) = Key::new(format!("{dir}{name}")) else { continue };
                        let (one, two) = (key.numbered(2), key.numbered(u32::MAX));
                        assert!(Key::new(one.as_str()).is_ok(), "{one}");
                        assert!(Key::new(two.as_str()).is_ok(), "{two}");
                        assert!(one != key && one != two);
                    }
                }
            }
        }
    }

    #[test]
    fn a_directory_that_fills_the_key_still_leaves_a_numbered_key() {
        let full = format!("{}/{}/ab", ["d".repeat(199).as_str(); 4].join("/"), "e".repeat(97));
        assert_eq!(full.len(), 900);
        let numbered = Key::new(full).unwrap().numbered(2);
        assert!(Key::new(numbered.as_str()).is_ok(), "{numbered}");
        assert!(numbered.as_str().ends_with(" (2)"));
    }
}
