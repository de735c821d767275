//! Owns the throw-away certificate authority and the certificates made with it, good ones and the bad ones a client
//! must refuse. Must not touch the system's trust store: a client trusts this authority only by naming its file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::PracticeError;

/// A certificate authority that lives as long as this value; its key is never written anywhere.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Which certificate to make: the right one, or one of those a client must refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// Signed by the authority, for `localhost`, 127.0.0.1 and ::1, in date.
    Good,
    /// As `Good`, but it ended in 2001.
    Expired,
    /// As `Good`, but for `elsewhere.example` only.
    OtherHost,
    /// For `localhost`, but signed by itself: the authority has never heard of it.
    SelfSigned,
    /// As `SelfSigned`, and marked as an authority's (`CA:TRUE`), as the usual one-line recipe makes them.
    SelfSignedAuthority,
    /// As `Good`, but it begins in 2090.
    NotYetValid,
    /// Good, and ends in five days.
    EndsSoon,
    /// `localhost` as common name only, without subject alternative names.
    CommonNameOnly,
    /// A client's: signed by the authority, for no host.
    Client,
}

/// A server's certificate with its key, ready to serve.
#[derive(Clone)]
pub struct Identity {
    certificate_pem: String,
    key_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// Makes a new authority with a fresh key.
    ///
    /// # Errors
    /// [`PracticeError::Certificate`] if no key could be generated.
    pub fn new() -> Result<Self, PracticeError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Postroom practice authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        in_date(&mut params);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The authority's certificate in PEM, for the client's list of trusted authorities.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate in DER.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Writes [`Authority::pem`] to a file, for a client configured with `ca_file`.
    ///
    /// # Errors
    /// [`PracticeError::File`] naming the path.
    pub fn write_pem(&self, path: &Path) -> Result<(), PracticeError> {
        std::fs::write(path, self.pem())
            .map_err(|source| PracticeError::File { path: path.to_owned(), source })
    }

    /// Makes a server certificate of the given kind with a fresh key.
    ///
    /// # Errors
    /// [`PracticeError::Certificate`] or [`PracticeError::Tls`] if it could not be made or taken up.
    pub fn issue(&self, kind: CertificateKind) -> Result<Identity, PracticeError> {
        let names: &[&str] = match kind {
            CertificateKind::Good
            | CertificateKind::Expired
            | CertificateKind::NotYetValid
            | CertificateKind::EndsSoon
            | CertificateKind::SelfSigned
            | CertificateKind::SelfSignedAuthority => &["localhost", "127.0.0.1", "::1"],
            CertificateKind::OtherHost => &["elsewhere.example"],
            CertificateKind::CommonNameOnly | CertificateKind::Client => &[],
        };
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("localhost"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match kind {
            CertificateKind::Client => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        params.use_authority_key_identifier_extension = !kind.signed_by_itself();
        match kind {
            CertificateKind::Expired => {
                params.not_before = date_time_ymd(2000, 1, 1);
                params.not_after = date_time_ymd(2001, 1, 1);
            }
            CertificateKind::EndsSoon => {
                in_date(&mut params);
                params.not_after = (SystemTime::now() + Duration::from_secs(5 * 86_400)).into();
            }
            CertificateKind::NotYetValid => {
                params.not_before = date_time_ymd(2090, 1, 1);
                params.not_after = date_time_ymd(2099, 1, 1);
            }
            CertificateKind::SelfSignedAuthority => {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                in_date(&mut params);
            }
            CertificateKind::Good
            | CertificateKind::OtherHost
            | CertificateKind::SelfSigned
            | CertificateKind::CommonNameOnly
            | CertificateKind::Client => in_date(&mut params),
        }
        let key = KeyPair::generate()?;
        let certificate = if kind.signed_by_itself() {
            params.self_signed(&key)?
        } else {
            params.signed_by(&key, &self.issuer)?
        };
        Identity::new(certificate.der().clone(), certificate.pem(), &key)
    }
}

impl CertificateKind {
    fn signed_by_itself(self) -> bool {
        matches!(self, Self::SelfSigned | Self::SelfSignedAuthority)
    }
}

impl Identity {
    fn new(
        der: CertificateDer<'static>,
        certificate_pem: String,
        key: &KeyPair,
    ) -> Result<Self, PracticeError> {
        let chain = vec![der];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), private.clone_key())?;
        let key_pem = key.serialize_pem();
        Ok(Self { certificate_pem, key_pem, chain, key: Arc::new(private), server: Arc::new(server) })
    }

    /// The same, for a server that speaks TLS 1.2 and nothing newer.
    ///
    /// # Errors
    /// [`PracticeError::Tls`] if the TLS library does not take it.
    pub fn tls12_only(mut self) -> Result<Self, PracticeError> {
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        self.server = Arc::new(server);
        Ok(self)
    }

    /// The same, for a server that talks only to clients with a certificate from `authority`.
    ///
    /// # Errors
    /// [`PracticeError::Tls`] if the TLS library does not take it.
    pub fn for_clients_of(mut self, authority: &Authority) -> Result<Self, PracticeError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        self.server = Arc::new(server);
        Ok(self)
    }

    /// The same, with one more certificate sent behind its own, whether it belongs there or not.
    ///
    /// # Errors
    /// [`PracticeError::Tls`] if the TLS library does not take it.
    pub fn with_extra(mut self, other: &Self) -> Result<Self, PracticeError> {
        self.chain.extend(other.chain.first().cloned());
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        self.server = Arc::new(server);
        Ok(self)
    }

    /// The certificate in PEM, for a server that reads its own from a file.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PEM (PKCS #8).
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The configuration of a server with this certificate, for tests that bring their own server.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(..)")
    }
}

/// Wide fixed dates, so that a certificate does not depend on when it was made.
fn in_date(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
}
