//! Owns delivery by LMTP (RFC 2033) into the mailboxes of a server nearby. Each recipient has an answer of its own, so the
//! pipeline plans one effect for each ([`apart`](crate::pipeline)); what was planned for several is set aside as soon as
//! only some of them got it. Must not hold a second copy of the session: it is SMTP's.

use std::path::{Path, PathBuf};

use postroom_mail::{Address, Envelope, HeaderField, Name};
use postroom_spool::Receipt;
use serde::Deserialize;

use super::super::Job;
use super::super::error::{Fault, SinkError};
use super::{Dialect, Endpoint, InDoubt, Login, Rules, Security, Server, SmtpTls, Timeouts, check_hello};
use crate::config::SecretRef;

/// An LMTP sink as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LmtpConfig {
    /// The server's socket on this machine, relative to the configuration file. Instead of `host`.
    pub socket: Option<PathBuf>,
    /// The server; its certificate must be for this name.
    pub host: Option<String>,
    /// 24 when not given.
    pub port: Option<u16>,
    /// How a connection to `host` is protected; STARTTLS when not given.
    pub tls: Option<SmtpTls>,
    /// `"I accept"` allows `tls = "none"` to another machine: anybody on the way can read and change the mail.
    pub insecure_plaintext: Option<String>,
    /// Who logs in, where the server wants that.
    pub user: Option<String>,
    /// With what.
    pub password: Option<SecretRef>,
    /// Reverse-path of effects that name none; the null path when not given.
    pub from: Option<Address>,
    /// Who may be delivered to: addresses, or `*@domain`. Anybody when empty, which only bundled plugins are trusted with.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// PEM file of the only authorities to trust, relative to the configuration file.
    pub ca_file: Option<PathBuf>,
    /// What `LHLO` says; the own address as a literal when not given.
    pub hello: Option<String>,
    /// What becomes of a message that was handed over whole, but whose acceptance nobody knows.
    #[serde(default)]
    pub in_doubt: InDoubt,
}

/// A server that delivers into its mailboxes.
#[derive(Debug)]
pub struct Lmtp {
    pub(super) server: Server,
    rules: Rules,
}

/// Registered for LMTP by usage; RFC 2033 section 5 only forbids 25.
const PORT: u16 = 24;

impl Lmtp {
    pub(in crate::sinks) fn new(name: &Name, config: &LmtpConfig, base: &Path) -> Result<Self, SinkError> {
        let (endpoint, security) = Self::way(name, config, base)?;
        let login = Login::read(name, config.user.as_deref(), config.password.as_ref(), base)?;
        check_hello(name, config.hello.as_deref())?;
        let server = Server {
            dialect: Dialect::Lmtp,
            endpoint,
            security,
            login,
            hello: config.hello.clone(),
            timeouts: Timeouts::STANDARD,
        };
        Ok(Self { server, rules: Rules::new(config.from.as_ref(), &config.recipients, config.in_doubt) })
    }

    fn way(name: &Name, config: &LmtpConfig, base: &Path) -> Result<(Endpoint, Security), SinkError> {
        match (&config.socket, &config.host) {
            (Some(_), _) if config.port.is_some() || config.tls.is_some() || config.ca_file.is_some() => {
                Err(SinkError::new(name, "`port`, `tls` and `ca_file` go with `host`, not with `socket`"))
            }
            (Some(socket), None) => Ok((Endpoint::Socket(base.join(socket)), Security::None)),
            (None, Some(host)) => {
                let port = config.port.unwrap_or(PORT);
                let tls = config.tls.unwrap_or(SmtpTls::StartTls);
                let consent = config.insecure_plaintext.as_deref();
                // Nobody is on the way to this machine itself.
                let consent = if tls == SmtpTls::None && is_here(host) { Some("I accept") } else { consent };
                let security = Security::new(name, host, (tls, consent), config.ca_file.as_deref(), base)?;
                if port == 25 {
                    return Err(SinkError::new(name, "LMTP is never spoken on port 25 (RFC 2033 section 5)"));
                }
                Ok((Endpoint::Tcp(host.clone(), port), security))
            }
            (Some(_), Some(_)) => Err(SinkError::new(name, "give either `socket` or `host`, not both")),
            (None, None) => {
                Err(SinkError::new(name, "lacks `socket` (for example \"/run/dovecot/lmtp\") or `host`"))
            }
        }
    }

    /// Delivers the effect's content to the recipient of the envelope.
    pub(in crate::sinks) async fn send(
        &self,
        job: &Job<'_>,
        envelope: &Envelope,
        add_headers: &[HeaderField],
    ) -> Result<Receipt, Fault> {
        self.server.send(&self.rules, job, envelope, add_headers).await
    }

    /// Greets, protects, logs in, and leaves.
    pub(in crate::sinks) async fn probe(&self) -> Result<Vec<String>, Fault> {
        self.server.probe(&self.rules).await
    }

    /// After how many lost answers a message is set aside.
    pub(in crate::sinks) fn most_doubts(&self) -> u32 {
        self.rules.most_doubts()
    }
}

fn is_here(host: &str) -> bool {
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
