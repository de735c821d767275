//! Why a poll failed: what happened, whose fault it is, what to do. One account's trouble, never another's.

use std::io;
use std::time::Duration;

use postroom_pop3::Class;

use super::lease::NotOurs;
use crate::config::{AccountConfig, ConfigError, Login, TlsMode};

/// A failed poll. Whatever was admitted before stays admitted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection, or no trusted one.
    #[error(transparent)]
    Dial(#[from] postroom_dial::Error),
    /// Nothing came for too long.
    #[error("the server did not answer {doing} within {} s", after.as_secs())]
    Silent {
        /// What was asked.
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection broke during {doing}: {}", words(source))]
    Broken {
        /// What was under way.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The protocol failed.
    #[error(transparent)]
    Pop3(#[from] postroom_pop3::Error),
    /// A password cannot be read.
    #[error("the password cannot be read: {0}")]
    Secret(ConfigError),
    /// There is no access token.
    #[error(transparent)]
    Token(#[from] postroom_oauth::Error),
    /// The token was refused, also a fresh one.
    #[error("{refused}{}", explained(explanation))]
    TokenRefused {
        /// In the server's words.
        refused: Box<postroom_pop3::Rejection>,
        /// What is wrong with the token, as far as it shows.
        explanation: Vec<String>,
    },
    /// The maildrop is somebody else's.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// The next login is not allowed yet.
    #[error("the server wants {delay} s between two logins, the next one is possible in {} s", wait.as_secs())]
    TooSoon {
        /// Seconds.
        delay: u64,
        /// Still to wait.
        wait: Duration,
    },
    /// Mail cannot be told apart.
    #[error("the server gives no unique-ids (UIDL), so mail that stays there cannot be told from new mail")]
    NoUniqueIds,
    /// The age of mail cannot be known.
    #[error(
        "the server does not show headers (TOP), so the age of its mail is not known and first = {{ days = … }} cannot be done"
    )]
    NoHeaders,
    /// There is no room here for the rest of a message.
    #[error("{0}")]
    NoRoom(String),
    /// The spool failed: nothing more is retrieved, the connection is dropped without QUIT.
    #[error(transparent)]
    Spool(#[from] postroom_spool::Error),
}

/// TLS tells a cut from an end in words for programmers.
fn words(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => "it was cut, what arrived is incomplete".to_owned(),
        _ => source.to_string(),
    }
}

fn explained(explanation: &[String]) -> String {
    explanation.iter().map(|line| format!("; {line}")).collect()
}

impl From<postroom_pop3::Rejection> for Error {
    fn from(rejection: postroom_pop3::Rejection) -> Self {
        Self::Pop3(rejection.into())
    }
}

/// What a failure means for the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The server cannot be reached: perhaps none of its accounts can.
    Network,
    /// Another session has the maildrop.
    InUse,
    /// Too many logins, or too much was retrieved.
    TooOften,
    /// The credentials were refused, or the connection was closed instead of an answer to them.
    Credentials,
    /// A person has to change something.
    Person,
    /// There is no room here: the disk is full, or too much mail is on its way.
    NoRoom,
    /// It may pass by itself.
    Passing,
}

impl Error {
    /// What it means for the schedule.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Dial(error) if error.needs_a_person() => Trouble::Person,
            Self::Dial(_) => Trouble::Network,
            Self::Pop3(error) => match error.class() {
                Class::InUse => Trouble::InUse,
                Class::LoginDelay | Class::Throttled => Trouble::TooOften,
                Class::Credentials | Class::TokenExpired | Class::ClosedDuringLogin => Trouble::Credentials,
                Class::Permanent => Trouble::Person,
                Class::Temporary => Trouble::Passing,
                Class::Other if error.disposition() == postroom_pop3::Disposition::ParkAccount => {
                    Trouble::Person
                }
                Class::Other => Trouble::Passing,
            },
            Self::TokenRefused { .. } => Trouble::Credentials,
            Self::Token(error) if error.is_transient() => Trouble::Passing,
            Self::TooSoon { .. } => Trouble::TooOften,
            // It may end at any time, and then this one is to take over.
            Self::NotOurs(NotOurs::Taken { .. }) => Trouble::Passing,
            Self::Secret(_) | Self::Token(_) | Self::NotOurs(_) | Self::NoUniqueIds | Self::NoHeaders => {
                Trouble::Person
            }
            Self::NoRoom(_) | Self::Spool(postroom_spool::Error::Full { .. }) => Trouble::NoRoom,
            Self::Silent { doing, .. } if *doing == super::session::GREETING => Trouble::Network,
            Self::Silent { .. } | Self::Broken { .. } | Self::Spool(_) => Trouble::Passing,
        }
    }

    /// Whether a person has to change something first. Everything else is tried again with growing pauses, and so is this,
    /// with long ones: what needed a person may have been mended without our hearing of it.
    pub fn needs_a_person(&self) -> bool {
        match self {
            // Some servers close the connection under load: that alone shows nothing.
            Self::Pop3(error) if error.class() == Class::ClosedDuringLogin => false,
            _ => matches!(self.trouble(), Trouble::Credentials | Trouble::Person),
        }
    }

    /// Whether the server, or the way to it, is at fault; not what is done here with what it sent.
    pub(super) fn is_at_server(&self) -> bool {
        matches!(self, Self::Pop3(_) | Self::Silent { .. } | Self::Broken { .. })
    }

    /// Whether it is the answer to a login.
    pub(super) fn refused_login(&self) -> bool {
        matches!(self, Self::Pop3(postroom_pop3::Error::Rejected(refused)) if refused.verb.is_authentication())
    }

    /// Whether the server lost step over commands that were sent ahead.
    pub(super) fn lost_step(&self) -> bool {
        matches!(self, Self::Pop3(postroom_pop3::Error::OutOfStep { .. }))
    }

    /// What to do about it.
    pub fn hint(&self, account: &AccountConfig) -> String {
        let AccountConfig { port, tls, .. } = account;
        match self {
            Self::Dial(error @ postroom_dial::Error::Resolve { .. }) => format!("`host`: {}", error.hint()),
            Self::Dial(error @ postroom_dial::Error::Connect { .. }) => {
                format!("{}; POP3 over TLS is usually port 995, with STARTTLS 110", error.hint())
            }
            Self::Dial(error) => match (tls, port) {
                (TlsMode::Implicit, 110) => format!("port 110 usually wants `tls = \"starttls\"`; {}", error.hint()),
                (TlsMode::Starttls, 995) => format!("port 995 usually wants `tls = \"implicit\"`; {}", error.hint()),
                _ => error.hint(),
            },
            Self::Silent { .. } if *tls == TlsMode::Implicit && *port == 110 => {
                "port 110 usually wants `tls = \"starttls\"`".to_owned()
            }
            Self::Silent { doing, .. } if *doing == super::session::GREETING && *tls != TlsMode::Implicit => {
                "if the server speaks TLS from the start (port 995), that is `tls = \"implicit\"`".to_owned()
            }
            Self::Silent { .. } => "the server may be overloaded; it is asked again later".to_owned(),
            Self::Broken { .. } => "nothing is lost: what was not complete is retrieved again".to_owned(),
            Self::Pop3(error) => pop3_hint(error, account),
            Self::Token(error) if error.needs_sign_in() => "sign in again: `postroom auth ACCOUNT`".to_owned(),
            Self::Token(_) => "correct `oauth2` of this account, or wait if the provider is away".to_owned(),
            Self::TokenRefused { .. } => {
                "the token is right for the provider but not for this mailbox: check `user`, the scopes, and what the provider \
                 says about POP3 access"
                    .to_owned()
            }
            Self::Secret(_) => "correct `password` of this account".to_owned(),
            Self::NotOurs(NotOurs::Taken { .. }) => "stop the other one, or disable this account".to_owned(),
            Self::NotOurs(NotOurs::Io { .. }) => "sockets are needed for that: see the limits this process runs under".to_owned(),
            Self::TooSoon { .. } => "nothing is wrong: it is polled again by itself".to_owned(),
            Self::NoUniqueIds => {
                "take mail off this server as soon as it is safe here: delete = { when = \"spooled\", after = \"0s\" }".to_owned()
            }
            Self::NoHeaders => "say what to take by number: first = { newest = 100 }, or \"new\" or \"all\"".to_owned(),
            Self::NoRoom(_) => "free some of that disk, or lower `limits.free_space`; mail is retrieved again by itself".to_owned(),
            Self::Spool(_) => "the mail stays on the server until this is mended".to_owned(),
        }
    }
}

fn pop3_hint(error: &postroom_pop3::Error, account: &AccountConfig) -> String {
    match (error.class(), &account.login) {
        (Class::Credentials | Class::TokenExpired, Login::OAuth(_)) => {
            "check `user`, and the scopes and the mailbox that the token is for; `postroom auth ACCOUNT` signs in again".to_owned()
        }
        (Class::Credentials | Class::TokenExpired, Login::Password(_)) => {
            "check `user` and `password`; some providers want an app password, or POP3 switched on in their settings".to_owned()
        }
        (Class::ClosedDuringLogin, _) => {
            "the server hung up instead of an answer: wrong credentials, or too many logins; it is tried again with growing pauses"
                .to_owned()
        }
        (Class::InUse, _) => {
            "another mail program has the maildrop open, or the server has not noticed yet that a connection broke; it is tried \
             again soon"
                .to_owned()
        }
        (Class::LoginDelay | Class::Throttled, _) => {
            "the server wants fewer logins or less mail a day: it is asked less often from now on".to_owned()
        }
        (Class::Permanent, _) => "tell the server's operator what it said".to_owned(),
        (Class::Temporary | Class::Other, _) => "nothing is lost: the mail stays on the server".to_owned(),
    }
}
