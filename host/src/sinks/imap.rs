//! Owns delivery into mailboxes by IMAP (RFC 3501, 9051): one APPEND an effect, with flags and the time. The answer to an
//! APPEND can be lost, so an attempt after the first looks for the message before it files it again. Must not change or
//! delete what is in a mailbox, or speak without checked TLS unless the operator accepted that in so many words.
//!
//! What arrives are the message's octets with every line end made CRLF, as IMAP wants them (a message retrieved by POP3
//! nearly always has no other). NUL cannot be sent in a literal, and servers re-encode what comes by BINARY (RFC 3516), so
//! a message with NUL is set aside.

mod filing;
mod find;
mod login;
mod mailbox;
mod reader;
mod response;
mod session;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_dial::{Client, Pin, Route, Trust};
use postroom_mail::{Mailbox, Name};
use postroom_oauth::Tokens;
use postroom_pop3::Mechanism;
use postroom_spool::Receipt;
use serde::Deserialize;
use tokio::sync::OnceCell;

use self::filing::Filing;
use self::session::{Opening, Session};
use super::Job;
use super::error::{Fault, SinkError};
use crate::config::{Auth, OAuth, RawOAuth, Secret, SecretRef, TlsMode};

/// An IMAP sink as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImapConfig {
    /// The server; its certificate must be for this name.
    pub host: String,
    /// 993 or 143 when not given, by `tls`.
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: TlsMode,
    /// `"I accept"` allows `tls = "none"`: anybody on the way can read and change the mail, and the password.
    pub insecure_plaintext: Option<String>,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: Option<SecretRef>,
    /// Where access tokens come from, instead of `password`; as for accounts.
    pub oauth2: Option<RawOAuth>,
    /// The same as meant.
    #[serde(skip)]
    pub tokens: Option<OAuth>,
    /// How to log in; the best that is offered when not given.
    #[serde(default)]
    pub auth: Auth,
    /// PEM file of the only authorities to trust, relative to the configuration file.
    pub ca_file: Option<PathBuf>,
    /// Keys of which the server's chain must hold one.
    #[serde(default)]
    pub pins: Vec<String>,
    /// Put before every mailbox but the inbox, e.g. `"INBOX."`; what the server says when not given.
    pub namespace: Option<String>,
    /// Makes mailboxes that are not there.
    #[serde(default = "yes")]
    pub create: bool,
    /// Which time the mailbox shows.
    #[serde(default)]
    pub internal_date: InternalDate,
}

/// The time a message gets in the mailbox (RFC 3501 section 2.3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InternalDate {
    /// When it was retrieved.
    #[default]
    Received,
    /// What its `Date` says, unless that is missing or later than the retrieval.
    Date,
}

/// A server with mailboxes.
pub struct Imap {
    name: Name,
    host: String,
    port: u16,
    tls: TlsMode,
    client: Client,
    user: String,
    login: Login,
    auth: Auth,
    namespace: Option<String>,
    create: bool,
    internal_date: InternalDate,
    base: PathBuf,
    timeouts: Timeouts,
}

enum Login {
    Password(Secret),
    /// Made at the first login.
    Tokens(Box<OAuth>, OnceCell<Tokens>),
}

/// How long the server may take.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    handshake: Duration,
    greeting: Duration,
    /// Searching a large mailbox may take long.
    command: Duration,
    block: Duration,
    quit: Duration,
}

impl Timeouts {
    const STANDARD: Self = Self {
        handshake: Duration::from_secs(30),
        greeting: Duration::from_secs(60),
        command: Duration::from_secs(5 * 60),
        block: Duration::from_secs(3 * 60),
        quit: Duration::from_secs(5),
    };
}

impl Imap {
    pub(super) fn new(name: &Name, config: &ImapConfig, base: &Path) -> Result<Self, SinkError> {
        let wrong = |what: &str| SinkError::new(name, what);
        match (config.tls, config.insecure_plaintext.as_deref()) {
            (TlsMode::Implicit | TlsMode::Starttls, None) | (TlsMode::None, Some("I accept")) => {}
            (TlsMode::None, _) => {
                return Err(wrong(
                    "`tls = \"none\"` lets anybody on the way read and change the mail, and read the password; use \
                     \"implicit\" or \"starttls\", or add `insecure_plaintext = \"I accept\"`",
                ));
            }
            (TlsMode::Implicit | TlsMode::Starttls, Some(_)) => {
                return Err(wrong("`insecure_plaintext` only goes with `tls = \"none\"`: remove it"));
            }
        }
        let login = match (&config.password, &config.tokens) {
            (Some(password), None) if config.oauth2.is_none() => {
                Login::Password(password.read(base).map_err(|error| {
                    SinkError::from_source(name, format!("cannot read `password`: {error}"), error)
                })?)
            }
            (None, Some(oauth)) if config.tls != TlsMode::None => {
                Login::Tokens(Box::new(oauth.clone()), OnceCell::new())
            }
            (None, Some(_)) => return Err(wrong("a token is never sent without TLS")),
            _ => return Err(wrong("give either `password` or `oauth2`")),
        };
        if let Auth::Only(mechanism) = config.auth {
            let token = matches!(login, Login::Tokens(..));
            if mechanism == Mechanism::Apop || mechanism.takes_token() != token {
                return Err(wrong("`auth` does not go with IMAP or with what the sink logs in with"));
            }
        }
        if config.user.is_empty() || config.user.contains(char::is_control) {
            return Err(wrong("`user` must be one line with a name"));
        }
        let pins: Result<Vec<Pin>, _> = config.pins.iter().map(|pin| pin.parse()).collect();
        let pins = pins.map_err(|error| SinkError::from_source(name, format!("`pins`: {error}"), error))?;
        let ca_file = config.ca_file.as_ref().map(|file| base.join(file));
        let client = Trust { ca_file, pins, ..Trust::default() }
            .prepare()
            .map_err(|error| SinkError::from_source(name, error.to_string(), error))?;
        let port = config.port.unwrap_or(match config.tls {
            TlsMode::Implicit => 993,
            TlsMode::Starttls | TlsMode::None => 143,
        });
        Ok(Self {
            name: name.clone(),
            host: config.host.clone(),
            port,
            tls: config.tls,
            client,
            user: config.user.clone(),
            login,
            auth: config.auth,
            namespace: config.namespace.clone(),
            create: config.create,
            internal_date: config.internal_date,
            base: base.to_owned(),
            timeouts: Timeouts::STANDARD,
        })
    }

    /// Files the effect's content, unless an earlier attempt is found to have done so.
    pub(super) async fn file(&self, job: &Job<'_>, mailbox: &Mailbox, flags: &str) -> Result<Receipt, Fault> {
        let filing = Filing::prepare(job, flags, self.internal_date).await?;
        let mut session = self.open(job.now).await?;
        let outcome = self.file_in(&mut session, &filing, job.again, mailbox).await;
        session.quit().await;
        let (proof, already) = outcome?;
        let place = format!("imap://{}/{}", self.place(), shown(mailbox));
        Ok(Receipt {
            location: place,
            proof: format!("{proof}sha256 {}", filing.digest),
            already,
            stored: None,
        })
    }

    /// Where it lies, and whether it lay there before.
    async fn file_in(
        &self,
        session: &mut Session,
        filing: &Filing,
        again: bool,
        mailbox: &Mailbox,
    ) -> Result<(String, bool), Fault> {
        session.check_size(filing)?;
        let argument = session.mailbox(mailbox, self.namespace.as_deref()).await?;
        if again && let Some(found) = find::earlier(session, &argument, filing).await? {
            return Ok((found, true));
        }
        let appended = session.append(&argument, filing, self.create).await?;
        Ok((appended, false))
    }

    /// Greets, protects, logs in, and leaves.
    pub(super) async fn probe(&self, now: postroom_mail::Timestamp) -> Result<Vec<String>, Fault> {
        let mut session = self.open(now).await?;
        let facts = session.facts(&self.user, self.namespace.as_deref()).await;
        session.quit().await;
        facts
    }

    /// A session; once more with a fresh token when the server would not take the one at hand.
    async fn open(&self, now: postroom_mail::Timestamp) -> Result<Session, Fault> {
        match Session::open(self, now, false).await {
            Ok(session) => Ok(session),
            Err(Opening::StaleToken(_)) => match Session::open(self, now, true).await {
                Ok(session) => Ok(session),
                Err(Opening::StaleToken(fault) | Opening::Failed(fault)) => Err(fault),
            },
            Err(Opening::Failed(fault)) => Err(fault),
        }
    }

    fn route(&self) -> Route {
        Route::direct(&self.host, self.port)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn shown(mailbox: &Mailbox) -> &str {
    if mailbox.is_inbox() { "INBOX" } else { mailbox.as_str() }
}

fn yes() -> bool {
    true
}

/// Without the password.
impl std::fmt::Debug for Imap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imap").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
