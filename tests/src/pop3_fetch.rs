//! Owns a client that reads a whole maildrop the simplest way, to compare what the program under test got with what the
//! server sends. Must not share code with the program's own POP3 client.

use std::net::SocketAddr;
use std::sync::Arc;

use postroom_practice::Authority;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::HarnessError;

/// One message as the server sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its unique id (RFC 1939 section 7).
    pub uidl: String,
    /// Its octets after undoing dot-stuffing.
    pub octets: Vec<u8>,
}

/// How TLS starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From the first octet (RFC 8314).
    Implicit,
    /// By `STLS` (RFC 2595).
    Stls,
}

struct Session {
    stream: BufReader<TlsStream<TcpStream>>,
}

/// Retrieves every message over TLS and deletes none, in the server's order.
///
/// # Errors
/// [`HarnessError::Io`] or [`HarnessError::Answer`] with what the server said.
pub async fn fetch_all(
    addr: SocketAddr,
    tls: Tls,
    authority: &Authority,
    user: &str,
    password: &str,
) -> Result<Vec<Fetched>, HarnessError> {
    let mut session = Session::connect(addr, tls, authority).await?;
    session.ask(&format!("USER {user}")).await?;
    session.ask(&format!("PASS {password}")).await?;
    session.ask("UIDL").await?;
    let listing = session.lines().await?;
    let mut fetched = Vec::new();
    for line in String::from_utf8_lossy(&listing).lines() {
        let (number, uidl) = line.split_once(' ').ok_or_else(|| HarnessError::Answer {
            expected: "a number and a unique id".to_owned(),
            got: line.to_owned(),
        })?;
        session.ask(&format!("RETR {number}")).await?;
        fetched.push(Fetched { uidl: uidl.to_owned(), octets: session.lines().await? });
    }
    session.ask("QUIT").await?;
    Ok(fetched)
}

/// A session that has the maildrop open, and with it the server's lock, until this is dropped.
pub struct Held(#[expect(dead_code, reason = "held for its connection")] Session);

/// Logs in over implicit TLS and does nothing else.
///
/// # Errors
/// As [`fetch_all`].
pub async fn hold(
    addr: SocketAddr,
    authority: &Authority,
    user: &str,
    password: &str,
) -> Result<Held, HarnessError> {
    let mut session = Session::connect(addr, Tls::Implicit, authority).await?;
    session.ask(&format!("USER {user}")).await?;
    session.ask(&format!("PASS {password}")).await?;
    session.ask("STAT").await?;
    Ok(Held(session))
}

impl Session {
    async fn connect(addr: SocketAddr, tls: Tls, authority: &Authority) -> Result<Self, HarnessError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).map_err(|error| refused("trusting the practice authority", error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused("setting up TLS", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = TcpStream::connect(addr).await.map_err(io("connecting to a POP3 server"))?;
        if tls == Tls::Stls {
            tcp.write_all(b"STLS\r\n").await.map_err(io("sending STLS"))?;
            for _ in ["greeting", "answer to STLS"] {
                positive(&clear_line(&mut tcp).await?)?;
            }
        }
        let host = ServerName::IpAddress(addr.ip().into());
        let stream = TlsConnector::from(Arc::new(config))
            .connect(host, tcp)
            .await
            .map_err(io("starting TLS with it"))?;
        let mut session = Self { stream: BufReader::new(stream) };
        if tls == Tls::Implicit {
            positive(&session.line().await?)?;
        }
        Ok(session)
    }

    async fn ask(&mut self, command: &str) -> Result<(), HarnessError> {
        let octets = format!("{command}\r\n").into_bytes();
        self.stream.write_all(&octets).await.map_err(io("sending a POP3 command"))?;
        self.stream.flush().await.map_err(io("sending a POP3 command"))?;
        positive(&self.line().await?)
    }

    /// The next line with its LF; never empty.
    async fn line(&mut self) -> Result<Vec<u8>, HarnessError> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await.map_err(io("reading a POP3 answer"))?;
        if line.is_empty() {
            return Err(io("reading a POP3 answer")(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(line)
    }

    /// A multi-line answer after its status line.
    async fn lines(&mut self) -> Result<Vec<u8>, HarnessError> {
        let mut octets = Vec::new();
        loop {
            let line = self.line().await?;
            match line.as_slice() {
                b".\r\n" => return Ok(octets),
                [b'.', rest @ ..] => octets.extend_from_slice(rest),
                whole => octets.extend_from_slice(whole),
            }
        }
    }
}

/// The next line before TLS, read octet by octet so that none of the handshake is taken with it.
async fn clear_line(tcp: &mut TcpStream) -> Result<Vec<u8>, HarnessError> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(tcp.read_u8().await.map_err(io("reading a POP3 answer"))?);
    }
    Ok(line)
}

fn positive(line: &[u8]) -> Result<(), HarnessError> {
    if line.starts_with(b"+OK") {
        return Ok(());
    }
    Err(HarnessError::Answer { expected: "+OK".to_owned(), got: String::from_utf8_lossy(line).into_owned() })
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> HarnessError {
    move |source| HarnessError::Io { doing, source }
}

fn refused(doing: &'static str, error: rustls::Error) -> HarnessError {
    HarnessError::Io { doing, source: std::io::Error::other(error) }
}
