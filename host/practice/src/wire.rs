//! Owns one connection as lines in and octets out, in the clear or inside TLS. Must not know which protocol it carries.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::Identity;

/// The longest command line taken, in octets; room for a long initial response of AUTH.
const LINE_LIMIT: usize = 16 * 1024;

/// A byte stream in both directions: TCP, or TLS over TCP.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl Duplex for TcpStream {}
/// Stands in while TLS takes over the connection.
impl Duplex for tokio::io::Empty {}
impl Duplex for tokio_rustls::server::TlsStream<Box<dyn Duplex>> {}

/// One connection.
pub(crate) struct Wire {
    stream: Box<dyn Duplex>,
    received: Vec<u8>,
    secure: bool,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Answers are written whole, so waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        Self { stream: Box::new(stream), received: Vec::new(), secure: false }
    }

    /// Whether TLS protects the connection now.
    pub(crate) fn secure(&self) -> bool {
        self.secure
    }

    /// Does the server's half of the TLS handshake. Octets that came before it in the clear are thrown away: they may
    /// have been injected (RFC 3207 section 4.2).
    pub(crate) async fn upgrade(&mut self, identity: &Identity) -> io::Result<()> {
        self.received.clear();
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = Box::new(TlsAcceptor::from(identity.server()).accept(stream).await?);
        self.secure = true;
        Ok(())
    }

    /// The next line without its CRLF (a bare LF ends it too), or `None` at the end of the stream.
    pub(crate) async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.received[searched..].iter().position(|&octet| octet == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=searched + at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            searched = self.received.len();
            if searched > LINE_LIMIT {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the client's line has no end"));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Whatever octets come next, at least one; empty at the end of the stream.
    pub(crate) async fn octets(&mut self) -> io::Result<Vec<u8>> {
        if self.received.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.received))
    }

    /// Gives octets back that were read but belong to what follows.
    pub(crate) fn give_back(&mut self, octets: Vec<u8>) {
        debug_assert!(self.received.is_empty());
        self.received = octets;
    }

    /// Writes and flushes.
    pub(crate) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// Ends the connection in order: TLS says so, then TCP does.
    pub(crate) async fn close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Keeps the connection open and says nothing more, until the client gives up.
    pub(crate) async fn stay_silent(&mut self) {
        while let Ok(octets) = self.octets().await {
            if octets.is_empty() {
                return;
            }
        }
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.received.reserve(8 * 1024);
        Ok(self.stream.read_buf(&mut self.received).await? > 0)
    }
}
