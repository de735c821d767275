//! Who answered: the connection's parameters and the certificates, made fit to be shown. Must not judge them: that was
//! done before.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::pin::Pin;
use crate::text::shown;

/// At most so many names of one certificate are kept.
const NAMES: usize = 50;

/// The server's side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// E.g. `TLS 1.3`.
    pub version: String,
    /// E.g. `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// As sent, the server's first; one that cannot be parsed is left out.
    pub certificates: Vec<Certificate>,
}

/// One certificate. All texts are neutralised and capped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, e.g. `CN=mail.example`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names and addresses it is valid for (subject alternative names), at most 50.
    pub names: Vec<String>,
    /// Valid from, in seconds since 1970.
    pub not_before: i64,
    /// Valid until, in seconds since 1970.
    pub not_after: i64,
    /// E.g. `RSA 2048` or `EC 256`.
    pub key: String,
    /// The key's pin, as a configuration takes it.
    pub pin: Pin,
}

impl Peer {
    /// What a handshake has shown.
    #[must_use]
    pub fn of<S>(stream: &TlsStream<S>) -> Self {
        let (_, connection) = stream.get_ref();
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            other => format!("{other:?}"),
        };
        let cipher = connection
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite()));
        let sent = connection.peer_certificates().unwrap_or_default();
        Self { version, cipher, certificates: sent.iter().filter_map(Certificate::parse).collect() }
    }

    /// Whether a certificate of the chain ends within `margin` of `now` (seconds since 1970), or has ended. A chain is
    /// valid no longer than its shortest link.
    #[must_use]
    pub fn expires_within(&self, now: i64, margin: Duration) -> bool {
        let limit = now.saturating_add_unsigned(margin.as_secs());
        self.certificates.iter().any(|certificate| certificate.not_after <= limit)
    }
}

impl Certificate {
    /// Reads a certificate; `None` if it is malformed.
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        Some(Self {
            subject: shown(&parsed.subject().to_string()),
            issuer: shown(&parsed.issuer().to_string()),
            names: names(&parsed),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            key: key(&parsed),
            pin: Pin::of_spki(parsed.public_key().raw),
        })
    }

    pub(crate) fn signed_by_itself(&self) -> bool {
        self.subject == self.issuer
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(shown(name)),
        GeneralName::IPAddress(octets) => match *octets {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            octets => {
                <[u8; 16]>::try_from(octets).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string())
            }
        },
        _ => None,
    });
    names.take(NAMES).collect()
}

fn key(certificate: &X509Certificate<'_>) -> String {
    let key = certificate.public_key();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => format!("EC {}", point.key_size()),
        _ => match key.algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => "Ed25519".to_owned(),
            "1.3.101.113" => "Ed448".to_owned(),
            oid => shown(oid),
        },
    }
}
