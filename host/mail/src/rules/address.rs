//! What may go into an SMTP command or on top of a message: nothing that could end a line.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::RuleError;

/// A mailbox as RFC 5321 section 4.1.2 has it, usable in MAIL and RCPT: ASCII, at most 254 octets, one `@`; never
/// CR, LF, NUL, space or angle brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// When it breaks the rule; the error names the first problem.
    pub fn new(text: impl Into<String>) -> Result<Self, RuleError> {
        let text = text.into();
        match address_problem(&text) {
            None => Ok(Self(text)),
            Some(problem) => Err(RuleError::new("address", &text, problem)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

fn address_problem(text: &str) -> Option<&'static str> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Some("must not have control characters");
    }
    if !text.is_ascii() {
        return Some("must be ASCII: SMTPUTF8 (RFC 6531) is not supported yet");
    }
    if text.len() > 254 {
        return Some("must be at most 254 octets long");
    }
    if text.bytes().any(|byte| b" <>".contains(&byte)) {
        return Some("must be a bare address, without spaces, \"<\" or \">\"");
    }
    let Some((local, domain)) = text.split_once('@').filter(|(_, domain)| !domain.contains('@')) else {
        return Some("must have exactly one \"@\"");
    };
    if !is_local_part(local) {
        return Some(
            "must have a local part of 1 to 64 octets: letters, digits and !#$%&'*+/=?^_`{|}~- with single dots",
        );
    }
    if !is_domain(domain) && !is_literal(domain) {
        return Some("must have a domain of letters, digits, hyphens and single dots, or an address literal");
    }
    None
}

/// RFC 5321: Local-part = Dot-string / Quoted-string.
fn is_local_part(local: &str) -> bool {
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(atext);
    local.len() <= 64 && (local.split('.').all(is_atom) || is_quoted(local))
}

fn is_quoted(local: &str) -> bool {
    let Some(mut inner) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return false;
    };
    if inner.is_empty() {
        return false;
    }
    while let Some(at) = inner.find(['"', '\\']) {
        // A quote ends the string too early; a backslash takes the next character along.
        if inner.as_bytes()[at] == b'"' || at + 1 >= inner.len() {
            return false;
        }
        inner = &inner[at + 2..];
    }
    true
}

fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// RFC 5321 section 4.1.3, without general literals, which nobody has registered.
fn is_literal(domain: &str) -> bool {
    let Some(inner) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    }
}

impl TryFrom<String> for Address {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        Self::new(text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A header field that may be put on top of a message: RFC 5322 section 2.2 name, printable ASCII value, at most 900
/// octets together, so that the line needs no folding (RFC 5322 section 2.1.1: 998). Shown and kept as `Name: value`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderField {
    name: String,
    value: String,
}

impl HeaderField {
    /// Checks and takes a field. A value with other than ASCII has to be encoded (RFC 2047) by the caller.
    ///
    /// # Errors
    /// When a part breaks the rule; the error names the first problem.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Result<Self, RuleError> {
        let (name, value) = (name.into(), value.into());
        let is_ftext = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if name.is_empty() || !name.bytes().all(is_ftext) {
            return Err(RuleError::new(
                "header name",
                &name,
                "must be printable ASCII without space or \":\"",
            ));
        }
        let refuse = |problem| Err(RuleError::new("header value", &value, problem));
        if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return refuse("must not have CR, LF or NUL: it would start another field");
        }
        if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t') {
            return refuse("must be printable ASCII: encode other text as RFC 2047 encoded-words");
        }
        if name.len() + value.len() > 900 {
            return refuse("must be at most 900 octets long, with its name");
        }
        Ok(Self { name, value })
    }

    /// The name as given; compare it without case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl TryFrom<String> for HeaderField {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        match text.split_once(": ") {
            Some((name, value)) => Self::new(name, value),
            None => Err(RuleError::new("header field", &text, "must be \"Name: value\"")),
        }
    }
}

impl From<HeaderField> for String {
    fn from(field: HeaderField) -> Self {
        field.to_string()
    }
}

impl fmt::Display for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_could_end_or_extend_a_command_is_an_address() {
        let long_local = format!("{}@b.example", "a".repeat(65));
        let long = format!("a@{}.example", ["b".repeat(60).as_str(); 5].join("."));
        for bad in [
            "",
            "@",
            "a",
            "a@",
            "@b",
            "a@b@c",
            "a@b\r\nRCPT TO:<c@d>",
            "a\n@b",
            "a\0@b",
            "a @b",
            "<a@b>",
            "a@b>",
            "a@b c",
            "a..b@c",
            ".a@b",
            "a.@b",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@-b",
            "a@b-",
            "a@b_c",
            "\"a@b\"@c",
            "\"a b\"@c",
            "\"@c",
            "\"\"@c",
            "\"a\"b\"@c",
            "\"a\\\"@c",
            "a@[1.2.3]",
            "a@[1.2.3.4",
            "a@[IPv6:zz]",
            "a@[]",
            "a(x)@b",
            "a,c@b",
            &long_local,
            &long,
        ] {
            assert!(Address::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ordinary_and_odd_but_legal_addresses_are_taken() {
        for (good, domain) in [
            ("a@b.example", "b.example"),
            ("o'hara+x/y=z@sub.b-c.example", "sub.b-c.example"),
            ("root@localhost", "localhost"),
            ("\"a,b\"@c.example", "c.example"),
            ("\"a\\\"b\"@c.example", "c.example"),
            ("a@[192.0.2.1]", "[192.0.2.1]"),
            ("a@[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ] {
            assert_eq!(Address::new(good).unwrap().domain(), domain);
        }
    }

    #[test]
    fn a_refused_internationalised_address_says_why() {
        for text in ["jürgen@b.example", "a@bücher.example"] {
            assert!(Address::new(text).unwrap_err().to_string().contains("SMTPUTF8"));
        }
    }

    #[test]
    fn header_fields_cannot_start_another_field() {
        for (name, value) in [
            ("", "x"),
            ("A B", "x"),
            ("A:", "x"),
            ("A\r\nB", "x"),
            ("Ä", "x"),
            ("A", "x\r\nBcc: y"),
            ("A", "x\n y"),
            ("A", "x\ry"),
            ("A", "x\0"),
            ("A", "ü"),
            ("A", "\x1b[2J"),
            ("A", "\x7f"),
            ("A", &"x".repeat(900)),
        ] {
            assert!(HeaderField::new(name, value).is_err(), "{name:?} {value:?}");
        }
        let field = HeaderField::new("X-Postroom", "a: b\tc").unwrap();
        assert_eq!(
            (field.name(), field.value(), field.to_string().as_str()),
            ("X-Postroom", "a: b\tc", "X-Postroom: a: b\tc")
        );
        assert!(HeaderField::new("A", "x".repeat(899)).is_ok());
    }
}
