//! One maildrop as meant: where it is, how it is reached, who logs in, what is taken and what is deleted.
//! Must not read a secret or open a connection.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use postroom_mail::Name;
use postroom_oauth::Provider;
use postroom_spool::DeletePolicy;
use serde::{Deserialize, Serialize};

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
    pub trust: Trust,
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

/// What makes a certificate acceptable, beyond being valid for the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM file of the only authorities to trust, absolute.
    pub ca_file: Option<PathBuf>,
    /// Keys of which one must be in the chain; checked when the configuration is read.
    pub pins: Vec<String>,
    /// The oldest version of TLS.
    pub minimum: TlsMinimum,
    /// PEM files, absolute: our own certificate and its key, for servers that ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsMinimum {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The best of what the server offers.
    #[default]
    Auto,
    /// `USER` and `PASS` (RFC 1939 section 7).
    UserPass,
    /// `APOP` (RFC 1939 section 7).
    Apop,
    /// SASL PLAIN (RFC 4616, RFC 5034).
    Plain,
    /// SASL LOGIN, never standardised.
    Login,
    /// SASL CRAM-MD5 (RFC 2195).
    CramMd5,
    /// SASL SCRAM-SHA-1 (RFC 5802).
    #[serde(rename = "scram-sha-1")]
    ScramSha1,
    /// SASL SCRAM-SHA-256 (RFC 7677).
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// XOAUTH2, as large providers have it.
    Xoauth2,
    /// SASL OAUTHBEARER (RFC 7628).
    Oauthbearer,
}

impl Auth {
    /// Whether it sends an access token.
    pub fn is_token(self) -> bool {
        matches!(self, Self::Xoauth2 | Self::Oauthbearer)
    }
}

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
