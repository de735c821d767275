//! Why there is no trusted connection: what happened, whose fault it is, what to do. Must not hold a secret or a foreign
//! text that was not made fit to be shown.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cause::TlsCause;

/// Said only where there was a choice.
fn tried_of(tried: usize, known: usize) -> String {
    if known > 1 { format!(" ({tried} of its {known} addresses tried)") } else { String::new() }
}

/// No trusted connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host name has no address.
    #[error("cannot find the server {host}: {reason}")]
    Resolve {
        /// As configured.
        host: String,
        /// What the resolver said.
        reason: ResolveFailure,
    },
    /// No address answered.
    #[error("cannot connect to {host} port {port}: {reason}{}", tried_of(*tried, *known))]
    Connect {
        /// As configured.
        host: String,
        /// The port.
        port: u16,
        /// Attempts begun.
        tried: usize,
        /// Addresses known.
        known: usize,
        /// The most telling failure.
        reason: io::Error,
    },
    /// The proxy itself cannot be reached.
    #[error("the proxy {proxy} cannot be reached: {reason}")]
    ProxyUnreachable {
        /// Host and port of the proxy.
        proxy: String,
        /// [`Error::Resolve`] or [`Error::Connect`].
        reason: Box<Error>,
    },
    /// The proxy was reached, but made no connection.
    #[error("no connection to {server} through the proxy {proxy}: {reason}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port of the server.
        server: String,
        /// Whose fault.
        reason: ProxyFailure,
    },
    /// No TLS with the server.
    #[error("no TLS with {host}: {cause}")]
    Tls {
        /// As configured.
        host: String,
        /// Why.
        cause: TlsCause,
    },
    /// A file that trust is built on cannot be used.
    #[error("cannot use {path} as `{file}`: {reason}")]
    File {
        /// Which setting named it.
        file: TrustFile,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The TLS library refused the settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What the resolver said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveFailure {
    /// There is no such name, or it has no address.
    #[error("there is no such name, or it has no address")]
    NoSuchName,
    /// The resolver failed; the name may well exist.
    #[error("the name service is in trouble ({0})")]
    Temporary(String),
    /// No answer.
    #[error("the name service did not answer within {} s", after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
}

/// Why a proxy made no connection.
#[derive(Debug, thiserror::Error)]
pub enum ProxyFailure {
    /// It speaks something else.
    #[error("it does not answer as a SOCKS5 proxy does")]
    NotSocks5,
    /// It wants a login and none is configured.
    #[error("the proxy wants a login, and none is configured")]
    LoginRequired,
    /// It wants a way of login this client does not have.
    #[error("the proxy wants another kind of login than none or user and password")]
    NoCommonMethod,
    /// User or password are empty or over 255 octets.
    #[error("user and password for the proxy must be 1 to 255 octets each")]
    LoginLength,
    /// The login was refused.
    #[error("the proxy refused the login")]
    LoginRefused,
    /// The server's name is empty or over 255 octets.
    #[error("the server's name must be 1 to 255 octets")]
    NameLength,
    /// Its rules forbid it (reply 2).
    #[error("the proxy's rules do not allow it")]
    NotAllowed,
    /// It tried; the trouble is behind it (replies 3 to 6).
    #[error("the proxy could not reach the server: {0}")]
    ServerUnreachable(&'static str),
    /// It failed or does not know the request (replies 1, 7, 8 and unknown ones).
    #[error("the proxy failed by itself (reply {code})")]
    Refused {
        /// RFC 1928 section 6.
        code: u8,
    },
    /// It closed the connection.
    #[error("the proxy closed the connection without an answer")]
    Closed,
    /// The connection to it broke.
    #[error("the connection to the proxy broke: {0}")]
    Broken(io::Error),
    /// It said nothing.
    #[error("the proxy did not answer within {} s", after.as_secs_f32())]
    Silent {
        /// How long everything had taken by then.
        after: Duration,
    },
}

/// A setting that names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustFile {
    /// The authorities trusted.
    CaFile,
    /// The client's certificate.
    ClientCertificate,
    /// The client's key.
    ClientKey,
}

impl std::fmt::Display for TrustFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CaFile => "ca_file",
            Self::ClientCertificate => "client_certificate",
            Self::ClientKey => "client_key",
        })
    }
}

impl Error {
    /// Whether a person has to change something first. Everything else may heal by itself; a name that does not exist
    /// counts as such, because resolvers say so while a network comes up.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::ProxyUnreachable { .. } => false,
            Self::Proxy { reason, .. } => reason.needs_a_person(),
            Self::Tls { cause, .. } => cause.needs_a_person(),
            Self::File { .. } | Self::Setup(_) => true,
        }
    }

    /// What to do, in one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Resolve { host, reason: ResolveFailure::NoSuchName } => {
                format!("check \"{host}\" for a typing mistake")
            }
            Self::Resolve { .. } => "check this machine's network and its name servers".to_owned(),
            Self::Connect { .. } => "check host and port, and whether a firewall is in the way".to_owned(),
            Self::ProxyUnreachable { .. } => "check the proxy's host and port, and that it runs".to_owned(),
            Self::Proxy { reason, .. } => reason.hint().to_owned(),
            Self::Tls { host, cause } => cause.hint(host),
            Self::File { file, .. } => match file {
                TrustFile::CaFile => "`ca_file` must name a PEM file with at least one CERTIFICATE".to_owned(),
                TrustFile::ClientCertificate => {
                    "it must be a PEM file with the certificate, then the authorities between it and the root".to_owned()
                }
                TrustFile::ClientKey => {
                    "it must be a PEM file with the certificate's key (PKCS#8, PKCS#1 or SEC1) without a passphrase"
                        .to_owned()
                }
            },
            Self::Setup(_) => "correct the TLS settings".to_owned(),
        }
    }

    /// The meaning of an error read from a connection after its handshake: with TLS 1.3 a server refuses the client's
    /// certificate, or the lack of one, only then. `None` if the error is no such refusal.
    #[must_use]
    pub fn after_handshake(host: &str, error: &io::Error) -> Option<Self> {
        let cause = crate::cause::about_client_certificate(error)?;
        Some(Self::Tls { host: crate::text::shown(host), cause })
    }
}

impl ProxyFailure {
    fn needs_a_person(&self) -> bool {
        match self {
            Self::NotSocks5
            | Self::LoginRequired
            | Self::NoCommonMethod
            | Self::LoginLength
            | Self::LoginRefused
            | Self::NameLength
            | Self::NotAllowed => true,
            Self::ServerUnreachable(_)
            | Self::Refused { .. }
            | Self::Closed
            | Self::Broken(_)
            | Self::Silent { .. } => false,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::NotSocks5 => "check the proxy's port: it must be its SOCKS5 port, not its HTTP port",
            Self::LoginRequired => "configure the proxy's user and password",
            Self::NoCommonMethod => "let the proxy accept no login, or user and password",
            Self::LoginLength | Self::LoginRefused => "correct the proxy's user and password",
            Self::NameLength => "correct the server's host name",
            Self::NotAllowed => "let the proxy's operator allow this server and port",
            Self::ServerUnreachable(_) => "check host and port of the server; the proxy itself works",
            Self::Refused { .. } | Self::Closed | Self::Broken(_) | Self::Silent { .. } => {
                "look into the proxy's log; it is asked again later"
            }
        }
    }
}
