//! Why there is no TLS, told apart by what has to be done about it. Must not hold text that was not made fit to be shown.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use crate::peer::Certificate;
use crate::pin::Pin;
use crate::text::shown;
use crate::trust::{Trust, Version};
use crate::verify::Seen;

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsCause {
    /// The server's certificate, or one it depends on, has ended.
    #[error("the server's certificate has expired{}", date(" on", *ended))]
    Expired {
        /// Seconds since 1970.
        ended: Option<i64>,
    },
    /// The server's certificate, or one it depends on, begins later.
    #[error("the server's certificate is not valid yet{}", date(", only from", *begins))]
    NotYetValid {
        /// Seconds since 1970.
        begins: Option<i64>,
    },
    /// The certificate is for others.
    #[error("the server's certificate is for another name: {}", for_names(names, subject))]
    WrongName {
        /// The names it is for; empty if it has no subject alternative names at all.
        names: Vec<String>,
        /// Its subject.
        subject: String,
    },
    /// Nobody trusted has signed it.
    #[error("the server's certificate is from an authority that is not trusted ({issuer})")]
    UnknownAuthority {
        /// Who has signed it.
        issuer: String,
    },
    /// It is signed by itself and not trusted.
    #[error(
        "the server's certificate is signed by itself, not by an authority that is trusted; its key is {pin}"
    )]
    SelfSigned {
        /// To compare with the server's operator.
        pin: Pin,
    },
    /// It is an authority's certificate, used as a server's.
    #[error(
        "the server shows an authority's certificate (CA:TRUE) as its own, which does not count as a server's"
    )]
    MarkedAsAuthority,
    /// Valid, but none of its keys is pinned.
    #[error(
        "the server's certificate is valid, but no key of it is pinned; the server's key is {}",
        keys(seen)
    )]
    PinMismatch {
        /// The keys of the verified chain, the server's first.
        seen: Vec<Pin>,
    },
    /// Another flaw of the certificate.
    #[error("the server's certificate is not acceptable ({0})")]
    Unacceptable(String),
    /// The server speaks older versions only.
    #[error("the server does not speak {minimum} or newer")]
    TooOld {
        /// The oldest version spoken here.
        minimum: Version,
    },
    /// No common cipher suite, or a refusal without a reason.
    #[error("the server found nothing in common to speak (or wants a client certificate)")]
    NothingInCommon,
    /// The server knows no host of this name.
    #[error("the server does not know this host name")]
    UnknownToServer,
    /// The server wants a client certificate.
    #[error("the server wants a client certificate, and none was shown")]
    ClientCertificateRequired,
    /// The server does not take the client certificate.
    #[error("the server refused the client certificate ({alert})")]
    ClientCertificateRefused {
        /// The alert's name.
        alert: String,
    },
    /// The server does not speak TLS here.
    #[error("the server answered in plain text: this port does not begin with TLS")]
    PlainText,
    /// The connection ended during the handshake.
    #[error("the connection was closed during the handshake")]
    Closed,
    /// Nothing came.
    #[error("the handshake was not finished within {} s", after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// The host cannot be a name in a certificate.
    #[error("the host name cannot stand in a certificate")]
    ImpossibleName,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl TlsCause {
    pub(crate) fn needs_a_person(&self) -> bool {
        match self {
            Self::Closed | Self::Silent { .. } | Self::NothingInCommon | Self::Other(_) => false,
            Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::WrongName { .. }
            | Self::UnknownAuthority { .. }
            | Self::SelfSigned { .. }
            | Self::MarkedAsAuthority
            | Self::PinMismatch { .. }
            | Self::Unacceptable(_)
            | Self::TooOld { .. }
            | Self::UnknownToServer
            | Self::ClientCertificateRequired
            | Self::ClientCertificateRefused { .. }
            | Self::PlainText
            | Self::ImpossibleName => true,
        }
    }

    pub(crate) fn hint(&self, host: &str) -> String {
        match self {
            Self::Expired { .. } | Self::NotYetValid { .. } => {
                "tell the server's operator, and check this machine's clock".to_owned()
            }
            Self::WrongName { names, .. } if names.is_empty() => {
                "the server's operator must have a certificate made with a subject alternative name".to_owned()
            }
            Self::WrongName { .. } | Self::UnknownToServer => {
                format!("check \"{host}\": it must be a name in the server's certificate")
            }
            Self::UnknownAuthority { .. } => {
                "for a server with its own authority, name that authority's certificate with `ca_file`; else somebody may \
                 be listening in"
                    .to_owned()
            }
            Self::SelfSigned { .. } => {
                "if this is your server, compare the key with its own and name its certificate with `ca_file`".to_owned()
            }
            Self::MarkedAsAuthority => {
                "have the server's certificate made again with basicConstraints CA:FALSE, and name it with `ca_file`"
                    .to_owned()
            }
            Self::PinMismatch { .. } => {
                "ask the server's operator whether the key was changed; only then pin the new one, and a backup".to_owned()
            }
            Self::Unacceptable(_) => "tell the server's operator".to_owned(),
            Self::TooOld { minimum: Version::Tls13 } => {
                "lower the minimum version to TLS 1.2, or have the server updated".to_owned()
            }
            Self::TooOld { minimum: Version::Tls12 } => "the server has to be updated".to_owned(),
            Self::NothingInCommon => {
                "have the server updated; if it asks for a client certificate, configure one".to_owned()
            }
            Self::ClientCertificateRequired => "configure a client certificate and its key".to_owned(),
            Self::ClientCertificateRefused { .. } => {
                "check that the client certificate is in date and from the authority the server trusts".to_owned()
            }
            Self::PlainText => {
                "is this port for STARTTLS? Check the port and the way of TLS".to_owned()
            }
            Self::Closed => "check the port; the server may also be overloaded, it is asked again later".to_owned(),
            Self::Silent { .. } => {
                "if the port begins in plain text, use STARTTLS; the server may also be overloaded".to_owned()
            }
            Self::ImpossibleName => {
                format!("check \"{host}\": letters outside ASCII must be given in their xn-- form")
            }
            Self::Other(_) => "check the port and the way of TLS".to_owned(),
        }
    }
}

/// The cause of a failed handshake.
pub(crate) fn of(error: &io::Error, seen: &Seen, trust: &Trust) -> TlsCause {
    let Some(tls) = inner(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => TlsCause::Closed,
            _ => TlsCause::Other(shown(&error.to_string())),
        };
    };
    match tls {
        rustls::Error::InvalidCertificate(flaw) => of_certificate(flaw, seen),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => TlsCause::TooOld { minimum: trust.minimum },
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => TlsCause::NothingInCommon,
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => TlsCause::UnknownToServer,
        // What is not even a record: some other protocol's greeting.
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => TlsCause::PlainText,
        other => {
            about_client_certificate(error).unwrap_or_else(|| TlsCause::Other(shown(&other.to_string())))
        }
    }
}

/// What a server says about the certificate it was shown, or was not.
pub(crate) fn about_client_certificate(error: &io::Error) -> Option<TlsCause> {
    match inner(error)? {
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Some(TlsCause::ClientCertificateRequired)
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied),
        ) => Some(TlsCause::ClientCertificateRefused { alert: format!("{alert:?}") }),
        _ => None,
    }
}

fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn of_certificate(flaw: &CertificateError, seen: &Seen) -> TlsCause {
    let server = seen.chain.first().and_then(Certificate::parse);
    match flaw {
        CertificateError::Expired => TlsCause::Expired { ended: server.map(|server| server.not_after) },
        CertificateError::ExpiredContext { not_after, .. } => {
            TlsCause::Expired { ended: i64::try_from(not_after.as_secs()).ok() }
        }
        CertificateError::NotValidYet => {
            TlsCause::NotYetValid { begins: server.map(|server| server.not_before) }
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            TlsCause::NotYetValid { begins: i64::try_from(not_before.as_secs()).ok() }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let (names, subject) = server.map(|server| (server.names, server.subject)).unwrap_or_default();
            TlsCause::WrongName { names, subject }
        }
        CertificateError::ApplicationVerificationFailure => {
            TlsCause::PinMismatch { seen: seen.unpinned.clone() }
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match server {
            Some(server) if server.signed_by_itself() => TlsCause::SelfSigned { pin: server.pin },
            Some(server) => TlsCause::UnknownAuthority { issuer: server.issuer },
            None => TlsCause::UnknownAuthority { issuer: "unnamed".to_owned() },
        },
        // The library has no variant of its own for this one.
        CertificateError::Other(other)
            if other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) =>
        {
            TlsCause::MarkedAsAuthority
        }
        other => TlsCause::Unacceptable(shown(&other.to_string())),
    }
}

fn date(before: &str, seconds: Option<i64>) -> String {
    match seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
        Some(time) => format!("{before} {}", time.strftime("%Y-%m-%d")),
        None => String::new(),
    }
}

fn for_names(names: &[String], subject: &str) -> String {
    const SHOWN: usize = 5;
    if names.is_empty() {
        return format!(
            "it holds no subject alternative name, and its common name ({subject}) does not count"
        );
    }
    let mut text = format!("it is for {}", names[..names.len().min(SHOWN)].join(", "));
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

fn keys(seen: &[Pin]) -> String {
    let Some((server, above)) = seen.split_first() else { return "not known".to_owned() };
    let mut text = server.to_string();
    for pin in above {
        let _ = write!(text, ", above it {pin}");
    }
    text
}
