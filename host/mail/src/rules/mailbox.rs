//! Names that plugins choose among the operator's own: mailboxes and labels.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RuleError;
use super::text::is_hidden;

/// A mailbox by its path: names with `/` between them, at most 200 octets. The empty path is the inbox, and so is
/// `INBOX` in any case (RFC 9051 section 5.1). No name is empty, starts with a dot, has `..`, a backslash, a control or a
/// hidden character, or blanks around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox(String);

impl Mailbox {
    /// Checks and takes a mailbox.
    ///
    /// # Errors
    /// When it breaks the rule; the error names the first problem.
    pub fn new(text: impl Into<String>) -> Result<Self, RuleError> {
        let text = text.into();
        if text.is_empty() || text.eq_ignore_ascii_case("inbox") {
            return Ok(Self::default());
        }
        if text.len() > 200 {
            return Err(RuleError::new("mailbox", &text, "must be at most 200 octets long"));
        }
        match text.split('/').find_map(name_problem) {
            None => Ok(Self(text)),
            Some(problem) => Err(RuleError::new("mailbox", &text, problem)),
        }
    }

    /// The path; empty for the inbox.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the inbox.
    pub fn is_inbox(&self) -> bool {
        self.0.is_empty()
    }
}

fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("must not have an empty name (\"//\", or \"/\" at an end)")
    } else if name.starts_with('.') {
        Some("must not have a name that starts with a dot")
    } else if name.contains("..") {
        Some("must not have \"..\"")
    } else if name.contains('\\') {
        Some("must not have a backslash")
    } else if name.chars().any(char::is_control) {
        Some("must not have control characters")
    } else if name.chars().any(is_hidden) {
        Some("must not have bidirectional or zero-width characters")
    } else if name.trim() != name {
        Some("must not have a name with blanks around it")
    } else {
        None
    }
}

impl TryFrom<String> for Mailbox {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        Self::new(text)
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.0
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A mark on a message, for later steps: 1 to 64 of `a-z 0-9 - _ . / :`; upper case is folded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// Folds, checks and takes a label.
    ///
    /// # Errors
    /// When it is empty, longer than 64 octets, or holds another character.
    pub fn new(text: impl Into<String>) -> Result<Self, RuleError> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            let problem = "must be 1 to 64 letters, digits, '-', '_', '.', '/' or ':'";
            return Err(RuleError::new("label", &text, problem));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        Self::new(text)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_stay_below_the_root() {
        let long = "x".repeat(201);
        for bad in [
            "/",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "..",
            "a/..",
            "a..b",
            "a\\b",
            "a\nb",
            "a\0",
            "a\u{202e}",
            " a",
            "a /b",
            &long,
        ] {
            assert!(Mailbox::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "Lists/rust-users", "Grüße", "a b", "v1.2", "INBOX/sub"] {
            assert_eq!(Mailbox::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn the_inbox_has_one_name() {
        for text in ["", "INBOX", "inbox", "Inbox"] {
            assert!(Mailbox::new(text).unwrap().is_inbox());
        }
        assert!(!Mailbox::new("inbox2").unwrap().is_inbox());
    }

    #[test]
    fn labels_are_folded_and_small() {
        assert_eq!(Label::new("List/Rust:a.b_c-1").unwrap().as_str(), "list/rust:a.b_c-1");
        for bad in ["", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(Label::new(bad).is_err(), "{bad:?}");
        }
        assert!(Label::new("x".repeat(64)).is_ok());
    }
}
