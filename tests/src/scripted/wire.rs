//! One connection: lines in, octets out, TLS on top when told, and every way to end it. Must not know commands.

use std::io;
use std::sync::Arc;

use postroom_practice::Identity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::HarnessError;

/// A certificate with its key, and how TLS is spoken with it.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<ServerConfig>);

impl Certificate {
    /// Of the practice authority.
    ///
    /// # Errors
    /// When the TLS library does not take it.
    pub fn of(identity: &Identity) -> Result<Self, HarnessError> {
        Self::pem(identity.certificate_pem(), identity.key_pem(), rustls::DEFAULT_VERSIONS)
    }

    /// From PEM texts, for these versions of TLS.
    ///
    /// # Errors
    /// When the TLS library does not take it.
    pub fn pem(
        certificate: &str,
        key: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, HarnessError> {
        let failed = |error: String| HarnessError::Io {
            doing: "making a server certificate",
            source: io::Error::other(error),
        };
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| failed(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| failed(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self(Arc::new(config)))
    }
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// TLS says so, then TCP does.
    Orderly,
    /// TCP alone.
    Truncated,
    /// With a reset.
    Reset,
}

/// Ends one session after so many octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which session, from 1.
    pub session: u32,
    /// How many octets it gets, before encryption.
    pub octets: u64,
    /// How it ends.
    pub closing: Closing,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

pub(crate) struct Wire {
    stream: Stream,
    received: Vec<u8>,
    pub(crate) sent: u64,
    cut: Option<(u64, Closing)>,
}

/// Why nothing more can be sent.
pub(crate) enum Ended {
    /// The client is gone.
    Gone,
    /// The cut was reached.
    Cut(Closing),
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, cut: Option<(u64, Closing)>) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream: Stream::Tcp(stream), received: Vec::new(), sent: 0, cut }
    }

    /// Whether TLS protects it.
    pub(crate) fn secure(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The server's half of the handshake; the name the client asked for.
    pub(crate) async fn secured(&mut self, certificate: &Certificate) -> io::Result<Option<String>> {
        self.received.clear();
        let Stream::Tcp(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::other("TLS inside TLS"));
        };
        let tls = TlsAcceptor::from(Arc::clone(&certificate.0)).accept(tcp).await?;
        let name = tls.get_ref().1.server_name().map(str::to_owned);
        self.stream = Stream::Tls(Box::new(tls));
        Ok(name)
    }

    /// The next line without its end, or `None` when the client is gone.
    pub(crate) async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.received.iter().position(|&octet| octet == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Some(line);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads and forgets until the client is gone.
    pub(crate) async fn gone(&mut self) {
        while self.fill().await {
            self.received.clear();
        }
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) -> Result<(), Ended> {
        let (octets, closing) = match self.cut {
            Some((limit, closing)) if self.sent + octets.len() as u64 >= limit => {
                let left = usize::try_from(limit.saturating_sub(self.sent)).unwrap_or(octets.len());
                (&octets[..left.min(octets.len())], Some(closing))
            }
            _ => (octets, None),
        };
        let written = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.write_all(octets).await,
            Stream::Tls(tls) => match tls.write_all(octets).await {
                Ok(()) => tls.flush().await,
                Err(error) => Err(error),
            },
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        };
        self.sent += octets.len() as u64;
        match (written, closing) {
            (_, Some(closing)) => Err(Ended::Cut(closing)),
            (Err(_), None) => Err(Ended::Gone),
            (Ok(()), None) => Ok(()),
        }
    }

    pub(crate) async fn close(&mut self, closing: Closing) {
        match (&mut self.stream, closing) {
            (Stream::Tcp(tcp), Closing::Orderly | Closing::Truncated) => {
                let _ = tcp.shutdown().await;
            }
            (Stream::Tls(tls), Closing::Orderly) => {
                let _ = tls.shutdown().await;
            }
            (Stream::Tls(tls), Closing::Truncated) => {
                let _ = tls.get_mut().0.shutdown().await;
            }
            (Stream::Tcp(tcp), Closing::Reset) => {
                let _ = tcp.set_zero_linger();
            }
            (Stream::Tls(tls), Closing::Reset) => {
                let _ = tls.get_ref().0.set_zero_linger();
            }
            (Stream::Gone, _) => {}
        }
        self.stream = Stream::Gone;
    }

    async fn fill(&mut self) -> bool {
        let read = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.read_buf(&mut self.received).await,
            Stream::Tls(tls) => tls.read_buf(&mut self.received).await,
            Stream::Gone => return false,
        };
        read.is_ok_and(|count| count > 0)
    }
}
