//! The check of a server's certificate: the library's, then the pins. Notes what it saw, so that a refusal can be
//! explained. Must not accept anything the library refuses.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use crate::pin::Pin;

/// What a server showed during one handshake.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The certificates as sent, the server's first; empty if it sent none.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The keys of the chain that verified but had no pinned key, the server's first.
    pub(crate) unpinned: Vec<Pin>,
}

#[derive(Debug)]
pub(crate) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    pins: Vec<Pin>,
    seen: Arc<Mutex<Seen>>,
}

impl Verifier {
    pub(crate) fn new(
        webpki: &Arc<WebPkiServerVerifier>,
        roots: &Arc<RootCertStore>,
        pins: &[Pin],
        seen: Arc<Mutex<Seen>>,
    ) -> Self {
        Self { webpki: Arc::clone(webpki), roots: Arc::clone(roots), pins: pins.to_vec(), seen }
    }

    /// Looks for a verified path with a pinned key. The path is found anew, because only webpki tells which certificates
    /// it used: anybody can add a certificate with a pinned key to what a server sends.
    fn check_pins(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let certificate = EndEntityCert::try_from(end_entity)
            .map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?;
        let pinned = |path: &VerifiedPath<'_>| {
            let keys = keys_of(path);
            if keys.iter().any(|key| self.pins.contains(key)) {
                return Ok(());
            }
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.unpinned = keys;
            // Any error will do: it sends webpki on to the next possible path.
            Err(webpki::Error::UnknownIssuer)
        };
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        certificate
            .verify_for_usage(
                algorithms.all,
                &self.roots.roots,
                intermediates,
                now,
                KeyUsage::server_auth(),
                None,
                Some(&pinned),
            )
            .map(drop)
            .map_err(|_| CertificateError::ApplicationVerificationFailure.into())
    }
}

fn keys_of(path: &VerifiedPath<'_>) -> Vec<Pin> {
    let mut keys = vec![Pin::of_spki(&path.end_entity().subject_public_key_info())];
    keys.extend(
        path.intermediate_certificates().map(|authority| Pin::of_spki(&authority.subject_public_key_info())),
    );
    keys.push(of_anchor(path.anchor()));
    keys
}

/// A trust anchor holds the content of its `SubjectPublicKeyInfo` alone; the pin is over tag and length too.
fn of_anchor(anchor: &TrustAnchor<'_>) -> Pin {
    const SEQUENCE: u8 = 0x30;
    let content = anchor.subject_public_key_info.as_ref();
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|&&octet| octet == 0).count()..];
    let mut der = vec![SEQUENCE];
    match significant {
        [short @ ..=0x7f] => der.push(*short),
        long => {
            // At most the 8 octets of a length.
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    Pin::of_spki(&der)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.chain = std::iter::once(end_entity)
                .chain(intermediates)
                .map(|der| der.clone().into_owned())
                .collect();
        }
        let verified =
            self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.check_pins(end_entity, intermediates, now)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
