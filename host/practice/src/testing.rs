//! Owns the raw client the unit tests talk through. Must not know a protocol beyond its lines.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Authority;

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

pub(crate) struct Client {
    stream: Stream,
    received: Vec<u8>,
}

/// A client configuration that trusts one authority only.
pub(crate) fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    Arc::new(
        builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self { stream: Stream::Tcp(TcpStream::connect(addr).await.unwrap()), received: Vec::new() }
    }

    pub(crate) async fn upgrade(&mut self, config: &Arc<ClientConfig>, host: &str) -> io::Result<()> {
        let Stream::Tcp(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else { panic!("not TCP") };
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
        self.stream = Stream::Tls(Box::new(tls));
        Ok(())
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(octets).await.unwrap(),
            Stream::Tls(stream) => stream.write_all(octets).await.unwrap(),
            Stream::Gone => panic!("no connection"),
        }
    }

    /// Reads more; `false` at the end, in order or not.
    async fn fill(&mut self) -> bool {
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read_buf(&mut self.received).await,
            Stream::Tls(stream) => stream.read_buf(&mut self.received).await,
            Stream::Gone => panic!("no connection"),
        };
        read.is_ok_and(|octets| octets > 0)
    }

    /// The next line with its end.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.received.iter().position(|&octet| octet == b'\n') {
                return String::from_utf8_lossy(&self.received.drain(..=at).collect::<Vec<_>>()).into_owned();
            }
            assert!(self.fill().await, "the connection ended in {:?}", self.received);
        }
    }

    /// What has come since, at least one octet.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        if self.received.is_empty() {
            assert!(self.fill().await, "the connection ended");
        }
        std::mem::take(&mut self.received)
    }

    /// Everything until the connection ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.received)
    }

    /// Sends a command and reads a POP3 status line.
    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).await;
        self.line().await
    }

    /// Sends a command and reads a POP3 multi-line answer, as it is on the wire, without its first and last line.
    pub(crate) async fn ask_lines(&mut self, command: &str) -> Vec<u8> {
        let status = self.ask(command).await;
        assert!(status.starts_with("+OK"), "{command}: {status}");
        let mut searched = 0;
        loop {
            if self.received.starts_with(b".\r\n") {
                self.received.drain(..3);
                return Vec::new();
            }
            let end = self.received[searched..].windows(5).position(|five| five == b"\r\n.\r\n");
            if let Some(at) = end {
                let lines = self.received.drain(..searched + at + 2).collect();
                self.received.drain(..3);
                return lines;
            }
            searched = self.received.len().saturating_sub(4);
            assert!(self.fill().await, "the connection ended");
        }
    }

    /// Sends a command and reads an SMTP reply, all its lines.
    pub(crate) async fn ask_smtp(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).await;
        let mut reply = String::new();
        loop {
            let line = self.line().await;
            reply.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }
}
