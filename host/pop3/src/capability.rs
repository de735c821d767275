//! What the server says it can do (RFC 2449).
//!
//! Owns the reading of CAPA lines. Must not decide what to do about an absent capability: servers
//! leave out what works and list what does not. Each CAPA reply replaces the one before, they are
//! never merged.

use crate::error::shown;
use crate::sasl::Mechanism;

/// One CAPA reply. Tags are compared without regard to case and blanks around them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// `TOP` is there.
    pub top: bool,
    /// `USER` and `PASS` are there.
    pub user: bool,
    /// `UIDL` is there.
    pub uidl: bool,
    /// `STLS` is there (RFC 2595 section 4).
    pub stls: bool,
    /// Several commands may be sent before their replies are read.
    pub pipelining: bool,
    /// Refusals may start with a response code.
    pub resp_codes: bool,
    /// Refused credentials always carry `[AUTH]` (RFC 3206 section 6).
    pub auth_resp_code: bool,
    /// SASL mechanisms, upper case, in the server's order (RFC 5034 section 3).
    pub sasl: Vec<String>,
    /// The least time between two logins.
    pub login_delay: Option<LoginDelay>,
    /// How long the server keeps messages.
    pub expire: Option<Expire>,
    /// `UTF8` is there (RFC 6856 section 2).
    pub utf8: Option<Utf8>,
    /// What the server calls itself, neutralised.
    pub implementation: Option<String>,
    /// Tags this client does not know, upper case, neutralised.
    pub others: Vec<String>,
}

/// `LOGIN-DELAY` (RFC 2449 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginDelay {
    /// Seconds from one login to the next.
    pub seconds: u64,
    /// Another value may hold for this user: ask again after the login.
    pub per_user: bool,
}

/// `EXPIRE` (RFC 2449 section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expire {
    /// Days a message is kept; `None` for `NEVER`. 0 means that a message may be gone when the
    /// session that retrieved it ends.
    pub days: Option<u64>,
    /// Another value may hold for this user: ask again after the login.
    pub per_user: bool,
}

/// `UTF8` (RFC 6856 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utf8 {
    /// User names and passwords may be UTF-8.
    pub user: bool,
}

impl Capabilities {
    /// Whether CAPA lists the mechanism.
    #[must_use]
    pub fn offers(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::UserPass => self.user,
            // Announced by the greeting's timestamp, never by CAPA.
            Mechanism::Apop => false,
            sasl => self.sasl.iter().any(|name| name == sasl.wire_name()),
        }
    }

    /// Reads one line of the reply. Lines that make no sense are skipped: CAPA is advice.
    pub(crate) fn read_line(&mut self, line: &[u8]) {
        let mut words = line
            .split(|octet| matches!(octet, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .map(|word| word.to_ascii_uppercase());
        let Some(tag) = words.next() else { return };
        match tag.as_slice() {
            b"TOP" => self.top = true,
            b"USER" => self.user = true,
            b"UIDL" => self.uidl = true,
            b"STLS" => self.stls = true,
            b"PIPELINING" => self.pipelining = true,
            b"RESP-CODES" => self.resp_codes = true,
            b"AUTH-RESP-CODE" => self.auth_resp_code = true,
            b"SASL" => {
                for name in words.map(|name| shown(&name)) {
                    if !self.sasl.contains(&name) {
                        self.sasl.push(name);
                    }
                }
            }
            b"LOGIN-DELAY" => {
                if let Some(seconds) = words.next().as_deref().and_then(saturating) {
                    let per_user = words.next().as_deref() == Some(b"USER");
                    self.login_delay = Some(LoginDelay { seconds, per_user });
                }
            }
            b"EXPIRE" => {
                let Some(value) = words.next() else { return };
                let days = if value == b"NEVER" { Some(None) } else { saturating(&value).map(Some) };
                if let Some(days) = days {
                    let per_user = words.next().as_deref() == Some(b"USER");
                    self.expire = Some(Expire { days, per_user });
                }
            }
            b"UTF8" => self.utf8 = Some(Utf8 { user: words.any(|word| word == b"USER") }),
            b"IMPLEMENTATION" => {
                let name = line.trim_ascii().get(tag.len()..).unwrap_or_default();
                self.implementation = Some(shown(name.trim_ascii()));
            }
            _ => self.others.push(shown(&tag)),
        }
    }
}

/// A number of any length, capped at the largest `u64`; `None` when it is no number.
pub(crate) fn saturating(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        let mut capabilities = Capabilities::default();
        for line in lines {
            capabilities.read_line(line.as_bytes());
        }
        capabilities
    }

    #[test]
    fn tags_are_read_in_any_case_with_blanks_around_them() {
        let found = read(&["top", "  Uidl \t", "STLS ", "user", "sasl plain  Login PLAIN"]);
        assert!(found.top && found.uidl && found.stls && found.user);
        assert_eq!(found.sasl, ["PLAIN", "LOGIN"]);
        assert!(found.offers(Mechanism::Plain));
    }

    #[test]
    fn values_are_read_and_nonsense_is_left_out() {
        let found = read(&[
            "LOGIN-DELAY 300 USER",
            "EXPIRE 0",
            "UTF8 USER",
            "IMPLEMENTATION Some Server\x1b 1.0 ",
            "X-ODD thing",
        ]);
        assert_eq!(found.login_delay, Some(LoginDelay { seconds: 300, per_user: true }));
        assert_eq!(found.expire, Some(Expire { days: Some(0), per_user: false }));
        assert_eq!(found.utf8, Some(Utf8 { user: true }));
        assert_eq!(found.implementation.as_deref(), Some("Some Server\\u{1b} 1.0"));
        assert_eq!(found.others, ["X-ODD"]);
        let found = read(&["LOGIN-DELAY soon", "EXPIRE", "EXPIRE NEVER USER", ""]);
        assert_eq!(found.login_delay, None);
        assert_eq!(found.expire, Some(Expire { days: None, per_user: true }));
    }

    #[test]
    fn a_tag_that_only_starts_like_a_known_one_is_another() {
        let found = read(&["TOPPLE", "UIDLX"]);
        assert!(!found.top && !found.uidl);
        assert_eq!(found.others, ["TOPPLE", "UIDLX"]);
    }

    #[test]
    fn huge_numbers_saturate() {
        assert_eq!(saturating(b"99999999999999999999999"), Some(u64::MAX));
        assert_eq!(saturating(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(saturating(b"-1"), None);
        assert_eq!(saturating(b""), None);
    }
}
