//! Owns the connection: octets out, replies in, each bounded in length and time. Must not know what a reply means.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::error::quoted;
pub(super) use super::super::stream::Stream;

/// RFC 5321 section 4.5.3.1.5 allows 512 octets; servers differ.
const LONGEST_LINE: usize = 4096;
/// Commands by which a failpoint is called. Any other line is an answer to a challenge, which nobody may read.
const VERBS: [&str; 9] = ["EHLO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "QUIT"];
/// No EHLO answer comes near it.
const LONGEST_REPLY: usize = 64 * 1024;

/// One reply (RFC 5321 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// Three digits.
    pub(super) code: u16,
    /// The text of each line.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Harmless and short, for people.
    pub(super) fn shown(&self) -> String {
        quoted(&format!("{} {}", self.code, self.lines.join(" / ")))
    }
}

/// Why no reply came.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the server closed the connection")]
    Closed,
    #[error("no answer for {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the answer is not SMTP: {}", quoted(.0))]
    NotSmtp(String),
}

/// A connection with what was read ahead.
pub(super) struct Wire {
    stream: Stream,
    ahead: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// Puts TLS on a plain connection. Whatever was read ahead in the clear is an attack or a broken server, and must
    /// not be taken for an answer that came through TLS.
    pub(super) async fn protect(
        self,
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<Self, WireError> {
        let Stream::Plain(stream) = self.stream else { return Ok(self) };
        if !self.ahead.is_empty() {
            return Err(WireError::NotSmtp(String::from_utf8_lossy(&self.ahead).into_owned()));
        }
        let handshake = TlsConnector::from(config).connect(name, stream);
        let stream = within(limit, async { Ok(handshake.await?) }).await?;
        reach("smtp.connect", "protected");
        Ok(Self { stream: Stream::Tls(Box::new(stream)), ahead: Vec::new() })
    }

    /// `TLSv1_3` or the like; `None` in the clear.
    pub(super) fn protection(&self) -> Option<String> {
        self.stream.protection()
    }

    /// Whether the connection does not leave this machine, by its nature.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.stream, Stream::Unix(_))
    }

    /// The own address of the connection.
    pub(super) fn local(&self) -> Option<std::net::SocketAddr> {
        self.stream.local()
    }

    /// Sends octets and waits until they have left.
    pub(super) async fn write(&mut self, octets: &[u8], limit: Duration) -> Result<(), WireError> {
        within(limit, async { Ok(self.stream.write(octets).await?) }).await
    }

    /// Sends one command and reads its reply.
    pub(super) async fn command(&mut self, line: &str, limit: Duration) -> Result<Reply, WireError> {
        let verb = VERBS.into_iter().find(|verb| line.split(' ').next() == Some(verb)).unwrap_or("challenge");
        reach(format_args!("smtp.{verb}"), "send");
        // As one write, so that it is one packet.
        let line = zeroize::Zeroizing::new(format!("{line}\r\n"));
        self.write(line.as_bytes(), limit).await?;
        reach(format_args!("smtp.{verb}"), "sent");
        let reply = self.reply(limit).await?;
        reach(format_args!("smtp.{verb}"), "answered");
        Ok(reply)
    }

    /// Reads one reply of one or more lines.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, WireError> {
        within(limit, async {
            let mut lines = Vec::new();
            let mut octets = 0;
            loop {
                let line = self.line().await?;
                octets += line.len();
                let (code, last, text) = split(&line).ok_or_else(|| WireError::NotSmtp(line.clone()))?;
                if octets > LONGEST_REPLY || lines.first().is_some_and(|(first, _)| *first != code) {
                    return Err(WireError::NotSmtp(line));
                }
                lines.push((code, text.to_owned()));
                if last {
                    return Ok(Reply { code, lines: lines.into_iter().map(|(_, text)| text).collect() });
                }
            }
        })
        .await
    }

    async fn line(&mut self) -> Result<String, WireError> {
        let mut buffer = [0; 1024];
        loop {
            if let Some(end) = self.ahead.iter().position(|&octet| octet == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.ahead.len() > LONGEST_LINE {
                return Err(WireError::NotSmtp(String::from_utf8_lossy(&self.ahead).into_owned()));
            }
            let read = self.stream.read(&mut buffer).await?;
            if read == 0 {
                return Err(WireError::Closed);
            }
            self.ahead.extend_from_slice(&buffer[..read]);
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("protection", &self.protection()).finish_non_exhaustive()
    }
}

/// `250-text` as code, whether it is the last line, and text.
fn split(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    let number: u16 = code.bytes().all(|digit| digit.is_ascii_digit()).then(|| code.parse().ok())??;
    let last = match rest.as_bytes().first() {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    (200..600).contains(&number).then_some((number, last, rest.get(1..).unwrap_or("")))
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    timeout(limit, work).await.unwrap_or(Err(WireError::Timeout(limit)))
}
