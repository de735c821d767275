//! What a server says when it does not accept a token: the JSON of RFC 7628 section 3.2.2, which
//! XOAUTH2 shares.
//!
//! Owns its reading. It is advice from the server: it never makes a login succeed.

use crate::error::{shown, without};

/// The decoded challenge of a refused token. Texts are neutralised and at most 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TokenRefusal {
    /// `status`: `invalid_token`, `insufficient_scope` or, in XOAUTH2, an HTTP status; empty when the
    /// server gave none.
    pub status: String,
    /// `scope`: what a token would have to allow, when the server says so.
    pub scope: Option<String>,
}

impl TokenRefusal {
    /// Reads a decoded challenge. What is no JSON object is a refusal without a reason.
    pub(crate) fn read(json: &[u8], secrets: &[&[u8]]) -> Self {
        let value: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
        let text = |name: &str| match value.get(name)? {
            serde_json::Value::String(text) => Some(shown(&without(text.as_bytes(), secrets))),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self { status: text("status").unwrap_or_default(), scope: text("scope") }
    }

    /// Whether another token may be accepted: fetch one and try once more. Servers say `invalid_token`
    /// (RFC 6750 section 3.1), 401, or 400 for a token that has expired.
    #[must_use]
    pub fn token_is_invalid(&self) -> bool {
        matches!(self.status.to_ascii_lowercase().as_str(), "invalid_token" | "401" | "400")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failures_of_both_mechanisms_are_read() {
        let read = |json: &str| TokenRefusal::read(json.as_bytes(), &[b"s3cret"]);
        let standard = read(r#"{"status":"invalid_token","scope":"mail","openid-configuration":"x"}"#);
        assert_eq!((standard.status.as_str(), standard.scope.as_deref()), ("invalid_token", Some("mail")));
        assert!(standard.token_is_invalid());
        assert!(read(r#"{"status":"401","schemes":"bearer"}"#).token_is_invalid());
        assert!(read(r#"{"status":400}"#).token_is_invalid());
        assert!(!read(r#"{"status":"insufficient_scope"}"#).token_is_invalid());
        assert_eq!(read(r#"{"status":"s3\u0063ret \u001b[2J"}"#).status, "(redacted) \\u{1b}[2J");
    }

    #[test]
    fn what_is_no_json_object_gives_no_reason() {
        let deep = "[".repeat(5000);
        for json in ["", "x", "[]", "null", "{\"status\":{}}", "{\"status\"", deep.as_str()] {
            assert_eq!(TokenRefusal::read(json.as_bytes(), &[]), TokenRefusal::default(), "{json}");
        }
    }
}
