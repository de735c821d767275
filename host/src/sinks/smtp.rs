//! Owns delivery by SMTP submission (RFC 5321, 6409): one transaction for all recipients of an effect, or none; and by
//! LMTP, which differs in two words and in its answers to the final dot.
//! Must not send mail a second time unless it says that the first time is in doubt, and never without checked TLS
//! unless the operator accepted that in so many words.
//!
//! The client is our own: lettre 0.11 keeps what a server sent before a STARTTLS handshake and takes it for answers
//! afterwards, bounds no reply line, forgets SIZE, and does not tell a connection lost before the final dot from one
//! lost after it. The last is the difference between trying again and a second copy.

mod lmtp;
mod outgoing;
mod pace;
mod session;
mod srs;
mod wire;

pub use lmtp::{Lmtp, LmtpConfig};
pub(super) use outgoing::canonical;
pub use pace::Wait;
pub use srs::SrsConfig;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Address, Content, Envelope, HeaderField, Name, Timestamp};
use postroom_spool::Receipt;
use rustls::pki_types::ServerName;
use serde::Deserialize;

use self::outgoing::Outgoing;
use self::pace::Pace;
use self::session::{Session, Transaction};
use self::srs::{Sender, Srs};
use super::error::{Fault, SinkError};
use super::{Job, contents};
use crate::config::{Secret, SecretRef};

/// An SMTP sink as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// The server; its certificate must be for this name.
    pub host: String,
    /// 465, 587 or 25 when not given, by `tls`.
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: SmtpTls,
    /// `"I accept"` allows `tls = "none"`: anybody on the way can read and change the mail, and the password.
    pub insecure_plaintext: Option<String>,
    /// Who logs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<SecretRef>,
    /// Reverse-path of effects that name none; the null path when not given, so that nothing bounces.
    pub from: Option<Address>,
    /// Who may be sent to: addresses, or `*@domain`. Anybody when empty, which only bundled plugins are trusted with.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// PEM file of the only authorities to trust, relative to the configuration file.
    pub ca_file: Option<PathBuf>,
    /// What `EHLO` says; the own address as a literal when not given.
    pub hello: Option<String>,
    /// What becomes of a message that was handed over whole, but whose acceptance nobody knows.
    #[serde(default)]
    pub in_doubt: InDoubt,
    /// Rewrites the senders of redirected mail to addresses of a domain that takes their bounces.
    pub srs: Option<SrsConfig>,
    /// Most recipients of one domain in a minute.
    pub per_minute: Option<u32>,
    /// Most recipients of one domain in a day.
    pub per_day: Option<u32>,
}

/// What to do when the answer to a whole message was lost (RFC 1047). Nothing can tell whether it was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InDoubt {
    /// Send it once more, then set it aside: it arrives at most twice.
    #[default]
    RetryOnce,
    /// Set it aside at once: it arrives at most once, or not at all.
    Hold,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SmtpTls {
    /// TLS from the first octet (RFC 8314).
    #[default]
    #[serde(rename = "implicit")]
    Implicit,
    /// Plain until STARTTLS (RFC 3207), which must be offered and must succeed.
    #[serde(rename = "starttls")]
    StartTls,
    /// None at all.
    #[serde(rename = "none")]
    None,
}

/// An SMTP server that mail is submitted to.
#[derive(Debug)]
pub struct Smtp {
    server: Server,
    rules: Rules,
    pace: Pace,
}

/// A server, whichever of the two protocols it speaks.
struct Server {
    dialect: Dialect,
    endpoint: Endpoint,
    security: Security,
    login: Option<Login>,
    hello: Option<String>,
    timeouts: Timeouts,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// RFC 5321: one answer to a message, whatever its recipients.
    Smtp,
    /// RFC 2033: one answer for each recipient.
    Lmtp,
}

/// Where a server is.
#[derive(Clone, Debug)]
enum Endpoint {
    Tcp(String, u16),
    Socket(PathBuf),
}

/// What an operator says of the mail of a sink.
#[derive(Debug)]
struct Rules {
    from: Option<Address>,
    recipients: Vec<String>,
    in_doubt: InDoubt,
    srs: Option<Arc<Srs>>,
}

/// [`SmtpTls`] with what it takes.
enum Security {
    Implicit(Trust),
    StartTls(Trust),
    None,
}

struct Trust {
    config: Arc<rustls::ClientConfig>,
    name: ServerName<'static>,
}

struct Login {
    user: String,
    password: Secret,
}

/// How long the server may take (RFC 5321 section 4.5.3.2).
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    connect: Duration,
    greeting: Duration,
    command: Duration,
    data: Duration,
    block: Duration,
    /// After the final dot: long, since giving up early makes second copies (RFC 1047).
    dot: Duration,
    quit: Duration,
}

impl Timeouts {
    const STANDARD: Self = Self {
        connect: Duration::from_secs(30),
        greeting: Duration::from_secs(5 * 60),
        command: Duration::from_secs(5 * 60),
        data: Duration::from_secs(2 * 60),
        block: Duration::from_secs(3 * 60),
        dot: Duration::from_secs(10 * 60),
        quit: Duration::from_secs(5),
    };
}

impl Smtp {
    pub(super) fn new(name: &Name, config: &SmtpConfig, base: &Path) -> Result<Self, SinkError> {
        let tls = (config.tls, config.insecure_plaintext.as_deref());
        let security = Security::new(name, &config.host, tls, config.ca_file.as_deref(), base)?;
        let login = Login::read(name, config.user.as_deref(), config.password.as_ref(), base)?;
        check_hello(name, config.hello.as_deref())?;
        let port = config.port.unwrap_or(match config.tls {
            SmtpTls::Implicit => 465,
            SmtpTls::StartTls => 587,
            SmtpTls::None => 25,
        });
        let server = Server {
            dialect: Dialect::Smtp,
            endpoint: Endpoint::Tcp(config.host.clone(), port),
            security,
            login,
            hello: config.hello.clone(),
            timeouts: Timeouts::STANDARD,
        };
        let srs = config.srs.as_ref().map(|srs| read_srs(name, srs, base)).transpose()?;
        let pace = Pace::new(config.per_minute, config.per_day).map_err(|text| SinkError::new(name, text))?;
        let rules = Rules::new(config.from.as_ref(), &config.recipients, config.in_doubt);
        Ok(Self { server, rules: Rules { srs, ..rules }, pace })
    }

    /// Sends the effect's content to all recipients of the envelope, or to none.
    pub(super) async fn send(
        &self,
        job: &Job<'_>,
        envelope: &Envelope,
        add_headers: &[HeaderField],
    ) -> Result<Receipt, Fault> {
        self.server.send(&self.rules, job, envelope, add_headers).await
    }

    /// Greets, protects, logs in, and leaves.
    pub(super) async fn probe(&self) -> Result<Vec<String>, Fault> {
        self.server.probe(&self.rules).await
    }

    /// After how many lost answers a message is set aside.
    pub(super) fn most_doubts(&self) -> u32 {
        self.rules.most_doubts()
    }

    /// Whether its recipients may have another message now; if so, this is counted.
    pub(super) fn take(&self, envelope: &Envelope, now: Timestamp) -> Result<(), Wait> {
        self.pace.take(envelope, now)
    }

    /// What was counted was not sent.
    pub(super) fn give_back(&self, envelope: &Envelope, now: Timestamp) {
        self.pace.give_back(envelope, now);
    }
}

impl Server {
    async fn send(
        &self,
        rules: &Rules,
        job: &Job<'_>,
        envelope: &Envelope,
        add_headers: &[HeaderField],
    ) -> Result<Receipt, Fault> {
        rules.check_recipients(envelope)?;
        let (effect, raw) = (job.effect, Arc::clone(&job.raw));
        let (owned, headers, domain) = (effect.clone(), add_headers.to_vec(), rules.message_id_domain());
        // A message that was made here is from whom the sink says.
        let redirected = envelope.from.is_none() && effect.content == Content::raw(raw.len());
        let (srs, retrieved) = (rules.srs.clone().filter(|_| redirected), job.provenance.retrieved);
        let (mail, sender) = super::blocking(move || {
            let content = contents::collect(&owned, &*raw)?;
            let sender = srs.map_or(Sender::Own, |srs| srs.sender(&content, retrieved));
            Ok((Outgoing::prepare(&content, &headers, &owned.id, &domain)?, sender))
        })
        .await?;

        let transaction = match sender {
            Sender::Own => Transaction::new(envelope, rules.from.as_ref())?,
            Sender::Null => Transaction::new(envelope, None)?,
            Sender::Address(from) => {
                Transaction::new(&Envelope { from: Some(from), to: envelope.to.clone() }, None)?
            }
        };
        let mut session = Session::open(self).await?;
        let outcome = session.send(&transaction, &mail, job.sending).await;
        session.quit().await;
        let proof = outcome?;
        let to = effect.action.target();
        Ok(Receipt { location: format!("{} for {to}", self.place()), proof, already: false, stored: None })
    }

    async fn probe(&self, rules: &Rules) -> Result<Vec<String>, Fault> {
        let session = Session::open(self).await?;
        let mut facts = session.facts();
        facts.push(rules.in_doubt.in_words().to_owned());
        session.quit().await;
        Ok(facts)
    }

    fn place(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp(host, port) => format!("{host}:{port}"),
            Endpoint::Socket(path) => path.display().to_string(),
        }
    }
}

impl Rules {
    fn new(from: Option<&Address>, recipients: &[String], in_doubt: InDoubt) -> Self {
        let recipients = recipients.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
        Self { from: from.cloned(), recipients, in_doubt, srs: None }
    }

    fn most_doubts(&self) -> u32 {
        match self.in_doubt {
            InDoubt::RetryOnce => 2,
            InDoubt::Hold => 1,
        }
    }

    /// A plugin cannot send mail to where the operator did not say it may go.
    fn check_recipients(&self, envelope: &Envelope) -> Result<(), Fault> {
        let allowed = |to: &Address| {
            let to = to.as_str().to_ascii_lowercase();
            self.recipients.iter().any(|pattern| match pattern.strip_prefix('*') {
                Some(domain) => domain.starts_with('@') && to.ends_with(domain),
                None => to == *pattern,
            })
        };
        match envelope.to.iter().find(|to| !self.recipients.is_empty() && !allowed(to)) {
            None => Ok(()),
            Some(to) => Err(Fault::permanent(format!(
                "{to} is not among the `recipients` of this sink: add it there if this mail may go to it"
            ))),
        }
    }

    /// The right side of a Message-ID made here. Configured, not looked up: it must be the same on every host.
    fn message_id_domain(&self) -> String {
        let configured = self.from.as_ref().map(Address::domain).filter(|domain| !domain.is_empty());
        configured.unwrap_or("postroom.invalid").to_owned()
    }
}

impl Login {
    fn read(
        name: &Name,
        user: Option<&str>,
        password: Option<&SecretRef>,
        base: &Path,
    ) -> Result<Option<Self>, SinkError> {
        let (user, password) = match (user, password) {
            (None, None) => return Ok(None),
            (Some(user), Some(password)) => (user, password),
            _ => {
                return Err(SinkError::new(
                    name,
                    "`user` and `password` belong together: give both or neither",
                ));
            }
        };
        let password = password.read(base).map_err(|error| {
            SinkError::from_source(name, format!("cannot read `password`: {error}"), error)
        })?;
        if user.contains('\0') || password.expose().contains('\0') {
            return Err(SinkError::new(name, "`user` and `password` must not hold NUL (RFC 4616)"));
        }
        Ok(Some(Self { user: user.to_owned(), password }))
    }
}

fn read_srs(name: &Name, config: &SrsConfig, base: &Path) -> Result<Arc<Srs>, SinkError> {
    let secret = config.secret.read(base).map_err(|error| {
        SinkError::from_source(name, format!("cannot read the secret of `srs`: {error}"), error)
    })?;
    Srs::new(&config.domain, secret).map(Arc::new).map_err(|text| SinkError::new(name, text))
}

fn check_hello(name: &Name, hello: Option<&str>) -> Result<(), SinkError> {
    match hello {
        Some(hello) if hello.is_empty() || !hello.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(SinkError::new(name, "`hello` must be one word: a host name or an address literal"))
        }
        _ => Ok(()),
    }
}

impl Security {
    fn new(
        name: &Name,
        host: &str,
        tls: (SmtpTls, Option<&str>),
        ca_file: Option<&Path>,
        base: &Path,
    ) -> Result<Self, SinkError> {
        let trust = || {
            let ca_file = ca_file.map(|file| base.join(file));
            let tls = postroom_dial::client(ca_file.as_deref())
                .map_err(|error| SinkError::from_source(name, error.to_string(), error))?;
            let server = ServerName::try_from(host.to_owned()).map_err(|error| {
                SinkError::from_source(name, "`host` must be a host name or an IP address", error)
            })?;
            Ok(Trust { config: tls, name: server })
        };
        match tls {
            (SmtpTls::Implicit, None) => trust().map(Self::Implicit),
            (SmtpTls::StartTls, None) => trust().map(Self::StartTls),
            (SmtpTls::None, Some("I accept")) => Ok(Self::None),
            (SmtpTls::None, _) => Err(SinkError::new(
                name,
                "`tls = \"none\"` lets anybody on the way read and change the mail; \
                 use \"implicit\" or \"starttls\", or add `insecure_plaintext = \"I accept\"`",
            )),
            (SmtpTls::Implicit | SmtpTls::StartTls, Some(_)) => {
                Err(SinkError::new(name, "`insecure_plaintext` only goes with `tls = \"none\"`: remove it"))
            }
        }
    }
}

impl InDoubt {
    fn in_words(self) -> &'static str {
        match self {
            Self::RetryOnce => "a message whose acceptance is in doubt is sent once more, then set aside",
            Self::Hold => "a message whose acceptance is in doubt is set aside, never sent again by itself",
        }
    }
}

/// Without the password.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod redirected;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod tests;
