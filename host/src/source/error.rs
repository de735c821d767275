//! Why a poll failed: what happened, whose fault it is, what to do. One account's trouble, never another's.

use std::io;
use std::time::Duration;

use rustls::CertificateError;

use crate::config::{AccountConfig, ConfigError, TlsMode};
use crate::tls::TrustError;

/// A failed poll. Whatever was admitted before stays admitted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host name has no address.
    #[error("cannot find the server {host}: {source}")]
    Resolve {
        /// As configured.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// No address of the server answered.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// The last failure.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("no TLS with {host}: {}", tls_words(source))]
    Tls {
        /// As configured.
        host: String,
        /// The cause.
        source: io::Error,
    },
    /// Nothing came for too long.
    #[error("the server did not answer {doing} within {} s", after.as_secs())]
    Silent {
        /// What was asked.
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection broke during {doing}: {source}")]
    Broken {
        /// What was under way.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The protocol failed.
    #[error(transparent)]
    Pop3(#[from] postroom_pop3::Error),
    /// The authorities cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The password cannot be read.
    #[error("the password cannot be read: {0}")]
    Secret(ConfigError),
    /// The spool failed: nothing more is retrieved, the connection is dropped without QUIT.
    #[error(transparent)]
    Spool(#[from] postroom_spool::Error),
}

impl From<postroom_pop3::Rejection> for Error {
    fn from(rejection: postroom_pop3::Rejection) -> Self {
        Self::Pop3(rejection.into())
    }
}

impl Error {
    /// Whether a person has to change something first. Everything else is tried again with growing pauses.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Pop3(error) => error.disposition() == postroom_pop3::Disposition::ParkAccount,
            Self::Trust(_) | Self::Secret(_) => true,
            Self::Tls { source, .. } => certificate(source).is_some(),
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::Spool(_) => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self, account: &AccountConfig) -> String {
        let AccountConfig { host, port, .. } = account;
        match self {
            Self::Resolve { .. } => format!("check `host = \"{host}\"` for a typing mistake, and this machine's network"),
            Self::Connect { .. } => format!("check `host` and `port` ({port}): POP3 over TLS is usually 995, STARTTLS 110"),
            Self::Silent { .. } if account.tls == TlsMode::Implicit && *port == 110 => {
                "port 110 usually wants `tls = \"starttls\"`".to_owned()
            }
            Self::Silent { .. } => "the server may be overloaded; it is asked again later".to_owned(),
            Self::Tls { source, .. } => tls_hint(source, account),
            Self::Broken { .. } => "nothing is lost: what was not complete is retrieved again".to_owned(),
            Self::Pop3(postroom_pop3::Error::Rejected(rejection)) if rejection.bad_credentials() => {
                "check `user` and `password`; some providers want an app password, or POP3 switched on in their settings".to_owned()
            }
            Self::Pop3(_) => "nothing is lost: the mail stays on the server".to_owned(),
            Self::Trust(_) => "correct `ca_file`".to_owned(),
            Self::Secret(_) => "correct `password` of this account".to_owned(),
            Self::Spool(_) => "the mail stays on the server until this is mended".to_owned(),
        }
    }
}

fn certificate(error: &io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(reason) => Some(reason),
        _ => None,
    }
}

fn tls_words(error: &io::Error) -> String {
    match certificate(error) {
        Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the server's certificate has expired".to_owned()
        }
        Some(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet".to_owned()
        }
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "the server's certificate is for another name".to_owned()
        }
        Some(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the server's certificate is from an authority that is not trusted".to_owned()
        }
        Some(other) => format!("the server's certificate is not acceptable ({other})"),
        None => error.to_string(),
    }
}

fn tls_hint(error: &io::Error, account: &AccountConfig) -> String {
    match certificate(error) {
        Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "tell the server's operator; and check this machine's clock".to_owned()
        }
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            format!("check `host = \"{}\"`: it must be the name in the certificate", account.host)
        }
        Some(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "for a server with its own authority, name that authority's certificate with `ca_file`".to_owned()
        }
        Some(_) => "tell the server's operator".to_owned(),
        None if account.port == 110 && account.tls == TlsMode::Implicit => {
            "port 110 usually wants `tls = \"starttls\"`".to_owned()
        }
        None => "check `port` and `tls`: 995 is `implicit`, 110 is `starttls`".to_owned(),
    }
}
