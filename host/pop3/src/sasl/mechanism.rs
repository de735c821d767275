//! The mechanisms by name, and the order of preference; the reasons are in the parent's text.

use std::fmt;
use std::str::FromStr;

use super::Credentials;
use crate::capability::Capabilities;
use crate::error::Unsupported;
use crate::session::Channel;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `USER` and `PASS` (RFC 1939 section 7).
    UserPass,
    /// `APOP` (RFC 1939 section 7). Only when named.
    Apop,
    /// SASL PLAIN (RFC 4616): UTF-8, blanks and long passwords survive.
    Plain,
    /// SASL LOGIN, PLAIN's forerunner.
    Login,
    /// SASL CRAM-MD5 (RFC 2195).
    CramMd5,
    /// SASL SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// SASL SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SASL XOAUTH2.
    XOAuth2,
    /// SASL OAUTHBEARER (RFC 7628).
    OAuthBearer,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UserPass,
        Self::Apop,
        Self::Plain,
        Self::Login,
        Self::CramMd5,
        Self::ScramSha1,
        Self::ScramSha256,
        Self::XOAuth2,
        Self::OAuthBearer,
    ];

    /// The preferred mechanism for these credentials, by the table of [`sasl`](crate::sasl). Fails only
    /// for a token, when CAPA was not read or lists no mechanism that takes one.
    pub fn choose(
        capabilities: Option<&Capabilities>,
        channel: Channel,
        credentials: &Credentials,
    ) -> Result<Self, Unsupported> {
        let order: &[Self] = match (credentials.is_bearer(), channel) {
            (true, _) => &[Self::OAuthBearer, Self::XOAuth2],
            (false, Channel::Tls) => {
                &[Self::ScramSha256, Self::ScramSha1, Self::Plain, Self::UserPass, Self::Login]
            }
            (false, Channel::Plaintext | Channel::PlaintextAccepted) => {
                &[Self::ScramSha256, Self::ScramSha1, Self::CramMd5, Self::Plain, Self::UserPass, Self::Login]
            }
        };
        let offered = |mechanism: &Self| capabilities.is_some_and(|listed| listed.offers(*mechanism));
        match order.iter().copied().find(offered) {
            Some(mechanism) => Ok(mechanism),
            None if credentials.is_bearer() => Err(Unsupported::NoTokenMechanism),
            None => Ok(Self::UserPass),
        }
    }

    /// The configuration's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UserPass => "user-pass",
            Self::Apop => "apop",
            Self::Plain => "plain",
            Self::Login => "login",
            Self::CramMd5 => "cram-md5",
            Self::ScramSha1 => "scram-sha-1",
            Self::ScramSha256 => "scram-sha-256",
            Self::XOAuth2 => "xoauth2",
            Self::OAuthBearer => "oauthbearer",
        }
    }

    /// The name it has on the wire; SASL's registered name where there is one.
    #[must_use]
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::UserPass => "USER",
            Self::Apop => "APOP",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// Whether it takes a bearer token instead of a password.
    #[must_use]
    pub fn takes_token(self) -> bool {
        matches!(self, Self::XOAuth2 | Self::OAuthBearer)
    }

    /// Whether it is spoken through `AUTH`.
    #[must_use]
    pub fn is_sasl(self) -> bool {
        !matches!(self, Self::UserPass | Self::Apop)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that names no mechanism.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no login mechanism of this name; known are user-pass, apop, plain, login, cram-md5, scram-sha-1, scram-sha-256, xoauth2 and oauthbearer"
)]
pub struct UnknownMechanism;

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// Takes the configuration's word or the wire name, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        let named = |mechanism: &Self| {
            name.eq_ignore_ascii_case(mechanism.word()) || name.eq_ignore_ascii_case(mechanism.wire_name())
        };
        Self::ALL.into_iter().find(named).ok_or(UnknownMechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(capa: &[&str], channel: Channel) -> Mechanism {
        let mut listed = Capabilities::default();
        capa.iter().for_each(|line| listed.read_line(line.as_bytes()));
        let credentials = Credentials::new("a", "p").unwrap();
        Mechanism::choose(Some(&listed), channel, &credentials).unwrap()
    }

    #[test]
    fn inside_tls_scram_comes_first_and_digests_are_never_chosen() {
        let all = "SASL LOGIN CRAM-MD5 plain XOAUTH2 SCRAM-SHA-1 SCRAM-SHA-256";
        for (capa, mechanism) in [
            (&["USER", all][..], Mechanism::ScramSha256),
            (&["SASL PLAIN SCRAM-SHA-1"], Mechanism::ScramSha1),
            (&["SASL CRAM-MD5 LOGIN plain"], Mechanism::Plain),
            (&["USER", "SASL CRAM-MD5 LOGIN"], Mechanism::UserPass),
            (&["SASL CRAM-MD5 LOGIN"], Mechanism::Login),
            (&["SASL CRAM-MD5", "APOP"], Mechanism::UserPass),
            (&["SASL SCRAM-SHA-256-PLUS"], Mechanism::UserPass),
            (&[], Mechanism::UserPass),
        ] {
            assert_eq!(chosen(capa, Channel::Tls), mechanism, "{capa:?}");
        }
        let password = Credentials::new("a", "p").unwrap();
        assert_eq!(Mechanism::choose(None, Channel::Tls, &password), Ok(Mechanism::UserPass));
    }

    #[test]
    fn in_clear_what_does_not_show_the_password_comes_first() {
        let of = |line: &str| chosen(&["USER", line], Channel::PlaintextAccepted);
        assert_eq!(of("SASL PLAIN CRAM-MD5"), Mechanism::CramMd5);
        assert_eq!(of("SASL PLAIN CRAM-MD5 SCRAM-SHA-1"), Mechanism::ScramSha1);
        assert_eq!(of("SASL PLAIN"), Mechanism::Plain);
    }

    #[test]
    fn a_token_is_only_shown_to_a_mechanism_that_takes_tokens() {
        let token = Credentials::bearer("a", "t").unwrap();
        let of = |line: &str| {
            let mut listed = Capabilities::default();
            listed.read_line(line.as_bytes());
            Mechanism::choose(Some(&listed), Channel::Tls, &token)
        };
        assert_eq!(of("SASL XOAUTH2 OAUTHBEARER PLAIN"), Ok(Mechanism::OAuthBearer));
        assert_eq!(of("SASL PLAIN XOAUTH2"), Ok(Mechanism::XOAuth2));
        assert_eq!(of("SASL PLAIN LOGIN"), Err(Unsupported::NoTokenMechanism));
        assert_eq!(Mechanism::choose(None, Channel::Tls, &token), Err(Unsupported::NoTokenMechanism));
    }

    #[test]
    fn every_mechanism_is_found_by_its_word_and_its_wire_name() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.to_string().parse(), Ok(mechanism));
            assert_eq!(mechanism.wire_name().to_ascii_lowercase().parse(), Ok(mechanism));
        }
        assert_eq!("digest-md5".parse::<Mechanism>(), Err(UnknownMechanism));
        assert_eq!("".parse::<Mechanism>(), Err(UnknownMechanism));
    }
}
