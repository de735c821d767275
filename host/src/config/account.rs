//! One maildrop as meant: where it is, how it is reached, who logs in, what is taken and what is deleted.
//! Must not read a secret or open a connection.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use postroom_mail::Name;
use postroom_oauth::Provider;
use postroom_pop3::Mechanism;
use postroom_spool::DeletePolicy;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize};

use super::SecretRef;

/// One maildrop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// What makes the server's certificate acceptable.
    pub trust: postroom_dial::Trust,
    /// Through which proxy, if any.
    pub proxy: Option<Proxy>,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub login: Login,
    /// How.
    pub auth: Auth,
    /// Whose quirks are known, by the name of the profile.
    pub provider: Option<String>,
    /// Time between two polls.
    pub poll: Poll,
    /// How long the server may say nothing.
    pub timeout: Duration,
    /// Which pipeline its mail goes through; it exists.
    pub pipeline: Name,
    /// Whether it is polled.
    pub enabled: bool,
    /// What of the mail that is there already is taken when the account is polled for the first time.
    pub first: First,
    /// What happens when all unique-ids are new at once.
    pub renumbered: Renumbered,
    /// When mail may be deleted at the server.
    pub delete: DeletePolicy,
    /// Whether mail is asked for with raw UTF-8 in its headers (RFC 6856) where the server offers that.
    pub utf8: bool,
    /// Whether several commands may be sent ahead when the server offers it.
    pub pipelining: bool,
    /// After how long without new mail an alarm is raised.
    pub silence: Silence,
}

/// How a POP3 connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// TLS from the first octet (RFC 8314), port 995.
    #[default]
    Implicit,
    /// `STLS` on port 110 (RFC 2595), which must succeed.
    Starttls,
    /// Not at all; only with [`PLAINTEXT_CONSENT`](super::PLAINTEXT_CONSENT).
    None,
}

impl TlsMode {
    /// The port when none is given.
    pub fn port(self) -> u16 {
        match self {
            Self::Implicit => 995,
            Self::Starttls | Self::None => 110,
        }
    }
}

/// A SOCKS5 proxy (RFC 1928); the name of the mail server is resolved by it, never here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Name or address of the proxy.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who logs in there, and with what (RFC 1929).
    pub login: Option<(String, SecretRef)>,
}

/// With what an account logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A password.
    Password(SecretRef),
    /// An OAuth 2.0 access token.
    OAuth(OAuth),
}

/// Where the access tokens of an account come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OAuth {
    /// A program prints one.
    Command(Vec<String>),
    /// We obtain and refresh them ourselves.
    Own(Box<OwnOAuth>),
}

/// A client registration of the operator's and what to do with it (RFC 6749).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnOAuth {
    /// The provider's profile, with the endpoints and scopes that the operator wrote in place of its own.
    pub provider: Provider,
    /// File that holds the tokens, absolute.
    pub token: PathBuf,
    /// Identifier of the registered client.
    pub client_id: String,
    /// Its secret, where it has one.
    pub client_secret: Option<SecretRef>,
    /// How the first token is obtained.
    pub flow: Flow,
    /// Directory (tenant) of the organisation, for providers that have such a thing.
    pub tenant: Option<String>,
    /// PEM file of the only authorities to trust for these endpoints, absolute.
    pub ca_file: Option<PathBuf>,
    /// The account's proxy: the provider must not see past it.
    pub proxy: Option<Proxy>,
}

/// How a first token is obtained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// A code is typed in on any other device (RFC 8628).
    #[default]
    Device,
    /// A browser on this machine (RFC 6749 section 4.1 with RFC 7636 and RFC 8252).
    Browser,
    /// The client itself is the owner (RFC 6749 section 4.4).
    ClientCredentials,
}

/// How to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// The best of what the server offers, by the order of [`postroom_pop3::sasl`].
    #[default]
    Auto,
    /// This one, never another.
    Only(Mechanism),
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        if word == AUTH_WORDS[0] {
            return Ok(Self::Auto);
        }
        let named = Mechanism::ALL.into_iter().find(|mechanism| mechanism.word() == word);
        named.map(Self::Only).ok_or_else(|| de::Error::unknown_variant(&word, &AUTH_WORDS))
    }
}

/// What `auth` may be.
const AUTH_WORDS: [&str; 10] = [
    "auto",
    "user-pass",
    "apop",
    "plain",
    "login",
    "cram-md5",
    "scram-sha-1",
    "scram-sha-256",
    "xoauth2",
    "oauthbearer",
];

/// How often an account is polled: between these, nearer to `least` while mail comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The shortest pause.
    pub least: Duration,
    /// The longest pause without failures.
    pub most: Duration,
}

impl Poll {
    /// Always the same pause.
    pub fn every(pause: Duration) -> Self {
        Self { least: pause, most: pause }
    }
}

/// What is taken at the first contact with a maildrop. Everything else that is there then counts as seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum First {
    /// Everything.
    #[default]
    All,
    /// Nothing: only what comes later.
    New,
    /// What arrived in so many days before, by the header's dates.
    Days(u32),
    /// So many of the newest, by the server's order.
    Newest(u32),
}

/// What happens when a server shows only unknown unique-ids in place of the known ones (RFC 1939 section 7 forbids it;
/// migrations do it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Renumbered {
    /// Each message is matched with a known one by its header or content; only what matches none is new.
    #[default]
    Match,
    /// Nothing is retrieved until the operator says what to do.
    Hold,
    /// All of it is new mail.
    TakeAsNew,
    /// All of it was seen.
    TakeAsSeen,
}

/// When an account is suspiciously silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// When nothing came for much longer than ever before.
    #[default]
    Rhythm,
    /// When nothing came for so long.
    After(Duration),
    /// Never.
    Never,
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Implicit => "implicit TLS",
            Self::Starttls => "STLS",
            Self::None => "no TLS",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_can_be_asked_for_by_its_word() {
        let words: Vec<_> = Mechanism::ALL.into_iter().map(Mechanism::word).collect();
        assert_eq!(AUTH_WORDS[1..], words[..]);
    }
}
