//! What an account proves itself with: a password, or a bearer token.
//!
//! Owns the checks that nothing in them can end a command or a SASL field, and their wiping. Must not
//! know where they come from.

use std::fmt;

use zeroize::Zeroizing;

use crate::command::check;
use crate::error::Unencodable;

/// The most octets of a user name or a password.
const CREDENTIAL_LIMIT: usize = 1024;
/// The most octets of a bearer token; some carry whole sets of claims.
const TOKEN_LIMIT: usize = 16 * 1024;

/// A user name and what proves it; wiped on drop, never printed.
pub struct Credentials {
    pub(crate) user: Zeroizing<String>,
    pub(crate) secret: Secret,
}

pub(crate) enum Secret {
    Password(Zeroizing<String>),
    Token { token: Zeroizing<String>, endpoint: Option<Endpoint> },
}

/// Where a token is shown.
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Credentials {
    /// A password. Refuses what can never be sent: empty, CR, LF, NUL, more than 1024 octets.
    pub fn new(user: &str, password: &str) -> Result<Self, Unencodable> {
        let user = bounded("user name", user, CREDENTIAL_LIMIT)?;
        let password = bounded("password", password, CREDENTIAL_LIMIT)?;
        Ok(Self { user, secret: Secret::Password(password) })
    }

    /// A bearer token (RFC 6750 section 2.1: printable ASCII without blanks), at most 16 KiB.
    pub fn bearer(user: &str, token: &str) -> Result<Self, Unencodable> {
        let user = bounded("user name", user, CREDENTIAL_LIMIT)?;
        let token = bounded("token", token, TOKEN_LIMIT)?;
        // 0x01 ends a field in both bearer mechanisms.
        if user.contains('\u{1}') {
            return Err(Unencodable::ControlOctet { what: "user name" });
        }
        if !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(Unencodable::ControlOctet { what: "token" });
        }
        Ok(Self { user, secret: Secret::Token { token, endpoint: None } })
    }

    /// Also names the host and port the token is shown to, as OAUTHBEARER allows (RFC 7628 section
    /// 3.1). Changes nothing for a password.
    pub fn at(mut self, host: &str, port: u16) -> Result<Self, Unencodable> {
        check("host", host.as_bytes())?;
        if !host.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(Unencodable::ControlOctet { what: "host" });
        }
        if let Secret::Token { endpoint, .. } = &mut self.secret {
            *endpoint = Some(Endpoint { host: host.to_owned(), port });
        }
        Ok(self)
    }

    /// Whether this is a bearer token.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        matches!(self.secret, Secret::Token { .. })
    }
}

fn bounded(what: &'static str, value: &str, limit: usize) -> Result<Zeroizing<String>, Unencodable> {
    check(what, value.as_bytes())?;
    if value.len() > limit {
        return Err(Unencodable::TooLong { what, octets: value.len(), limit });
    }
    Ok(Zeroizing::new(value.to_owned()))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_could_inject_a_command_or_a_field_cannot_be_made() {
        assert!(Credentials::new("a\r\nDELE 1", "p").is_err());
        assert!(Credentials::new("a", "p\nQUIT").is_err());
        assert!(Credentials::new("a", "p\0q").is_err());
        assert!(Credentials::new("", "p").is_err());
        assert!(Credentials::new("a", &"p".repeat(1025)).is_err());
        assert!(Credentials::new("älice b", "p w").is_ok());
        assert!(Credentials::bearer("a\u{1}auth=Bearer x", "t").is_err());
        for token in ["", "a b", "a\u{1}b", "a\nb", "ä", &"t".repeat(16 * 1024 + 1)] {
            assert!(Credentials::bearer("a", token).is_err(), "{token}");
        }
        let token = || Credentials::bearer("a", "t.o-k_e~n+/==").unwrap();
        assert!(token().at("pop.example", 995).is_ok());
        assert!(token().at("pop\u{1}port=1", 995).is_err() && token().at("", 995).is_err());
    }

    #[test]
    fn credentials_are_not_printed() {
        let password = Credentials::new("alice", "hunter2").unwrap();
        let token = Credentials::bearer("alice", "hunter2").unwrap();
        let printed = format!("{password:?} {token:?}");
        assert!(!printed.contains("alice") && !printed.contains("hunter2"));
    }
}
