//! Which servers are trusted, and who the client says it is: settings, and the files they name. Certificates are always
//! checked; there is no switch to turn it off. Must not connect.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::error::{Error, TrustFile};
use crate::pin::Pin;
use crate::verify::{Seen, Verifier};

/// Which servers are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// A PEM file of authorities, trusted alone; without it those of the system and of Mozilla's list.
    pub ca_file: Option<PathBuf>,
    /// Keys of which the verified chain must hold one: the server's, an intermediate authority's or the root's. Only the
    /// chain that verification used counts, not what else a server sends. A pin never replaces verification: for a server
    /// with a certificate of its own making, name that certificate with `ca_file` and pin its key if wanted.
    ///
    /// Two pins are how a key is changed: pin the key to come as well, change the server's, remove the old pin.
    pub pins: Vec<Pin>,
    /// The certificate shown to servers that ask for one.
    pub identity: Option<ClientIdentity>,
    /// The oldest protocol version spoken.
    pub minimum: Version,
}

/// A client's certificate (TLS client authentication).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// A PEM file: the certificate, then the authorities between it and the root.
    pub certificate: PathBuf,
    /// A PEM file with its key: PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What is allowed, but will hurt one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// One pin only: when the server changes its key, no connection is possible.
    SinglePin,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SinglePin => {
                "there is one pin only: when the server changes its key, no connection is possible until the pin is \
                 changed; add a second one, of a backup key or of the authority"
            }
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// [`Trust`] with its files read: what a handshake needs. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) trust: Arc<Trust>,
    config: Arc<ClientConfig>,
    webpki: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// The configuration of a client that trusts the authorities of `ca_file` alone, or without one those of the system and
/// of Mozilla's list. TLS 1.2 or newer. Reads files: not for a task that others wait for.
///
/// # Errors
/// [`Error::File`] when the file cannot be read or holds no certificate.
pub fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    let trust = Trust { ca_file: ca_file.map(Path::to_owned), ..Trust::default() };
    Ok(trust.prepare()?.config())
}

impl Trust {
    /// What to tell the operator about these settings.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        if self.pins.len() == 1 { vec![Warning::SinglePin] } else { Vec::new() }
    }

    /// Reads the files. Blocks while it does: not for a task that others wait for.
    ///
    /// # Errors
    /// [`Error::File`] naming the file; [`Error::Setup`] if the TLS library refuses the rest.
    pub fn prepare(&self) -> Result<Client, Error> {
        let roots = Arc::new(match &self.ca_file {
            Some(path) => own_roots(path)?,
            None => public_roots(),
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| Error::Setup(rustls::Error::General(error.to_string())))?;
        let verifier = Verifier::new(&webpki, &roots, &self.pins, Arc::default());
        let versions: &[&SupportedProtocolVersion] = match self.minimum {
            Version::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Version::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| Error::File {
                    file: TrustFile::ClientKey,
                    path: identity.key.clone(),
                    reason: format!("it does not go with the certificate: {error}"),
                })?
            }
        };
        Ok(Client { trust: Arc::new(self.clone()), config: Arc::new(config), webpki, roots })
    }
}

impl Client {
    /// The configuration for libraries that do the handshake themselves. Checks the same, pins included, but its errors
    /// are those of rustls.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The configuration for one handshake, which leaves what the server showed in `seen`.
    ///
    /// Sessions are not resumed: a resumed one shows no certificate, so nothing would be checked.
    pub(crate) fn watched(&self, seen: &Arc<Mutex<Seen>>) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        let verifier = Verifier::new(&self.webpki, &self.roots, &self.trust.pins, Arc::clone(seen));
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}

impl ClientIdentity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let chain = certificates(TrustFile::ClientCertificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| Error::File {
            file: TrustFile::ClientKey,
            path: self.key.clone(),
            reason: error.to_string(),
        })?;
        Ok((chain, key))
    }
}

fn own_roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(TrustFile::CaFile, path)? {
        roots.add(certificate).map_err(|error| Error::File {
            file: TrustFile::CaFile,
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// At least one certificate.
fn certificates(file: TrustFile, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |reason: String| Error::File { file, path: path.to_owned(), reason };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(found) }
}

fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let (_added, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
