//! The status line: indicator, response code, text (RFC 1939 section 3, RFC 2449 section 8).
//!
//! Must not decide what a refusal means for the account; it only says what the server wrote.

use std::fmt;

use crate::error::shown;

/// A response code in square brackets at the start of a status text (RFC 2449 section 8, RFC 3206).
///
/// Codes are hierarchical: an unknown suffix (`SYS/TEMP/DISK`) counts as the known prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseCode {
    /// `IN-USE`: another session holds the maildrop.
    InUse,
    /// `LOGIN-DELAY`: logged in again too soon.
    LoginDelay,
    /// `SYS/TEMP`: the server has a passing problem.
    SysTemp,
    /// `SYS/PERM`: the server has a problem that will not pass by itself.
    SysPerm,
    /// `AUTH`: the credentials are wrong.
    Auth,
    /// A code this client does not know, in upper case, control characters escaped.
    Other(String),
}

impl ResponseCode {
    fn parse(octets: &[u8]) -> Self {
        let upper = octets.to_ascii_uppercase();
        let mut levels = upper.split(|&octet| octet == b'/');
        match (levels.next(), levels.next()) {
            (Some(b"IN-USE"), _) => Self::InUse,
            (Some(b"LOGIN-DELAY"), _) => Self::LoginDelay,
            (Some(b"SYS"), Some(b"TEMP")) => Self::SysTemp,
            (Some(b"SYS"), Some(b"PERM")) => Self::SysPerm,
            (Some(b"AUTH"), _) => Self::Auth,
            _ => Self::Other(shown(&upper)),
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "IN-USE",
            Self::LoginDelay => "LOGIN-DELAY",
            Self::SysTemp => "SYS/TEMP",
            Self::SysPerm => "SYS/PERM",
            Self::Auth => "AUTH",
            Self::Other(code) => code,
        })
    }
}

/// The first word of a status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indicator {
    Ok,
    Err,
    /// `+`, a SASL challenge (RFC 5034 section 4); its text is base64 for most mechanisms.
    Continue,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status<'l> {
    pub(crate) indicator: Indicator,
    pub(crate) code: Option<ResponseCode>,
    /// What follows the code, or the indicator when there is no code; without leading blanks.
    pub(crate) text: &'l [u8],
}

impl<'l> Status<'l> {
    /// `None` when the line is no status line, which means the two sides no longer agree on where
    /// they are.
    pub(crate) fn parse(line: &'l [u8]) -> Option<Self> {
        let (indicator, rest) = if let Some(rest) = strip_word(line, b"+OK") {
            (Indicator::Ok, rest)
        } else if let Some(rest) = strip_word(line, b"-ERR") {
            (Indicator::Err, rest)
        } else if line == b"+" || line.starts_with(b"+ ") {
            (Indicator::Continue, &line[1..])
        } else {
            return None;
        };
        let text = rest.trim_ascii_start();
        if indicator == Indicator::Continue {
            return Some(Self { indicator, code: None, text });
        }
        let (code, text) = split_code(text);
        Some(Self { indicator, code, text })
    }
}

fn strip_word<'l>(line: &'l [u8], word: &[u8]) -> Option<&'l [u8]> {
    let (head, rest) = line.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

/// Response codes are short; a bracket that closes later than this is text.
const CODE_LIMIT: usize = 64;

fn split_code(text: &[u8]) -> (Option<ResponseCode>, &[u8]) {
    let Some(inner) = text.strip_prefix(b"[") else {
        return (None, text);
    };
    match inner.iter().position(|&octet| octet == b']') {
        Some(at) if (1..=CODE_LIMIT).contains(&at) => {
            (Some(ResponseCode::parse(&inner[..at])), inner[at + 1..].trim_ascii_start())
        }
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &[u8]) -> Option<ResponseCode> {
        Status::parse(line).unwrap().code
    }

    #[test]
    fn a_bare_status_without_text_is_valid() {
        for (line, indicator) in [(&b"+OK"[..], Indicator::Ok), (b"-ERR", Indicator::Err)] {
            let status = Status::parse(line).unwrap();
            assert_eq!((status.indicator, status.code, status.text), (indicator, None, &b""[..]));
        }
    }

    #[test]
    fn response_codes_are_read_by_their_known_prefix_in_any_case() {
        assert_eq!(code(b"-ERR [IN-USE] busy"), Some(ResponseCode::InUse));
        assert_eq!(code(b"-ERR [login-delay] wait"), Some(ResponseCode::LoginDelay));
        assert_eq!(code(b"-ERR [SYS/TEMP/DISK] x"), Some(ResponseCode::SysTemp));
        assert_eq!(code(b"-ERR [sys/perm]"), Some(ResponseCode::SysPerm));
        assert_eq!(code(b"-ERR   [AUTH] no"), Some(ResponseCode::Auth));
        assert_eq!(code(b"+OK [X-\x1bY] no"), Some(ResponseCode::Other("X-\\u{1b}Y".into())));
        assert_eq!(code(b"-ERR [SYS] no"), Some(ResponseCode::Other("SYS".into())));
    }

    #[test]
    fn brackets_that_are_no_code_stay_text() {
        assert_eq!(code(b"-ERR []"), None);
        assert_eq!(code(b"-ERR [open"), None);
        assert_eq!(code(b"-ERR not first [AUTH]"), None);
        let status = Status::parse(b"-ERR [open").unwrap();
        assert_eq!(status.text, b"[open");
    }

    #[test]
    fn a_line_that_is_no_status_is_not_guessed_at() {
        for line in [&b""[..], b"OK", b"+O", b"250 ok", b"+abc", b" +OK", b"Subject: x"] {
            assert_eq!(Status::parse(line), None);
        }
    }

    #[test]
    fn a_plus_alone_is_a_challenge() {
        for line in [&b"+"[..], b"+ ", b"+ go ahead"] {
            assert_eq!(Status::parse(line).unwrap().indicator, Indicator::Continue);
        }
    }
}
