//! Checked texts: whoever holds one of these types knows that its rule held, because there is no other way to get
//! one; reading one back from a journal checks it again. Nothing here repairs a text silently, except
//! [`safe_filename`] and [`clean_filename`], whose whole purpose that is.

mod address;
mod filename;
mod key;
mod mailbox;
mod text;

pub use address::{Address, HeaderField};
pub use filename::{clean_filename, safe_filename};
pub use key::Key;
pub use mailbox::{Label, Mailbox};
pub use text::neutral;

/// A text broke a rule: `key "../x": must not climb out with ".."`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{value}\": {problem}")]
pub struct RuleError {
    what: &'static str,
    value: String,
    problem: &'static str,
}

impl RuleError {
    /// What kind of text, the text itself, and what is wrong with it. The text may be hostile: it is kept neutralised
    /// and at most 80 characters long.
    pub fn new(what: &'static str, value: &str, problem: &'static str) -> Self {
        Self { what, value: neutral(value, 80), problem }
    }

    /// What is wrong, without the text.
    pub fn problem(&self) -> &'static str {
        self.problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_text_neutralised_and_capped() {
        let error = RuleError::new("key", "../x", "must not climb out with \"..\"");
        assert_eq!(error.to_string(), "key \"../x\": must not climb out with \"..\"");
        let hostile = RuleError::new("key", &format!("\x1b[2J{}", "x".repeat(500)), "is wrong").to_string();
        assert!(!hostile.contains('\x1b') && hostile.chars().count() < 120, "{hostile}");
    }

    #[test]
    fn reading_back_checks_again() {
        assert!(serde_json::from_str::<Key>("\"../x\"").is_err());
        assert!(serde_json::from_str::<Mailbox>("\"a//b\"").is_err());
        assert!(serde_json::from_str::<Address>("\"a@b\\r\\nRCPT TO:<c@d>\"").is_err());
        assert!(serde_json::from_str::<Label>("\"\"").is_err());
        assert!(serde_json::from_str::<HeaderField>("\"X-A: b\\r\\nBcc: c@d.example\"").is_err());
        let key = Key::new("a/b.eml").unwrap();
        assert_eq!(serde_json::from_str::<Key>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
        for value in ["v", "", "  two spaces", "a: b"] {
            let field = HeaderField::new("X-A", value).unwrap();
            let text = serde_json::to_string(&field).unwrap();
            assert_eq!(serde_json::from_str::<HeaderField>(&text).unwrap(), field, "{text}");
        }
    }
}
