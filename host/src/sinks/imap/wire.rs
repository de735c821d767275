//! Owns the connection: octets out, responses in, each bounded in time. Must not know what a response means.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::reader::{Malformed, Reader};
use super::response::Response;
use crate::sinks::stream::Stream;

/// Why no response came.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the server closed the connection")]
    Closed,
    #[error("no answer for {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the answer is not IMAP: {0}")]
    NotImap(#[from] Malformed),
}

/// A connection with what was read ahead.
pub(super) struct Wire {
    stream: Stream,
    reader: Reader,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, reader: Reader::default() }
    }

    /// The bare connection, if nothing was read ahead in the clear: that must not be taken for an answer through TLS.
    pub(super) fn into_plain(self) -> Option<TcpStream> {
        match self.stream {
            Stream::Plain(stream) if self.reader.is_empty() => Some(stream),
            Stream::Plain(_) | Stream::Unix(_) | Stream::Tls(_) => None,
        }
    }

    /// `TLSv1_3` or the like; `None` in the clear.
    pub(super) fn protection(&self) -> Option<String> {
        self.stream.protection()
    }

    /// From now on literals up to this size are taken, or none.
    pub(super) fn allow(&mut self, largest: Option<u64>) {
        self.reader.allow(largest);
    }

    /// Sends octets and waits until they have left.
    pub(super) async fn write(&mut self, octets: &[u8], limit: Duration) -> Result<(), WireError> {
        match timeout(limit, self.stream.write(octets)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(WireError::Timeout(limit)),
        }
    }

    /// Reads one response. The time is for all of it, so that one octet a minute does not go on for ever.
    pub(super) async fn response(&mut self, limit: Duration) -> Result<Response, WireError> {
        let read = async {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                if let Some(pieces) = self.reader.next()? {
                    return Ok(Response::read(&pieces));
                }
                match self.stream.read(&mut buffer).await? {
                    0 => return Err(WireError::Closed),
                    read => self.reader.feed(&buffer[..read]),
                }
            }
        };
        timeout(limit, read).await.unwrap_or(Err(WireError::Timeout(limit)))
    }
}
