//! How a session authenticates: which mechanism, and with what.
//!
//! Owns the credentials and the order of preference. One mechanism is one file. Must not send
//! anything: the session asks what to say and sends it, after it has checked the channel.

pub(crate) mod plain;

use std::fmt;

use zeroize::Zeroizing;

use crate::capability::Capabilities;
use crate::command::check;
use crate::error::Unencodable;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SASL PLAIN (RFC 4616): UTF-8, blanks and long passwords survive.
    Plain,
    /// `USER` and `PASS` (RFC 1939 section 7).
    UserPass,
}

impl Mechanism {
    /// The preferred mechanism: PLAIN when CAPA lists it, else `USER` and `PASS`, which a server
    /// without CAPA always has. Never falls back by itself after a refusal.
    #[must_use]
    pub fn choose(capabilities: Option<&Capabilities>) -> Self {
        match capabilities {
            Some(capabilities) if capabilities.offers(Self::Plain) => Self::Plain,
            _ => Self::UserPass,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "SASL PLAIN",
            Self::UserPass => "USER/PASS",
        })
    }
}

/// The most octets of a user name or a password.
const CREDENTIAL_LIMIT: usize = 1024;

/// A user name and a password; wiped on drop, never printed.
pub struct Credentials {
    pub(crate) user: Zeroizing<String>,
    pub(crate) password: Zeroizing<String>,
}

impl Credentials {
    /// Refuses what can never be sent: empty, CR, LF, NUL, more than 1024 octets.
    pub fn new(user: &str, password: &str) -> Result<Self, Unencodable> {
        for (what, value) in [("user name", user), ("password", password)] {
            check(what, value.as_bytes())?;
            if value.len() > CREDENTIAL_LIMIT {
                let (octets, limit) = (value.len(), CREDENTIAL_LIMIT);
                return Err(Unencodable::TooLong { what, octets, limit });
            }
        }
        Ok(Self { user: Zeroizing::new(user.to_owned()), password: Zeroizing::new(password.to_owned()) })
    }
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
    fn plain_is_chosen_only_when_listed() {
        assert_eq!(Mechanism::choose(None), Mechanism::UserPass);
        let mut capabilities = Capabilities::default();
        assert_eq!(Mechanism::choose(Some(&capabilities)), Mechanism::UserPass);
        capabilities.read_line(b"SASL LOGIN plain");
        assert_eq!(Mechanism::choose(Some(&capabilities)), Mechanism::Plain);
    }

    #[test]
    fn credentials_that_could_inject_a_command_cannot_be_made() {
        assert!(Credentials::new("a\r\nDELE 1", "p").is_err());
        assert!(Credentials::new("a", "p\nQUIT").is_err());
        assert!(Credentials::new("a", "p\0q").is_err());
        assert!(Credentials::new("", "p").is_err());
        assert!(Credentials::new("a", &"p".repeat(1025)).is_err());
        assert!(Credentials::new("älice b", "p w").is_ok());
    }

    #[test]
    fn credentials_are_not_printed() {
        let credentials = Credentials::new("alice", "hunter2").unwrap();
        let printed = format!("{credentials:?}");
        assert!(!printed.contains("alice") && !printed.contains("hunter2"));
    }
}
