//! Drives the sans-IO engine over a socket. Owns the time limits; knows no command.

use std::ops::Range;
use std::time::{Duration, Instant};

use postroom_failpoint::reach;
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
const SLOWEST: u64 = 4096;

/// `QUIT` may take so many times longer than any other answer: a mass deletion takes minutes.
const QUIT: u32 = 5;

/// One connection. Dropping it closes it, without `QUIT`.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// What of the buffer was received and not yet read: it belongs to the next reply of commands sent ahead.
    unread: Range<usize>,
    idle: Duration,
    host: Option<String>,
}

impl Wire {
    /// `idle` is how long a single answer may keep us waiting.
    pub(super) fn new(stream: Box<dyn Stream>, idle: Duration) -> Self {
        Self { stream, buffer: vec![0; READ], unread: 0..0, idle, host: None }
    }

    /// A connection with TLS to this host: what a server refuses only after the handshake is told in TLS's terms.
    pub(super) fn of(self, host: &str) -> Self {
        Self { host: Some(host.to_owned()), ..self }
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

    /// Carries out `QUIT`, which may take a server long: it deletes now.
    pub(super) async fn quit<R: Reply>(&mut self, exchange: Exchange<R>) -> Result<R::Output, Error> {
        self.idle = self.idle.saturating_mul(QUIT);
        self.ask("QUIT", exchange).await
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
        loop {
            let whole = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let mut input = whole;
            let step = exchange.step(&mut input)?;
            let taken = whole.len() - input.len();
            exchange = match step {
                Step::Send(next, octets) => {
                    self.unread.start += taken;
                    reach(format_args!("pop3.{doing}"), "send");
                    self.send(doing, &octets).await?;
                    reach(format_args!("pop3.{doing}"), "sent");
                    next
                }
                Step::Receive(next) => {
                    let allowed =
                        self.idle.saturating_mul(PATIENCE) + Duration::from_secs(received / SLOWEST);
                    let left = allowed.saturating_sub(started.elapsed()).min(self.idle);
                    let count = self.receive(doing, left, started).await?;
                    if count == 0 {
                        return Err(next.closed().into());
                    }
                    reach(format_args!("pop3.{doing}"), "received");
                    received += count as u64;
                    self.unread = 0..count;
                    next
                }
                Step::Body(next, octets) => {
                    body(octets)?;
                    self.unread.start += taken;
                    next
                }
                Step::Done(output) => {
                    reach(format_args!("pop3.{doing}"), "answered");
                    self.unread.start += taken;
                    return Ok(output);
                }
            };
        }
    }

    async fn send(&mut self, doing: &'static str, octets: &[u8]) -> Result<(), Error> {
        let sent = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        match timeout(self.idle, sent).await {
            Ok(sent) => sent.map_err(|source| self.broken(doing, source)),
            Err(_) => Err(Error::Silent { doing, after: self.idle }),
        }
    }

    async fn receive(
        &mut self,
        doing: &'static str,
        left: Duration,
        started: Instant,
    ) -> Result<usize, Error> {
        match timeout(left, self.stream.read(&mut self.buffer)).await {
            Ok(read) => read.map_err(|source| self.broken(doing, source)),
            Err(_) => Err(Error::Silent { doing, after: started.elapsed() }),
        }
    }

    fn broken(&self, doing: &'static str, source: std::io::Error) -> Error {
        let refused =
            self.host.as_deref().and_then(|host| postroom_dial::Error::after_handshake(host, &source));
        refused.map_or(Error::Broken { doing, source }, Error::Dial)
    }
}
