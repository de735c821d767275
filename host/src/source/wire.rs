//! Drives the sans-IO engine over a socket. Owns the time limits; knows no command.

use std::time::{Duration, Instant};

use postroom_pop3::{Exchange, Reply, Step};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::error::Error;

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Octets taken from the socket at once.
const READ: usize = 64 * 1024;
/// A reply may take so many times the idle limit, and a second for each so many octets received: one that trickles in is
/// as bad as none, whatever size the server claimed.
const PATIENCE: u32 = 10;
const SLOWEST: u64 = 1024;

/// One connection. Dropping it closes it, without `QUIT`.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    idle: Duration,
}

impl Wire {
    /// `idle` is how long a single answer may keep us waiting.
    pub(super) fn new(stream: Box<dyn Stream>, idle: Duration) -> Self {
        Self { stream, buffer: vec![0; READ], idle }
    }

    /// The connection itself, for the TLS handshake.
    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Carries out one command whose reply holds no message.
    pub(super) async fn ask<R: Reply>(
        &mut self,
        doing: &'static str,
        exchange: Exchange<R>,
    ) -> Result<R::Output, Error> {
        self.drive(doing, exchange, |_| Ok(())).await
    }

    /// Carries out one command, handing each run of message octets to `body`.
    pub(super) async fn drive<R: Reply>(
        &mut self,
        doing: &'static str,
        mut exchange: Exchange<R>,
        mut body: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<R::Output, Error> {
        let started = Instant::now();
        let mut received = 0_u64;
        let mut input: &[u8] = &[];
        loop {
            exchange = match exchange.step(&mut input)? {
                Step::Send(next, octets) => {
                    let sent = timeout(self.idle, self.stream.write_all(&octets)).await;
                    sent.map_err(|_| Error::Silent { doing, after: self.idle })?
                        .map_err(|source| Error::Broken { doing, source })?;
                    let flushed = timeout(self.idle, self.stream.flush()).await;
                    flushed
                        .map_err(|_| Error::Silent { doing, after: self.idle })?
                        .map_err(|source| Error::Broken { doing, source })?;
                    next
                }
                Step::Receive(next) => {
                    let allowed =
                        self.idle.saturating_mul(PATIENCE) + Duration::from_secs(received / SLOWEST);
                    let left = allowed.saturating_sub(started.elapsed()).min(self.idle);
                    let read = timeout(left, self.stream.read(&mut self.buffer)).await;
                    let count = read
                        .map_err(|_| Error::Silent { doing, after: started.elapsed() })?
                        .map_err(|source| Error::Broken { doing, source })?;
                    if count == 0 {
                        return Err(next.closed().into());
                    }
                    received += count as u64;
                    input = &self.buffer[..count];
                    next
                }
                Step::Body(next, octets) => {
                    body(octets)?;
                    next
                }
                Step::Done(output) => return Ok(output),
            };
        }
    }
}
